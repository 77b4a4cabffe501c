"""Whom do we ask about the three relations? One network per seed and task, with all, with few or with wrong labels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd
from torch import Tensor

from lpntk.data.dataset import Dataset
from lpntk.data.tasks import flip, part, random_classes, restrict
from lpntk.learn.campaign import Network
from lpntk.phenomena.relations.moments import Moments, train_moments

Kernels = dict[int, dict[int, Tensor]]  # seed -> epoch -> (n, n)


@dataclass(frozen=True)
class Trial:
    """One network over its training on one task, and the samples its kernel is taken over.

    Attributes:
        data: the task, with the labels that were trained on.
        truth: (n_train,) labels before any was flipped.
        rows: (n,) training samples of the kernel.
        run: the network.
        flipped: share of the labels that were.
    """

    data: Dataset
    truth: Tensor
    rows: Tensor
    run: Moments
    flipped: float = 0.0

    @property
    def x(self) -> Tensor:
        """Inputs (n, ...) of the kernel's samples."""
        return self.data.x_train[self.rows]

    @property
    def y(self) -> Tensor:
        """Labels (n,) that they were trained on."""
        return self.data.y_train[self.rows]

    def kernel(self, epoch: int, signs: str = "label") -> Tensor:
        """Return the kernel (n, n) after so many epochs."""
        return self.run.kernel(epoch, self.x, self.y, signs)


def trial(data: Dataset, seed: int, truth: Tensor | None = None, flipped: float = 0.0, *, model: str, options: dict,
          n: int, drawn_by: int, **training) -> Trial:  # fmt: skip
    """Train one network on a task.

    Args:
        data: the task.
        seed: of the network.
        truth: (n_train,) labels before any was flipped; those of the task if None.
        flipped: share of them that were.
        model: name of the architecture.
        options: of the architecture.
        n: samples of the kernel, at most.
        drawn_by: the seed that draws them, the same for all networks, so that these can be compared.
        **training: passed to ``train_moments``: moments, cache, device, lr, ...
    """
    run = train_moments(Network(model, data.in_shape, data.k, options), data, seed=seed, **training)
    rows = data.sample(min(n, len(data.y_train)), drawn_by)
    return Trial(data, data.y_train if truth is None else truth, rows, run, flipped)


def plain(data: Dataset, seeds: Sequence[int], **how) -> list[Trial]:
    """Train one network per seed on the task as it is; ``how`` as ``trial`` takes it, here and below."""
    return [trial(data, seed, **how) for seed in seeds]


def few_classes(data: Dataset, counts: Sequence[int], seeds: Sequence[int], **how) -> list[Trial]:
    """Train one network per number of classes, its outputs as many, and seed; each seed draws its own classes."""
    tasks = [(restrict(data, random_classes(data.k, count, seed)), seed) for count in counts for seed in seeds]
    return [trial(task, seed, **how) for task, seed in tasks]


def with_flips(data: Dataset, shares: Sequence[float], seeds: Sequence[int], **how) -> list[Trial]:
    """Train one network per share of flipped training labels and seed, each seed with flips of its own."""
    noisy = lambda share, seed: replace(data, y_train=flip(data.y_train, share, data.k, seed))
    return [trial(noisy(share, seed), seed, data.y_train, share, **how) for share in shares for seed in seeds]


def first_samples(data: Dataset, n_train: int | None, seed: int) -> Dataset:
    """Return the data set with ``n_train`` of its training samples, drawn by the seed; all if it is None."""
    return data if n_train is None or n_train >= len(data.y_train) else part(data, data.sample(n_train, seed))


def finished(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials whose network did not diverge.

    Raises:
        FloatingPointError: if none is left.
    """
    kept = [trial for trial in trials if not trial.run.diverged]
    if not kept:
        raise FloatingPointError(f"all {len(trials)} networks diverged, so there is nothing to measure; lower lr")
    return kept


def accuracies(trials: Sequence[Trial]) -> pd.DataFrame:
    """Return training and test accuracy, a row per seed and epoch."""
    rows = [(t.run.seed, e, t.run.train_accuracy[e], t.run.test_accuracy[e]) for t in finished(trials)
            for e in t.run.epochs]  # fmt: skip
    return pd.DataFrame(rows, columns=["seed", "epoch", "train", "test"])


def kernels_of(trials: Sequence[Trial], signs: str = "label", *, ends: bool = False) -> Kernels:
    """Return the kernels of trials at all their moments, or at the first and last alone."""
    found: Kernels = {}
    for trial in finished(trials):
        epochs = trial.run.epochs
        chosen = (epochs[0], epochs[-1]) if ends else epochs
        found[trial.run.seed] = {epoch: trial.kernel(epoch, signs) for epoch in chosen}
    return found
