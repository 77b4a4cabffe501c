"""Is planted difficulty judged rightly: noise of known size, company that matters and company that does not?"""

import numpy as np
import pandas as pd
import pytest
from rows import each_row

from lpntk.phenomena.difficulty.verdict import compared, decline, direct
from lpntk.report.verdict import FAILS, HOLDS, IN_PART, UNDECIDED, UNJUDGED

RULE = {"repetitions": 5, "reliable": 0.2, "flat": 0.1, "none": 0.05, "level": 0.05}


def planted(shared, noise=0.5, of_company=0.0, of_seed=False, seed=0, n=400, repetitions=5, tail=0.0):
    """Difficulties whose true values correlate by ``shared[size]`` with those in the universal set.

    Args:
        shared: size -> that correlation.
        noise: standard deviation of what differs between seeds; the true difficulty has 1.
        of_company: share of the true variance at a size that goes with the company.
        of_seed: whether other company shares what the seed of ``again`` did.
        tail: what some few hard samples add to the noise everywhere.
    """
    random = np.random.default_rng(seed)
    noisy = lambda true: true + noise * random.standard_normal(n) + tail * (np.arange(n) < 3)
    networks, samples = [], []
    for repetition in range(repetitions):
        whole = random.standard_normal(n)
        of = {"case": "fast.epochs", "repetition": repetition, "models": 8, "unstable": 0, "first": 2.3, "last": 0.1}
        networks += [of | {"arm": arm, "size": size} for size in (1024, *shared) for arm in ("first", "again")]
        for size, rho in shared.items():
            own = rho * whole + (1 - rho**2) ** 0.5 * random.standard_normal(n)
            moved = random.standard_normal(n) * of_company**0.5 + own * (1 - of_company) ** 0.5
            again = noisy(own)
            told = {"case": "fast.epochs", "measure": "loss", "repetition": repetition, "size": size,
                    "sample": range(n),
                    "whole": noisy(whole), "whole_again": noisy(whole), "first": noisy(own), "again": again,
                    "other": moved + again - own if of_seed else noisy(moved)}  # fmt: skip
            samples.append(pd.DataFrame(told))
    return pd.DataFrame(networks), pd.concat(samples, ignore_index=True)


def judged(planting, way="value", **changed):
    table = compared(*planting, RULE | changed, seed=0, draws=300)
    return table[table["way"] == way].assign(at=table["size"]).set_index("at")


@each_row("noise", [0.3, 1.0])
def test_noise_of_known_reliability_is_corrected(noise):
    shared = {256: 0.9, 16: 0.3}
    table = judged(planted(shared, noise, n=2000))
    reliability = 1 / (1 + noise**2)
    assert table["reliability"].to_numpy() == pytest.approx(reliability, abs=0.03)
    assert table["whole"].to_numpy() == pytest.approx(reliability, abs=0.03)
    for size, rho in shared.items():
        assert table.loc[size, "rho"] == pytest.approx(rho * reliability, abs=0.03)
        assert table.loc[size, "corrected"] == pytest.approx(rho, abs=0.04)
        assert table.loc[size, "corrected_low"] < rho < table.loc[size, "corrected_high"]


def test_what_is_mostly_noise_is_not_corrected():
    table = judged(planted({256: 0.9, 16: 0.3}, noise=3.0))  # a reliability of 0.1
    assert table["corrected"].isna().all()
    assert not table["evidence"].any()
    assert decline(table, 5, RULE).word == direct(table, 5, RULE).word == UNJUDGED


def test_intervals_cover():
    covered = 0
    for seed in range(40):
        row = judged(planted({16: 0.5}, 0.7, seed=seed, n=150, repetitions=8)).loc[16]
        covered += row["corrected_low"] < 0.5 < row["corrected_high"]
    assert covered >= 32  # of 95 %; few repetitions make a bootstrap somewhat too narrow


@each_row(("of_company", "word"), [(0.5, HOLDS), (0.0, FAILS)])
def test_company_is_found_where_it_was_planted(of_company, word):
    table = judged(planted({256: 0.9, 16: 0.3}, of_company=of_company, n=1000))
    assert direct(table, 5, RULE).word == word
    away = (1 - (1 - of_company) ** 0.5) / 1.25  # of the correlation, 0.8 with the same company
    assert table["company"].to_numpy() == pytest.approx(away, abs=0.05)
    assert direct(table, 4, RULE).word == UNJUDGED
    assert direct(table, 5, RULE | {"none": -1.0}).word == (HOLDS if word == HOLDS else UNDECIDED)


def test_a_seed_that_counts_for_as_much_is_seen():
    table = judged(planted({256: 0.9, 16: 0.5}, noise=1.0, of_company=0.5, of_seed=True, n=1000))
    assert direct(table, 5, RULE).word == HOLDS
    assert direct(table, 5, RULE, "against").word == FAILS


@each_row(("evidence", "word"), [((256, 64), HOLDS), ((64,), UNJUDGED), ((), UNJUDGED)])
def test_one_size_of_three_decides_nothing(evidence, word):
    rows = [{"size": size, "company": 0.2, "company_low": 0.1, "company_high": 0.3, "evidence": size in evidence}
            for size in (256, 64, 16)]  # fmt: skip
    assert direct(pd.DataFrame(rows), 5, RULE).word == word


def test_ranks_are_not_ruled_by_a_few_hard_samples():
    planting = planted({16: 0.0}, tail=100.0)
    assert judged(planting).loc[16, "rho"] > 0.9
    assert abs(judged(planting, "rank").loc[16, "rho"]) < 0.1


def test_one_sample_has_no_company_and_carries_no_verdict():
    networks, samples = planted({256: 0.9, 16: 0.3, 1: 0.9}, n=1000)
    samples.loc[samples["size"] == 1, "other"] = np.nan
    table = judged((networks, samples))
    assert table["evidence"].to_dict() == {256: True, 16: True, 1: False}
    assert decline(table, 5, RULE).word == HOLDS  # it would rise at 1


@each_row(
    ("corrected", "blind", "word"),
    [
        ({256: 0.8, 64: 0.5, 16: 0.2}, (), HOLDS),
        ({256: 0.8, 64: 0.3, 16: 0.35}, (), IN_PART),  # a rise within chance
        ({256: 0.8, 64: 0.05, 16: 0.09}, (), HOLDS),  # below 0.1 a rise does not count
        ({256: 0.3, 64: 0.8, 16: 0.1}, (), FAILS),  # a rise of more than chance
        ({256: 0.9, 64: 0.9, 16: 0.95}, (), FAILS),  # it cannot fall by 0.1
        ({256: 0.8, 64: 0.75, 16: 0.72}, (), UNDECIDED),  # a fall within chance
        ({256: 0.8, 64: 0.9, 16: 0.2}, (64,), HOLDS),  # no evidence, either way
        ({256: 0.8, 64: 0.5, 16: 0.2}, (64, 16), UNJUDGED),
    ],
)
def test_the_decline_follows_its_rule(corrected, blind, word):
    rows = [{"size": size, "corrected": value, "corrected_low": value - 0.05, "corrected_high": value + 0.05,
             "company": 0.1, "seen": size not in blind, "evidence": size not in blind}
            for size, value in corrected.items()]  # fmt: skip
    table = pd.DataFrame(rows)
    assert decline(table, 5, RULE).word == word
    assert decline(table, 4, RULE).word == UNJUDGED
    assert decline(table.iloc[::-1], 5, RULE).word == word
