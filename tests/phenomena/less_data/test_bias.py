"""Is the bias as asked, does each arm keep what it says, and is it judged by the rule?"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from rows import each_row

from lpntk.data.dataset import load
from lpntk.keep.cache import Cache, digest
from lpntk.learn.campaign import Network
from lpntk.learn.training import accuracy, train
from lpntk.phenomena.less_data.bias.modes import background, biased, colour, modes, reweighted
from lpntk.phenomena.less_data.bias.study import FAIR, ORACLE, PRUNED, WHOLE, accuracies, picked, predictions, study
from lpntk.phenomena.less_data.bias.verdict import against_biased, balance, costs, judge, versus
from lpntk.report.verdict import FAILS, HOLDS, IN_PART, UNDECIDED, UNJUDGED

RULE = {"level": 0.05, "repeats": 5, "test": 0.9, "hurts": 0.01}
NETWORK, SGD = Network("mlp", (1, 8, 8), 10, {"hidden": [8]}), {"lr": 0.1, "batch_size": 32, "device": "cpu"}
SCALE = {"n": 80, "rare": 0.05, "shares": [0.5, 0.2], "scorers": 1, "epochs": 3, "seed": 0}


@pytest.fixture(scope="module")
def data():
    return load("digits")


@pytest.fixture(scope="module")
def found(data):
    return modes(data)


def known(data):
    return [digest(part) for part in (data.x_train, data.y_train, data.x_test)]


def test_planted_modes_are_found(data):
    draw = torch.Generator().manual_seed(0)
    split, split_test = (torch.rand(len(y), generator=draw) < 0.3 for y in (data.y_train, data.y_test))
    planted = replace(data, x_train=data.x_train + 9 * split[:, None, None, None],
                      x_test=data.x_test + 9 * split_test[:, None, None, None])  # fmt: skip
    mode, mode_test = modes(planted)
    for c in range(10):
        own, own_test = data.y_train == c, data.y_test == c
        same = mode[own] == split[own]
        assert same.all() or not same.any()
        assert ((mode_test[own_test] == split_test[own_test]) == same[0]).all()


def test_modes_that_cannot_be_made_are_refused(data):
    alike = replace(data, x_train=torch.where((data.y_train == 3)[:, None, None, None], 0.0, data.x_train))
    with pytest.raises(ValueError, match=r"class '3' has 1 different training samples, too few for 2 modes"):
        modes(alike)
    with pytest.raises(ValueError, match=r"made by pixels, colour, background; got 'smell'"):
        modes(data, by="smell")
    for by in ("colour", "background"):
        with pytest.raises(ValueError, match=rf"by {by} need images with colours; these have one channel"):
            modes(data, by=by)
    with pytest.raises(ValueError, match=r"at least 2 modes"):
        modes(data, count=1)


def coloured(data, split, split_test, where):
    """Digits of three channels, some of them a little redder in a part of the image."""
    paint = torch.zeros(3, 8, 8)
    paint[0][where], paint[2][where] = 0.3, -0.3
    x, x_test = (part.repeat(1, 3, 1, 1) for part in (data.x_train, data.x_test))
    # the same brightness for all, so that nothing but the paint tells modes apart
    x, x_test = (part - part.mean(dim=(1, 2, 3), keepdim=True) for part in (x, x_test))
    return replace(data, x_train=x + split[:, None, None, None] * paint,
                   x_test=x_test + split_test[:, None, None, None] * paint)  # fmt: skip


def test_modes_by_colour_see_colours_alone(data):
    draw = torch.Generator().manual_seed(0)
    split, split_test = (torch.rand(len(y), generator=draw) < 0.3 for y in (data.y_train, data.y_test))
    painted = coloured(data, split, split_test, torch.ones(8, 8, dtype=torch.bool))

    def agrees(by):
        mode, mode_test = modes(painted, by=by)
        kept = []
        for c in range(10):
            own, own_test = data.y_train == c, data.y_test == c
            same = mode[own] == split[own]
            right = (mode_test[own_test] == split_test[own_test]) == same[0]
            kept.append((same.all() or not same.any()) and right.all())
        return sum(map(bool, kept))

    assert agrees("colour") == 10
    assert agrees("pixels") == 0  # shapes differ more than such a paint


def test_background_is_the_frame():
    x = torch.arange(2 * 3 * 16 * 17).view(2, 3, 16, 17).float()
    frame = [(i, j) for i in range(16) for j in range(17) if i < 2 or i >= 14 or j < 2 or j >= 15]
    want = torch.stack([x[:, :, i, j] for i, j in frame]).mean(dim=0)
    torch.testing.assert_close(background(x), want)
    torch.testing.assert_close(colour(x), x.flatten(2).mean(dim=2))
    inner = x.clone()
    inner[:, :, 2:14, 2:15] = 1e6
    torch.testing.assert_close(background(inner), want)  # what is inside does not count
    assert background(torch.ones(2, 3, 2, 2)).tolist() == [[1.0] * 3] * 2  # all of a tiny image is frame


def test_the_bias_is_as_asked():
    y = torch.arange(1200) % 3
    mode = (torch.arange(1200) % 4 == 0).long()  # 100 and 300 of each class
    chosen = set()
    for seed in range(8):
        sizes = torch.zeros(3, 2)
        common = biased(y, mode, rare=0.1, n=1, seed=seed)[1]
        want = torch.tensor([[300.0, 10.0] if c == 0 else [30.0, 100.0] for c in common.tolist()])
        rows, again = biased(y, mode, rare=0.1, n=int(want.sum()), seed=seed)
        sizes.index_put_((y[rows], mode[rows]), torch.ones(len(rows)), accumulate=True)
        assert torch.equal(sizes, want)
        assert torch.equal(common, again)
        assert len(rows.unique()) == len(rows)
        cut, _ = biased(y, mode, rare=0.1, n=100, seed=seed)
        assert len(cut) == 100
        assert set(cut.tolist()) < set(rows.tolist())
        chosen |= set(common.tolist())
    assert chosen == {0, 1}


@each_row("rare", [0.0, 1.0, -0.1])
def test_a_rare_share_that_is_none_is_refused(rare):
    with pytest.raises(ValueError, match=r"above 0 and below 1"):
        biased(torch.zeros(4).long(), torch.tensor([0, 0, 1, 1]), rare=rare, n=2, seed=0)


def test_a_set_that_is_too_small_is_refused():
    with pytest.raises(ValueError, match=r"has 3 samples in all .* got n = 4"):
        biased(torch.zeros(4).long(), torch.tensor([0, 0, 1, 1]), rare=0.1, n=4, seed=0)


def test_the_oracle_lets_modes_weigh_alike():
    y = torch.tensor([0] * 1000 + [1] * 3000)
    mode = torch.tensor([0] * 950 + [1] * 50 + [0] * 3000)  # class 1 has a single mode
    rows = reweighted(y, mode, torch.Generator().manual_seed(0))
    assert len(rows) == 4000
    assert len(rows.unique()) < 4000
    parts = [int(((y[rows] == c) & (mode[rows] == m)).sum()) for c, m in ((0, 0), (0, 1), (1, 0))]
    assert parts == pytest.approx([500, 500, 3000], abs=100)


def test_every_arm_keeps_what_it_says(data, found, tmp_path):
    asked = {**SCALE, **SGD, "cache": Cache(tmp_path), "known": known(data)}
    _, common, parts = picked(NETWORK, data, found[0], repeat=0, **asked)
    whole = set(parts[WHOLE, 1.0].tolist())
    assert set(parts) == {(arm, 1.0) for arm in (WHOLE, ORACLE, FAIR)} | {(a, s) for a in PRUNED for s in (0.5, 0.2)}
    assert {len(parts[arm, 1.0]) for arm in (WHOLE, ORACLE, FAIR)} == {80}
    assert set(parts[ORACLE, 1.0].tolist()) < whole
    for share in (0.5, 0.2):
        labels = [torch.bincount(data.y_train[parts[arm, share]], minlength=10).tolist() for arm in PRUNED]
        assert all(counts == labels[0] for counts in labels)
        for arm in PRUNED:
            kept = parts[arm, share]
            assert set(kept.tolist()) < whole
            assert len(kept.unique()) == len(kept) == pytest.approx(80 * share, abs=5)
    rare = found[0] != common[data.y_train]
    assert rare[parts[WHOLE, 1.0]].float().mean() < 0.15 < 0.3 < rare[parts[FAIR, 1.0]].float().mean()
    assert not torch.equal(picked(NETWORK, data, found[0], repeat=1, **asked)[1], common)


def test_predictions_agree_with_a_plain_evaluation(data, tmp_path):
    """Also of a set that names samples twice: it is learned as copies of them are."""
    draw = torch.Generator().manual_seed(0)
    part = torch.randint(len(data.y_train), (60,), generator=draw)
    part[30:] = part[:30]
    training = {"epochs": 4, **SGD}
    told = predictions(NETWORK, data, torch.stack([part, torch.arange(60)]), 5, cache=Cache(tmp_path),
                       known=known(data), **training)  # fmt: skip
    alone = NETWORK(5)
    train([alone], data.x_train[part], data.y_train[part], torch.arange(60)[None], seeds=[5], **training)
    assert told["said"].shape == (2, len(data.y_test))
    right = (told["said"] == data.y_test).float().mean(dim=1)
    assert float(right[0]) == pytest.approx(accuracy(alone, data.x_test, data.y_test), abs=0.01)
    assert right[0] > 0.2
    assert not told["diverged"].any()


def test_accuracies_are_those_of_groups():
    y, mode = torch.tensor([0] * 6 + [1] * 5), torch.tensor([0, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1])
    said = torch.tensor([0, 0, 0, 1, 0, 1, 1, 0, 1, 1, 0])  # right: 3 of 4, 1 of 2, 1 of 2, 2 of 3
    told = accuracies(said, y, mode, torch.tensor([0, 1]), least=3)
    assert told == pytest.approx({"test": 7 / 11, "rare": (1 / 2 + 1 / 2) / 2, "worst": 2 / 3})
    assert np.isnan(accuracies(said, y, mode, torch.tensor([0, 1]), least=5)["worst"])
    single = accuracies(said, y, torch.zeros(11).long(), torch.tensor([0, 1]), least=5)
    assert single["rare"] == pytest.approx(3 / 5)  # class 0 has no rare test samples


def test_a_study_has_a_row_for_each_training(data, found, tmp_path):
    frame = study(NETWORK, data, found, repeats=2, cache=Cache(tmp_path), least=5, **SCALE, **SGD)
    counted = frame.groupby(["arm", "share", "count"]).size()
    assert (counted == 2).all()
    assert len(counted) == 3 + 4 * 2 * 2
    assert frame[["test", "rare", "worst", "rare_kept"]].apply(lambda column: column.between(0, 1)).all(axis=None)
    fewer = study(NETWORK, data, found, repeats=1, cache=Cache(tmp_path), least=5, by_steps=False, **SCALE, **SGD)
    assert set(fewer["count"]) == {"epochs"}
    same = frame[(frame["repeat"] == 0) & (frame["count"] == "epochs")].reset_index(drop=True)
    pd.testing.assert_frame_equal(fewer, same)
    with pytest.raises(ValueError, match=r"above 0 and at most 1; got 1.5"):
        study(NETWORK, data, found, repeats=1, cache=Cache(tmp_path), **{**SCALE, "shares": [1.5]}, **SGD)


def planted(heads, *, cost=0.1, fair=0.95, repeats=6, sd=0.002):
    """Rare-mode accuracies of heads, random samples being at 0.7, by share."""
    rng, rows = np.random.default_rng(0), []
    for r, shift in enumerate(rng.normal(0, 0.02, repeats)):
        for arm, share, rare in (
            (WHOLE, 1.0, 0.8), (FAIR, 1.0, 0.8 + cost),
            *(("balanced", share, 0.7) for share in heads), *(("heads", share, rare) for share, rare in heads.items()),
        ):  # fmt: skip
            value = rare + shift + rng.normal(0, sd)
            rows.append({"repeat": r, "arm": arm, "share": share, "count": "epochs", "rare": value,
                         "worst": value - 0.1, "test": fair, "rare_kept": 0.1 * share, "diverged": False})  # fmt: skip
    return pd.DataFrame(rows)


def word(frame):
    return judge(frame, versus(frame, "balanced", RULE), RULE).word


@each_row(
    ("heads", "sd", "says"),
    [
        ({0.5: 0.75, 0.2: 0.8}, 0.002, HOLDS),
        ({0.5: 0.75, 0.2: 0.65}, 0.002, IN_PART),
        ({0.5: 0.6, 0.2: 0.65}, 0.002, FAILS),
        ({0.5: 0.7, 0.2: 0.7}, 0.02, UNDECIDED),
        ({0.5: 0.7, 0.2: 0.6}, 0.004, UNDECIDED),  # worse at one share is not worse
    ],
)
def test_a_planted_gain_on_rare_modes_is_judged_by_the_rule(heads, sd, says):
    assert word(planted(heads, sd=sd)) == says


def test_nothing_is_judged_where_nothing_can_be_countered():
    better = {0.5: 0.8, 0.2: 0.8}
    for frame, why in (
        (planted(better, cost=0.0), "nothing to counter"), (planted(better, repeats=4), "fewer than 5"),
        (planted(better, fair=0.8), "below 90%"), (planted(better).assign(diverged=True), "diverged"),
    ):  # fmt: skip
        told = judge(frame, versus(frame, "balanced", RULE), RULE)
        assert told.word == UNJUDGED
        assert why in told.because


def test_no_worst_mode_leaves_the_others_to_be_compared():
    frame = planted({0.5: 0.8}).assign(worst=np.nan)
    assert set(versus(frame, "balanced", RULE)["measure"]) == {"test", "rare"}
    assert word(frame) == HOLDS


def test_what_the_bias_costs_and_what_is_kept_are_told():
    frame = planted({0.5: 0.7}, cost=0.1)
    assert costs(frame).mean() == pytest.approx(0.1, abs=0.01)
    told = balance(frame, RULE).set_index(["arm", "share"])
    assert told.loc[("heads", 0.5)].tolist() == pytest.approx([0.05, 0.05, 0.05])


def test_gains_are_paired_differences_to_the_whole_biased_set():
    found = against_biased(planted({0.5: 0.7}, cost=0.1), RULE).set_index(["arm", "share"])
    assert set(found.index) == {("fair", 1.0), ("balanced", 0.5), ("heads", 0.5)}
    assert found["difference"].tolist() == pytest.approx([0.1, -0.1, -0.1], abs=0.005)
    assert ((found["high"] - found["low"]) < 0.02).all()  # what the repeats share is no spread
