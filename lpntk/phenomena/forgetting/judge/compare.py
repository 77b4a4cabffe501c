"""Which predictor is better? Runs compared in pairs, the verdict by the rule that the notebook states."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lpntk.phenomena.forgetting.judge.summary import Judged

MIN_SEEDS, MIN_EVENTS = 6, 30  # below either nothing is judged; five runs cannot reach p < 0.05 on two sides
SHARE, LEVEL = 0.9, 0.05


@dataclass(frozen=True)
class Comparison:
    """One predictor against another over the runs of a setting.

    Attributes:
        wins: runs in which the first has the larger value.
        losses: runs in which the second has.
        runs: with a value for both.
        events: in these runs together.
        difference: mean of first minus second.
        p: two-sided Wilcoxon signed-rank test over runs.
    """

    wins: int
    losses: int
    runs: int
    events: int
    difference: float
    p: float

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, ``undecided`` or ``cannot be judged``, by the rule that the notebook states."""
        if self.runs < MIN_SEEDS or self.events < MIN_EVENTS:
            return "cannot be judged"
        if max(self.wins, self.losses) < SHARE * self.runs or self.p >= LEVEL:
            return "undecided"
        return "better" if self.wins > self.losses else "worse"


def overall(verdicts: Sequence[str]) -> str:
    """Return ``holds`` if all that could be judged are ``better``, ``holds in part`` if some are; ``fails`` if all are
    ``worse``; else ``is undecided``, or ``cannot be judged`` if none could be.
    """
    judged = [verdict for verdict in verdicts if verdict != "cannot be judged"]
    if not judged:
        return "cannot be judged"
    won, lost = judged.count("better"), judged.count("worse")
    if won:
        return "holds" if won == len(judged) else "holds in part"
    return "fails" if lost == len(judged) else "is undecided"


def compare(judged: Judged, first: str, second: str, measure: str = "f1", against: str | None = None) -> Comparison:
    """Compare two predictors run by run.

    Args:
        judged: one setting.
        first: a predictor.
        second: another one.
        measure: see ``Judged.values``.
        against: measure of the second, if it is another one (``best_f1`` is the hindsight of a fitted threshold).
    """
    from scipy.stats import wilcoxon  # slow to import

    a, b = judged.values[first][measure], judged.values[second][against or measure]
    both = np.isfinite(a) & np.isfinite(b)
    gap = (a - b)[both]
    wins, losses = int((gap > 0).sum()), int((gap < 0).sum())
    return Comparison(
        wins=wins,
        losses=losses,
        runs=len(gap),
        events=int(judged.total[both].sum()),
        difference=float(gap.mean()) if len(gap) else math.nan,
        p=float(wilcoxon(gap).pvalue) if gap.any() else 1.0,
    )
