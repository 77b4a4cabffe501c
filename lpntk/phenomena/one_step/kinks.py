"""Which inputs meet a kink? A network of ReLUs and max-poolings is smooth as long as none of them switches.

Operations are watched where torch carries them out, so that ``nn.ReLU``, ``F.relu`` and ``x.relu()`` are all one.
"""

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

RELUS = ("relu", "relu_")
POOLINGS = ("max_pool2d_with_indices",)
UNWATCHED = {
    "leaky_relu", "leaky_relu_", "_prelu_kernel", "rrelu_with_noise", "elu", "elu_", "threshold", "threshold_",
    "hardtanh", "hardtanh_", "hardsigmoid", "hardswish", "hardswish_", "softshrink", "hardshrink", "abs", "abs_",
    "clamp", "clamp_", "clamp_min", "clamp_min_", "clamp_max", "clamp_max_", "maximum", "minimum", "max", "min", "amax",
    "amin", "max_pool3d_with_indices", "adaptive_max_pool2d", "adaptive_max_pool3d", "fractional_max_pool2d", "sort",
    "topk", "round", "sign", "gt", "ge", "lt", "le",
}  # fmt: skip


class _Watch(TorchDispatchMode):
    """Notes, for each operation with a kink, on which side of it every value lies: one (m, values) per operation."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in UNWATCHED:
            raise NotImplementedError(
                f"the network uses {name}, which may have kinks that are not watched; expected ReLUs and 2-d "
                "max-poolings: add it to lpntk/phenomena/one_step/kinks.py with what switches there"
            )
        output = func(*args, **(kwargs or {}))
        if name in RELUS:
            self.seen.append((output > 0).flatten(1))
        elif name in POOLINGS:
            self.seen.append(output[1].flatten(1))  # which pixel is the largest
        return output


def switches(model: nn.Module, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return the logits (m, k), and for every operation with kinks its switches: one row of values for each input.

    Seen are ReLUs (which units are positive) and 2-d max-poolings (which pixel is the largest), modules or functions.

    Raises:
        NotImplementedError: if the network uses another operation with kinks.
    """
    with _Watch() as watch:
        return model(x), watch.seen


def switched(before: list[Tensor], after: list[Tensor], m: int) -> Tensor:
    """Return which of m inputs (m,) have any switch in another position."""
    found = [(a != b).any(dim=1).cpu() for a, b in zip(before, after, strict=True)]
    return torch.stack([torch.zeros(m, dtype=torch.bool), *found]).any(dim=0)


def local_slopes(missed: Tensor, lrs: Tensor, kinked: Tensor, least: int = 10) -> Tensor:
    """Return the slope of log error against log learning rate between neighbours, over inputs without a kink so far.

    Args:
        missed: (l, m) errors.
        lrs: (l,) rising learning rates.
        kinked: (l, m) bool, which inputs have switched.
        least: inputs that a mean is taken over; a slope from fewer is NaN.

    Returns:
        (l - 1,) slopes; each compares the mean error over the same inputs at both ends.
    """
    free = ~kinked.cummax(dim=0).values[1:]  # (l - 1, m): smooth up to the upper end
    low, high = (missed[:-1] * free).sum(dim=1), (missed[1:] * free).sum(dim=1)
    slopes = (high / low).log() / (lrs[1:] / lrs[:-1]).log()
    return slopes.masked_fill(free.sum(dim=1) < least, torch.nan)
