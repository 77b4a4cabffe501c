"""Does it hold, and does it outlive training? The rules of the verdicts, stated in the notebook before its results."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lpntk.kernel.signs import factor
from lpntk.phenomena.width.rates import Factor, Rate, by_width, settings
from lpntk.report.slopes import Slope, mean_interval, slope

GROWTH, TRAINED_FACTOR_SLACK, LEARNED = 2.0, 0.1, 0.9


@dataclass(frozen=True)
class Training:
    """What training did to the networks of one setting and width, means over the seeds that stayed finite.

    Attributes:
        depth: hidden layers.
        parametrisation: of the network.
        width: of its hidden layers.
        k: classes.
        seeds: networks that stayed finite to the end.
        diverged: networks that did not.
        test: accuracy.
        before: error of pairs of one label at the initialisation.
        after: at the end, and its 95 % interval.
        growth: geometric mean over seeds of the second over the first, and its 95 % interval.
        features: the same under a fresh last layer, so by the trained features alone.
        factor: of pairs of two labels at the end, and its 95 % interval.
        negative: share of pairs of two labels with a negative kernel at the end.
    """

    depth: int
    parametrisation: str
    width: int
    k: int
    seeds: int
    diverged: int
    test: float
    before: float
    after: tuple[float, float, float]
    growth: tuple[float, float, float]
    features: tuple[float, float, float]
    factor: tuple[float, float, float]
    negative: float

    @property
    def error_kept(self) -> bool | None:
        """Whether the error at most doubled; None if the interval does not decide."""
        return _inside(self.growth, 0, GROWTH)

    @property
    def factor_kept(self) -> bool | None:
        """Whether the factor is 1 - 4/K up to 0.1; None if the interval does not decide."""
        law = factor(self.k)
        return _inside(self.factor, law - TRAINED_FACTOR_SLACK, law + TRAINED_FACTOR_SLACK)

    @property
    def survives(self) -> bool | None:
        """Whether the law is still there after training; None if that is not decided."""
        kept = self.error_kept, self.factor_kept
        return False if False in kept else None if None in kept else True

    @property
    def judged(self) -> bool:
        """Whether no network diverged and they learned."""
        return not self.diverged and self.test >= LEARNED


def _inside(interval: tuple[float, float, float], low: float, high: float) -> bool | None:
    """Is a (mean, low, high) within two limits as a whole? False if it is outside as a whole, None otherwise."""
    _, start, end = interval
    return True if low <= start and end <= high else False if end < low or start > high else None


def training(frame: pd.DataFrame) -> list[Training]:
    """Summarise the first and the last checkpoint of every setting and width."""
    first, last = frame["epoch"].min(), frame["epoch"].max()
    found = []
    for depth, parametrisation in settings(frame):
        for width in sorted(frame["width"].unique()):
            here = frame[
                (frame["depth"] == depth) & (frame["parametrisation"] == parametrisation) & (frame["width"] == width)
            ]
            end = here[here["epoch"] == last]
            done = end[end["diverged"] == 0]
            start = here[(here["epoch"] == first) & here["seed"].isin(done["seed"])]
            own, fresh = (done.set_index("seed")[f"same.{head}"] for head in ("raw", "fresh"))
            before = start.set_index("seed")["same.raw"]
            found.append(
                Training(
                    depth, parametrisation, int(width), int(end["k"].iloc[0]), len(done), len(end) - len(done),
                    float(done["test"].mean()), float(start["same.raw"].mean()), mean_interval(done["same.raw"]),
                    ratio_interval(before, own), ratio_interval(before, fresh),
                    mean_interval(done["different.factor"]), float(done["different.negative"].mean()),
                )
            )  # fmt: skip
    return found


def ratio_interval(before: pd.Series, after: pd.Series) -> tuple[float, float, float]:
    """Return the geometric mean over seeds of ``after / before``, both indexed by seed, and its 95 % interval."""
    return tuple(float(np.exp(value)) for value in mean_interval(np.log(after / before)))


def trained_slopes(frame: pd.DataFrame) -> dict[tuple[int, str], Slope]:
    """Return, by setting, how the error of pairs of one label falls with the width after training.

    Seeds of which a network diverged are left out; NaN if fewer than two remain.
    """
    end, found = frame[frame["epoch"] == frame["epoch"].max()], {}
    for depth, parametrisation in settings(frame):
        table = by_width(end, "same.raw", depth, parametrisation, int(end["k"].iloc[0])).dropna()
        nothing = Slope(*[float("nan")] * 3)
        found[depth, parametrisation] = slope(table.columns, table.to_numpy()) if len(table) > 1 else nothing
    return found


@dataclass(frozen=True)
class Verdict:
    """The verdicts by the rules of the notebook, as words."""

    rate: str
    exponents: str
    factor: str
    training: str


def verdict(found: Sequence[Rate], measured: Sequence[Factor], after: Sequence[Training]) -> Verdict:
    """Apply the rules. Rates count for pairs of one label, training at the greatest width."""
    own = [r for r in found if r.quantity == "same.raw"]
    widest = [t for t in after if t.width == max(t.width for t in after)]
    kept = [t.survives for t in widest]
    if not all(t.judged for t in widest):
        trained = "cannot be judged"
    elif True in kept and False in kept:
        trained = "survives in part"
    elif None in kept:
        trained = "is not decided"
    else:
        trained = "survives" if all(kept) else "does not survive"
    return Verdict(
        rate="holds" if all(r.no_slower for r in own) else "does not hold",
        exponents="are confirmed" if all(r.as_derived for r in own) else "are not all confirmed",
        factor="holds" if all(f.holds for f in measured) else "does not hold",
        training=trained,
    )
