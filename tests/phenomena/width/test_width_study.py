import numpy as np
import pandas as pd
import pytest
import torch
from oracle import oracle_kernel
from rows import each_row

from lpntk.data import dataset as data
from lpntk.keep.cache import Cache
from lpntk.kernel.signs import factor
from lpntk.phenomena.width import figures, tables, verdicts
from lpntk.phenomena.width.networks import PARAMETRISATIONS, Weights, draw, module
from lpntk.phenomena.width.rates import QUANTITIES, aftermath, exponent, factors, rates, trained_slopes, words
from lpntk.phenomena.width.study import balanced, initial
from lpntk.phenomena.width.training import trained

DIGITS = data.load("digits")
SMALL = {"depths": [1, 2], "widths": [8, 16], "ks": [3, 10], "seeds": 2, "seed": 0, "per_class": 2}
RULE = {"slowest": -0.45, "exponent": 0.15, "factor": 0.02, "growth": 2.0, "trained": 0.1, "learned": 0.9}
TRAINED = {"depths": [1], "widths": [8], "seeds": 1, "seed": 0, "n": 60, "per_class": 2, "batch_size": 20}


def test_balanced_rows_are_as_many_of_every_class():
    rows = balanced(DIGITS, 3, seed=1)
    assert DIGITS.y_train[rows].bincount().tolist() == [3] * 10
    assert not torch.equal(rows, balanced(DIGITS, 3, seed=2))
    with pytest.raises(ValueError, match=r"class 0 has \d+ samples, not 5000: lower per_class"):
        balanced(DIGITS, 5000, seed=0)


@each_row("parametrisation", PARAMETRISATIONS)
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
    assert np.isnan(trained_slopes(frame, 0.95)["slope"].item())
    after = aftermath(frame, 0.95)
    assert (after["diverged"].item(), after["seeds"].item()) == (1, 0)
    assert np.isnan(after["after"].item())
    assert str(verdicts.training(after, RULE)) == "cannot be judged"


# ---- the rules, on planted results


def planted(same=None, fold=1.0, shift=0.0, seed=0, noise=0.05):
    """Results whose slopes and factors are known."""
    generator, rows = np.random.default_rng(seed), []
    for s in range(10):
        for depth in (1, 2):
            for parametrisation in PARAMETRISATIONS:
                power = exponent(f"{parametrisation}-{depth}") if same is None else same
                for width in 2 ** np.arange(5, 12):
                    for k in (2, 10):
                        off = lambda: np.exp(noise * generator.standard_normal())
                        row = {"seed": s, "depth": depth, "parametrisation": parametrisation, "width": width, "k": k}
                        row |= {q: float(width) ** power * off() for q in QUANTITIES}
                        row |= {"same.predicted": float(width) ** power * fold, "different.predicted": width**power}
                        row |= {"different.raw": 0.4 * off()}
                        row |= {"different.factor": factor(k) + shift + 0.01 * generator.standard_normal()}
                        rows.append(row)
    return pd.DataFrame(rows)


def learned(growth, lost, test=0.95, noise=0.0, diverged=0, parametrisation="ntk"):
    """Five networks before and after training; every second one has a growth and loss that is ``noise`` higher."""
    rows = []
    for s in range(5):
        for epoch in (0, 5):
            done = epoch > 0
            off = noise * (s % 2) if done else 0.0
            row = {"depth": 2, "parametrisation": parametrisation, "width": 64, "seed": s, "epoch": epoch, "k": 10}
            row |= {"test": test, "diverged": float(done and s < diverged), "different.negative": 0.0}
            row |= {"same.raw": 0.1 * ((growth + off) if done else 1)}
            row |= {"same.fresh": 0.2 * row["same.raw"]}  # a fifth is left under a fresh head
            rows.append(row | {"different.factor": 0.6 - (lost + off if done else 0)})
    return pd.DataFrame(rows)


def after(*args, **given):
    return aftermath(learned(*args, **given), 0.95)


def test_planted_rates_are_found():
    found = rates(planted(), 10, 0.95)
    assert len(found) == 4 * len(QUANTITIES)
    np.testing.assert_allclose(found["wide.value"], found["exponent"], atol=0.05)
    np.testing.assert_allclose(found["value"], found["exponent"], atol=0.05)
    told = found[found["quantity"].isin(["same.raw", "different.rescaled"])]
    np.testing.assert_allclose(told["formula"], told["exponent"])
    assert found[found["quantity"] == "different.pntk"]["formula"].isna().all()
    off = rates(planted(fold=2.0), 10, 0.95).query("quantity == 'same.raw'")
    assert (off["ratio.low"].between(0.45, 0.5) & off["ratio.high"].between(0.5, 0.55)).all()


def test_planted_factors_are_found():
    found = factors(planted(), 0.95)
    np.testing.assert_allclose(found["mean"], found["law"], atol=0.015)
    assert set(zip(found["setting"], found["k"], strict=True)) == {
        (f"{p}-{d}", k) for p in PARAMETRISATIONS for d in (1, 2) for k in (2, 10)
    }
    worst, inside = verdicts.deviation(factors(planted(shift=0.05), 0.95))
    assert worst == pytest.approx(0.05, abs=0.015)
    assert inside == 0


def test_planted_slopes_after_training_are_found():
    frame = planted()
    found = trained_slopes(frame[frame["k"] == 10].assign(epoch=1), 0.95)
    np.testing.assert_allclose(found["slope"], found["setting"].map(exponent), atol=0.05)
    assert (found["slope_low"] < found["slope"]).all()


@each_row(
    ("given", "claim", "says"),
    [
        ({}, "rate", "holds"),
        ({"same": -0.4}, "rate", "fails"),
        ({"same": -0.45, "noise": 0.3}, "rate", "is undecided"),
        ({"same": -0.9}, "rate", "holds"),
        ({}, "exponents", "holds"),
        ({"same": -0.9}, "exponents", "fails"),
        ({"same": -0.5}, "exponents", "holds in part"),  # but not with one hidden layer, standard
        ({}, "law", "holds"),
        ({"shift": 0.05}, "law", "fails"),
    ],
)
def test_the_verdicts_follow_their_rules(given, claim, says):
    frame = planted(**given)
    found = factors(frame, 0.95) if claim == "law" else rates(frame, 10, 0.95)
    assert str(getattr(verdicts, claim)(found, RULE)) == says


@each_row(
    ("given", "says"),
    [
        ({"growth": 1.5, "lost": 0.05}, "holds"),
        ({"growth": 3.0, "lost": 0.05}, "fails"),
        ({"growth": 1.5, "lost": 0.2}, "fails"),
        ({"growth": 1.5, "lost": -0.2}, "fails"),
        ({"growth": 1.9, "lost": 0.0, "noise": 0.09}, "holds"),  # the mean is below, and so is the interval
        ({"growth": 1.8, "lost": -0.15, "noise": 0.3}, "is undecided"),  # the mean is below, the interval is not
        ({"growth": 1.8, "lost": 0.2, "noise": 0.3}, "fails"),  # one of two is enough
        ({"growth": 1.5, "lost": 0.05, "test": 0.5}, "cannot be judged"),
        ({"growth": 1.5, "lost": 0.05, "diverged": 1}, "cannot be judged"),  # of five
    ],
)
def test_the_verdict_on_training(given, says):
    told = after(**given)
    assert told["diverged"].item() == given.get("diverged", 0)
    assert told["seeds"].item() == 5 - given.get("diverged", 0)
    assert str(verdicts.training(told, RULE)) == says
    lost = pd.concat([told, after(9.0, 0.05, parametrisation="standard")])
    assert str(verdicts.training(lost, RULE)) == ("holds in part" if says == "holds" else says)


def test_the_verdict_on_training_is_that_of_the_greatest_width():
    narrow = after(9.0, 0.05).assign(width=32)
    assert str(verdicts.training(pd.concat([narrow, after(1.5, 0.05)]), RULE)) == "holds"


def test_growth_is_compared_within_seeds():
    frame = learned(1.5, 0.05)
    frame["same.raw"] *= 2.0 ** frame["seed"]  # seeds differ sixteenfold, their growth does not
    told = aftermath(frame, 0.95)
    assert told[["growth", "growth_low", "growth_high"]].to_numpy() == pytest.approx(np.full((1, 3), 1.5))


def test_growth_is_a_factor_so_its_mean_is_the_geometric_one():
    told = after(1.0, 0.05, noise=3.0)  # two of five grow fourfold
    assert told["growth"].item() == pytest.approx(4**0.4)
    assert told["features"].item() == pytest.approx(0.2 * 4**0.4)


def test_growth_by_the_features_is_that_under_a_fresh_head():
    assert after(3.0, 0.05)["features"].item() == pytest.approx(0.6)


# ---- what is shown


def test_settings_have_names():
    assert words("ntk-1") == "NTK, one hidden layer"
    assert words("standard-4", "layer") == "standard, 4 layers"


def test_tables_say_numbers_with_intervals():
    frame = planted()
    text = tables.rates(rates(frame, 10, 0.95)).to_html()
    assert "NTK, one layer" in text
    assert "-0.50" in text
    assert "1 - 4/K" in tables.factors(factors(frame, 0.95)).to_html()
    text = tables.training(after(1.5, 0.05, diverged=1), RULE).to_html()
    assert "4 (+ 1 diverged)" in text
    assert "cannot be judged" in text


def test_figures_have_a_panel_for_each_setting_and_one_legend():
    frame = planted().assign(epoch=0, share=0.5, directions=8.0)
    both = pd.concat([frame[frame["k"] == 10].assign(epoch=e, **{"same.fresh": 0.1}) for e in (0, 5)])
    for figure, panels in (
        (figures.errors(frame, 10), 4),
        (figures.factors(frame), 2),
        (figures.shares(frame, 10), 2),
        (figures.trained(both), 4),
        (figures.learning(both), 4),
    ):
        assert [ax.has_data() for ax in figure.axes] == [True] * panels
        assert len(figure.legends) == 1
