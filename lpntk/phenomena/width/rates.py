"""How fast does the error fall with the width, what do two labels keep, and what is left of both after training?

One row per setting (parametrisation and depth, such as ``ntk-2``) and case. Intervals are t intervals over seeds.
"""

import numpy as np
import pandas as pd

from lpntk.kernel.signs import factor
from lpntk.report.slopes import mean_interval, slope

QUANTITIES = {
    "same.raw": "lpNTK, same label",
    "same.pntk": "pNTK, same label",
    "different.pntk": "pNTK, two labels",
    "different.rescaled": "rescaled lpNTK, two labels",
    "different.raw": "lpNTK, two labels",
}
PREDICTED = {"same.raw": "same.predicted", "same.pntk": "same.predicted", "different.rescaled": "different.predicted"}


def settings(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the rows of every setting by its name."""
    groups = frame.groupby(["parametrisation", "depth"])
    return {f"{parametrisation}-{depth}": rows for (parametrisation, depth), rows in groups}


def words(setting: str, layer: str = "hidden layer") -> str:
    """Return the name of a setting for readers, such as ``NTK, two hidden layers``."""
    parametrisation, depth = setting.split("-")
    count = {"1": "one", "2": "two", "3": "three"}.get(depth, depth)
    return f"{'NTK' if parametrisation == 'ntk' else parametrisation}, {count} {layer}{'s' * (depth != '1')}"


def exponent(setting: str) -> float:
    """Return the exponent of the width that the theorem's page derives for the error of pairs of one label."""
    return -1.5 if setting == "standard-1" else -0.5


def by_width(rows: pd.DataFrame, quantity: str, k: int) -> pd.DataFrame:
    """Return one quantity of one setting at K classes: a row per seed, a column per width."""
    return rows[rows["k"] == k].pivot(index="seed", columns="width", values=quantity)


def rates(frame: pd.DataFrame, k: int, level: float) -> pd.DataFrame:
    """Fit every error of every setting at K classes.

    Args:
        frame: of ``study.initial``.
        k: classes.
        level: of the intervals.

    Returns:
        One row per setting and error: the slope ``value`` with ``low`` and ``high`` over all widths; the same under
        ``wide.*`` over the wider half of them (at least three, or all); the ``exponent`` derived for great widths, 0
        for pairs of two labels that are not rescaled, which do not converge; the slope of the ``formula`` over the
        wider half, and the least and largest ``ratio.*`` of measured to predicted over widths (root mean squares over
        seeds), both NaN where nothing is predicted.
    """
    found, rms = [], lambda table: np.sqrt((table**2).mean())  # (widths,) over seeds
    for setting, rows in settings(frame).items():
        for quantity in QUANTITIES:
            if quantity == "different.raw" and k == 2:
                continue  # the factor is -1: nothing to tell from the others
            table = by_width(rows, quantity, k)
            wide = table.columns[-max(3, (len(table.columns) + 1) // 2) :]
            row = {"setting": setting, "quantity": quantity}
            row |= zip(("value", "low", "high"), slope(table.columns, table, level), strict=True)
            fit = slope(wide, table[wide], level)
            row |= zip(("wide.value", "wide.low", "wide.high"), fit, strict=True)
            row["exponent"] = 0.0 if quantity == "different.raw" else exponent(setting)
            if quantity in PREDICTED:
                predicted = by_width(rows, PREDICTED[quantity], k)
                ratio = rms(table) / rms(predicted)
                row |= {"formula": slope(wide, predicted[wide], level)[0]}
                row |= {"ratio.low": ratio.min(), "ratio.high": ratio.max()}
            found.append(row)
    return pd.DataFrame(found)


def factors(frame: pd.DataFrame, level: float) -> pd.DataFrame:
    """Return what pairs of two labels keep of the kernel at the greatest width.

    Returns:
        One row per setting and K: ``mean`` over seeds, ``low``, ``high``, and the ``law`` 1 - 4 / K.
    """
    width, found = int(frame["width"].max()), []
    for setting, rows in settings(frame).items():
        for k in sorted(map(int, frame["k"].unique())):
            mean = mean_interval(by_width(rows, "different.factor", k)[width], level)
            row = {"setting": setting, "k": k, "width": width, "law": factor(k)}
            found.append(row | dict(zip(("mean", "low", "high"), mean, strict=True)))
    return pd.DataFrame(found)


def aftermath(frame: pd.DataFrame, level: float) -> pd.DataFrame:
    """Compare the first and the last checkpoint of networks that stayed finite.

    Args:
        frame: of ``training.trained``.
        level: of the intervals.

    Returns:
        One row per setting and width: ``seeds`` that stayed finite, ``diverged`` ones, ``test`` accuracy; the error of
        pairs of one label ``before`` and ``after``, its ``growth`` with ``growth_low`` and ``growth_high`` (geometric
        mean over seeds), and the growth under a fresh last layer, so by the ``features`` alone; the ``factor`` of pairs
        of two labels likewise, the ``law`` it had, and the share of them that are ``negative``.
    """
    first, last, found = frame["epoch"].min(), frame["epoch"].max(), []
    for setting, of in settings(frame).items():
        for width, rows in of.groupby("width"):
            end = rows[rows["epoch"] == last].set_index("seed")
            done = end[end["diverged"] == 0]
            before = rows[rows["epoch"] == first].set_index("seed")["same.raw"].loc[done.index]
            growth = np.exp(mean_interval(np.log(done["same.raw"] / before), level))
            kept = mean_interval(done["different.factor"], level)
            found.append(
                {
                    "setting": setting, "width": int(width), "seeds": len(done), "diverged": len(end) - len(done),
                    "test": done["test"].mean(), "before": before.mean(), "after": done["same.raw"].mean(),
                    "growth": growth[0], "growth_low": growth[1], "growth_high": growth[2],
                    "features": np.exp(np.log(done["same.fresh"] / before).mean()),
                    "factor": kept[0], "factor_low": kept[1], "factor_high": kept[2],
                    "law": factor(int(end["k"].iloc[0])), "negative": done["different.negative"].mean(),
                }
            )  # fmt: skip
    return pd.DataFrame(found)


def trained_slopes(frame: pd.DataFrame, level: float) -> pd.DataFrame:
    """Return how the error of pairs of one label falls with the width after training.

    Returns:
        One row per setting: ``slope``, ``slope_low``, ``slope_high``. Seeds of which a network diverged are left out;
        NaN if fewer than two remain.
    """
    found, end = [], frame[frame["epoch"] == frame["epoch"].max()]
    for setting, rows in settings(end).items():
        table = by_width(rows, "same.raw", int(rows["k"].iloc[0])).dropna()
        fit = slope(table.columns, table, level) if len(table) > 1 else [float("nan")] * 3
        found.append({"setting": setting, **dict(zip(("slope", "slope_low", "slope_high"), fit, strict=True))})
    return pd.DataFrame(found)
