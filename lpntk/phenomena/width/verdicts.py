"""Does the law hold, and does it outlive training? By the thresholds that the notebook states before its results.

An interval holds if it lies within the limits as a whole, fails if it lies outside as a whole, and decides nothing
otherwise. Settings are joined as everywhere in this book.
"""

from collections.abc import Mapping

import pandas as pd

from lpntk.phenomena.width.rates import words
from lpntk.report.spread import estimate
from lpntk.report.verdict import FAILS, HOLDS, UNDECIDED, UNJUDGED, Verdict, inside, overall


def rate(rates: pd.DataFrame, rule: Mapping[str, float]) -> Verdict:
    """Is the slope over all widths, of lpNTK for pairs of one label, at most ``rule["slowest"]``?"""
    own = rates[rates["quantity"] == "same.raw"]
    found = [inside(r.low, r.high, most=rule["slowest"]) for r in own.itertuples()]
    told = (f"{words(r.setting)}: {estimate(r.value, r.low, r.high)}" for r in own.itertuples())
    return Verdict(overall(found), "; ".join(told))


def exponents(rates: pd.DataFrame, rule: Mapping[str, float]) -> Verdict:
    """Is the slope over the wider half, for pairs of one label, the derived one up to ``rule["exponent"]``?"""
    found, told = [], []
    for r in rates[rates["quantity"] == "same.raw"].to_dict("records"):
        limits = r["exponent"] - rule["exponent"], r["exponent"] + rule["exponent"]
        found.append(inside(r["wide.low"], r["wide.high"], *limits))
        told.append(f"{words(r['setting'])}: {estimate(r['wide.value'], r['wide.low'], r['wide.high'])} for "
                    f"{r['exponent']:g} (the formula there: {r['formula']:.3f})")  # fmt: skip
    return Verdict(overall(found), "; ".join(told))


def law(factors: pd.DataFrame, rule: Mapping[str, float]) -> Verdict:
    """Is the factor of pairs of two labels 1 - 4/K up to ``rule["factor"]``, at the greatest width and for every K?"""
    slack = rule["factor"]
    found = [inside(r.low, r.high, r.law - slack, r.law + slack) for r in factors.itertuples()]
    worst, inner = deviation(factors)
    told = f"the largest deviation is {worst:.4f}, and {inner} of {len(factors)} intervals contain it"
    return Verdict(overall(found), told)


def deviation(factors: pd.DataFrame) -> tuple[float, int]:
    """Return the largest deviation of a mean from the law, and how many intervals contain it."""
    inner = (factors["low"] <= factors["law"]) & (factors["law"] <= factors["high"])
    return (factors["mean"] - factors["law"]).abs().max(), int(inner.sum())


def fates(after: pd.DataFrame, rule: Mapping[str, float]) -> list[str]:
    """Return, row by row, whether the law is still there after training.

    It is if the error grew at most to its ``rule["growth"]``-fold and the factor stayed within ``rule["trained"]``.
    A row cannot be judged if a network diverged or the mean test accuracy is below ``rule["learned"]``.
    """
    found, slack = [], rule["trained"]
    for r in after.itertuples():
        both = {
            inside(r.growth_low, r.growth_high, 0, rule["growth"]),
            inside(r.factor_low, r.factor_high, r.law - slack, r.law + slack),
        }
        word = FAILS if FAILS in both else UNDECIDED if UNDECIDED in both else HOLDS
        found.append(UNJUDGED if r.diverged or not r.test >= rule["learned"] else word)
    return found


def training(after: pd.DataFrame, rule: Mapping[str, float]) -> Verdict:
    """Does the law outlive training at the greatest width? One setting that cannot be judged leaves it open."""
    wide = after[after["width"] == after["width"].max()]
    found = fates(wide, rule)
    told = (
        f"{words(r.setting)}: error {r.before:.3f} → {r.after:.3f}, times "
        f"{estimate(r.growth, r.growth_low, r.growth_high, '{:.2f}')}, factor "
        f"{estimate(r.factor, r.factor_low, r.factor_high, '{:.2f}')}"
        for r in wide.itertuples()
    )
    return Verdict(UNJUDGED if UNJUDGED in found else overall(found), "; ".join(told))
