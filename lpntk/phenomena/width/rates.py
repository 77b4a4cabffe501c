"""How fast does the error fall with the width, and what do two labels keep? Beside what the theorem's page derives."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lpntk.kernel.signs import factor
from lpntk.report.slopes import Slope, mean_interval, slope

RATE, RATE_SLACK = -0.5, 0.05  # no slower than the square root, up to the slack
EXPONENT_SLACK, FACTOR_SLACK = 0.15, 0.02

QUANTITIES = {
    "same.raw": "lpNTK, same label",
    "same.pntk": "pNTK, same label",
    "different.pntk": "pNTK, two labels",
    "different.rescaled": "rescaled lpNTK, two labels",
    "different.raw": "lpNTK, two labels",
}


def exponent(depth: int, parametrisation: str) -> float:
    """Return the exponent of the width that the theorem's page derives for the error of pairs of one label."""
    return -1.5 if (depth, parametrisation) == (1, "standard") else -0.5


def setting(depth: int, parametrisation: str) -> str:
    """Return the name of a setting in ``numbers.json``: ``ntk-2``."""
    return f"{parametrisation}-{depth}"


def settings(frame: pd.DataFrame) -> list[tuple[int, str]]:
    """Return the (depth, parametrisation) that occur, in order."""
    return sorted({(int(d), str(p)) for d, p in zip(frame["depth"], frame["parametrisation"], strict=True)},
                  key=lambda s: (s[1], s[0]))  # fmt: skip


def by_width(frame: pd.DataFrame, quantity: str, depth: int, parametrisation: str, k: int) -> pd.DataFrame:
    """Return one quantity of one setting as a table: a row per seed, a column per width."""
    chosen = frame[(frame["depth"] == depth) & (frame["parametrisation"] == parametrisation) & (frame["k"] == k)]
    return chosen.pivot(index="seed", columns="width", values=quantity)


@dataclass(frozen=True)
class Rate:
    """How one error of one setting falls with the width.

    Attributes:
        depth: hidden layers.
        parametrisation: of the gradient.
        quantity: a key of ``QUANTITIES``.
        all: over all widths.
        wide: over the wider half of them (at least three, or all).
        exponent: derived for great widths; 0 for pairs of two labels that are not rescaled, which do not converge.
        formula: slope of the predicted error over the same wider half; NaN where nothing is predicted.
        ratio: smallest and largest ratio of measured to predicted error over widths (root mean squares over seeds);
            NaN where nothing is predicted.
    """

    depth: int
    parametrisation: str
    quantity: str
    all: Slope
    wide: Slope
    exponent: float
    formula: float
    ratio: tuple[float, float]

    @property
    def no_slower(self) -> bool:
        """Whether the interval over all widths ends at -1/2 or below, up to the slack."""
        return self.all.high <= RATE + RATE_SLACK

    @property
    def as_derived(self) -> bool:
        """Whether the interval over the wider half lies around the exponent."""
        return self.wide.within(self.exponent, EXPONENT_SLACK)


PREDICTED = {"same.raw": "same.predicted", "same.pntk": "same.predicted", "different.rescaled": "different.predicted"}


def rates(frame: pd.DataFrame, k: int) -> list[Rate]:
    """Fit every error of every setting at K classes."""
    found = []
    for depth, parametrisation in settings(frame):
        for quantity in QUANTITIES:
            if quantity == "different.raw" and k == 2:
                continue  # the factor is -1: nothing to tell from the others
            table = by_width(frame, quantity, depth, parametrisation, k)
            widths = table.columns.to_numpy()
            wide = widths[-max(3, (len(widths) + 1) // 2) :]
            formula, ratio = float("nan"), (float("nan"), float("nan"))
            if quantity in PREDICTED:
                rms = lambda t: np.sqrt((t**2).mean())  # (widths,) over seeds
                predicted = by_width(frame, PREDICTED[quantity], depth, parametrisation, k)
                each = rms(table) / rms(predicted)
                formula = slope(wide, predicted[list(wide)].to_numpy()).value
                ratio = (float(each.min()), float(each.max()))
            limit = 0.0 if quantity == "different.raw" else exponent(depth, parametrisation)
            fits = slope(widths, table.to_numpy()), slope(wide, table[list(wide)].to_numpy())
            found.append(Rate(depth, parametrisation, quantity, *fits, limit, formula, ratio))
    return found


@dataclass(frozen=True)
class Factor:
    """What pairs of two labels keep of the kernel, at one width: mean over seeds and its 95 % interval."""

    depth: int
    parametrisation: str
    k: int
    width: int
    mean: float
    low: float
    high: float

    @property
    def law(self) -> float:
        """1 - 4 / K."""
        return factor(self.k)

    @property
    def holds(self) -> bool:
        """Whether the whole interval is the law's up to the slack."""
        return self.law - FACTOR_SLACK <= self.low and self.high <= self.law + FACTOR_SLACK


def factors(frame: pd.DataFrame, width: int | None = None) -> list[Factor]:
    """Return the measured factor of every setting and K, at the greatest width unless another is given."""
    width = int(width or frame["width"].max())
    return [
        Factor(depth, parametrisation, int(k), width,
               *mean_interval(by_width(frame, "different.factor", depth, parametrisation, k)[width].to_numpy()))
        for depth, parametrisation in settings(frame)
        for k in sorted(frame["k"].unique())
    ]  # fmt: skip
