"""Are sets drawn and learned as they should be: nested, twice, in other company, with equal epochs or updates?"""

from dataclasses import replace

import pandas as pd
import pytest
import torch
from rows import each_row

from lpntk.data.dataset import load
from lpntk.keep.cache import Cache
from lpntk.learn.campaign import Network
from lpntk.learn.history import History
from lpntk.phenomena.difficulty.sets import TOGETHER, nested_subsets, other_company, splits, universal_set
from lpntk.phenomena.difficulty.study import Case, cases, study
from lpntk.phenomena.difficulty.verdict import learned

NETWORK = Network("mlp", (1, 8, 8), 10, {"hidden": [8]})
SETS, FAST = {"total": (64, [16, 4, 1]), "class": (4, [1])}, Case("fast.epochs", 64, (16, 4, 1), 0.1, 64)


def run(folder, chosen, data=None, **changed):
    given = {
        "repetitions": 2,
        "followed": 16,
        "epochs": 1,
        "updates": 6,
        "schedule": "step",
        "seed": 0,
        "device": "cpu",
    }
    return study(NETWORK, data or load("digits"), chosen, cache=Cache(folder), **given | changed)


def test_difficulty_of_a_hand_made_history():
    loss = torch.tensor([[[1.0, 2.0], [0.5, 1.5]], [[3.0, 4.0], [0.0, 0.0]]])  # (2 models, 2 epochs, 2 samples)
    history = History(loss, loss / 10, loss < 1)
    assert history.difficulty().tolist() == [[1.5, 3.5], [3.0, 4.0]]
    assert torch.allclose(history.difficulty("distance"), history.difficulty() / 10)
    with pytest.raises(ValueError, match="measure must be 'loss' or 'distance'; got 'margin'"):
        history.difficulty("margin")


def test_nested_subsets_are_disjoint_nested_and_cover():
    made = nested_subsets(64, [16, 4, 1], seed=0)
    assert list(made) == [1, 4, 16, 64]
    for size, rows in made.items():
        assert rows.shape == (64 // size, size)
        assert sorted(rows.flatten().tolist()) == list(range(64))
    small = {frozenset(row.tolist()) for row in made[4]}
    assert all(sum(part <= set(large.tolist()) for part in small) == 4 for large in made[16])
    with pytest.raises(ValueError, match="5 does not divide 64"):
        nested_subsets(64, [5], seed=0)


def test_both_readings_of_size():
    y = torch.arange(120) % 3
    rows = universal_set(y, 16, "class", seed=0)
    assert torch.bincount(y[rows]).tolist() == [16, 16, 16]
    made = splits(len(rows), 16, [4, 1], seed=0)
    assert {size: tuple(part.shape) for size, part in made.items()} == {1: (16, 3), 4: (4, 12), 16: (1, 48)}
    for size, parts in made.items():
        assert sorted(parts.flatten().tolist()) == list(range(48))
        for part in parts:
            assert torch.bincount(y[rows][part]).tolist() == [size] * 3
    assert all(sum(set(p.tolist()) <= set(q.tolist()) for p in made[1]) == 4 for q in made[4])  # nested
    total = universal_set(y, 16, "total", seed=0)
    assert len(total.unique()) == 16
    with pytest.raises(ValueError, match="its smallest class has 40"):
        universal_set(y, 64, "class", seed=0)
    with pytest.raises(ValueError, match="reading must be 'total' or 'class'; got 'each'"):
        universal_set(y, 4, "each", seed=0)


@each_row("k", [1, 2])
def test_other_company_holds_the_same_samples_and_few_old_companions(k):
    n, size = 1024, 16
    parts = splits(n * k, n, [size], seed=0)[size]
    mixed = other_company(parts, k, seed=1)
    for block, drawn in zip(parts.split(TOGETHER), mixed.split(TOGETHER), strict=True):
        assert sorted(block.flatten().tolist()) == sorted(drawn.flatten().tolist())
    assert all((part // n).bincount().tolist() == [size] * k for part in mixed)  # as many of each class
    old = {i: set(part.tolist()) for part in parts for i in part.tolist()}
    kept = [len(old[i] & set(part.tolist()) - {i}) / (size * k - 1) for part in mixed for i in part.tolist()]
    assert sum(kept) / len(kept) == pytest.approx(1 / TOGETHER, abs=0.03)


def test_the_study_is_seeded_and_complete(tmp_path):
    networks, samples = run(tmp_path / "a", [FAST])
    again, same = run(tmp_path / "b", [FAST])
    pd.testing.assert_frame_equal(networks, again)
    pd.testing.assert_frame_equal(samples, same)
    assert not run(tmp_path / "a", [FAST], seed=1)[1]["whole"].equals(samples["whole"])
    told = networks.pivot_table(index="size", columns="arm", values="models", aggfunc="sum")
    assert told.loc[64].dropna().to_dict() == {"again": 2, "first": 2}
    assert told.loc[16].to_dict() == {"again": 8, "first": 8, "other": 8}  # all four of them: no more than there are
    assert told.loc[4].to_dict() == {"again": 16, "first": 16, "other": 16}  # eight subsets at least
    assert told.loc[1].dropna().to_dict() == {"again": 32, "first": 32}  # one sample has no company
    assert set(samples["measure"]) == {"loss", "distance"}
    part = samples[(samples["measure"] == "loss") & (samples["size"] == 4)]
    assert part.groupby("repetition")["sample"].nunique().tolist() == [32, 32]
    assert part[["whole", "whole_again", "first", "again", "other"]].notna().all(axis=None)
    assert not part[part["repetition"] == 0]["whole"].equals(part[part["repetition"] == 1]["whole"])


def test_other_company_finds_the_same_initialisation(tmp_path):
    _, samples = run(tmp_path, [replace(FAST, sizes=(16, 4))])
    one = samples[samples["measure"] == "loss"]  # one epoch of one step: the first loss, before anything was learned
    assert one["other"].to_numpy() == pytest.approx(one["again"].to_numpy(), abs=1e-4)
    assert (one["first"] - one["again"]).abs().mean() > 0.1


def test_equal_updates_are_equal(tmp_path):
    chosen = cases(["fast.epochs", "fast.updates", "class.updates"], SETS, [0.1, 0.01], [16, 32], 4)
    assert [case.sizes for case in chosen] == [(16, 4, 1), (16, 4), (1,)]
    networks, _ = run(tmp_path, chosen, epochs=3, updates=8)
    steps = {case: part.groupby("size")["steps"].first().to_dict() for case, part in networks.groupby("case")}
    assert steps["fast.epochs"] == {64: 12, 16: 3, 4: 3, 1: 3}
    assert set(steps["fast.updates"].values()) == {8}
    assert steps["class.updates"] == {4: 9, 1: 8}  # 40 samples are three steps an epoch: the nearest epoch
    assert chosen[0].words == "samples in total, learning rate 0.1, equal epochs"
    assert cases(["slow.epochs"], SETS, [0.1, 0.01], [16, 32], 4)[0].lr == 0.01
    with pytest.raises(ValueError, match="a case is fast, slow or class, a point, and epochs or updates; got 'fast'"):
        cases(["fast"], SETS, [0.1, 0.01], [16, 32], 4)


def test_unstable_networks_are_counted_and_left_out(tmp_path):
    data = load("digits")
    x = data.x_train.clone()
    x[universal_set(data.y_train, 1437, "total", 0)[:20]] *= 1e4  # samples that no network takes well
    networks, samples = run(tmp_path, [replace(FAST, n=1024, sizes=(16,))], replace(data, x_train=x), followed=1024)
    part = networks[networks["size"] == 16]
    assert part["unstable"].gt(0).all()
    assert part["unstable"].lt(part["models"]).all()
    assert part["last"].lt(100).all()
    lost = samples[samples["measure"] == "loss"].groupby("repetition")["first"].apply(lambda c: c.isna().sum())
    assert lost.tolist() == (16 * part[part["arm"] == "first"]["unstable"]).tolist()


@each_row(
    ("last", "unstable", "seen"),
    [(1.0, 0, True), (1.2, 0, False), (1.0, 1, True), (1.0, 2, False)],
)
def test_what_did_not_learn_or_blew_up_is_no_evidence(last, unstable, seen):
    row = {"case": "a", "repetition": 0, "arm": "first", "models": 10, "first": 2.0}
    fine = row | {"last": 0.1, "unstable": 0}
    rows = pd.DataFrame(
        [fine | {"size": 64}, row | {"size": 16, "last": last, "unstable": unstable}, fine | {"size": 4}]
    )
    assert learned(rows) == {("a", 64): True, ("a", 16): seen, ("a", 4): True}
    whole = rows.assign(size=[4, 64, 16])
    assert set(learned(whole).values()) == {seen}  # beside a universal set that did not learn nothing is evidence
