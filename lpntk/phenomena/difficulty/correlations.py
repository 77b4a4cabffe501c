"""How well does the difficulty in one set predict that in another? Pearson's rho, its uncertainty, and a verdict."""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from lpntk.phenomena.difficulty.sets import Repetition

CEILING, FLOOR, FLAT = 0.7, 0.2, 0.1  # of the verdict's rule


def pearson(a: Tensor, b: Tensor) -> float:
    """Return Pearson's rho of two (n,) vectors over the places where both are finite; NaN if one is constant there."""
    both = a.isfinite() & b.isfinite()
    a, b = (v[both].double() - v[both].double().mean() for v in (a, b))
    norm = a.norm() * b.norm()
    return float(a @ b / norm) if norm > 0 else float("nan")


def bootstrap_interval(
    pairs: Sequence[tuple[Tensor, Tensor]], *, seed: int, draws: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """Return a percentile bootstrap interval of the mean of Pearson's rho over pairs of (n,) vectors.

    Samples are drawn with replacement, the same for all pairs. Places where one of a pair is not finite are left out.
    """
    weights = _draws(len(pairs[0][0]), draws, seed)
    rhos = torch.zeros(draws, dtype=torch.float64)
    for a, b in pairs:
        both = a.isfinite() & b.isfinite()
        a, b = (torch.where(both, v.double() - v[both].double().mean(), 0.0) for v in (a, b))
        n, u, v, uu, vv, uv = (weights @ torch.stack([both.double(), a, b, a * a, b * b, a * b], dim=1)).T
        rhos += (uv - u * v / n) / ((uu - u * u / n) * (vv - v * v / n)).sqrt() / len(pairs)
    tail = (1 - level) / 2
    defined = rhos[rhos.isfinite()].numpy()
    return tuple(map(float, np.quantile(defined, [tail, 1 - tail]))) if len(defined) else (float("nan"),) * 2


@functools.lru_cache(maxsize=4)
def _draws(n: int, draws: int, seed: int) -> Tensor:
    """Return how often each of n samples is drawn, (draws, n)."""
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws)
    return torch.from_numpy(counts.astype(np.float64))


def spearman(a: Tensor, b: Tensor) -> float:
    """Return Spearman's rank correlation over the places where both are finite: what a few hard samples cannot rule."""
    return pearson(*ranks(a, b))


def ranks(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return the ranks of both over the places where both are finite, NaN elsewhere."""
    both = a.isfinite() & b.isfinite()
    found = torch.full((2, len(a)), torch.nan, dtype=torch.float64)
    for row, v in zip(found, (a, b), strict=True):
        row[both] = torch.from_numpy(stats.rankdata(v[both].numpy()))
    return tuple(found)


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
        stable: whether its models were stable in every repetition; rho of a selection of them is no evidence either.
        mean_low: lower end of the bootstrap interval of the mean, samples drawn alike in all repetitions.
        mean_high: upper end.
        rank_low: lower end of that of the mean rank correlation, ranks taken once.
        rank_high: upper end.
    """

    rho: float
    low: float
    high: float
    mean: float
    spread: float
    learned: bool = True
    rank: float = float("nan")
    stable: bool = True
    mean_low: float = float("nan")
    mean_high: float = float("nan")
    rank_low: float = float("nan")
    rank_high: float = float("nan")

    @property
    def counts(self) -> bool:
        """Whether it is evidence."""
        return self.learned and self.stable


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
        ranked = {
            size: replace(value, mean=value.rank, mean_low=value.rank_low, mean_high=value.rank_high)
            for size, value in self.by_size.items()
        }
        return replace(self, by_size=ranked, ceiling=self.rank_ceiling)

    @property
    def starved(self) -> list[int]:
        """The sizes that were stable and did not learn, largest first."""
        return [size for size, value in self._falling() if value.stable and not value.learned]

    @property
    def unstable(self) -> list[int]:
        """The sizes of which more than a tenth of the models was unstable, largest first."""
        return [size for size, value in self._falling() if not value.stable]

    @property
    def verdict(self) -> str:
        """``holds``, ``fails`` or ``cannot be judged``, by a rule that the notebook states before its result.

        It cannot be judged if the noise ceiling is below 0.7, the universal set did not learn, fewer than two smaller
        sizes or less than half of them are evidence, or the largest of these is below 0.2 already. Rho is the mean over
        repetitions, its interval that of the mean. It fails if rho rises at a step to above 0.1 and the intervals lie
        apart, or if at the smallest size of all the interval lies above 0.2. It holds if rho falls at every step from
        above 0.1, ends below 0.2, and first and last interval lie apart. What is left is within chance, or its end was
        not seen.
        """
        seen = [value for _, value in self._falling() if value.counts]
        few = len(seen) < max(2, len(self.by_size) / 2)
        if not self.ceiling >= CEILING or not self.learned or few or not seen[0].mean >= FLOOR:
            return "cannot be judged"
        steps = list(itertools.pairwise(seen))
        rises = any(small.mean_low > large.mean_high and small.mean > FLAT for large, small in steps)
        if rises or (self.by_size[min(self.by_size)].counts and seen[-1].mean_low > FLOOR):
            return "fails"
        falls = all(small.mean < large.mean or large.mean <= FLAT for large, small in steps)
        ends = seen[-1].mean < FLOOR and seen[-1].mean_high < seen[0].mean_low
        return "holds" if falls and ends else "cannot be judged"

    @property
    def reason(self) -> str:
        """Why, in words with numbers."""
        if np.isnan(self.ceiling):
            return "the models of the universal set were unstable"
        if not self.ceiling >= CEILING:
            return f"two runs on the same set agree to {self.ceiling:.2f} only, below {CEILING}"
        if not self.learned:
            return "the universal set itself was not learned"
        seen = {size: value for size, value in self._falling() if value.counts}
        words = "no smaller size is evidence"
        if len(seen) == 1:
            words = "".join(f"only X = {size} is evidence, with ρ = {value.mean:.2f}" for size, value in seen.items())
        elif seen:
            path = " → ".join(f"{value.mean:.2f}" for value in seen.values())
            words = f"ρ goes {path} from X = {max(seen)} to {min(seen)}"
        for why, sizes in (("starved", self.starved), ("unstable", self.unstable)):
            if sizes:
                words += f"; {why}, and so no evidence: X = {', '.join(map(str, sizes))}"
        return words

    def _falling(self) -> list[tuple[int, SizeCorrelation]]:
        return sorted(self.by_size.items(), reverse=True)


def correlations(repetitions: Sequence[Repetition], *, seed: int, measure: str = "loss") -> Correlations:
    """Summarise repetitions of ``difficulty_by_size``: rho by size, its interval and spread, and the ceiling.

    Args:
        repetitions: the first of them is drawn in detail.
        seed: of the bootstrap.
        measure: ``loss`` or ``distance``.
    """
    by_size = {}
    for i, run in enumerate(repetitions[0].runs[1:], 1):
        pairs = [(r.runs[0].difficulty(measure), r.runs[i].difficulty(measure)) for r in repetitions]
        rhos = [pearson(*pair) for pair in pairs]
        low, high = bootstrap_interval(pairs[:1], seed=seed)
        mean_low, mean_high = bootstrap_interval(pairs, seed=seed)
        rank_low, rank_high = bootstrap_interval([ranks(*pair) for pair in pairs], seed=seed)
        by_size[run.size] = SizeCorrelation(
            rhos[0],
            low,
            high,
            *mean_spread(rhos),
            learned=all(r.runs[i].learned for r in repetitions),
            stable=all(r.runs[i].stable for r in repetitions),
            rank=float(np.mean([spearman(*pair) for pair in pairs])),
            mean_low=mean_low,
            mean_high=mean_high,
            rank_low=rank_low,
            rank_high=rank_high,
        )
    pairs = [(r.runs[0].difficulty(measure), r.again.difficulty(measure)) for r in repetitions]
    ceilings = [pearson(*pair) for pair in pairs]
    return Correlations(
        by_size,
        *mean_spread(ceilings),
        learned=all(r.runs[0].learned for r in repetitions),
        rank_ceiling=float(np.mean([spearman(*pair) for pair in pairs])),
        ceiling_first=(ceilings[0], *bootstrap_interval(pairs[:1], seed=seed)),
    )


def mean_spread(values: Sequence[float]) -> tuple[float, float]:
    """Return mean and standard deviation (NaN of a single value)."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
