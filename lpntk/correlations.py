"""How well does the difficulty in one set predict that in another? Pearson's rho, its uncertainty, and a verdict."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from lpntk.difficulty import Repetition

CEILING, FLOOR = 0.7, 0.2  # of the verdict's rule


def pearson(a: Tensor, b: Tensor) -> float:
    """Return Pearson's rho of two (n,) vectors over the places where both are finite; NaN if one is constant there."""
    both = a.isfinite() & b.isfinite()
    a, b = (v[both].double() - v[both].double().mean() for v in (a, b))
    norm = a.norm() * b.norm()
    return float(a @ b / norm) if norm > 0 else float("nan")


def bootstrap_interval(
    a: Tensor, b: Tensor, *, seed: int, draws: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """Return a percentile bootstrap interval of Pearson's rho over samples drawn with replacement."""
    both = a.isfinite() & b.isfinite()
    a, b = a[both].double(), b[both].double()
    n = len(a)
    if n < 2:
        return float("nan"), float("nan")
    generator, rhos = np.random.default_rng(seed), []
    for _ in range(0, draws, 100):  # (100, n) at once
        rows = torch.from_numpy(generator.integers(n, size=(min(100, draws), n)))
        u, v = a[rows], b[rows]
        u, v = u - u.mean(1, keepdim=True), v - v.mean(1, keepdim=True)
        rhos.append((u * v).sum(1) / (u.norm(dim=1) * v.norm(dim=1)))
    tail = (1 - level) / 2
    return tuple(float(q) for q in np.nanquantile(torch.cat(rhos).numpy(), [tail, 1 - tail]))


def spearman(a: Tensor, b: Tensor) -> float:
    """Return Spearman's rank correlation over the places where both are finite: what a few hard samples cannot rule."""
    both = a.isfinite() & b.isfinite()
    a, b = (torch.from_numpy(stats.rankdata(v[both].numpy())) for v in (a, b))
    return pearson(a, b)


@dataclass(frozen=True)
class SizeCorrelation:
    """Pearson's rho between the universal set and the sets of one size.

    Attributes:
        rho: of the first repetition.
        low: lower end of its 95 % bootstrap interval over samples.
        high: upper end.
        mean: over repetitions with other seeds.
        spread: standard deviation over repetitions; NaN with one.
        rank: Spearman's correlation, mean over repetitions.
        learned: whether this size learned in every repetition; rho of a run that learned nothing is no evidence.
    """

    rho: float
    low: float
    high: float
    mean: float
    spread: float
    learned: bool = True
    rank: float = float("nan")


@dataclass(frozen=True)
class Correlations:
    """How well difficulty carries over from the universal set, by size, against the noise ceiling.

    Attributes:
        by_size: what each smaller size gives.
        ceiling: rho of two runs on the universal set itself, mean over repetitions.
        ceiling_spread: standard deviation over repetitions; NaN with one.
        learned: whether the universal set learned in every repetition.
        rank_ceiling: Spearman's correlation of the two runs, mean over repetitions.
        ceiling_first: rho, and the ends of its bootstrap interval, in the first repetition.
    """

    by_size: dict[int, SizeCorrelation]
    ceiling: float
    ceiling_spread: float
    learned: bool = True
    rank_ceiling: float = float("nan")
    ceiling_first: tuple[float, float, float] = (float("nan"),) * 3

    def by_rank(self) -> "Correlations":
        """Return the same with Spearman's correlations for means, which a few very hard samples cannot rule."""
        ranked = {size: replace(value, mean=value.rank) for size, value in self.by_size.items()}
        return replace(self, by_size=ranked, ceiling=self.rank_ceiling)

    @property
    def starved(self) -> list[int]:
        """The sizes that did not learn, largest first."""
        return [size for size, value in sorted(self.by_size.items(), reverse=True) if not value.learned]

    @property
    def verdict(self) -> str:
        """``holds``, ``fails`` or ``cannot be judged``, by a rule that the notebook states before its result.

        Sizes that did not learn are no evidence. It cannot be judged if the noise ceiling is below 0.7, the universal
        set did not learn, fewer than two smaller sizes did, the largest of these is below 0.2 already, or starved sizes
        leave the end of the decline unseen.
        """
        means = [value.mean for _, value in sorted(self.by_size.items(), reverse=True) if value.learned]
        if not self.ceiling >= CEILING or not self.learned or len(means) < 2 or not means[0] >= FLOOR:
            return "cannot be judged"
        falls = all(small < large or large <= 0.1 for large, small in itertools.pairwise(means))
        if falls and means[-1] < FLOOR:
            return "holds"
        return "cannot be judged" if falls and self.starved else "fails"

    @property
    def reason(self) -> str:
        """Why, in words with numbers."""
        if not self.ceiling >= CEILING:
            return f"two runs on the same set agree to {self.ceiling:.2f} only, below {CEILING}"
        if not self.learned:
            return "the universal set itself was not learned"
        trained = {size: v.mean for size, v in sorted(self.by_size.items(), reverse=True) if v.learned}
        words = " → ".join(f"{mean:.2f}" for mean in trained.values())
        words = f"ρ goes {words} from X = {max(trained)} to {min(trained)}" if trained else "no smaller size learned"
        if self.starved:
            words += f"; starved, and so no evidence: X = {', '.join(map(str, self.starved))}"
        return words


def correlations(repetitions: Sequence[Repetition], *, seed: int, measure: str = "loss") -> Correlations:
    """Summarise repetitions of ``difficulty_by_size``: rho by size, its interval and spread, and the ceiling.

    Args:
        repetitions: the first of them is drawn in detail.
        seed: of the bootstrap.
        measure: ``loss`` or ``distance``.
    """
    by_size = {}
    first = repetitions[0].runs[0].difficulty(measure)
    for i, run in enumerate(repetitions[0].runs[1:], 1):
        rhos = [pearson(r.runs[0].difficulty(measure), r.runs[i].difficulty(measure)) for r in repetitions]
        low, high = bootstrap_interval(first, run.difficulty(measure), seed=seed)
        taught = all(r.runs[i].learned for r in repetitions)
        ranks = [spearman(r.runs[0].difficulty(measure), r.runs[i].difficulty(measure)) for r in repetitions]
        by_size[run.size] = SizeCorrelation(rhos[0], low, high, *mean_spread(rhos), taught, float(np.mean(ranks)))
    ceilings = [pearson(r.runs[0].difficulty(measure), r.again.difficulty(measure)) for r in repetitions]
    ranks = [spearman(r.runs[0].difficulty(measure), r.again.difficulty(measure)) for r in repetitions]
    taught = all(r.runs[0].learned for r in repetitions)
    interval = bootstrap_interval(first, repetitions[0].again.difficulty(measure), seed=seed)
    return Correlations(by_size, *mean_spread(ceilings), taught, float(np.mean(ranks)), (ceilings[0], *interval))


def mean_spread(values: Sequence[float]) -> tuple[float, float]:
    """Return mean and standard deviation (NaN of a single value)."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
