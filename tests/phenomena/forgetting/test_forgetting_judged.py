import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from lpntk.phenomena.forgetting import predict_figures as forgetting_predict_plots
from lpntk.phenomena.forgetting.judge.compare import compare, overall
from lpntk.phenomena.forgetting.judge.metrics import burn_in, predict_fitted
from lpntk.phenomena.forgetting.judge.summary import SCALES, judge
from lpntk.phenomena.forgetting.judge.windows import window_f1, window_words
from lpntk.phenomena.forgetting.predict import FREE, PREDICTORS
from lpntk.phenomena.forgetting.tables import comparisons, convention_rows, numbers, overview_rows, predictor_rows, text
from lpntk.phenomena.forgetting.walk import Setting, Track


def planted(seeds=6, t=60, b=16, seed=0, quality=1.0):
    """A track in which ``kernel`` knows events with some quality and ``margin`` does not."""
    generator = torch.Generator().manual_seed(seed)
    before = torch.rand(seeds, t, b, generator=generator)
    after = before - 0.5 * torch.rand(seeds, t, b, generator=generator)
    noise = torch.randn(seeds, t, b, generator=generator)
    scores = {name: -after + (1 - quality) * noise for name in FREE}
    scores |= {name: noise.clamp_min(0) for name in SCALES}
    scores["margin"] = noise - 1
    correct = torch.ones(seeds, t + 2, 4, dtype=torch.bool)
    return Track(correct, torch.zeros(seeds, t + 1, b, dtype=torch.int64), before, after, scores,
                 torch.zeros(seeds, dtype=torch.bool))  # fmt: skip


def test_a_perfect_predictor_is_better_and_a_useless_one_is_not():
    judged = judge(planted())
    assert judged.values["kernel"]["f1"].tolist() == [1.0] * 6
    assert compare(judged, "kernel", "margin").verdict == "better"
    assert compare(judged, "margin", "kernel").verdict == "worse"
    assert compare(judged, "kernel", "step").verdict == "undecided"  # equal
    assert compare(judged, "kernel", "margin").p == compare(judged, "margin", "kernel").p == 2 / 2**6  # two-sided
    assert window_f1(judged, "kernel").tolist() == [[1.0] * 3] * 3
    happened = (planted().after <= 0) & (planted().before > 0)
    assert judged.events.sum() == happened[:, 10:].sum()
    assert judged.skipped.tolist() == happened[:, :10].sum(dim=(1, 2)).tolist()
    whole = [sum(counts[:2]) for counts in judged.counts["random"].sum(axis=1)]
    assert whole == pytest.approx(judged.total)  # hits and missed of any predictor are the events
    setting = Setting("all", 0.1)
    rows = predictor_rows(judged)
    assert [row["predictor"] for row in rows] == list(PREDICTORS.values())
    rows += convention_rows({setting: judged}, ("kernel", "kappa"))
    assert {row["events"] for row in rows} == {str(judged.total.sum())}
    assert rows[-2]["predictions"] == rows[-2]["events"]  # of a perfect predictor
    rows = overview_rows({setting: judged}, {setting: comparisons(judged)})
    assert [row["kernel against margin"] for row in rows] == ["better"]
    assert numbers(judged)["kernel.f1"] == 1.0
    assert overall(["better", "cannot be judged"]) == "holds"
    assert overall(["better", "undecided"]) == "holds in part"
    assert overall(["worse", "cannot be judged"]) == "fails"
    assert overall(["worse", "undecided"]) == overall(["undecided"]) == "is undecided"
    assert overall(["cannot be judged"]) == "cannot be judged"


def test_too_few_events_or_runs_cannot_be_judged():
    quiet = planted()
    quiet.after[:, 1:-1] = 0.99 * quiet.before[:, 1:-1]
    quiet.after[:, -1, 4:] = 0.99 * quiet.before[:, -1, 4:]
    judged = judge(quiet)
    assert 0 < judged.total.sum() < 30
    assert compare(judged, "kernel", "margin").verdict == "cannot be judged"
    assert compare(judge(planted(seeds=5)), "kernel", "margin").verdict == "cannot be judged"


def test_runs_without_events_are_undefined_and_counted():
    track = planted()
    track.after[0] = 0.99 * track.before[0]
    judged = judge(track)
    assert np.isnan(judged.values["kernel"]["f1"][0])
    assert np.isnan(judged.values["kernel"]["step_recall"][0])  # no step is judged
    assert numbers(judged)["runs_with_events"] == 5
    assert text(judged.values["kernel"]["f1"]).endswith("(5 runs)")
    assert text(np.array([np.nan])) == "undefined"
    assert compare(judged, "kernel", "margin").runs == 5


def test_diverged_runs_are_left_out_and_counted():
    track = planted()
    track.diverged[2] = True
    track.after[2] = torch.nan
    judged = judge(track)
    assert judged.diverged == 1
    assert len(judged.total) == 5
    assert np.isfinite(judged.values["kernel"]["f1"]).all()


def test_all_predictors_are_judged_on_the_same_steps():
    track = planted()
    early = planted()
    early.after[:, 10:] = 0.99 * early.before[:, 10:]
    judged = judge(early)
    assert judged.total.sum() == 0
    assert judged.skipped.sum() > 100
    assert all(np.isnan(values["f1"]).all() for values in judged.values.values())
    assert compare(judged, "kernel", "margin").verdict == "cannot be judged"
    blind = planted()
    blind.scores["kernel"][:, :10] = -1  # misses all that no threshold could have been fitted to
    assert judge(blind).values["kernel"] == {k: pytest.approx(v) for k, v in judge(track).values["kernel"].items()}
    happened = np.zeros((40, 3), bool)
    assert burn_in(happened) == 40
    for first, start in ((0, 10), (9, 10), (10, 20), (39, 40)):
        happened[:] = False
        happened[first:, 0] = True
        assert burn_in(happened) == start
        fitted = predict_fitted(np.ones((40, 3)), happened, np.ones((40, 3), bool))
        assert not fitted[:start].any()
        assert fitted[start:].all()


def test_a_predicted_tie_counts_as_wrong():
    track = planted()
    track.scores["kernel"].clamp_(max=0)  # the predicted margin of every event is just 0
    assert judge(track).values["kernel"]["recall"].tolist() == [1.0] * 6


def test_random_is_an_expectation():
    judged = judge(planted())
    base = judged.total.sum() / judged.at_risk.sum()
    for measure in ("precision", "recall", "f1", "ap"):
        assert judged.values["random"][measure].mean() == pytest.approx(base, rel=0.1)


def test_windows_name_where_the_margin_is_ahead():
    track = planted()
    track.scores["kernel"][:, -20:] = -1  # predicts nothing late
    track.scores["margin"][:, -20:] = -track.after[:, -20:]
    setting = Setting("all", 0.1)
    judged = {setting: judge(track)}
    told = window_words(judged, ("kernel", "margin"))
    assert told["early.kernel"] == "1.00"
    late = window_f1(judged[setting], "margin")[2, 0]
    assert told["margin_ahead"] == f"late at lr 0.1 ({late:.2f} against 0.00, {told['late.events']} events)"
    assert window_words({setting: judge(planted())}, ("kernel", "margin"))["margin_ahead"] == "nowhere"


@pytest.mark.parametrize("draw", ["curves", "margins"])
def test_figures_tell_how_many_events_they_show(draw):
    setting, track = Setting("all", 0.1), planted()
    judged = judge(track)
    args = ({setting: judged}, ("kernel",)) if draw == "curves" else ()
    fig = getattr(forgetting_predict_plots, draw)({setting: track}, *args)
    assert fig.axes[0].get_title() == f"whole recipe, lr 0.1: {judged.total.sum()} events"
    plt.close(fig)
