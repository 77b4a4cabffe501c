"""Are targets and company what their names say, and do all groups start alike?"""

import itertools

import pytest
import torch
from oracle import alone, assert_close_to_oracle
from rows import each_row

from lpntk.data import dataset as data
from lpntk.keep.cache import Cache
from lpntk.kernel.reading import cosine
from lpntk.learn.campaign import Network
from lpntk.learn.training import train
from lpntk.phenomena.company.groups import GROUPS, company, matched, size_of_targets, targets
from lpntk.phenomena.company.reference import reference_kernel
from lpntk.phenomena.company.study import study

NETWORK = Network("mlp", (1, 2, 4), 4, {"hidden": [8]})


def kernel(n=40, k=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    phi = torch.randn(n, 12, generator=generator)
    return phi @ phi.T, torch.arange(n) % k


def test_a_target_is_the_head_of_its_class_s_most_similar_pair():
    kappa, y = kernel()
    for label, target in enumerate(targets(kappa, y).tolist()):
        rows = [i for i in range(40) if y[i] == label]
        best = max((float(kappa[i, j]), -i) for i in rows for j in rows if i < j)
        assert target == -best[1]
    with pytest.raises(ValueError, match="class 1 has 1 samples in the kernel; a pair needs two"):
        targets(torch.eye(3), torch.tensor([0, 0, 1]))


def test_matched_targets_are_matched():
    kappa, y = kernel(400)
    own, chosen = kappa.diagonal(), matched(kappa, y)
    assert y[chosen].tolist() == [0, 1, 2, 3]
    for target in chosen:  # nobody of its class is nearer
        assert (own[target] - own.median()).abs() == (own[y == y[target]] - own.median()).abs().min()
    assert own[chosen].std() < 0.05 * own[targets(kappa, y)].std()
    assert size_of_targets(kappa, y, chosen) == pytest.approx(0.5, abs=0.1)
    assert size_of_targets(kappa, y, targets(kappa, y)) > 0.9


def test_company_is_what_its_name_says():
    kappa, y = kernel()
    heads = targets(kappa, y)
    target = int(heads[1])
    own = [i for i in range(40) if y[i] == 1 and i != target]
    ranked = sorted(own, key=lambda i: -kappa[target, i])
    by_angle = sorted(own, key=lambda i: -cosine(kappa)[target, i])
    assert ranked != by_angle
    pick = lambda group, count=3: company(kappa, y, heads, group, count, seed=1)[1].tolist()
    for prefix, order in (("", ranked), ("cosine-", by_angle)):
        assert pick(f"{prefix}most") == order[:3]
        assert pick(f"{prefix}least") == order[::-1][:3]
        assert pick(f"{prefix}middle") == order[3:6]  # the middle of nine
    assert set(pick("random")) <= set(own)
    assert pick("alone") == []
    with pytest.raises(ValueError, match="10 samples of company were asked for, but only 9 can be"):
        pick("most", 10)
    with pytest.raises(ValueError, match="group must be one of most"):
        pick("best")


@each_row("seed", range(2))
def test_company_of_another_label_is_as_balanced_as_any(seed):
    kappa, y = kernel(seed=seed)
    heads = targets(kappa, y)
    parts = company(kappa, y, heads, "other", 3)
    everyone = torch.cat([heads, *parts])
    assert len(set(everyone.tolist())) == len(everyone)  # no target, and nobody twice
    assert torch.bincount(y[everyone]).tolist() == [4] * 4

    def lowest(target, label):
        rows = [i for i in range(40) if y[i] == label and i not in heads]
        return sorted(rows, key=lambda i: kappa[target, i])[:3]

    ways = [way for way in itertools.permutations(range(4)) if all(a != b for a, b in enumerate(way))]
    cost = lambda way: sum(float(kappa[t, lowest(t, c)].mean()) for t, c in zip(heads, way, strict=True))
    best = min(ways, key=cost)
    assert [part.tolist() for part in parts] == [lowest(t, c) for t, c in zip(heads, best, strict=True)]


def test_the_size_of_targets_is_their_rank_by_their_own_kernel():
    kappa, y = torch.diag(torch.tensor([1.0, 3, 2, 5, 4, 6])), torch.tensor([0, 0, 0, 1, 1, 1])
    assert size_of_targets(kappa, y, torch.tensor([1, 4])) == pytest.approx((2 / 3 + 0) / 2)


def test_the_experiment_pairs_its_runs(tmp_path):
    generator = torch.Generator().manual_seed(0)
    x, (kappa, y) = torch.randn(40, 1, 2, 4, generator=generator), kernel()
    frame, curves = study(
        NETWORK, x, y, kappa, count=3, runs=3, seed=0, cache=Cache(tmp_path), epochs=2, lr=0.1, device="cpu"
    )
    assert len(frame) == 2 * len(GROUPS) * 3 * 4
    assert len(curves) == 2 * len(GROUPS) * 2
    head = frame[frame["targets"] == "head"].set_index(["group", "run", "target"]).sort_index()
    for group in GROUPS:
        # the first presentation comes before any step: every group starts from the same weights
        assert head.loc[group, "first"].to_numpy() == pytest.approx(head.loc["alone", "first"].to_numpy(), abs=1e-5)
        line = curves[(curves["targets"] == "head") & (curves["group"] == group)]
        assert line["mean"].sum() == pytest.approx(head.loc[group, "difficulty"].mean(), rel=1e-4)
    heads = targets(kappa, y)
    everyone = torch.cat([heads, *company(kappa, y, heads, "other", 3)])
    for i in heads.tolist():
        wanted = sum(float(kappa[i, j]) for j in everyone.tolist() if j != i)
        assert head.loc[("other", 0, i), "dose"] == pytest.approx(wanted, rel=1e-4)
    mean = head.groupby("group")["negative"].mean()
    assert mean["most"] < mean["least"]
    assert mean["alone"] != mean["alone"]  # NaN


def test_unstable_runs_are_left_out(tmp_path):
    kappa, y = kernel()
    x = torch.randn(40, 1, 2, 4, generator=torch.Generator().manual_seed(0))
    x[int(targets(kappa, y)[0])] *= 1e4  # a target that no network takes well
    frame, curves = study(NETWORK, x, y, kappa, count=3, runs=3, seed=0, cache=Cache(tmp_path), choices=["head"],
                          groups=["alone"], epochs=2, lr=0.1, device="cpu")  # fmt: skip
    assert frame["unstable"].all()
    assert frame[["difficulty", "first", "last"]].isna().all(axis=None)
    assert curves["mean"].isna().all()


def test_the_reference_kernel_is_that_of_the_trained_network(tmp_path):
    samples = data.load("digits")
    network = Network("mlp", samples.in_shape, samples.k, {"hidden": [8]})
    rows, sgd = samples.sample(30, 0), {"epochs": 2, "lr": 0.1, "batch_size": 64, "device": "cpu"}
    kappa, share = reference_kernel(network, samples, rows, seed=1, cache=Cache(tmp_path), **sgd)
    model = network(1)
    train([model], samples.x_train, samples.y_train, torch.arange(len(samples.y_train))[None], seeds=[1], **sgd)
    x, y = samples.x_train[rows], samples.y_train[rows]
    assert_close_to_oracle(kappa, alone(model, x, y))
    assert share == pytest.approx(float((model(samples.x_test).argmax(1) == samples.y_test).float().mean()))
