"""Does farthest-point clustering do what it says, from memory and from a file?"""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import each_row

from lpntk.phenomena.less_data.farthest import clusters, hierarchical, own_nearest


def gram(n, d=4, seed=0):
    """A kernel of n samples in d dimensions, of different lengths."""
    generator = torch.Generator().manual_seed(seed)
    phi = torch.randn(n, d, generator=generator) * (0.5 + torch.rand(n, 1, generator=generator))
    return phi @ phi.T


def slowly(kappa, count):
    """The definition, sample by sample: head of each cluster -> its members."""
    found = {int(kappa.diagonal().argmax()): set(range(len(kappa)))}
    while len(found) < count:
        head_of = {i: head for head, members in found.items() for i in members}
        new = min((i for i in head_of if i not in found), key=lambda i: (float(kappa[head_of[i], i]), i))
        moved = {i for i in head_of if i not in found and kappa[new, i] > kappa[head_of[i], i]} | {new}
        found = {head: members - moved for head, members in found.items()} | {new: moved}
    return found


def told(found):
    return {int(head): set((found.of == c).nonzero()[:, 0].tolist()) for c, head in enumerate(found.heads)}


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 25), share=st.floats(0.05, 1), seed=st.integers(0, 99))
def test_it_is_the_definition_sample_by_sample(n, share, seed):
    kappa = gram(n, seed=seed)
    assert told(clusters(kappa, torch.zeros(n, dtype=torch.long), share)) == slowly(kappa, max(1, round(share * n)))


def test_of_equals_the_first_becomes_a_head_and_the_others_stay_where_they_are():
    kappa = torch.tensor([[4.0, 0, 0, 1], [0, 3, 0, 1], [0, 0, 3, 1], [1, 1, 1, 2]])
    assert told(clusters(kappa, torch.zeros(4, dtype=torch.long), 0.5)) == {0: {0, 2, 3}, 1: {1}}


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 99), cosine=st.booleans())
def test_the_order_of_the_samples_does_not_matter(seed, cosine):
    kappa, y = gram(30, seed=seed), torch.arange(30) % 3
    order = torch.randperm(30, generator=torch.Generator().manual_seed(seed))
    plain = clusters(kappa, y, 0.2, cosine=cosine)
    mixed = clusters(kappa[order][:, order], y[order], 0.2, cosine=cosine)
    assert told(plain) == {int(order[head]): {int(order[i]) for i in members} for head, members in told(mixed).items()}


@each_row("way", ["raw", "cosine", "hierarchical"])
def test_each_sample_is_in_one_cluster_of_its_class_and_heads_in_their_own(way):
    kappa, y = gram(40), torch.tensor([0] * 30 + [2] * 9 + [5])
    found = (
        hierarchical(kappa, y, [0.3])[0] if way == "hierarchical" else clusters(kappa, y, 0.3, cosine=way == "cosine")
    )
    assert torch.equal(found.of[found.heads], torch.arange(len(found.heads)))
    assert torch.equal(y, y[found.heads][found.of])
    assert [int((y[found.heads] == c).sum()) for c in (0, 2, 5)] == [9, 3, 1]
    assert int(found.sizes.sum()) == 40


@each_row("seed", range(5))
def test_the_farthest_point_is_within_twice_the_best_radius(seed):
    """Gonzalez' bound, for a dissimilarity that is a metric."""
    points = torch.rand(9, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    apart = torch.cdist(points, points)
    found = clusters(-apart, torch.zeros(9, dtype=torch.long), 1 / 3)
    radius = float(apart[torch.arange(9), found.heads[found.of]].max())
    best = min(float(apart[list(heads)].amin(dim=0).max()) for heads in itertools.combinations(range(9), 3))
    assert radius <= 2 * best + 1e-12


def test_by_the_cosine_the_length_of_a_gradient_decides_nothing():
    kappa, y = gram(30), torch.arange(30) % 2
    longer = 1 + torch.arange(30.0)
    scaled = kappa * longer[:, None] * longer
    assert told(clusters(kappa, y, 0.2, cosine=True)) == told(clusters(scaled, y, 0.2, cosine=True))
    assert told(clusters(kappa, y, 0.2)) != told(clusters(scaled, y, 0.2))


def test_a_kernel_in_a_file_is_clustered_as_one_in_memory(tmp_path):
    kappa, y = gram(50), torch.arange(50) % 2
    np.save(tmp_path / "k.npy", kappa.numpy())
    mapped = np.load(tmp_path / "k.npy", mmap_mode="r")
    assert told(clusters(mapped, y, 0.2)) == told(clusters(kappa, y, 0.2))
    assert torch.equal(own_nearest(mapped, y), own_nearest(kappa, y))


def test_samples_more_like_another_than_themselves_are_known_and_the_others_can_come_first():
    phi = torch.tensor([[3.0, 0.0], [1.0, 0.1], [0.0, 2.0], [0.1, 0.9], [5.0, 5.0]])
    kappa, y = phi @ phi.T, torch.tensor([0, 0, 0, 0, 1])
    own = own_nearest(kappa, y)
    assert own.tolist() == [True, False, True, False, True]  # a longer gradient of another class does not count
    assert set(clusters(kappa, y, 0.5, first=own).heads.tolist()) == {0, 2, 4}
    assert clusters(kappa, y, 0.25, first=own).heads.tolist() == [0, 4]  # more of them than clusters: as without


@each_row(
    ("change", "words"),
    [
        (lambda k: k[:, :5], r"must be \(n, n\) with one row per label, n = 6; got \(6, 5\)"),
        (
            lambda k: k.clone().index_put_((torch.tensor(0), torch.tensor(3)), torch.tensor(torch.nan)),
            "holds NaN or inf",
        ),
        (lambda k: k.triu(), r"not symmetric: entry \(\d, \d\) is"),
        (lambda k: k.clone().fill_diagonal_(0), "has kernel 0 with itself, and so no cosine"),
    ],
)
def test_what_is_no_kernel_is_refused(change, words):
    kappa = torch.ones(6, 6) + torch.eye(6)
    kappa[0, 0] = 3  # the first head
    with pytest.raises(ValueError, match=words):
        clusters(change(kappa), torch.zeros(6, dtype=torch.long), 0.9, cosine=True)


@each_row("ratio", [0, 1.1, float("nan")])
def test_a_ratio_that_cannot_be_is_refused(ratio):
    with pytest.raises(ValueError, match="ratio is clusters per sample"):
        clusters(gram(5), torch.zeros(5, dtype=torch.long), ratio)
