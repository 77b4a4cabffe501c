import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from oracle import oracle_kernel

from lpntk.data import dataset as data
from lpntk.keep.cache import Cache
from lpntk.kernel.signs import factor
from lpntk.phenomena.width.networks import PARAMETRISATIONS, Weights, draw, module
from lpntk.phenomena.width.rates import QUANTITIES, exponent, factors, rates
from lpntk.phenomena.width.study import balanced, initial
from lpntk.phenomena.width.training import trained
from lpntk.phenomena.width.verdict import trained_slopes, training, verdict

DIGITS = data.load("digits")
SMALL = {"depths": [1, 2], "widths": [8, 16], "ks": [3, 10], "seeds": 2, "seed": 0, "per_class": 2}
TRAINED = {"depths": [1], "widths": [8], "seeds": 1, "seed": 0, "n": 60, "per_class": 2, "batch_size": 20}


def test_balanced_rows_are_as_many_of_every_class():
    rows = balanced(DIGITS, 3, seed=1)
    assert DIGITS.y_train[rows].bincount().tolist() == [3] * 10
    assert not torch.equal(rows, balanced(DIGITS, 3, seed=2))
    with pytest.raises(ValueError, match=r"class 0 has \d+ samples, not 5000: lower per_class"):
        balanced(DIGITS, 5000, seed=0)


@pytest.mark.parametrize("parametrisation", PARAMETRISATIONS)
def test_the_study_reports_what_the_definitions_give(tmp_path, parametrisation):
    frame = initial(DIGITS, cache=Cache(tmp_path), **SMALL)
    assert len(frame) == 2 * 2 * 2 * 2 * 2  # depths, widths, seeds, parametrisations, ks
    row = frame.query("depth == 2 and width == 16 and seed == 1 and k == 3 and parametrisation == @parametrisation")
    rows = balanced(DIGITS, 2, seed=1)
    rows = rows[DIGITS.y_train[rows] < 3]
    x, y = DIGITS.x_train[rows].double(), DIGITS.y_train[rows]
    whole = draw(64, 16, 2, 10, seed=[1, 2, 16])
    heads = (*whole.matrices[:-1], whole.matrices[-1][:3]), (*whole.biases[:-1], whole.biases[-1][:3])
    model = module(Weights(*heads), parametrisation)
    kappa, theta = oracle_kernel(model, x, y), torch.zeros(6, 6, dtype=torch.float64)
    for c in range(3):  # theta = tr Theta / K, a logit at a time, by the label-blind kernel of a network of one logit
        one = (*whole.matrices[:-1], whole.matrices[-1][c : c + 1]), (*whole.biases[:-1], torch.zeros(1))
        single = module(Weights(*one), parametrisation)
        theta += oracle_kernel(single, x, y * 0, signs="ones") / 3
    upper = torch.ones(6, 6, dtype=torch.bool).triu(1)
    two = upper & (y[:, None] != y[None, :])
    assert float(row["different.factor"].iloc[0]) == pytest.approx(float(kappa[two].sum() / theta[two].sum()), rel=1e-4)
    assert float(row["different.negative"].iloc[0]) == float((kappa[two] < 0).double().mean())
    assert float(row["theta.min"].iloc[0]) == pytest.approx(float(theta[upper].min()), rel=1e-4)


def test_what_was_measured_is_not_measured_again(tmp_path):
    first = Cache(tmp_path)
    frame = initial(DIGITS, cache=first, **SMALL)
    assert first.hits == 0
    again = Cache(tmp_path)
    pd.testing.assert_frame_equal(frame, initial(DIGITS, cache=again, **SMALL))
    assert again.hits == 8
    with pytest.raises(ValueError, match="digits has 10 classes; ks go up to 12"):
        initial(DIGITS, cache=again, **{**SMALL, "ks": [12]})


def test_training_starts_where_the_study_of_initialisation_measured(tmp_path):
    cache = Cache(tmp_path)
    start = initial(DIGITS, cache=cache, **{**SMALL, "ks": [10]}).query("depth == 1 and width == 8 and seed == 0")
    lr = {"ntk": 1.0, "standard": 0.05}
    frame = trained(DIGITS, lr=lr, epochs=[0, 3], cache=cache, device="cpu", **TRAINED)
    assert frame[frame["epoch"] == 3]["train"].min() > frame[frame["epoch"] == 0]["train"].max()
    for parametrisation in PARAMETRISATIONS:
        here = frame[frame["parametrisation"] == parametrisation].set_index("epoch")
        before, after = here.loc[0], here.loc[3]
        want = start[start["parametrisation"] == parametrisation].iloc[0]
        for quantity in ("same.raw", "same.fresh", "different.factor", "share"):
            assert before[quantity] == pytest.approx(want[quantity], rel=1e-4)
            assert after[quantity] != pytest.approx(want[quantity], rel=1e-4)


def test_a_diverged_network_is_counted_and_not_averaged(tmp_path):
    frame = trained(DIGITS, lr={"standard": 1e30}, epochs=[0, 2], cache=Cache(tmp_path), device="cpu", **TRAINED)
    assert frame["diverged"].tolist() == [0, 1]
    assert np.isnan(trained_slopes(frame)[1, "standard"].value)
    (told,) = training(frame)
    assert (told.diverged, told.seeds) == (1, 0)
    assert np.isnan(told.after[0])
    assert verdict([], [], [told]).training == "cannot be judged"


# ---- the rules, on planted results


def planted(same=None, fold=1.0, shift=0.0, seed=0):
    """Results whose slopes and factors are known, with noise of 5 %."""
    generator, rows = np.random.default_rng(seed), []
    for s in range(10):
        for depth in (1, 2):
            for parametrisation in PARAMETRISATIONS:
                power = exponent(depth, parametrisation) if same is None else same
                for width in 2 ** np.arange(5, 12):
                    for k in (2, 10):
                        noise = lambda: np.exp(0.05 * generator.standard_normal())
                        row = {"seed": s, "depth": depth, "parametrisation": parametrisation, "width": width, "k": k}
                        row |= {q: float(width) ** power * noise() for q in QUANTITIES}
                        row |= {"same.predicted": float(width) ** power * fold, "different.predicted": width**power}
                        row |= {"different.raw": 0.4 * noise()}
                        row |= {"different.factor": factor(k) + shift + 0.01 * generator.standard_normal()}
                        rows.append(row)
    return pd.DataFrame(rows)


HEADS = {"same.fresh": 0.2}  # of the error with the own head


def after(growth, lost, test=0.95, noise=0.0, diverged=0):
    """Five networks before and after training; every second one has a growth and loss that is ``noise`` higher."""
    rows = []
    for s in range(5):
        for epoch in (0, 5):
            done = epoch > 0
            off = noise * (s % 2) if done else 0.0
            row = {"depth": 2, "parametrisation": "ntk", "width": 64, "seed": s, "epoch": epoch, "k": 10, "test": test}
            row |= {"diverged": float(done and s < diverged), "same.raw": 0.1 * ((growth + off) if done else 1)}
            row |= {name: share * row["same.raw"] for name, share in HEADS.items()}
            rows.append(row | {"different.factor": 0.6 - (lost + off if done else 0), "different.negative": 0.0})
    return pd.DataFrame(rows)


def test_planted_rates_and_factors_are_found():
    frame = planted()
    for (depth, parametrisation), fitted in trained_slopes(frame[frame["k"] == 10].assign(epoch=1)).items():
        assert fitted.value == pytest.approx(exponent(depth, parametrisation), abs=0.05)
    found = rates(frame, 10)
    assert len(found) == 4 * len(QUANTITIES)
    for r in found:
        assert r.wide.value == pytest.approx(r.exponent, abs=0.05)
        assert r.as_derived
        if r.quantity in ("same.raw", "different.rescaled"):
            assert r.formula == pytest.approx(r.exponent)
        assert r.no_slower == (r.quantity != "different.raw")
    for f in factors(frame):
        assert f.mean == pytest.approx(f.law, abs=0.015)
    assert {(f.depth, f.parametrisation, f.k) for f in factors(frame)} == {
        (d, p, k) for d in (1, 2) for p in PARAMETRISATIONS for k in (2, 10)
    }
    off = [r for r in rates(planted(fold=2.0), 10) if r.quantity == "same.raw"]
    assert all(0.45 < low < high < 0.55 for low, high in (r.ratio for r in off))


@pytest.mark.parametrize(
    ("given", "word", "says"),
    [
        ({}, "rate", "holds"),
        ({"same": -0.4}, "rate", "does not hold"),
        ({"same": -0.9}, "rate", "holds"),
        ({}, "exponents", "are confirmed"),
        ({"same": -0.9}, "exponents", "are not all confirmed"),
        ({}, "factor", "holds"),
        ({"shift": 0.05}, "factor", "does not hold"),
    ],
)
def test_the_verdicts_follow_their_rules(given, word, says):
    frame = planted(**given)
    assert getattr(verdict(rates(frame, 10), factors(frame), training(after(1, 0))), word) == says


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"growth": 1.5, "lost": 0.05}, "survives"),
        ({"growth": 3.0, "lost": 0.05}, "does not survive"),
        ({"growth": 1.5, "lost": 0.2}, "does not survive"),
        ({"growth": 1.5, "lost": -0.2}, "does not survive"),
        ({"growth": 1.9, "lost": 0.0, "noise": 0.09}, "survives"),  # the mean is below, and so is the interval
        ({"growth": 1.8, "lost": -0.15, "noise": 0.3}, "is not decided"),  # the mean is below, the interval is not
        ({"growth": 1.8, "lost": 0.2, "noise": 0.3}, "does not survive"),  # one of two is enough
        ({"growth": 1.5, "lost": 0.05, "test": 0.5}, "cannot be judged"),
        ({"growth": 1.5, "lost": 0.05, "diverged": 1}, "cannot be judged"),  # of five
    ],
)
def test_the_verdict_on_training(given, says):
    (told,) = training(after(**given))
    assert told.diverged == given.get("diverged", 0)
    assert told.seeds == 5 - told.diverged
    assert verdict([], [], [told]).training == says
    lost = dataclasses.replace(told, parametrisation="standard", growth=(9.0, 8.0, 10.0))
    both = "survives in part" if says == "survives" else says
    assert verdict([], [], [told, lost]).training == both


def test_growth_is_compared_within_seeds():
    frame = after(1.5, 0.05)
    frame["same.raw"] *= 2.0 ** frame["seed"]  # seeds differ sixteenfold, their growth does not
    (told,) = training(frame)
    assert told.growth == pytest.approx((1.5, 1.5, 1.5))


def test_growth_by_the_features_is_that_under_a_fresh_head():
    (told,) = training(after(3.0, 0.05))
    assert told.features == pytest.approx((0.6, 0.6, 0.6))  # planted: a fifth of the error is left under it
