import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from rows import each_row

from lpntk.phenomena.norm import figures
from lpntk.phenomena.norm.verdicts import (
    at_the_end,
    check_trained,
    first_half,
    gap_without,
    least_accuracy,
    rarity,
    side_by_side,
    with_learned,
)
from lpntk.report.verdict import FAILS, HOLDS, IN_PART, UNDECIDED, UNJUDGED

RULE = {"enough": {"batch": 0.8, "none": 0.7}, "rare": 0.05, "same": 0.05, "learned": 0.5}
ENDS = {"batch": 2, "none": 4}


def shares(batch=(0.1, 0.1, 0.1), none=(0.1, 0.1, 0.1), contradictory=0.01):
    """Shares at the last epoch of each norm; before it, and of other labels, others."""
    rows = []
    for norm, values in (("batch", batch), ("none", none)):
        for seed, value in enumerate(values):
            for epoch in (0, ENDS[norm]):
                for labels in ("all", "different"):
                    judged = {"all": ("negative", value), "different": ("contradictory", contradictory)}[labels]
                    told = {"negative": 0.9, "contradictory": 0.9} | dict([judged] if epoch else [])
                    own = {"seed": seed, "epoch": epoch, "labels": labels, "norm": norm, "pearson": 0.5}
                    rows.append(own | told)
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
    gap = gap_without(shares(batch=(0.1,) * len(none), none=none), accuracy(), RULE, 3)
    assert gap.verdict.word == word
    assert gap.mean == pytest.approx(np.mean(none) - 0.1)


def test_a_norm_with_a_network_that_has_not_learned_is_not_judged():
    poor = accuracy(none=(0.75, 0.75, 0.69))
    assert gap_without(shares(), poor, RULE, 3).verdict.word == UNJUDGED
    words = [rarity(shares(contradictory=0.04), poor, norm, RULE, 3) for norm in ("none", "batch")]
    assert words == [UNJUDGED, IN_PART]
    assert rarity(shares(), accuracy(batch=(np.nan,) * 3), "batch", RULE, 3) == UNJUDGED
    assert least_accuracy(accuracy(), "none", 3) == 0.71
    assert np.isnan(least_accuracy(accuracy(), "none", 4))  # one did not finish
    assert rarity(shares(), accuracy(), "none", RULE, 4) == UNJUDGED
    assert np.isnan(least_accuracy(accuracy(none=(0.75, np.nan, 0.75)), "none", 3))
    assert rarity(shares(none=(np.nan,) * 3), accuracy(), "none", RULE, 3) == UNJUDGED


def test_what_cannot_be_set_side_by_side_is_refused_before_training():
    asked = {"batch": {"moments": [0, 8]}, "none": {"moments": [4, 8], "clip": 1.0}}
    check_trained("resnet18", asked)
    for model, trained, message in (
        ("lenet5", asked, "expected model resnet18, trained with batch and with none; got lenet5"),
        ("resnet18", {"batch": asked["batch"]}, "got resnet18 with batch"),
        ("resnet18", asked | {"group": asked["none"]}, "with batch, none, group"),
        ("resnet18", asked | {"none": {"moments": [5, 8]}}, r"none up to half of its 8 epochs; got \[5, 8\]"),
    ):
        with pytest.raises(ValueError, match=message):
            check_trained(model, trained)


@each_row(("negative", "contradictory", "word"), [(0.04, 0.9, HOLDS), (0.06, 0.04, IN_PART), (0.06, 0.06, FAILS)])
def test_how_rare_contradictory_pairs_are_at_the_end(negative, contradictory, word):
    frame = shares(none=(negative,) * 3, contradictory=contradictory)
    assert rarity(frame, accuracy(), "none", RULE, 3) == word


def test_freezing_looks_at_the_first_half_alone():
    frame = pd.DataFrame({"epoch": [0, 1, 2, 4, 6, 8, 8]})
    assert first_half(frame)["epoch"].tolist() == [0, 1, 2, 4, 8, 8]


def test_what_was_not_learned_is_not_said_to_be_forgotten():
    index = pd.MultiIndex.from_product([["plain", "whole"], ["margin", "ap"]], names=["setting", "comparison"])
    compared = pd.DataFrame({"verdict": ["better", "worse"] * 2}, index)
    found = with_learned(compared, {"plain": 0.49, "whole": 0.5}, RULE)["verdict"]
    assert found.tolist() == [UNJUDGED, UNJUDGED, "better", "worse"]


def test_figures_show_every_norm_and_network():
    figure = figures.pairs_over_training(shares(), shares(), 0.9)
    assert [len(ax.lines) for ax in figure.axes] == [2, 2, 3]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["batch norm", "no norm"]
    frame = pd.DataFrame({"predictor": ["kernel", "step", "margin"], "f1": [0.2, 0.9, 0.1]})
    figure = figures.foretold({"a": frame, "b": frame})
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["a", "b"]
    assert len(figure.legends[0].get_texts()) == 3
    plt.close("all")
