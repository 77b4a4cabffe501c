"""Whom do we ask about the three relations? One network per seed and task, with all, with few or with wrong labels."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pandas as pd
from torch import Tensor

from lpntk.data.dataset import Dataset
from lpntk.data.tasks import flip, part, random_classes, restrict
from lpntk.keep.cache import Cache
from lpntk.learn.campaign import Network
from lpntk.learn.moments import Moments, train_moments


@dataclass(frozen=True)
class Trial:
    """One network over its training on one task, and the samples its kernel is taken over.

    Attributes:
        data: the task, with the labels that were trained on.
        truth: (n_train,) labels before any was flipped.
        rows: (n,) training samples of the kernel.
        run: the network.
        setting: what tells tasks apart: the number of classes, or the share of flipped labels.
    """

    data: Dataset
    truth: Tensor
    rows: Tensor
    run: Moments
    setting: float

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


@dataclass(frozen=True)
class Study:
    """What all trials share.

    Attributes:
        model: name of the architecture.
        options: of the architecture.
        n: samples of the kernel, at most.
        seeds: one network each. The kernel's samples are the same for all, so that networks can be compared.
        moments: numbers of finished epochs at which the network is looked at.
        cache: keeps the networks.
        device: as in ``train``.
        training: lr, batch_size, ...
    """

    model: str
    options: dict[str, object]
    n: int
    seeds: Sequence[int]
    moments: Sequence[int]
    cache: Cache
    device: str = "auto"
    training: dict[str, object] = field(default_factory=dict)

    def trial(self, data: Dataset, seed: int, setting: float, truth: Tensor | None = None) -> Trial:
        """Train one network on a task."""
        network = Network(self.model, data.in_shape, data.k, self.options)
        run = train_moments(
            network, data, seed=seed, moments=self.moments, cache=self.cache, device=self.device, **self.training
        )
        rows = data.sample(min(self.n, len(data.y_train)), self.seeds[0])
        return Trial(data, data.y_train if truth is None else truth, rows, run, setting)

    def trained_with(self, **changes: object) -> "Study":
        """Return the same study with some options of the training changed, such as ``schedule="step"``."""
        return replace(self, training={**self.training, **changes})

    def looked_at(self, moments: Sequence[int]) -> "Study":
        """Return the same study with networks trained until, and looked at, other moments."""
        return replace(self, moments=moments)

    def plain(self, data: Dataset) -> list[Trial]:
        """Train one network per seed on the task as it is."""
        return [self.trial(data, seed, data.k) for seed in self.seeds]

    def few_classes(self, data: Dataset, counts: Sequence[int]) -> list[Trial]:
        """Train one network per number of classes, its outputs as many, and seed; each seed draws its own classes."""
        return [
            self.trial(restrict(data, random_classes(data.k, count, seed)), seed, count)
            for count in counts
            for seed in self.seeds
        ]

    def flipped(self, data: Dataset, shares: Sequence[float]) -> list[Trial]:
        """Train one network per share of flipped training labels and seed, each seed with flips of its own."""
        trials = []
        for share in shares:
            for seed in self.seeds:
                y = flip(data.y_train, share, data.k, seed)
                noisy = Dataset(**{**vars(data), "y_train": y})
                trials.append(self.trial(noisy, seed, share, truth=data.y_train))
        return trials


def first_samples(data: Dataset, n_train: int | None, seed: int) -> Dataset:
    """Return the data set with ``n_train`` of its training samples, drawn by the seed; all if it is None."""
    return data if n_train is None or n_train >= len(data.y_train) else part(data, data.sample(n_train, seed))


def diverged(*groups: Sequence[Trial]) -> int:
    """Return how many networks of several groups diverged."""
    return sum(trial.run.diverged for group in groups for trial in group)


def accuracies(trials: Sequence[Trial]) -> pd.DataFrame:
    """Return training and test accuracy by seed and epoch."""
    return pd.DataFrame(
        {"seed": t.run.seed, "epoch": e, "train": t.run.train_accuracy[e], "test": t.run.test_accuracy[e]}
        for t in finished(trials)
        for e in t.run.epochs
    )


def finished(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials whose network did not diverge.

    Raises:
        FloatingPointError: if none is left.
    """
    kept = [trial for trial in trials if not trial.run.diverged]
    if not kept:
        raise FloatingPointError(f"all {len(trials)} networks diverged, so there is nothing to measure; lower lr")
    return kept
