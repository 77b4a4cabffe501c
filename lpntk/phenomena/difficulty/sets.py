"""Does difficulty belong to the sample or to its company? The paper's Figures 1, 4 and 5 as one experiment.

A universal set is learned whole, and again in disjoint subsets of X samples, one model each, smaller subsets inside
larger ones. Every sample so gets one learning difficulty per size; how well does the difficulty in a small set predict
the one in the large set? The paper's answer: the smaller the set, the less, for samples make each other easy or hard.

*Size* has two readings. ``total``: a set of size X holds X samples, as the paper says. ``class``: it holds X samples of
each class, as in the authors' public code.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lpntk.keep.cache import Cache
from lpntk.learn.campaign import Network, train_many
from lpntk.learn.history import UNSTABLE, History

READINGS = ("total", "class")
LEARNED = 0.5  # a size learned if its mean loss fell to this share of the loss at the first presentation


@dataclass(frozen=True)
class SizeRun:
    """What one size gave.

    Attributes:
        size: as named by the reading: samples per model, in total or of each class.
        loss: (n,) accumulated loss per sample, in the order of the universal set; NaN where the model was unstable.
        distance: (n,) accumulated L2 distance between softmax and one-hot target.
        first_loss: mean loss at the first presentation, nats; unstable models left out here and below.
        last_loss: mean loss at the last presentation, nats.
        accuracy: share of training samples that are right after the last epoch; NaN if it was not recorded.
        models: trained.
        diverged: of them, to numbers that are not finite.
        unstable: of them, those that diverged or gave a sample a loss above 100 nats.
    """

    size: int
    loss: Tensor
    distance: Tensor
    first_loss: float
    last_loss: float
    accuracy: float
    models: int
    diverged: int
    unstable: int

    def difficulty(self, measure: str = "loss") -> Tensor:
        """Return the accumulated ``loss`` or ``distance``, (n,).

        Raises:
            ValueError: if the measure is neither.
        """
        if measure not in ("loss", "distance"):
            raise ValueError(f"measure must be 'loss' or 'distance'; got {measure!r}")
        return getattr(self, measure)

    @property
    def learned(self) -> bool:
        """Whether there is a difficulty to speak of: the loss fell to ``LEARNED`` of where it began, or below."""
        return self.last_loss <= LEARNED * self.first_loss

    @property
    def stable(self) -> bool:
        """Whether at most a tenth of the models was unstable."""
        return self.unstable <= UNSTABLE * self.models


@dataclass(frozen=True)
class Repetition:
    """One repetition of the experiment: ``runs`` from the universal set down, and ``again``, it with another seed."""

    runs: list[SizeRun]
    again: SizeRun


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


def universal_set(y: Tensor, n: int, reading: str, seed: int) -> Tensor:
    """Draw a universal set of size n from the training labels y: its indices into y.

    Returns:
        (n,) for the reading ``total``; (k n,) for ``class``, class after class.

    Raises:
        ValueError: if the reading is unknown or the samples do not suffice.
    """
    if reading not in READINGS:
        raise ValueError(f"reading must be 'total' or 'class'; got {reading!r}")
    generator = torch.Generator().manual_seed(seed)
    pools = (
        [torch.arange(len(y))] if reading == "total" else [(y == c).nonzero()[:, 0] for c in range(int(y.max()) + 1)]
    )
    if n > min(map(len, pools)):
        what = "the training set" if reading == "total" else "its smallest class"
        raise ValueError(f"n = {n} samples were asked for but {what} has {min(map(len, pools))}; choose a smaller n")
    return torch.cat([pool[torch.randperm(len(pool), generator=generator)[:n]] for pool in pools])


def splits(count: int, n: int, sizes: Sequence[int], seed: int) -> dict[int, Tensor]:
    """Split a universal set of ``count`` = n or k n samples: size -> (n / size, size or k size) positions in it.

    With k n samples, class after class, every subset takes its share of each class.
    """
    k = count // n
    groups = [nested_subsets(n, sizes, seed + 7919 * c) for c in range(k)]  # each class in an order of its own
    return {size: torch.cat([c * n + group[size] for c, group in enumerate(groups)], dim=1) for size in groups[0]}


def difficulty_by_size(
    network: Network,
    x: Tensor,
    y: Tensor,
    n: int,
    sizes: Sequence[int],
    *,
    seed: int,
    cache: Cache,
    **training: object,
) -> Repetition:
    """Learn a universal set whole, whole again with another seed, and in disjoint subsets of every size.

    Args:
        network: to build from each seed.
        x: the universal set, (n, ...) or, class after class, (k n, ...).
        y: its labels.
        n: its size as the reading counts.
        sizes: of the subsets, each dividing n.
        seed: of the split, the initialisations and the orders; all of them differ between models.
        cache: keeps what was trained.
        **training: passed to ``lpntk.learn.training.train``: epochs, lr, batch_size, ...

    Returns:
        The runs from the universal set down to the smallest size, and the universal set with another seed: its
        correlation with the first is the noise ceiling, what two runs share that differ by chance alone.
    """
    parts = splits(len(y), n, sizes, seed)

    def run(size: int, stream: int) -> SizeRun:
        seeds = np.random.SeedSequence([seed, size, stream]).generate_state(len(parts[size])).tolist()
        history = train_many(network, x, y, parts[size], seeds=seeds, cache=cache, progress=f"size {size}",
                             train_accuracy="last", **training)  # fmt: skip
        return summarise(history, parts[size], size)

    return Repetition([run(size, 0) for size in sorted(parts, reverse=True)], run(n, 1))


def summarise(history: History, subsets: Tensor, size: int | None = None) -> SizeRun:
    """Put the difficulties of disjoint subsets back into the order of the universal set."""
    ordered = {}
    for measure in ("loss", "distance"):
        ordered[measure] = torch.empty(subsets.numel())
        ordered[measure][subsets.reshape(-1)] = history.difficulty(measure).reshape(-1)
    kept = ~history.unstable
    ended = history.train_accuracy[kept, -1] if history.train_accuracy is not None else torch.empty(0)
    return SizeRun(
        size=subsets.shape[1] if size is None else size,
        first_loss=float(history.loss[kept, 0].mean()),
        last_loss=float(history.loss[kept, -1].mean()),
        accuracy=float(ended.mean()),
        models=len(kept),
        diverged=int(history.diverged.sum()),
        unstable=int(history.unstable.sum()),
        **ordered,
    )


def learned(repetitions: Sequence[Repetition], measure: str = "loss") -> list[dict[str, float]]:
    """Return what each size learned, means over repetitions, one row a size: losses in nats, difficulty, accuracy."""
    rows = []
    for runs in zip(*(r.runs for r in repetitions), strict=True):
        mean = lambda values: float(np.mean(list(values)))
        rows.append(
            {
                "size": runs[0].size,
                "models": sum(run.models for run in runs),
                "diverged": sum(run.diverged for run in runs),
                "unstable": sum(run.unstable for run in runs),
                "first_loss": mean(run.first_loss for run in runs),
                "last_loss": mean(run.last_loss for run in runs),
                "accuracy": mean(run.accuracy for run in runs),
                "mean_difficulty": mean(float(run.difficulty(measure).nanmean()) for run in runs),
            }
        )
    return rows
