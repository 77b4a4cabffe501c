"""Is it an order or an impression? Paired tests over targets: each target is its own control.

The unit is a target, its difficulty averaged over runs: many runs on one target tell about that target only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from lpntk.phenomena.company.groups import PAPER_GROUPS, Company

LEVEL = 0.05
PAIRS = (("most", "middle"), ("middle", "least"), ("most", "least"), ("most", "random"), ("random", "least"),
         ("most", "other"), ("random", "other"), ("least", "other"))  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """Two kinds of company, the first predicted easier.

    Attributes:
        easier: the first group.
        harder: the second group.
        difference: mean difficulty in the second minus that in the first, nats, over targets.
        targets_easier: share of targets that were easier in the first.
        p: one-sided Wilcoxon signed-rank test over targets, that the first is easier.
        p_reverse: the same test of the opposite.
    """

    easier: str
    harder: str
    difference: float
    targets_easier: float
    p: float
    p_reverse: float


def by_target(kept: Sequence[dict[str, Company]], group: str) -> np.ndarray:
    """Return the difficulty of every target of every reference network, means over runs: (references k,)."""
    return np.concatenate([told[group].difficulty.nanmean(dim=0).numpy() for told in kept])


def compare(kept: Sequence[dict[str, Company]], easier: str, harder: str) -> Comparison:
    """Test over targets whether one company makes them easier than another."""
    a, b = by_target(kept, easier), by_target(kept, harder)
    gap = b - a
    p, reverse = (float(stats.wilcoxon(gap, alternative=side).pvalue) for side in ("greater", "less"))
    share = np.where(np.isnan(gap), np.nan, gap > 0).mean()  # of a target never learned in peace nobody can tell
    return Comparison(easier, harder, float(gap.mean()), float(share), p, reverse)


def summary(kept: Sequence[dict[str, Company]]) -> list[dict[str, float | str]]:
    """Return one row per kind of company: mean kernel, share of it below zero, difficulty (nats, over targets), loss at
    the end, and whether the targets were learned with every reference; diverged and unstable runs.
    """
    return [
        {
            "company": group,
            "kernel": float(np.mean([told[group].kernel.numpy() for told in kept])),
            "negative": float(np.mean([told[group].negative for told in kept])),
            "difficulty": float(by_target(kept, group).mean()),
            "spread": float(by_target(kept, group).std(ddof=1)),
            "last_loss": float(np.mean([float(told[group].loss[:, -1].nanmean()) for told in kept])),
            "stable": all(told[group].stable for told in kept),
            "learned": all(told[group].learned for told in kept),
            "diverged": sum(told[group].diverged for told in kept),
            "unstable": sum(told[group].unstable for told in kept),
        }
        for group in kept[0]
    ]


@dataclass(frozen=True)
class Order:
    """The paper's order, tested.

    Attributes:
        page: p of Page's test that difficulty rises from ``most`` over ``middle`` to ``least``, over targets; NaN if
            all runs of a group were unstable.
        page_reverse: p of the opposite order.
        steps: the two neighbouring comparisons.
        learned: whether the targets were learned in the most interchangeable company.
        stable: whether at most a tenth of the runs of each of the three was unstable.
    """

    page: float
    page_reverse: float
    steps: tuple[Comparison, Comparison]
    learned: bool
    stable: bool = True

    @property
    def verdict(self) -> str:
        """``holds``, ``holds in part``, ``fails``, ``is not found`` or ``cannot be judged``, as the notebook states."""
        if not (self.learned and self.stable) or np.isnan(self.page):
            return "cannot be judged"
        if self.page < LEVEL:
            return "holds" if all(step.p < LEVEL for step in self.steps) else "holds in part"
        return "fails" if self.page_reverse < LEVEL else "is not found"


def order(kept: Sequence[dict[str, Company]]) -> Order:
    """Test the order of the paper's three groups over all targets of all reference networks.

    Args:
        kept: one result of ``keep_company`` per reference network.
    """
    table = np.stack([by_target(kept, group) for group in PAPER_GROUPS], axis=1)  # (targets, 3)
    page = reverse = float("nan")
    if np.isfinite(table).all():
        page, reverse = (float(stats.page_trend_test(ranked).pvalue) for ranked in (table, table[:, ::-1]))
    steps = (compare(kept, "most", "middle"), compare(kept, "middle", "least"))
    return Order(page, reverse, steps, all(told["most"].learned for told in kept),
                 all(told[group].stable for told in kept for group in PAPER_GROUPS))  # fmt: skip
