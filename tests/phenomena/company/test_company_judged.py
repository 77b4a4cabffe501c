"""Is a planted order, sign or dose found, and is chance left alone?"""

import math

import numpy as np
import pandas as pd
import pytest
from rows import each_row

from lpntk.phenomena.company.groups import GROUPS, PAPER_GROUPS
from lpntk.phenomena.company.verdict import by_target, compare, detectable, dose, order, sign, summary
from lpntk.report.verdict import FAILS, HOLDS, IN_PART, UNDECIDED, UNJUDGED

RULE = {"level": 0.05, "power": 0.8, "small": 0.05, "negative": 0.5}
RISING = {"most": 0.0, "middle": 0.5, "least": 1.0}


def planted(shift, seed=0, k=10, runs=5, references=2, noise=0.1, learned=True, negative=1.0):
    """Targets with difficulties of their own, harder by a planted shift per group."""
    random, frames = np.random.default_rng(seed), []
    for reference in range(references):
        own = 5 + 5 * random.random(k)
        for group in GROUPS:
            costs = own + shift.get(group, 0.0) + noise * random.standard_normal((runs, k))
            frames.append(pd.DataFrame({
                "targets": "head", "reference": reference, "group": group, "run": np.repeat(range(runs), k),
                "target": np.tile(range(k), runs), "difficulty": costs.flatten(), "first": 2.0,
                "last": 0.5 if learned else 1.5, "dose": -shift.get(group, 0.0), "unstable": False,
                "negative": negative if group == "other" else 0.0,
            }))  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def blown_up(frame, group, runs):
    lost = (frame["group"] == group) & (frame["run"] < runs)
    return frame.assign(unstable=frame["unstable"] | lost, difficulty=frame["difficulty"].mask(lost))


@each_row(
    ("shift", "word"),
    [
        (RISING, HOLDS),
        ({"most": 0.0, "middle": 0.0, "least": 1.0}, IN_PART),
        ({"most": 1.0, "middle": 0.5, "least": 0.0}, FAILS),
    ],
)
def test_a_planted_order_is_found(shift, word):
    frame = planted(shift)
    found, told = order(frame, PAPER_GROUPS, RULE)
    assert found.word == word
    assert (told["page"] < 0.05) != (told["page_reverse"] < 0.05)
    far = compare(by_target(frame), "most", "least")
    assert far["difference"] == pytest.approx(shift["least"] - shift["most"], abs=0.2)
    assert (far["p"] < 0.01) == (far["difference"] > 0)
    assert (far["p_reverse"] < 0.01) == (far["difference"] < 0)
    assert far["low"] < far["difference"] < far["high"]
    one = compare(by_target(frame[frame["reference"] == 0]), "most", "least")
    assert math.isnan(one["low"])  # one network has no interval


def test_no_order_is_no_order():
    rejected = sum(order(planted({}, seed, references=1), PAPER_GROUPS, RULE)[1]["page"] < 0.05 for seed in range(40))
    assert rejected <= 7  # 2 expected; more than 7 has a probability of about 1e-3


def test_an_order_that_chance_hides_is_not_said_to_fail():
    frame = planted({"least": 1.0}, k=2, references=1)
    assert order(frame, PAPER_GROUPS, RULE)[0].word == UNDECIDED  # two targets cannot tell


def test_what_was_not_learned_or_blew_up_cannot_be_judged():
    assert order(planted(RISING, learned=False), PAPER_GROUPS, RULE)[0].word == UNJUDGED
    assert order(blown_up(planted(RISING, runs=10), "least", 1), PAPER_GROUPS, RULE)[0].word == HOLDS
    lost = blown_up(planted(RISING, runs=10), "least", 2)
    assert order(lost, PAPER_GROUPS, RULE)[0].word == UNJUDGED
    row = summary(lost).set_index("company").loc["least"]
    assert (row["stable"], row["unstable"]) == (False, 4)  # two of each reference
    assert np.isfinite(row["difficulty"])
    gone = blown_up(planted(RISING), "middle", 5)
    assert order(gone, PAPER_GROUPS, RULE)[0].word == UNJUDGED


@each_row(
    ("harder", "noise", "negative", "word"),
    [
        (1.0, 0.1, 1.0, HOLDS),
        (0.0, 0.1, 1.0, FAILS),  # it would have been found
        (0.15, 0.02, 1.0, FAILS),  # found, but within what counts as none
        (0.0, 3.0, 1.0, UNDECIDED),
        (1.0, 0.1, 0.4, UNJUDGED),  # most of the kernels are positive
    ],
)
def test_the_sign_is_judged_by_its_rule(harder, noise, negative, word):
    found, told = sign(planted({"other": harder}, noise=noise, negative=negative), "other", "random", RULE)
    assert found.word == word
    assert told["low"] < told["difference"] < told["high"]
    assert told["bound"] == pytest.approx(0.05 * 7.5, rel=0.5)
    assert told["detectable"] < told["bound"] or word == UNDECIDED
    half = (told["high"] - told["low"]) / 2
    assert (told["needed"] <= 20) == (half <= told["bound"])  # there are 20


def test_the_detectable_difference_is_found_with_its_power():
    random = np.random.default_rng(0)
    least = detectable(random.standard_normal(200_000), 0.05, 0.8) * (200_000 / 20) ** 0.5  # of a known sd, 20 runs
    found = 0
    for _ in range(1000):
        gap = least + random.standard_normal(20)
        found += abs(gap.mean()) > 2.093 * gap.std(ddof=1) / 20**0.5  # two-sided t test of 19 degrees of freedom
    assert 0.72 < found / 1000 < 0.85
    assert detectable(np.ones(1), 0.05, 0.8) != detectable(np.ones(1), 0.05, 0.8)  # NaN


def test_a_planted_dose_is_found():
    told = dose(planted({group: i for i, group in enumerate(GROUPS)}))
    assert told["within"] == pytest.approx(-1, abs=0.02)
    assert told["rank"] > told["within"]  # targets differ by themselves
    assert told["own"] == pytest.approx(-1, abs=0.02)
    random = planted({}).assign(dose=lambda f: f["group"].map(GROUPS.index))
    assert abs(dose(random)["within"]) < 0.4
