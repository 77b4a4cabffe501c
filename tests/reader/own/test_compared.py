"""Is everybody judged by what they say, on planted flips that are known, and by networks that did not learn them?"""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from lpntk.keep.cache import Cache
from lpntk.reader.own import compared
from lpntk.reader.own.compared import METHODS, Case, by_cleanlab, compare, held_out, planted, ranked, some
from lpntk.reader.own.inputs.sources import read_own
from lpntk.reader.own.network import learner

TOLD = {"device": "cpu"}


@pytest.fixture(scope="module")
def digits():
    return read_own("digits")


def test_flips_are_planted_and_known(digits):
    few = some(digits, 300, 4)
    assert len(few.names) == len(few.index) == len(few.data.y_train) == 300
    assert torch.equal(few.data.x_train, digits.data.x_train[few.index])
    for threat in ("uniform", "pairwise"):
        given, bad = planted(few, threat, 0.1, 3)
        assert bad.sum() == 30
        assert np.array_equal((given.data.y_train != few.data.y_train).numpy(), bad)
        assert len({given.data.digest, few.data.digest, digits.data.digest}) == 3
        assert torch.equal(given.data.y_test, digits.data.y_test)


def test_nobody_is_judged_by_a_network_that_learned_it(digits, tmp_path, monkeypatch):
    given, n = some(digits, 203, 0), 203
    by = learner(given.data, model="mlp", options={"hidden": [8]}, built_by=None, checkpoint=None, seed=0)
    learned, asked, true = [], [], compared.train

    def noted(networks, x, y, subsets, **options):
        learned.extend(subsets)
        return true(networks, x, y, subsets, **options)

    def logits(network, x, device):
        asked.append([int((given.data.x_train == one).flatten(1).all(dim=1).nonzero()[0]) for one in x])
        return torch.zeros(len(x), 10)

    monkeypatch.setattr(compared, "train", noted)
    monkeypatch.setattr(compared, "logits", logits)
    monkeypatch.setattr(compared, "computed_key", lambda by, **decides: {"seed": decides["seed"]})
    chances = held_out(given, by, {"epochs": 1, "rate": 0.1, "batch": 8}, 5, cache=Cache(tmp_path), **TOLD)
    assert torch.allclose(chances, torch.full((n, 10), 0.1))
    assert sorted(i for part in asked for i in part) == list(range(n))
    assert len(learned) == len(asked) == 5
    for rows, rest in zip(learned, asked, strict=True):
        assert not set(rows.tolist()) & set(rest)
        assert len(set(rows.tolist())) == len(rows) >= 0.75 * n


def test_orders_are_those_of_their_scores(digits, monkeypatch):
    given = some(digits, 60, 0)
    y = torch.arange(60) % 3
    given = replace(given, data=replace(given.data, y_train=y, classes=("a", "b", "c")))
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"mean_cosine": draw.random(60), "difficulty": draw.random(60), "label": y.numpy()})
    loss = torch.from_numpy(draw.random(60))
    monkeypatch.setattr(compared, "losses", lambda *args: loss)
    chances = torch.full((60, 3), 0.1)
    chances[range(60), y] = 0.8
    wrong = [7, 20, 33]
    chances[wrong] = torch.tensor([0.02, 0.02, 0.02]).scatter(0, torch.tensor(0), 0.02)
    for strength, i in zip((0.97, 0.9, 0.95), wrong, strict=True):
        chances[i] = (1 - strength) / 2
        chances[i, (y[i] + 1) % 3] = strength
    orders, listed = ranked(given, SimpleNamespace(samples=frame, network=None), chances, "cpu")
    assert set(orders) == set(METHODS)
    assert all(sorted(order) == list(range(60)) for order in orders.values())
    assert orders["difficulty"].tolist() == frame["difficulty"].sort_values(ascending=False).index.tolist()
    assert orders["loss"].tolist() == np.argsort(-loss.numpy()).tolist()
    apart = frame["mean_cosine"] - frame.groupby("label")["mean_cosine"].transform("median")
    assert orders["mean-cosine"].tolist() == apart.sort_values().index.tolist()
    assert orders["quality"][:3].tolist() == [7, 33, 20]
    assert orders["issues"][: len(listed)].tolist() == listed.tolist()
    assert set(listed) <= set(wrong)
    _, quality = by_cleanlab(y.numpy(), chances.numpy())
    assert np.allclose(quality, chances[range(60), y])  # so it ranks as the loss out of sample does


def test_planted_flips_are_counted_among_the_first(digits, tmp_path):
    cases = {"few": Case(digits, 300, "uniform", 0.1, "mlp", {"hidden": [32]}, epochs=15)}
    frame = compare(cases, 2, seed=0, budget=2**30, cache=Cache(tmp_path), **TOLD)
    assert frame.groupby("method").size().to_dict() == dict.fromkeys(METHODS, 2)
    assert (frame[["n", "planted", "first"]] == [300, 30, 30]).all().all()
    found = frame.groupby("method")["found"].mean()
    assert (found > 0.6).all()
    assert ((found * 60).round(6) % 1 == 0).all()  # of 30 in each of two repeats
    again = compare(cases, 1, seed=0, budget=2**30, cache=Cache(tmp_path / "other"), **TOLD)  # how many is no matter
    pd.testing.assert_frame_equal(frame[frame["repeat"] == 0], again)
    assert set(frame["ap"].between(0.5, 1)) == {True}


def test_without_cleanlab_a_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cleanlab.filter", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install .\[book\]"):
        by_cleanlab(np.array([0, 1]), np.full((2, 2), 0.5))


def test_the_table_is_read_as_anybodys(tmp_path):
    given = compared.breast_cancer(0)
    assert given.data.classes == ("0", "1")
    assert len(given.columns) == 30
    assert len(given.data.y_train) + len(given.data.y_test) == 569
