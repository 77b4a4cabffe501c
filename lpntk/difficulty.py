"""Does difficulty belong to the sample or to its company? The paper's Figure 1 as one experiment.

A universal set of N samples is learned whole, and again in N/X disjoint subsets of X samples, one model each. Every
sample so gets one learning difficulty per size; how well does the difficulty in a small set predict the one in the
large set? The paper's answer: the smaller the set, the less, because difficulty is made by the samples that interact.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from lpntk.training import History, train


@dataclass(frozen=True)
class SizeRun:
    """What one size gave.

    Attributes:
        size: samples per model.
        difficulty: (n,) accumulated loss or distance per sample, in the order of the universal set.
        first_loss: mean loss at the first presentation, nats.
        last_loss: mean loss at the last presentation, nats.
        accuracy: share of samples that were right at their last presentation.
    """

    size: int
    difficulty: Tensor
    first_loss: float
    last_loss: float
    accuracy: float


def nested_subsets(n: int, sizes: Sequence[int], seed: int) -> dict[int, Tensor]:
    """Split 0..n-1 into disjoint subsets of every size, each smaller one inside a larger one.

    Args:
        n: samples of the universal set.
        sizes: each must divide n, and the next larger one.
        seed: of the one permutation behind all sizes.

    Returns:
        size -> (n / size, size) indices; the rows of one size cover 0..n-1.

    Raises:
        ValueError: if a size does not divide the next larger one.
    """
    ordered = sorted({n, *sizes})
    for small, large in itertools.pairwise(ordered):
        if large % small:
            raise ValueError(f"size {small} does not divide {large}; choose sizes that nest, such as powers of 4")
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return {size: order.view(-1, size) for size in ordered}


def difficulty_by_size(
    build: Callable[[int], nn.Module],
    x: Tensor,
    y: Tensor,
    sizes: Sequence[int],
    *,
    seed: int,
    measure: str = "loss",
    **training: object,
) -> tuple[list[SizeRun], SizeRun]:
    """Learn the universal set (x, y) whole, whole again with another seed, and in disjoint subsets of every size.

    Args:
        build: seed -> network.
        x: (n, ...) the universal set.
        y: (n,) labels.
        sizes: of the subsets, each dividing n.
        seed: of the split, the initialisations and the orders; all of them differ between models.
        measure: ``loss`` or ``distance``, what is accumulated.
        **training: passed to ``lpntk.training.train``: epochs, lr, batch_size, ...

    Returns:
        The runs from the universal set down to the smallest size, and the universal set with another seed: its
        correlation with the first is the noise ceiling, what two runs share that differ by chance alone.
    """
    splits = nested_subsets(len(x), sizes, seed)

    def run(size: int, stream: int) -> SizeRun:
        subsets = splits[size]
        seeds = np.random.SeedSequence([seed, size, stream]).generate_state(len(subsets)).tolist()
        models = [build(s) for s in seeds]
        history = train(models, x, y, subsets, seeds=seeds, progress=f"size {size}", **training)
        return summarise(history, subsets, measure)

    return [run(size, 0) for size in sorted(splits, reverse=True)], run(len(x), 1)


def summarise(history: History, subsets: Tensor, measure: str = "loss") -> SizeRun:
    """Put the difficulties of disjoint subsets back into the order of the universal set."""
    difficulty = torch.empty(subsets.numel())
    difficulty[subsets.reshape(-1)] = history.difficulty(measure).reshape(-1)
    return SizeRun(
        size=subsets.shape[1],
        difficulty=difficulty,
        first_loss=float(history.loss[:, 0].mean()),
        last_loss=float(history.loss[:, -1].mean()),
        accuracy=float(history.correct[:, -1].float().mean()),
    )


def pearson(a: Tensor, b: Tensor) -> float:
    """Return Pearson's rho of two (n,) vectors; NaN if one of them is constant."""
    a, b = (v.double() - v.double().mean() for v in (a, b))
    norm = a.norm() * b.norm()
    return float(a @ b / norm) if norm > 0 else float("nan")


def bootstrap_interval(
    a: Tensor, b: Tensor, *, seed: int, draws: int = 2000, level: float = 0.95
) -> tuple[float, float]:
    """Return a percentile bootstrap interval of Pearson's rho over samples drawn with replacement."""
    n = len(a)
    rows = torch.from_numpy(np.random.default_rng(seed).integers(n, size=(draws, n)))
    u, v = a.double()[rows], b.double()[rows]  # (draws, n)
    u, v = u - u.mean(1, keepdim=True), v - v.mean(1, keepdim=True)
    rho = (u * v).sum(1) / (u.norm(dim=1) * v.norm(dim=1))
    tail = (1 - level) / 2
    return tuple(float(q) for q in np.nanquantile(rho.numpy(), [tail, 1 - tail]))


@dataclass(frozen=True)
class SizeCorrelation:
    """Pearson's rho between the universal set and the sets of one size.

    Attributes:
        rho: of the first repetition.
        low: lower end of its 95 % bootstrap interval over samples.
        high: upper end.
        mean: over repetitions with other seeds.
        spread: standard deviation over repetitions; NaN with one.
    """

    rho: float
    low: float
    high: float
    mean: float
    spread: float


@dataclass(frozen=True)
class Correlations:
    """How well difficulty carries over from the universal set, by size, against the noise ceiling."""

    by_size: dict[int, SizeCorrelation]
    ceiling: float
    ceiling_spread: float

    @property
    def verdict(self) -> str:
        """``holds``, ``fails`` or ``cannot be judged``, by the rule that the notebook states before its result."""
        if not self.ceiling >= 0.7:
            return "cannot be judged"
        means = [value.mean for _, value in sorted(self.by_size.items(), reverse=True)]
        falls = all(small < large or large <= 0.1 for large, small in itertools.pairwise(means))
        return "holds" if falls and means[-1] < 0.2 else "fails"


def correlations(experiments: Sequence[tuple[list[SizeRun], SizeRun]], *, seed: int) -> Correlations:
    """Summarise repetitions of ``difficulty_by_size``: rho by size, its interval and spread, and the ceiling.

    Args:
        experiments: one result of ``difficulty_by_size`` per repetition, the first of which is drawn in detail.
        seed: of the bootstrap.
    """
    rhos = {run.size: [] for run in experiments[0][0][1:]}
    for (whole, *smaller), _ in experiments:
        for run in smaller:
            rhos[run.size].append(pearson(whole.difficulty, run.difficulty))
    whole, *smaller = experiments[0][0]
    by_size = {}
    for run in smaller:
        low, high = bootstrap_interval(whole.difficulty, run.difficulty, seed=seed)
        mean, spread = _mean_spread(rhos[run.size])
        by_size[run.size] = SizeCorrelation(rhos[run.size][0], low, high, mean, spread)
    ceiling, ceiling_spread = _mean_spread(
        [pearson(runs[0].difficulty, again.difficulty) for runs, again in experiments]
    )
    return Correlations(by_size, ceiling, ceiling_spread)


def learned(runs: Sequence[SizeRun]) -> list[dict[str, float]]:
    """Return what each size learned, one row a size: losses in nats, mean difficulty, accuracy."""
    return [
        {
            "size": run.size,
            "first_loss": run.first_loss,
            "last_loss": run.last_loss,
            "accuracy": run.accuracy,
            "mean_difficulty": float(run.difficulty.mean()),
        }
        for run in runs
    ]


def _mean_spread(values: Sequence[float]) -> tuple[float, float]:
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
