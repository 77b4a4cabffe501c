"""How does the learning rate fall? Constant, in steps as in the authors' MNIST runs, or along a cosine."""

import math

SCHEDULES = ("constant", "step", "cosine")


def rate(schedule: str, lr: float, epoch: int, epochs: int, *, factor: float = 0.7, every: int = 2) -> float:
    """Return the learning rate of an epoch.

    Args:
        schedule: ``constant``; ``step``: times ``factor`` after every ``every`` epochs; ``cosine``: from ``lr`` towards
            0 along half a period over all epochs.
        lr: of the first epoch.
        epoch: counted from 0.
        epochs: of the whole run.
        factor: of ``step``; 0.7 in the authors' settings for MNIST.
        every: epochs between two steps; 2 there.

    Raises:
        ValueError: if the schedule is unknown.
    """
    if schedule == "constant":
        return lr
    if schedule == "step":
        return lr * factor ** (epoch // every)
    if schedule == "cosine":
        return lr * (1 + math.cos(math.pi * epoch / epochs)) / 2
    raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}; got {schedule!r}")
