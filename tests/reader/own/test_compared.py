"""Is everybody judged by what they say, on planted flips that are known, and by networks that did not learn them?"""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from lpntk.keep.cache import Cache
from lpntk.phenomena.less_data.held_out import label_quality, out_of_sample
from lpntk.reader.own import compared
from lpntk.reader.own.compared import METHODS, Case, compare, held_out, planted, ranked, some
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
    assert np.allclose(
        label_quality(y.numpy(), chances.numpy()), chances[range(60), y]
    )  # so it ranks as the loss out of sample does


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


def test_probabilities_are_kept_by_what_decides_them(digits, tmp_path):
    given = some(digits, 120, 0)
    by = learner(given.data, model="mlp", options={"hidden": [8]}, built_by=None, checkpoint=None, seed=0)
    recipe, cache = {"epochs": 2, "rate": 0.1, "batch": 32}, Cache(tmp_path)
    first = held_out(given, by, recipe, 5, cache=cache, **TOLD)
    straight = out_of_sample(by.make, given.data.x_train, given.data.y_train, 10, seed=5, epochs=2, lr=0.1,
                             batch_size=32, schedule="cosine", **TOLD)  # fmt: skip
    assert torch.equal(first, straight)
    assert torch.equal(held_out(given, by, recipe, 5, cache=cache, **TOLD), first)
    assert cache.hits == 1
    assert not torch.equal(held_out(given, by, {**recipe, "rate": 0.2}, 5, cache=cache, **TOLD), first)


def test_the_table_is_read_as_anybodys(tmp_path):
    given = compared.breast_cancer(0)
    assert given.data.classes == ("0", "1")
    assert len(given.columns) == 30
    assert len(given.data.y_train) + len(given.data.y_test) == 569
