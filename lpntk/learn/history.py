"""What did they show while they learned? The record of m models, per sample, presentation and epoch."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

EXPLODED = 100.0  # nats: a sample that is given a probability of e^-100
UNSTABLE = 0.1  # share of unstable models above which those that are left are too select to speak for a size


@dataclass(frozen=True)
class History:
    """What each of m models showed on each of its samples, at every presentation, before the update it took part in.

    Attributes:
        loss: (m, epochs, size) cross-entropy, nats; None, as the next two, if presentations were not kept.
        distance: (m, epochs, size) L2 distance between softmax and one-hot target.
        correct: (m, epochs, size) bool, whether the largest logit was the label's.
        diverged: (m,) bool, whether a loss or a parameter stopped being finite.
        train_accuracy: (m, epochs) on the own subset after each epoch, or None if it was not asked for; NaN but for
            the last epoch if only that was.
        test_accuracy: (m, epochs) on the test samples, or None.
        checkpoints: number of finished epochs -> m states.
    """

    loss: Tensor | None = None
    distance: Tensor | None = None
    correct: Tensor | None = None
    diverged: Tensor = None
    train_accuracy: Tensor | None = None
    test_accuracy: Tensor | None = None
    checkpoints: dict[int, list[dict[str, Tensor]]] = field(default_factory=dict)

    def __post_init__(self):
        if self.diverged is None:
            object.__setattr__(self, "diverged", ~self.loss.isfinite().all(dim=2).all(dim=1))

    @property
    def unstable(self) -> Tensor:
        """Whether each model diverged or gave a sample a loss above 100 nats, (m,) bool; such would rule every mean.

        Raises:
            ValueError: if presentations were not kept.
        """
        if self.loss is None:
            raise ValueError("presentations were not kept: train with presentations=True")
        return self.diverged | (self.loss > EXPLODED).flatten(1).any(dim=1)

    def difficulty(self, measure: str = "loss") -> Tensor:
        """Return the learning difficulty (m, size): ``loss`` or ``distance`` accumulated over the presentations.

        The rows of unstable models are NaN, so that no average takes them in unseen.

        Raises:
            ValueError: if the measure is unknown, or presentations were not kept.
        """
        if measure not in ("loss", "distance"):
            raise ValueError(f"measure must be 'loss' or 'distance'; got {measure!r}")
        unstable = self.unstable
        return getattr(self, measure).sum(dim=1).masked_fill(unstable[:, None], torch.nan)

    def tensors(self) -> dict[str, Tensor]:
        """Return the record as named tensors, checkpoints left out: what is stored."""
        names = ("loss", "distance", "correct", "diverged", "train_accuracy", "test_accuracy")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}

    @staticmethod
    def join(parts: Sequence["History"]) -> "History":
        """Return the histories of several stacks as one."""
        names = parts[0].tensors()
        joined = {name: torch.cat([getattr(part, name) for part in parts]) for name in names}
        epochs = parts[0].checkpoints
        states = {epoch: [s for part in parts for s in part.checkpoints.get(epoch, ())] for epoch in epochs}
        return History(**joined, checkpoints=states)
