"""Together or one by one? A short timing per architecture and batch size, remembered for the rest of the process.

Stacking pays where batches are tiny and models small; where a model fills the processor by itself it costs. The timing
tries widths in rising order, stops where slow ones get slower, and looks again at the best. The width that keeps
activations near the processor is left for another only if that is clearly faster; work so short that the timing would
be a good part of it is done at this width untimed.
"""

import copy
import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lpntk.learn.stacks import Stack, bytes_of_activations, bytes_per_model, stackable
from lpntk.learn.steps import measure, step

GIB = 2**30
WIDTHS = (1, 4, 16, 64)
TRIAL = 0.15  # seconds that the timing of one width takes, or three steps
SHARE = 0.1  # of the work that a timing of all widths may take
NEAR = 64 * 2**20  # bytes of activations up to which wider stacks were faster, on CPUs
CLEAR = 0.1  # by how much another width must be faster than the usual one: such a short timing is not exact
SLOW = 0.1  # seconds of a step from which a width that is clearly worse than another ends the search
_measured: dict[tuple, dict[int, float]] = {}


def choose_width(
    models: Sequence[nn.Module],
    x: Tensor,
    y: Tensor,
    batch_size: int,
    *,
    steps: int,
    way: str | int = "auto",
    memory_budget: int = 2 * GIB,
) -> int:
    """Return how many models to train at once; 1 is one by one.

    Args:
        models: of one architecture, on their device.
        x: (n, ...) inputs there.
        y: (n,) labels.
        batch_size: samples per step and model.
        steps: that each model will take.
        way: ``auto``, ``single``, ``stack`` or a width.
        memory_budget: bytes that a stack may take; it cuts whatever was chosen.

    Raises:
        ValueError: if the way is unknown, or a stack is asked of models that cannot share one.
    """
    m = len(models)
    if not (way in ("auto", "single", "stack") or (isinstance(way, int) and way >= 1)):
        raise ValueError(f"way must be 'auto', 'single', 'stack' or a width of at least 1; got {way!r}")
    if m == 1 or way in ("single", 1):
        return 1
    if not stackable(models[0]):
        if way == "auto":
            return 1
        Stack(models[:2])  # raises with the reason
    widest = max(1, min(m, int(memory_budget // bytes_per_model(models[0], x[:1], batch_size))))
    if way != "auto":
        return widest if way == "stack" else min(way, widest)
    known = {width: s for width, s in _remembered(models[0], x, batch_size).items() if width <= widest}
    unknown = [width for width in WIDTHS if width <= widest and width not in known]
    activations = batch_size * bytes_of_activations(models[0], x[:1])
    usual = min(widest, max(width for width in WIDTHS if width == 1 or width * activations <= NEAR))
    if unknown:
        untimed = min(known, key=known.get) if usual in known else usual
        if m * steps < 500 * usual:  # even three steps of copies would be a good part of it
            return untimed
        seconds = min(known.values()) if known else _time(models[:usual], x, y, batch_size, trial=0.0)
        cost = sum(3 * max(TRIAL, 3 * width * seconds) for width in unknown)
        if cost > SHARE * m * steps * seconds:
            return untimed
    times = timings(models, x, y, batch_size, widest)
    best = min(times, key=times.get)
    return usual if usual in times and times[usual] <= (1 + CLEAR) * times[best] else best


def _remembered(model: nn.Module, x: Tensor, batch_size: int) -> dict[int, float]:
    key = (str(model), tuple(x.shape[1:]), batch_size, str(x.device), torch.get_num_threads())
    return _measured.setdefault(key, {})


def timings(models: Sequence[nn.Module], x: Tensor, y: Tensor, batch_size: int, widest: int) -> dict[int, float]:
    """Return width -> seconds per model and step, measured on copies of the models; remembered."""
    times = _remembered(models[0], x, batch_size)
    known = len(times)
    for width in WIDTHS:
        if width > widest:
            break
        if width not in times:
            times[width] = _time(models[:width], x, y, batch_size)
        if width * times[width] > SLOW and times[width] > 1.5 * min(times.values()):
            break
    if len(times) > known:
        for near in (3, 1.5):  # again and apart in time, or a moment's load on the machine would decide
            for width in [width for width, seconds in times.items() if seconds <= near * min(times.values())]:
                times[width] = min(times[width], _time(models[:width], x, y, batch_size))
    return {width: seconds for width, seconds in times.items() if width <= widest}


def _time(models: Sequence[nn.Module], x: Tensor, y: Tensor, batch_size: int, trial: float = TRIAL) -> float:
    m = len(models)
    stack = Stack([copy.deepcopy(model) for model in models], channels_last=x.device.type == "cpu")
    optimizer = torch.optim.SGD(stack.trained, lr=0.0, momentum=0.9, fused=True)
    rows = (torch.arange(m * batch_size, device=x.device) % len(x)).view(m, batch_size)
    seconds, spent = [], 0.0
    with torch.random.fork_rng(devices=[x.device] if x.device.type == "cuda" else []):
        while len(seconds) < 3 or (spent < trial and len(seconds) < 30):
            started = time.perf_counter()
            measure(step(stack, optimizer, x[rows], y[rows], dropout=True, amp=False), y[rows])
            if x.device.type == "cuda":
                torch.cuda.synchronize(x.device)
            seconds.append(time.perf_counter() - started)
            spent += seconds[-1]
    return min(seconds[1:]) / m
