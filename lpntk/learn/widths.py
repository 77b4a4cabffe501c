"""Together or one by one? How many models share a stack, by a rule: no clock decides a number.

Stacking pays where batches are tiny and models small; where a model fills the processor by itself it costs. On CPUs
stacks got faster up to the width at which what a step touches leaves the caches near the processor; a CUDA device is
the faster the more it is given at once.
"""

import torch
from torch import Tensor, nn

from lpntk.learn.models import count_parameters
from lpntk.learn.stacks import stackable
from lpntk.machine.precision import exact

GIB = 2**30
WIDTHS = (1, 4, 16, 64)
NEAR = 64 * 2**20  # bytes up to which wider stacks were faster, on CPUs (results/bench/stacking)


def choose_width(
    model: nn.Module, x: Tensor, batch_size: int, *, way: str | int = "auto", memory_budget: int = 2 * GIB
) -> int:
    """Return how many models to train at once; 1 is one by one.

    Args:
        model: one of them, on its device.
        x: inputs there, at least one.
        batch_size: samples per step and model.
        way: ``auto``, ``single``, ``stack`` (as many as memory allows) or the width itself.
        memory_budget: bytes that a stack may take; it cuts whatever was chosen.

    Raises:
        ValueError: if the way is unknown.
    """
    if not (way in ("auto", "single", "stack") or (isinstance(way, int) and way >= 1)):
        raise ValueError(f"way must be 'auto', 'single', 'stack' or a width of at least 1; got {way!r}")
    if way in ("single", 1) or (way == "auto" and not stackable(model, x)):
        return 1
    numbers = sizes(model, x[:1])
    widest = max(1, memory_budget // _bytes_per_model(model, numbers, batch_size))
    if way != "auto":
        return widest if way == "stack" else min(way, widest)
    step = x.element_size() * (
        2 * count_parameters(model) + batch_size * sum(numbers)
    )  # weights, gradients, activations
    near = [width for width in WIDTHS if x.device.type != "cpu" or width == 1 or width * step <= NEAR]
    return min(near[-1], widest)


def bytes_per_input(model: nn.Module, x: Tensor) -> int:
    """Estimate what one more input (1, ...) adds to a pass without gradients: the two largest activations together."""
    return 2 * x.element_size() * max(sizes(model, x))


def _bytes_per_model(model: nn.Module, numbers: list[int], batch_size: int) -> int:
    """Estimate what one more model adds to a stack in training: parameters, gradients, momentum, activations."""
    p = sum(p.numel() for p in model.parameters())
    activations = 3 * batch_size * sum(numbers)  # each, its gradient and a copy of either
    return next(model.parameters()).element_size() * (4 * p + activations)


@exact
def sizes(model: nn.Module, x: Tensor) -> list[int]:
    """Return how many numbers a sample (1, ...) and each of its activations hold."""
    seen = [x.numel()]
    hooks = [
        module.register_forward_hook(lambda _m, _i, out: seen.append(out.numel()))
        for module in model.modules()
        if not list(module.children())
    ]
    was = model.training
    try:
        with torch.no_grad():
            model.eval()(x)
    finally:
        model.train(was)
        for hook in hooks:
            hook.remove()
    return seen
