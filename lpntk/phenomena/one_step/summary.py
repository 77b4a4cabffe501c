"""What do all the steps say together? Means and spreads over seeds and steps, along training, and the verdicts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lpntk.phenomena.one_step.readings import slope, small_enough
from lpntk.phenomena.one_step.step import FORCES
from lpntk.phenomena.one_step.study import Kind, Study, stacked

KEPT, KEPT_IN_PART = 0.9, 0.5  # of what the full error tells: the verdict's rule
SLOPE, TOLERANCE = 2.0, 0.1
READINGS = ("cosine", "rank", "rank_odds", "agree")  # those that every force has


@dataclass(frozen=True)
class Along:
    """Steps of one kind along training.

    Attributes:
        kind: of the steps.
        epochs: at which they were made.
        told: reading -> (epochs, seeds, steps) or, for the readings of each force, (epochs, seeds, steps, forces).
    """

    kind: Kind
    epochs: tuple[int, ...]
    told: dict[str, Tensor]

    def of(self, reading: str, force: str | None = None) -> Tensor:
        """Return (epochs, seeds, steps) of a reading, for one force if it has one for each."""
        return self.told[reading] if force is None else self.told[reading][..., FORCES.index(force)]

    @property
    def forces(self) -> list[str]:
        """The forces that differ for this kind of step: for a single sample ``even`` only rescales ``centred``."""
        return [force for force in FORCES if force != "even" or self.kind.size > 1]

    def kept(self, force: str, reading: str) -> float:
        """Return the least share, over epochs, of what the full error tells that a force tells too (of the means)."""
        share = overall(self.of(reading, force)) / overall(self.of(reading, "error"))
        return float(share.min())

    def verdict(self, force: str) -> str:
        """Is what this force leaves away needed? ``no``, ``in part``, ``yes``; ``cannot be judged`` with a NaN."""
        kept = self.kept(force, "cosine"), self.kept(force, "rank")
        if any(math.isnan(share) for share in kept):
            return "cannot be judged"
        return "no" if min(kept) >= KEPT else "in part" if min(kept) >= KEPT_IN_PART else "yes"


@dataclass(frozen=True)
class Sweep:
    """Errors of single-sample steps against the learning rate, at some epochs.

    Attributes:
        lrs: (l,) learning rates.
        epochs: at which the steps were made.
        told: what ``one_step_readings.errors`` gives, (epochs, seeds * steps, l); ``smooth`` has one place less.
    """

    lrs: Tensor
    epochs: tuple[int, ...]
    told: dict[str, Tensor]

    @property
    def fitted(self) -> Tensor:
        """Which points the slopes are fitted through, (epochs, seeds * steps, l)."""
        return small_enough(self.told["error"], self.told["change"])

    def slopes(self, name: str = "error") -> Tensor:
        """Return the fitted slope of every step, (epochs, seeds * steps)."""
        pairs = zip(self.told[name].flatten(0, 1), self.fitted.flatten(0, 1), strict=True)
        found = [slope(self.lrs, error, fitted) for error, fitted in pairs]
        return torch.tensor(found).view(len(self.epochs), -1)

    def smooth_slopes(self) -> Tensor:
        """Return the mean slope of every step between fitted neighbours over samples without a kink, (epochs, ...)."""
        both = self.fitted[..., 1:] & self.fitted[..., :-1]
        return self.told["smooth"].masked_fill(~both, torch.nan).nanmean(dim=2)

    @property
    def verdict(self) -> str:
        """Whether the mean slope without kinks lies within 0.1 of 2 at every epoch: ``holds`` or ``fails``."""
        means = self.smooth_slopes().nanmean(dim=1)
        return "holds" if bool(((means - SLOPE).abs() <= TOLERANCE).all()) else "fails"


def follow(study: Study, seeds: Sequence[int], kinds: Sequence[Kind], steps: int) -> list[Along]:
    """Make ``steps`` steps of every kind at every epoch of every seed."""
    found = []
    for kind in kinds:
        rows = [stacked(study.measured(seed, epoch, kind, steps) for seed in seeds) for epoch in study.epochs]
        found.append(Along(kind, tuple(study.epochs), stacked(rows)))
    return found


def sweep(study: Study, seeds: Sequence[int], steps: int, powers: Sequence[int]) -> Sweep:
    """Make single-sample steps with two learning rates for each power of ten, at the first, middle and last epoch."""
    low, high = powers
    lrs = [10.0 ** (half / 2) for half in range(2 * low, 2 * high + 1)]
    epochs = tuple(moments(study.epochs).values())
    rows = [stacked(study.swept(seed, epoch, lrs, steps) for seed in seeds) for epoch in epochs]
    told = {name: value.flatten(1, 2) for name, value in stacked(rows).items()}
    return Sweep(torch.tensor(lrs, dtype=torch.float64), epochs, told)


def learned(study: Study, seeds: Sequence[int]) -> list[int]:
    """Return the seeds whose network did not diverge.

    Raises:
        FloatingPointError: if there is none.
    """
    found = [seed for seed in seeds if not study.states(seed)["diverged"]]
    if not found:
        raise FloatingPointError(f"all {len(seeds)} networks diverged; lower lr, now {study.training['lr']}")
    return found


def moments(epochs: Sequence[int]) -> dict[str, int]:
    """Return the first, the middle and the last of some epochs, by these names."""
    return {"first": epochs[0], "middle": epochs[len(epochs) // 2], "last": epochs[-1]}


def overall(values: Tensor) -> Tensor:
    """Return the mean over seeds and steps, (epochs,), of (epochs, seeds, steps); unreadable steps are left out."""
    return values.flatten(1).nanmean(dim=1)


def spread(values: Tensor) -> Tensor:
    """Return the standard deviation over seeds and steps together, (epochs,); unreadable steps are left out."""
    rows = [row[row.isfinite()] for row in values.flatten(1)]
    return torch.stack([row.std() if len(row) > 1 else row.new_tensor(torch.nan) for row in rows])


def seed_spread(values: Tensor) -> Tensor:
    """Return the standard deviation over seeds of their mean over steps, (epochs,); NaN with one seed."""
    return spread(values.nanmean(dim=2, keepdim=True))
