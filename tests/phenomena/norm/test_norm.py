import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from rows import each_row

from lpntk.phenomena.norm import figures
from lpntk.phenomena.norm.verdicts import at_the_end, gap_without, rarity, side_by_side
from lpntk.report.verdict import FAILS, HOLDS, UNDECIDED, UNJUDGED

RULE = {"enough": {"batch": 0.8, "none": 0.7}, "rare": 0.05, "common": 0.5, "same": 0.05}
ENDS = {"batch": 2, "none": 4}


def shares(batch=(0.1, 0.1, 0.1), none=(0.1, 0.1, 0.1), contradictory=0.01):
    """Shares at the last epoch of each norm; before it, and of other labels, others."""
    rows = []
    for norm, values in (("batch", batch), ("none", none)):
        for seed, value in enumerate(values):
            for epoch in (0, ENDS[norm]):
                for labels in ("all", "different"):
                    judged = epoch and labels == "all"
                    rows.append({"seed": seed, "epoch": epoch, "labels": labels, "norm": norm,
                                 "negative": value if judged else 0.9, "pearson": 0.5,
                                 "contradictory": contradictory if judged else 0.9})  # fmt: skip
    return pd.DataFrame(rows)


def accuracy(batch=(0.85, 0.82, 0.8), none=(0.75, 0.75, 0.71)):
    parts = {norm: pd.DataFrame({"seed": [0, 0, 1, 2], "epoch": [0, *[ENDS[norm]] * 3], "test": [0.1, *values]})
             for norm, values in (("batch", batch), ("none", none))}  # fmt: skip
    return side_by_side(parts)


def test_each_norm_ends_at_an_epoch_of_its_own():
    frame = side_by_side({"batch": pd.DataFrame({"epoch": [0, 8, 8]}), "none": pd.DataFrame({"epoch": [0, 16]})})
    assert frame.columns.tolist() == ["norm", "epoch"]
    assert at_the_end(frame)["epoch"].tolist() == [8, 8, 16]
    assert at_the_end(frame, first=True)["epoch"].tolist() == [0, 8, 8, 0, 16]


@each_row(
    ("none", "word"),
    [((0.11, 0.12, 0.1), HOLDS), ((0.4, 0.41, 0.39), FAILS), ((0.1, 0.2, 0.15), UNDECIDED), ((0.1,), UNJUDGED)],
)
def test_the_difference_of_norms_is_judged_by_its_interval(none, word):
    gap = gap_without(shares(batch=(0.1,) * len(none), none=none), accuracy(), RULE)
    assert gap.verdict.word == word
    assert gap.mean == pytest.approx(np.mean(none) - 0.1)


def test_a_norm_with_a_network_that_has_not_learned_is_not_judged():
    poor = accuracy(none=(0.75, 0.75, 0.69))
    assert gap_without(shares(), poor, RULE).verdict.word == UNJUDGED
    assert (rarity(shares(), poor, "none", RULE), rarity(shares(), poor, "batch", RULE)) == (UNJUDGED, "rare")
    nothing = accuracy(batch=(np.nan,) * 3)
    assert rarity(shares(), nothing, "batch", RULE) == UNJUDGED


@each_row(("share", "word"), [(0.049, "rare"), (0.06, "neither rare nor common"), (0.5, "common")])
def test_how_rare_contradictory_pairs_are_at_the_end(share, word):
    assert rarity(shares(contradictory=share), accuracy(), "none", RULE) == word


def test_figures_show_every_norm_and_network():
    figure = figures.pairs_over_training(shares(), shares(), 0.9)
    assert [len(ax.lines) for ax in figure.axes] == [2, 2, 3]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["batch norm", "no norm"]
    frame = pd.DataFrame({"predictor": ["kernel", "step", "margin"], "f1": [0.2, 0.9, 0.1]})
    figure = figures.foretold({"a": frame, "b": frame})
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["a", "b"]
    assert len(figure.legends[0].get_texts()) == 3
    plt.close("all")
