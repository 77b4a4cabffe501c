"""What the pictures of a network show, against slow and obvious ways to find the same."""

import itertools
import math

import numpy as np
import pytest
import torch
from oracle import oracle_kernel

from lpntk.kernel.reading import cosine
from lpntk.learn.training import train
from lpntk.phenomena.less_data.farthest import clusters
from lpntk.reader.explore import company, training
from lpntk.reader.explore.images import LEVELS
from lpntk.reader.explore.watched import watch

N, SHOWN, MOMENTS = 90, 40, [0, 1, 4]
SGD = {"lr": 0.1, "batch_size": 16, "momentum": 0.9}


def share_right(model, x, y):
    with torch.no_grad():
        return float((model(x).argmax(dim=1) == y).float().mean())


def test_what_is_watched_is_the_training_of_the_network_alone(watched, digits, network):
    rows = digits.sample(N, 3)
    x, y = digits.x_train[rows], digits.y_train[rows]
    model = network(3)
    history = train([model], x, y, torch.arange(N)[None], seeds=[3], epochs=4, device="cpu", **SGD)
    place = {int(row): i for i, row in enumerate(rows)}
    at = [place[int(row)] for row in watched.rows]
    assert torch.equal(watched.loss, history.loss[0][:, at])
    assert torch.equal(watched.correct, history.correct[0][:, at])
    assert len({*at}) == SHOWN
    assert watched.y.tolist() == sorted(digits.y_train[watched.rows].tolist())
    assert watched.run.epochs == MOMENTS
    for name, value in watched.run.model(4).state_dict().items():
        assert torch.equal(value, model.state_dict()[name])
    for epoch in MOMENTS:
        then = watched.run.model(epoch)
        assert watched.run.train_accuracy[epoch] == pytest.approx(share_right(then, x, y))
        assert watched.run.test_accuracy[epoch] == pytest.approx(share_right(then, digits.x_test, digits.y_test))
    with pytest.raises(
        ValueError, match=r"expected shown in 2..90, the training samples; got 91: lower shown or raise n"
    ):
        watch(network, digits, n=N, shown=91, seed=3, moments=MOMENTS, cache=None, **SGD)


@pytest.fixture(scope="module")
def slow(watched):
    """The kernel after the last epoch by its definition, in double precision."""
    return oracle_kernel(watched.run.model(4), watched.x, watched.y)


def test_companions_are_those_that_a_search_finds(watched, slow):
    explorer = company.sample_and_company(watched, ratio=0.2, count=4)
    length = slow.diagonal().sqrt()
    cosines = (slow / length[:, None] / length).clamp(-1, 1).tolist()
    found = clusters(watched.kernel(4), watched.y, 0.2)
    distance = {"alike": lambda c: -c, "apart": abs, "against": lambda c: c}
    opposed = min((c, i) for i, row in enumerate(cosines) for c in row)
    assert explorer.choice["sample"] in (opposed[1], cosines[opposed[1]].index(opposed[0]))
    for i in range(SHOWN):
        explorer.choice = {"sample": i}
        state = explorer.state
        for name, far in distance.items():
            best = sorted((far(c), j) for j, c in enumerate(cosines[i]) if j != i)[:4]
            assert [j for j, *_ in state["groups"][name]] == [j for _, j in best], (i, name)
            for j, kappa, angle, relation in state["groups"][name]:
                assert kappa == pytest.approx(float(slow[i, j]), rel=0.006)
                assert angle == pytest.approx(math.degrees(math.acos(cosines[i][j])), abs=0.06)
                c = cosines[i][j]
                word = (
                    "interchangeable"
                    if c >= 0.5
                    else "weak"
                    if c >= 0.1
                    else "unrelated"
                    if c > -0.1
                    else "contradictory"
                )
                assert relation == word
        right = watched.correct[:, i].tolist()
        assert state["forgotten"] == sum(a and not b for a, b in itertools.pairwise(right))
        assert state["learned"] == (right.index(True) + 1 if True in right else None)
        assert state["curve"] == pytest.approx(watched.loss[:, i].tolist(), rel=0.006)
        alike = [j for j in range(SHOWN) if watched.y[j] == watched.y[i]]
        assert state["usual"] == pytest.approx(
            [sorted(row[alike].tolist())[(len(alike) - 1) // 2] for row in watched.loss], rel=0.006
        )
        members = [j for j in range(SHOWN) if found.of[j] == found.of[i]]
        assert state["size"] == len(members)
        assert {state["head"], i, *state["mates"]} <= {*members}
        assert state["head"] == int(found.heads[found.of[i]])
        assert state["said"].startswith(f"Sample {i}, label {int(watched.y[i])}: ")
        assert ("alone in its cluster" in state["said"]) == (len(members) == 1)


def test_every_epoch_has_its_own_spectrum_and_relations(watched, pixels):
    explorer, seen = training.through_training(watched), set()
    last, y = cosine(watched.kernel(MOMENTS[-1])).tolist(), watched.y.tolist()
    near = [sum(c for c, other in zip(row, y, strict=True) if other == own) for row, own in zip(last, y, strict=True)]
    order = training.by_class(watched.y, cosine(watched.kernel(MOMENTS[-1]))).tolist()  # one for all epochs
    assert sorted(order) == [*range(SHOWN)]
    for a, b in itertools.pairwise(order):  # by label, then by what it has in common with its class
        assert (y[a], -near[a]) <= (y[b], -near[b] + 1e-4)
    assert explorer.choice == {"epoch": 0}
    for epoch in MOMENTS:
        explorer.choice = {"epoch": epoch}
        state, kappa = explorer.state, watched.kernel(epoch).double()
        values = np.linalg.eigvalsh(kappa.numpy())[::-1] / float(kappa.trace())
        assert state["spectrum"] == pytest.approx(values[:20], rel=0.01, abs=1e-6)
        p = values[values > 0]
        assert state["rank"] == pytest.approx(math.exp(-(p * np.log(p)).sum()), abs=0.06)
        c = cosine(kappa).numpy()
        shown, asked = pixels(state["matrix"]), pixels(training.matrix_png(torch.tensor(c[order][:, order])))
        apart = abs(shown - asked).max(axis=2)  # where a cosine lies between two levels, the last bit chooses
        assert apart.max() <= 2 * 255 / (LEVELS - 1) + 1
        assert (apart > 0).mean() < 0.01
        groups = {"one label": [], "two labels": [], "all": []}
        for i in range(SHOWN):
            for j in range(i):
                groups["all"].append(c[i, j])
                groups["one label" if y[i] == y[j] else "two labels"].append(c[i, j])
        for name, of in groups.items():
            of = np.array(of)
            parts = [of >= 0.5, (of >= 0.1) & (of < 0.5), abs(of) < 0.1, of <= -0.1]
            assert state["shares"][name] == pytest.approx([part.mean() for part in parts], abs=1e-5)
            assert state["mean"][name] == pytest.approx(of.mean(), abs=6e-4)
        assert state["test"] == watched.run.test_accuracy[epoch]
        seen.add((state["matrix"], state["said"]))
    assert len(seen) == len(MOMENTS)


def test_a_matrix_is_red_where_updates_agree_and_blue_where_they_oppose(watched, pixels):
    image = pixels(training.through_training(watched).state["matrix"])
    assert image.shape == (SHOWN, SHOWN, 3)
    assert (image == image.swapaxes(0, 1)).all()
    assert (image[range(SHOWN), range(SHOWN)] == [178, 24, 43]).all()  # with itself
    shown = pixels(training.matrix_png(torch.tensor([[1.0, 0.5], [0.0, -1.0]])))
    assert shown[1, 1].tolist() == [33, 102, 172]
    assert shown[1, 0].min() > 250
    assert shown[0, 1].tolist() == pytest.approx([216, 140, 149], abs=4)
