"""Which samples harm? Threat models of ours, planted on purpose, so that it is known which samples are bad.

``uniform``: labels that became any other, all equally likely. ``pairwise``: labels that became the next class.
``backdoor``: a bright square in the lower right corner and the label of one class, so that whatever bears the square is
taken for it. ``duplicates``: one sample of each class repeated with a little noise in the place of others, so that it
is over-represented. ``clean``: nothing is planted; a rate then says how much is removed all the same.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from lpntk.data.dataset import Dataset
from lpntk.data.tasks import flip

CLEAN, TARGET = "clean", 0  # the class that a backdoor leads to
NOISE = 0.1  # standard deviation of what a repeated sample differs by, in units of the standardised inputs
THREATS = {
    "uniform": "labels flipped",
    "pairwise": "labels flipped to the next",
    "backdoor": "backdoor",
    "duplicates": "near-duplicates",
}


@dataclass(frozen=True)
class Poisoned:
    """Samples of which some are bad.

    Attributes:
        x: (n, c, h, w) inputs.
        y: (n,) labels as they are given.
        bad: (n,) bool, which were poisoned.
        attack: test inputs of other classes with the square, and the class it leads to, (m, c, h, w) and (m,): the
            accuracy on them is the attack's success. None without a backdoor.
    """

    x: Tensor
    y: Tensor
    bad: Tensor
    attack: tuple[Tensor, Tensor] | None = None


def poison(threat: str, data: Dataset, rows: Tensor, rate: float, *, seed: int, patch: int = 2) -> Poisoned:
    """Plant round(rate n) bad samples among some of the training samples.

    Args:
        threat: a name of ``THREATS``, or ``clean``.
        data: where the samples come from.
        rows: (n,) which training samples; there are as many afterwards.
        rate: of the samples, between 0 and 1.
        seed: of all draws.
        patch: side of the square, pixels.

    Raises:
        ValueError: if the threat is unknown, the rate outside (0, 1) or too small or too large to plant, the square
            larger than the image, or there are fewer than two classes.
    """
    x, y = data.x_train[rows].clone(), data.y_train[rows].clone()
    n, count = len(y), round(rate * len(y))
    if threat not in (CLEAN, *THREATS):
        raise ValueError(f"threat must be one of {', '.join((CLEAN, *THREATS))}; got {threat!r}")
    if not 0 < rate < 1:
        raise ValueError(f"rate is the share of bad samples, between 0 and 1; got {rate}")
    if data.k < 2:
        raise ValueError("poison needs at least two classes: with one there is no wrong label")
    if not 0 < count < n:
        raise ValueError(f"a rate of {rate} makes {count} of {n} samples bad; at least one must be, and one not")
    bad = torch.zeros(n, dtype=torch.bool)
    draw = torch.Generator().manual_seed(seed)
    if threat == "uniform":
        y = flip(y, rate, data.k, seed)
        bad = y != data.y_train[rows]
    elif threat == "pairwise":
        bad[torch.randperm(n, generator=draw)[:count]] = True
        y[bad] = (y[bad] + 1) % data.k
    elif threat == "backdoor":
        others = (y != TARGET).nonzero()[:, 0]
        if count > len(others):
            raise ValueError(f"a rate of {rate} needs {count} samples of other classes than {TARGET}; of these "
                             f"are {len(others)}: lower the rate")  # fmt: skip
        bad[others[torch.randperm(len(others), generator=draw)[:count]]] = True
        light = data.x_train.amax(dim=(0, 2, 3))
        x[bad], y[bad] = patched(x[bad], patch, light), TARGET
        victims = data.x_test[data.y_test != TARGET]
        return Poisoned(x, y, bad, (patched(victims, patch, light), torch.full((len(victims),), TARGET)))
    elif threat == "duplicates":
        labels = y.unique()
        for i, label in enumerate(labels):
            of_class, many = (y == label).nonzero()[:, 0], count // len(labels) + (i < count % len(labels))
            if many >= len(of_class):
                raise ValueError(f"class {int(label)} has {len(of_class)} samples, too few to repeat one of them "
                                 f"{many} times: lower the rate")  # fmt: skip
            first, *copies = of_class[torch.randperm(len(of_class), generator=draw)[: many + 1]].tolist()
            x[copies] = x[first] + NOISE * torch.randn(many, *x.shape[1:], generator=draw)
            bad[copies] = True
    return Poisoned(x, y, bad)


def patched(x: Tensor, side: int, light: Tensor) -> Tensor:
    """Return images (n, c, h, w) with a square in the lower right corner, as bright as ``light`` (c,).

    Raises:
        ValueError: if the square has no pixel, or more than the image.
    """
    if not 1 <= side <= min(x.shape[2:]):
        raise ValueError(f"patch is the side of the square, 1 to {min(x.shape[2:])} pixels here; got {side}")
    x = x.clone()
    x[:, :, -side:, -side:] = light[:, None, None]
    return x
