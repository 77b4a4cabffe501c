"""Which inputs meet a kink? A network of ReLUs and max-poolings is smooth as long as none of them switches."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def switches(model: nn.Module, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Return the logits (m, k), and for every layer with kinks its switches: one row of values for each input.

    Seen are the modules ``nn.ReLU`` (which units are positive) and ``nn.MaxPool2d`` (which pixel is the largest); a
    ReLU called as a function is not.
    """
    seen: list[Tensor] = []

    def positive(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append((output > 0).flatten(1))

    def largest(module: nn.MaxPool2d, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        size = module.kernel_size, module.stride, module.padding, module.dilation, module.ceil_mode
        seen.append(F.max_pool2d(inputs[0], *size, return_indices=True)[1].flatten(1))

    hooks = [m.register_forward_hook(positive) for m in model.modules() if isinstance(m, nn.ReLU)]
    hooks += [m.register_forward_hook(largest) for m in model.modules() if isinstance(m, nn.MaxPool2d)]
    try:
        return model(x), seen
    finally:
        for hook in hooks:
            hook.remove()


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
