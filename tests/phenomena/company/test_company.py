import itertools

import numpy as np
import pytest
import torch

from lpntk.data import dataset as data
from lpntk.keep.cache import Cache
from lpntk.learn.campaign import Network
from lpntk.learn.training import train
from lpntk.phenomena.company.groups import GROUPS, Company, company, keep_company, size_of_targets, targets
from lpntk.phenomena.company.order import compare, order, summary
from lpntk.phenomena.company.reference import reference_kernel


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


def test_company_is_what_its_name_says():
    kappa, y = kernel()
    heads = targets(kappa, y)
    target = int(heads[1])
    own = [i for i in range(40) if y[i] == 1 and i != target]
    ranked = sorted(own, key=lambda i: -kappa[target, i])
    pick = lambda group, count=3: company(kappa, y, heads, group, count, seed=1)[1].tolist()
    assert pick("most") == ranked[:3]
    assert pick("least") == ranked[::-1][:3]
    assert pick("middle") == ranked[3:6]  # the middle of nine
    assert set(pick("random")) <= set(own)
    assert pick("alone") == []
    with pytest.raises(ValueError, match="10 samples of company were asked for, but only 9 can be"):
        pick("most", 10)
    with pytest.raises(ValueError, match="group must be one of most"):
        pick("best")


@pytest.mark.parametrize("seed", range(2))
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


def told(shift, seed, k=10, runs=5, unstable=0):
    """Targets with difficulties of their own, easier by a planted shift per group."""
    generator = torch.Generator().manual_seed(seed)
    own = torch.rand(k, generator=generator) * 5
    kept = {}
    for group in GROUPS:
        first = own + 5 + shift.get(group, 0.0) + 0.1 * torch.randn(runs, k, generator=generator)
        loss = torch.stack([first, first / 4], dim=1)  # (runs, 2 epochs, k)
        kept[group] = Company(loss, torch.zeros(k), 0, unstable)
    return kept


@pytest.mark.parametrize(
    ("shift", "verdict"),
    [
        ({"most": 0.0, "middle": 0.5, "least": 1.0}, "holds"),
        ({"most": 0.0, "middle": 0.0, "least": 1.0}, "holds in part"),
        ({"most": 1.0, "middle": 0.5, "least": 0.0}, "fails"),
    ],
)
def test_a_planted_order_is_found(shift, verdict):
    kept = [told(shift, seed) for seed in (0, 1)]
    assert order(kept).verdict == verdict
    far = compare(kept, "most", "least")
    assert far.difference == pytest.approx(1.25 * (shift["least"] - shift["most"]), abs=0.1)
    assert (far.p < 0.01) == (far.difference > 0)
    assert (far.p_reverse < 0.01) == (far.difference < 0)


def test_no_order_is_no_order():
    rejected = sum(order([told({}, seed)]).page < 0.05 for seed in range(60))
    assert rejected <= 9  # 3 expected; more than 9 has a probability of about 1e-3


def test_targets_that_were_not_learned_cannot_be_judged():
    kept = told({"most": 0.0, "middle": 0.5, "least": 1.0}, 0)
    kept["most"] = Company(kept["most"].loss[:, :1].expand(-1, 2, -1), torch.zeros(10), 0, 0)
    assert order([kept]).verdict == "cannot be judged"


def test_an_order_that_chance_hides_is_not_said_to_fail():
    every = told({"least": 1.0}, 0)
    few = {group: Company(kept.loss[:, :, :2], kept.kernel[:2], 0, 0) for group, kept in every.items()}
    assert order([few]).verdict == "is not found"  # two targets cannot tell


def test_what_most_runs_did_not_survive_cannot_be_judged():
    shift = {"most": 0.0, "middle": 0.5, "least": 1.0}
    assert order([told(shift, 0, runs=10, unstable=1)]).verdict == "holds"
    assert order([told(shift, 0, runs=10, unstable=2)]).verdict == "cannot be judged"


def test_unstable_runs_are_left_out(tmp_path):
    kept = told({}, 0)
    kept["least"].loss[0] = torch.nan
    row = next(row for row in summary([kept]) if row["company"] == "least")
    assert np.isfinite(row["difficulty"])
    assert row["learned"]
    (kappa, y), network = kernel(), Network("mlp", (1, 2, 4), 4, {"hidden": [8]})
    x = torch.randn(40, 1, 2, 4, generator=torch.Generator().manual_seed(0))
    x[int(targets(kappa, y)[0])] *= 1e4  # a target that no network takes well
    found = keep_company(network, x, y, kappa, count=3, runs=3, seed=0, cache=Cache(tmp_path), groups=("alone",),
                         epochs=2, lr=0.1, device="cpu")["alone"]  # fmt: skip
    assert found.unstable == 3
    assert found.loss.isnan().all()
    assert summary([{"alone": found}])[0]["unstable"] == 3
    kept["middle"].loss[:] = torch.nan
    assert order([kept]).verdict == "cannot be judged"
    lost = compare([kept], "middle", "least")
    assert all(np.isnan(value) for value in (lost.difference, lost.targets_easier, lost.p, lost.p_reverse))


def test_the_reference_kernel_is_that_of_the_trained_network(tmp_path):
    samples = data.load("digits")
    network = Network("mlp", samples.in_shape, samples.k, {"hidden": [8]})
    rows, sgd = samples.sample(30, 0), {"epochs": 2, "lr": 0.1, "batch_size": 64, "device": "cpu"}
    kappa, share = reference_kernel(network, samples, rows, seed=1, cache=Cache(tmp_path), **sgd)
    model = network(1)
    train([model], samples.x_train, samples.y_train, torch.arange(len(samples.y_train))[None], seeds=[1], **sgd)
    x, y = samples.x_train[rows], samples.y_train[rows]
    signs = 2.0 * torch.nn.functional.one_hot(y, samples.k) - 1
    phi = []
    for i in range(30):
        model.zero_grad()
        (model(x[i : i + 1])[0] @ signs[i] / samples.k**0.5).backward()
        phi.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    wanted = torch.stack(phi) @ torch.stack(phi).T
    assert torch.allclose(kappa, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))
    assert share == pytest.approx(float((model(samples.x_test).argmax(1) == samples.y_test).float().mean()))


def test_the_experiment_pairs_its_runs(tmp_path):
    generator = torch.Generator().manual_seed(0)
    x, (kappa, y) = torch.randn(40, 1, 2, 4, generator=generator), kernel()
    network = Network("mlp", (1, 2, 4), 4, {"hidden": [8]})
    kept = keep_company(
        network, x, y, kappa, count=3, runs=3, seed=0, cache=Cache(tmp_path), epochs=2, lr=0.1, device="cpu"
    )
    assert set(kept) == set(GROUPS)
    for group in GROUPS:
        assert kept[group].loss.shape == (3, 2, 4)
        # the first presentation comes before any step: every group starts from the same weights
        assert torch.allclose(kept[group].loss[:, 0], kept["alone"].loss[:, 0], atol=1e-5)
    assert kept["most"].kernel.mean() > kept["middle"].kernel.mean() > kept["least"].kernel.mean()
    assert kept["alone"].kernel.isnan().all()
