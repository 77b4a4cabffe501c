"""What was learned, and what was lost again? Forgetting events, counted through every update of a training.

A sample is forgotten by an update if it was predicted correctly before and is wrong after it
(Toneva et al., ICLR 2019).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

NEVER = -1


def margin(values: Tensor, y: Tensor) -> Tensor:
    """Return by how much the label leads: its value minus the largest other one.

    Args:
        values: (..., k) logits or probabilities.
        y: (...) labels.

    Returns:
        (...) margins. A prediction is correct where its margin is positive: a tie counts as wrong.
    """
    label = values.gather(-1, y[..., None])  # (..., 1)
    others = values.scatter(-1, y[..., None], float("-inf")).amax(dim=-1)
    return label.squeeze(-1) - others


def events(correct: Tensor) -> Tensor:
    """Return which updates made which samples forgotten: (..., t + 1, n) correctness -> (..., t, n) bool.

    Args:
        correct: before the first update and after each; NaN has no place here, a diverged run is left out before.
    """
    return correct[..., :-1, :] & ~correct[..., 1:, :]


@dataclass(frozen=True)
class Forgetting:
    """What became of each sample in a training of t updates.

    Attributes:
        counts: (..., n) forgetting events.
        first_learned: (..., n) updates until it was correct for the first time, 0 at the initialisation; -1 never.
    """

    counts: Tensor
    first_learned: Tensor

    @property
    def never_learned(self) -> Tensor:
        """Whether each sample was never correct, (..., n) bool."""
        return self.first_learned == NEVER

    @property
    def never_forgotten(self) -> Tensor:
        """Whether each was correct at some time and from then on, (..., n) bool; *unforgettable* to Toneva et al."""
        return (self.counts == 0) & ~self.never_learned


def follow(correct: Tensor) -> Forgetting:
    """Count the events of every sample through every update.

    Args:
        correct: (..., t + 1, n) bool, before the first update and after each.
    """
    first = correct.int().argmax(dim=-2)  # the first of equal maxima
    return Forgetting(events(correct).sum(dim=-2), first.masked_fill(~correct.any(dim=-2), NEVER))


def counts_at_presentations(correct: Tensor, batches: Tensor) -> Tensor:
    """Count as Toneva et al. do: a sample is looked at only when it is in the batch, just before that update.

    A sample that is lost and found again between two of its presentations goes unnoticed, so a count is never larger
    than that of ``follow``.

    Args:
        correct: (m, t + 1, n) bool, the first n samples before the first update and after each.
        batches: (m, t, b) the samples of each update, none twice in one; those beyond n are left out.

    Returns:
        (m, n) events.
    """
    m, _, n = correct.shape
    presented = torch.zeros(m, batches.shape[1], max(n, int(batches.max()) + 1), dtype=torch.bool)
    presented = presented.scatter_(2, batches, True)[:, :, :n]
    last = torch.zeros(m, n, dtype=torch.bool)
    counts = torch.zeros(m, n, dtype=torch.int64)
    for i in range(batches.shape[1]):
        now, here = correct[:, i], presented[:, i]
        counts += last & ~now & here
        last = torch.where(here, now, last)
    return counts
