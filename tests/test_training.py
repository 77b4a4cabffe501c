import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lpntk.difficulty import (
    bootstrap_interval,
    correlations,
    difficulty_by_size,
    nested_subsets,
    pearson,
    summarise,
)
from lpntk.models import build
from lpntk.training import History, accuracy, train


def toy(n=24, k=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 1, 2, 4, generator=generator)
    return x, torch.randint(k, (n,), generator=generator)


def net(seed):
    return build("mlp", (1, 2, 4), 3, seed=seed, hidden=(16,))


SGD = {"epochs": 4, "lr": 0.2, "batch_size": 4, "momentum": 0.9, "weight_decay": 0.01, "device": "cpu"}


def by_hand(model, x, y, rows, seed):
    """The same training written as anybody would."""
    optimizer = torch.optim.SGD(
        model.parameters(), lr=SGD["lr"], momentum=SGD["momentum"], weight_decay=SGD["weight_decay"]
    )
    generator = torch.Generator().manual_seed(seed)
    losses = torch.zeros(SGD["epochs"], len(rows))
    for epoch in range(SGD["epochs"]):
        for batch in torch.randperm(len(rows), generator=generator).split(SGD["batch_size"]):
            loss = F.cross_entropy(model(x[rows[batch]]), y[rows[batch]], reduction="none")
            losses[epoch, batch] = loss.detach()
            optimizer.zero_grad()
            loss.mean().backward()
            optimizer.step()
    return losses


@pytest.mark.parametrize("m", [1, 3])
def test_a_stack_learns_what_single_models_learn(m):
    x, y = toy()
    subsets = torch.randperm(24)[: m * 7].view(m, 7)  # 7 samples: a last batch of 3
    models, plain = [net(i) for i in range(m)], [net(i) for i in range(m)]
    history = train(models, x, y, subsets, seeds=list(range(10, 10 + m)), **SGD)
    for i in range(m):
        losses = by_hand(plain[i], x, y, subsets[i], 10 + i)
        assert torch.allclose(history.loss[i], losses, atol=1e-5)
        for got, want in zip(models[i].parameters(), plain[i].parameters(), strict=True):
            assert torch.allclose(got, want, atol=1e-5)
        assert not models[i].training


def test_history_of_one_presentation():
    x, y = toy(n=6)
    model = net(0)
    with torch.no_grad():
        q = model(x).softmax(1)
    history = train([model], x, y, torch.arange(6)[None], seeds=[0], epochs=1, lr=0.0, batch_size=6, device="cpu")
    assert torch.allclose(history.loss[0, 0], -q[torch.arange(6), y].log(), atol=1e-6)
    assert torch.allclose(history.distance[0, 0], (q - F.one_hot(y, 3)).norm(dim=1), atol=1e-6)
    assert torch.equal(history.correct[0, 0], q.argmax(1) == y)


def test_a_diverged_model_is_reported():
    x, y = toy()
    with pytest.raises(FloatingPointError, match=r"diverged in epoch .*lower lr"):
        train([net(0)], x * 1e10, y, torch.arange(24)[None], seeds=[0], epochs=6, lr=1e12, device="cpu")


def test_batch_norm_trains_alone_but_not_in_a_stack():
    x, y = toy()

    def normed():
        return nn.Sequential(nn.Flatten(), nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))

    model = normed()
    train([model], x, y, torch.arange(24)[None], seeds=[0], epochs=2, lr=0.1, device="cpu")
    assert model[2].running_mean.abs().sum() > 0
    pairs = torch.arange(24).view(2, 12)
    with pytest.raises(ValueError, match="cannot hold buffers"):
        train([normed(), normed()], x, y, pairs, seeds=[0, 1], epochs=1, lr=0.1, device="cpu", way="stack")
    history = train([normed(), normed()], x, y, pairs, seeds=[0, 1], epochs=1, lr=0.1, device="cpu")
    assert history.loss.shape == (2, 1, 12)  # one by one
    with pytest.raises(ValueError, match="as many; got 1, 2 and 2"):
        train([normed()], x, y, torch.arange(24).view(2, 12), seeds=[0, 1], epochs=1, lr=0.1, device="cpu")


def test_accuracy_counts():
    model = nn.Linear(2, 2, bias=False)
    model.weight.data = torch.eye(2)
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    assert accuracy(model, x, torch.tensor([0, 1, 1, 1]), batch_size=3) == 0.75


def test_difficulty_of_a_hand_made_history():
    loss = torch.tensor([[[1.0, 2.0], [0.5, 1.5]], [[3.0, 4.0], [0.0, 0.0]]])  # (2 models, 2 epochs, 2 samples)
    history = History(loss, loss / 10, loss < 1)
    assert history.difficulty().tolist() == [[1.5, 3.5], [3.0, 4.0]]
    assert torch.allclose(history.difficulty("distance"), history.difficulty() / 10)
    run = summarise(history, torch.tensor([[2, 0], [1, 3]]))
    assert run.difficulty.tolist() == [3.5, 3.0, 1.5, 4.0]  # back in the order of the universal set
    assert run.first_loss == 2.5
    assert run.last_loss == 0.5
    with pytest.raises(ValueError, match="measure"):
        history.difficulty("margin")


def test_nested_subsets_are_disjoint_nested_and_cover():
    splits = nested_subsets(64, [16, 4, 1], seed=0)
    assert list(splits) == [1, 4, 16, 64]
    for size, rows in splits.items():
        assert rows.shape == (64 // size, size)
        assert sorted(rows.flatten().tolist()) == list(range(64))
    small = {frozenset(row.tolist()) for row in splits[4]}
    assert all(sum(part <= set(large.tolist()) for part in small) == 4 for large in splits[16])
    with pytest.raises(ValueError, match="5 does not divide 64"):
        nested_subsets(64, [5], seed=0)


def test_a_planted_correlation_is_found_inside_its_interval():
    generator = torch.Generator().manual_seed(0)
    a, noise = torch.randn(2, 4000, generator=generator)
    b = 0.6 * a + 0.8 * noise
    low, high = bootstrap_interval(a, b, seed=0)
    assert low < 0.6 < high
    assert 0.02 < high - low < 0.08  # about 4 (1 - rho^2) / sqrt(n)
    assert low < pearson(a, b) < high
    assert pearson(a, -a) == pytest.approx(-1)
    assert pearson(a, torch.ones(4000)) != pearson(a, torch.ones(4000))  # NaN


def test_the_experiment_is_seeded_and_complete():
    x, y = toy(n=16)
    run = lambda: difficulty_by_size(net, x, y, [4, 1], seed=1, epochs=3, lr=0.1, device="cpu")
    (runs, again), (repeated, _) = run(), run()
    assert [r.size for r in runs] == [16, 4, 1]
    assert all(torch.equal(a.difficulty, b.difficulty) for a, b in zip(runs, repeated, strict=True))
    assert not torch.equal(runs[0].difficulty, again.difficulty)
    rho = correlations([(runs, again)], seed=0)
    assert set(rho.by_size) == {4, 1}
    assert rho.ceiling == pytest.approx(pearson(runs[0].difficulty, again.difficulty))


@pytest.mark.parametrize(
    ("means", "ceiling", "verdict"),
    [
        ({256: 0.8, 16: 0.3, 1: 0.0}, 0.9, "holds"),
        ({256: 0.3, 16: 0.8, 1: 0.0}, 0.9, "fails"),
        ({256: 0.8, 16: 0.5, 1: 0.4}, 0.9, "fails"),
        ({256: 0.8, 16: 0.05, 1: 0.06}, 0.9, "holds"),
        ({256: 0.8, 16: 0.3, 1: 0.0}, 0.5, "cannot be judged"),
    ],
)
def test_the_verdict_follows_its_rule(means, ceiling, verdict):
    from lpntk.difficulty import Correlations, SizeCorrelation

    by_size = {size: SizeCorrelation(mean, mean, mean, mean, 0.0) for size, mean in means.items()}
    assert Correlations(by_size, ceiling, 0.0).verdict == verdict
