"""How are rates, factors and trained networks told? A row per case, with intervals."""

from collections.abc import Mapping

import pandas as pd
from pandas.io.formats.style import Styler

from lpntk.phenomena.width.rates import QUANTITIES, words
from lpntk.phenomena.width.verdicts import fates
from lpntk.report.spread import estimate, interval
from lpntk.report.tables import table


def rates(found: pd.DataFrame) -> Styler:
    """Return one row per setting and error: slopes with intervals, the exponent, measured over predicted."""
    rows = [
        {
            "setting": words(r["setting"], "layer"),
            "error of": QUANTITIES[r["quantity"]],
            "all widths": estimate(r["value"], r["low"], r["high"]),
            "wider half": estimate(r["wide.value"], r["wide.low"], r["wide.high"]),
            "derived": f"{r['exponent']:g}",
            "formula": r["formula"],
            "error / predicted": interval(r["ratio.low"], r["ratio.high"], "{:.2f}"),
        }
        for r in found.to_dict("records")
    ]
    return table(rows, index="setting", formats={"formula": "{:.3f}"})


def factors(measured: pd.DataFrame) -> Styler:
    """Return one row per K: the law and every setting, with intervals."""
    rows = [
        {"K": k, "1 - 4/K": f"{1 - 4 / k:.4f}"}
        | {words(r.setting, "layer"): estimate(r.mean, r.low, r.high, "{:.4f}") for r in at.itertuples()}
        for k, at in measured.groupby("k")
    ]
    return table(rows, index="K", formats="{}")


def training(after: pd.DataFrame, rule: Mapping[str, float]) -> Styler:
    """Return one row per setting and width: error before and after, factor, contradictions, what is left of the law."""
    rows = [
        {
            "setting": words(r.setting, "layer"),
            "width": r.width,
            "networks": f"{r.seeds}" + (f" (+ {r.diverged} diverged)" if r.diverged else ""),
            "test accuracy": f"{r.test:.1%}",
            "error before": f"{r.before:.3f}",
            "error after": f"{r.after:.3f}",
            "after / before": estimate(r.growth, r.growth_low, r.growth_high, "{:.2f}"),
            "by the features": f"{r.features:.2f}",
            "factor": estimate(r.factor, r.factor_low, r.factor_high, "{:.2f}"),
            "kernel < 0": f"{r.negative:.1%}",
            "the law": word,
        }
        for r, word in zip(after.itertuples(), fates(after, rule), strict=True)
    ]
    return table(rows, index="setting", formats="{}")
