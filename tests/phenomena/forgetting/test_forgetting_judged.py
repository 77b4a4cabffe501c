import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from rows import each_row
from sklearn.metrics import f1_score, precision_score, recall_score

from lpntk.phenomena.forgetting import figures, tables
from lpntk.phenomena.forgetting.compare import compare, verdict
from lpntk.phenomena.forgetting.judge import (
    COUNTS,
    SCALES,
    THIRDS,
    best_threshold,
    burn_in,
    count,
    judge,
    predict_fitted,
    rates,
    step_averaged,
    watched,
)
from lpntk.phenomena.forgetting.predict import FREE, PREDICTORS
from lpntk.phenomena.forgetting.walk import Setting, Track
from lpntk.report.verdict import Verdict

RULE = {"share": 0.9, "level": 0.05, "runs": 6, "events": 30}
WHOLE = Setting("all", 0.1)


def planted(seeds=6, t=60, b=16, seed=0):
    """A track in which ``kernel`` knows events and ``margin`` does not."""
    generator = torch.Generator().manual_seed(seed)
    before = torch.rand(seeds, t, b, generator=generator)
    after = before - 0.5 * torch.rand(seeds, t, b, generator=generator)
    noise = torch.randn(seeds, t, b, generator=generator)
    scores = {name: -after for name in FREE}
    scores |= {name: noise.clamp_min(0) for name in SCALES}
    scores["margin"] = noise - 1
    correct = torch.ones(seeds, t + 2, 4, dtype=torch.bool)
    return Track(correct, torch.zeros(seeds, t + 1, b, dtype=torch.int64), before, after, scores,
                 torch.zeros(seeds, dtype=torch.bool))  # fmt: skip


def judged(track=None):
    return judge({WHOLE: track or planted()})


def of(frame, predictor):
    return frame[frame["predictor"] == predictor].reset_index(drop=True)


def against(frame, comparison="margin", rule=RULE):
    return compare(frame, rule).loc[(WHOLE.words, comparison)]


# --- metrics ---


def test_pooled_counts_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    for share in (0.02, 0.3, 0.9):
        happened, predicted = rng.random((2, 40, 16)) < share
        told = rates(**count(happened, predicted))
        for name, score in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
            assert told[name] == pytest.approx(score(happened.ravel(), predicted.ravel()))


def test_no_events_are_undefined_and_not_perfect():
    told = rates(hits=[0, 0, 0], missed=[0, 0, 3], false=[0, 3, 0])  # quiet, only false alarms, only missed
    assert told["precision"].tolist() == pytest.approx([np.nan, 0, np.nan], nan_ok=True)
    for name in ("recall", "f1"):
        assert told[name].tolist() == pytest.approx([np.nan, np.nan, 0], nan_ok=True)


def test_the_step_averaged_convention_rewards_silence():
    happened = np.zeros((10, 4), bool)
    happened[3, 1] = True
    assert step_averaged(happened, np.zeros_like(happened)) == (1.0, 0.9)
    predicted = np.zeros_like(happened)
    predicted[3, :2] = predicted[5, 0] = True
    assert step_averaged(happened, predicted) == pytest.approx(((8 + 0.5 + 0) / 10, 1.0))


def test_the_best_threshold_is_found():
    rng = np.random.default_rng(1)
    for _ in range(20):
        score = rng.integers(0, 12, 60).astype(float)  # with ties
        happened = rng.random(60) < 0.05 + 0.05 * score
        best = max(f1_score(happened, score >= c) for c in np.unique(score))
        assert f1_score(happened, score >= best_threshold(score, happened)) == pytest.approx(best)
    assert best_threshold(score, np.zeros(60, bool)) == np.inf


def test_a_threshold_is_fitted_on_the_past_alone():
    rng = np.random.default_rng(2)
    score = rng.random((40, 8))
    at_risk = rng.random((40, 8)) < 0.8
    happened = (score > 0.9) & at_risk
    predicted = predict_fitted(score, happened, at_risk, every=10)
    assert not predicted[:10].any()
    assert rates(**count(happened[20:], predicted[20:]))["f1"] > 0.8
    assert not (predicted & ~at_risk).any()
    changed = happened.copy()
    changed[20:] = rng.random((20, 8)) < 0.5  # another future
    assert (predict_fitted(score, changed, at_risk, every=10)[:30] == predicted[:30]).all()
    assert not predict_fitted(score, happened, at_risk, above=1.0).any()


def test_the_burn_in_ends_where_a_threshold_can_be_fitted():
    happened = np.zeros((40, 3), bool)
    assert burn_in(happened) == 40
    for first, start in ((0, 10), (9, 10), (10, 20), (39, 40)):
        happened[:] = False
        happened[first:, 0] = True
        assert burn_in(happened) == start
        fitted = predict_fitted(np.ones((40, 3)), happened, np.ones((40, 3), bool))
        assert not fitted[:start].any()
        assert fitted[start:].all()


# --- the frame ---


def test_events_are_counted_after_the_burn_in_and_by_thirds():
    track, frame = planted(), judged()
    happened = (track.after <= 0) & (track.before > 0)
    for _, rows in frame.groupby("predictor"):  # hits and missed of any predictor are the events
        assert rows["events"].tolist() == happened[:, 10:].sum(dim=(1, 2)).tolist()
        assert rows["skipped"].tolist() == happened[:, :10].sum(dim=(1, 2)).tolist()
        assert (rows["hits"] + rows["missed"]).tolist() == pytest.approx(rows["events"].tolist())
    for kind in COUNTS:
        assert frame[[f"{kind}_{third}" for third in THIRDS]].sum(axis=1).tolist() == pytest.approx(
            frame[kind].tolist()
        )
    assert (of(frame, "kernel")["f1"] == 1).all()


def test_all_predictors_are_judged_on_the_same_steps():
    early = planted()
    early.after[:, 10:] = 0.99 * early.before[:, 10:]
    frame = judged(early)
    assert frame["events"].sum() == 0
    assert (frame["skipped"] > 10).all()
    assert frame["f1"].isna().all()
    assert against(frame).verdict == "cannot be judged"
    blind = planted()
    blind.scores["kernel"][:, :10] = -1  # misses all that no threshold could have been fitted to
    pd.testing.assert_frame_equal(of(judged(blind), "kernel"), of(judged(), "kernel"))


def test_a_predicted_tie_counts_as_wrong():
    track = planted()
    track.scores["kernel"].clamp_(max=0)  # the predicted margin of every event is just 0
    assert (of(judged(track), "kernel")["recall"] == 1).all()


def test_random_is_an_expectation():
    random = of(judged(), "random")
    base = random["events"].sum() / random["at_risk"].sum()
    for measure in ("precision", "recall", "f1", "ap"):
        assert random[measure].mean() == pytest.approx(base, rel=0.1)


def test_the_size_and_correlation_of_a_change_are_told():
    track = planted()
    track.scores["momentum"] = -(track.before + 0.5 * (track.after - track.before))  # half the true change
    momentum, step = of(judged(track), "momentum"), of(judged(track), "step")
    assert momentum["size"].to_numpy() == pytest.approx(0.5)
    assert momentum["correlation"].to_numpy() == pytest.approx(1)
    assert step["size"].to_numpy() == pytest.approx(1)


def test_diverged_runs_have_rows_and_enter_nothing():
    wild = planted(seeds=1, seed=1)
    wild.after[:] = torch.nan
    wild.diverged[:] = True
    frame, fine = judged(Track.join([wild.tensors(), planted().tensors()])), judged()
    assert frame.groupby("run")["diverged"].first().tolist() == [True] + [False] * 6
    kept = frame[~frame["diverged"]].reset_index(drop=True).drop(columns="run")
    pd.testing.assert_frame_equal(kept, fine.drop(columns="run"), check_dtype=False)
    pd.testing.assert_frame_equal(tables.thirds(frame, ["margin"]), tables.thirds(fine, ["margin"]))
    assert tables.f1(frame).loc[WHOLE.words, "kernel"] == "1.00 ± 0.00 (6 runs)"


def test_a_setting_of_which_all_runs_diverged_is_undefined():
    wild = planted()
    wild.diverged[:] = True
    frame = judged(wild)
    assert set(tables.f1(frame).loc[WHOLE.words]) == {"undefined"}
    assert tables.thirds(frame, ["kernel"])["f1"].isna().all()
    assert verdict(frame, RULE).word == "cannot be judged"


# --- the verdict ---


def test_a_perfect_predictor_is_better_and_a_useless_one_is_not():
    told, track = against(judged()), planted()
    assert (told.verdict, told.wins, told.losses, told.p) == ("better", 6, 0, 2 / 2**6)  # two-sided
    assert against(judged(), "cost").verdict == "undecided"  # equal
    track.scores["kernel"], track.scores["margin"] = track.scores["margin"], track.scores["kernel"]
    assert against(judged(track)).verdict == "worse"
    assert verdict(judged(track), RULE) == Verdict("fails", "worse in 1 of 1 settings")


@each_row(
    ("changed", "word"),
    [
        ({"runs": 7}, "cannot be judged"),
        ({"events": 1e6}, "cannot be judged"),
        ({"level": 2 / 2**6}, "undecided"),
        ({"share": 1.01}, "undecided"),
        ({"share": 1.0}, "better"),
    ],
)
def test_every_number_of_the_rule_counts(changed, word):
    assert against(judged(), rule=RULE | changed).verdict == word


@each_row(
    ("words", "whole"),
    [
        (["better", "cannot be judged"], "holds"),
        (["better", "undecided"], "holds in part"),
        (["better", "worse"], "holds in part"),
        (["worse", "cannot be judged"], "fails"),
        (["worse", "undecided"], "is undecided"),
        (["cannot be judged"], "cannot be judged"),
    ],
)
def test_settings_make_up_the_verdict(words, whole):
    f1 = {
        "better": 1.0,
        "worse": -1.0,
        "undecided": 0.0,
        "cannot be judged": np.nan,
    }  # of the kernel, less the margin's
    rows = [
        {"setting": word, "run": run, "predictor": name, "events": 30, "f1": value, "best_f1": 0.0, "ap": 0.0}
        for word in words
        for run in range(6)
        for name, value in {"kernel": f1[word], "margin": 0.0, "step": 0.0, "kernel-logits": 0.0}.items()
    ]
    assert verdict(pd.DataFrame(rows), RULE).word == whole


def test_runs_without_events_are_undefined_and_counted():
    track = planted()
    track.after[0] = 0.99 * track.before[0]
    frame = judged(track)
    assert tables.f1(frame).loc[WHOLE.words, "kernel"] == "1.00 ± 0.00 (5 runs)"
    assert against(frame).runs == 5
    assert frame.loc[frame["run"] == 0, ["f1", "step_recall", "quiet"]].isna().all(axis=None)  # no step is judged


# --- tables and figures ---


def test_tables_tell_of_every_predictor():
    frame = judged()
    told = tables.predictors(frame)
    assert told["predictor"].tolist() == list(PREDICTORS.values())
    assert set(told["events"]) == {of(frame, "kernel")["events"].sum()}
    told = tables.conventions(frame, ("kernel", "kappa"))
    assert told["predictor"].tolist() == [PREDICTORS["kernel"], PREDICTORS["kappa"]]
    assert told["predictions"][0] == str(told["events"][0])  # of a perfect predictor
    (row,) = tables.overview(frame, compare(frame, RULE)).to_dict("records")
    assert row["kernel against margin"] == "better"
    assert row[PREDICTORS["kernel"]] == "1.00 ± 0.00"
    assert tables.numbers(frame, ["kernel.f1", "kernel.f1_sd"]) == {
        "events": row["events"], "kernel.f1": 1.0, "kernel.f1_sd": 0.0,
    }  # fmt: skip


def test_settings_are_shown_in_the_order_asked_for():
    plain = Setting("plain", 0.1)
    frame = judge({plain: planted(), WHOLE: planted()})
    frame = tables.of(frame, WHOLE, plain)
    for table in (tables.overview, tables.parts):
        told = table(frame, compare(frame, RULE))
        assert told.iloc[:, 0].tolist() in ([WHOLE.words, plain.words], [WHOLE.short, plain.short])


def test_thirds_tell_where_the_kernel_is_blind():
    track = planted()
    track.scores["kernel"][:, -20:] = -1  # predicts nothing late
    told = tables.thirds(judged(track), ["kernel"]).set_index("third")
    assert told.loc["middle", ["f1", "low", "high"]].tolist() == [1, 1, 1]
    assert told.loc["late", ["f1", "low", "high"]].tolist() == [0, 0, 0]
    assert told["events"].sum() == of(judged(track), "kernel")["events"].sum()


@each_row("draw", ["curves", "margins"])
def test_figures_tell_how_many_events_they_show(draw):
    track = planted()
    args = (judged(track), ("kernel",)) if draw == "curves" else ()
    fig = getattr(figures, draw)({WHOLE: track}, *args)
    _, events, after_burn_in = watched(track)
    assert fig.axes[0].get_title() == f"whole recipe, lr 0.1: {(events & after_burn_in).sum()} events"
    plt.close(fig)
