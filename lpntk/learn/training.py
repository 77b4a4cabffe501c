"""How does it learn? One model or hundreds, each on its own samples, with a record of every presentation.

One path for all: the models are cut into stacks (``stacks.py``) of a width that follows from the model and fits the
memory (``widths.py``; a width of 1 is one by one), and each stack walks through its epochs with SGD.
Products of float32 numbers are taken in float32 whatever the surroundings ask for; bfloat16 is for ``amp`` to choose.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral

import torch
from torch import Tensor, nn

from lpntk.data.augment import CropFlip
from lpntk.kernel.checks import check_labels
from lpntk.learn.history import History
from lpntk.learn.schedules import rate
from lpntk.learn.stacks import Stack
from lpntk.learn.steps import measure, shorten, step
from lpntk.learn.widths import GIB, bytes_per_input, choose_width
from lpntk.machine.device import keep_freed_memory, resolve_device
from lpntk.machine.precision import exact
from lpntk.machine.progress import progress_bar

VERSION = 2  # raised when the numbers change (tests/kernel/test_golden.py); results made by another are stale


class DivergenceWarning(RuntimeWarning):
    """Some models of many diverged; ``History.diverged`` marks them."""


@dataclass(frozen=True)
class Recipe:
    """How every model of a call is trained; see ``train`` for the meaning of the fields."""

    epochs: int
    lr: float
    batch_size: int
    momentum: float
    weight_decay: float
    schedule: str
    dropout: bool
    shuffle: bool
    amp: bool
    train_accuracy: bool | str
    presentations: bool
    augment: str | None
    clip: float | None
    checkpoints: tuple[int, ...]
    evaluated: int  # samples in one forward pass of a stack, when accuracies are taken


@exact
def train(
    models: Sequence[nn.Module],
    x: Tensor,
    y: Tensor,
    subsets: Tensor,
    *,
    seeds: Sequence[int],
    epochs: int,
    lr: float,
    batch_size: int = 128,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    schedule: str = "constant",
    dropout: bool = True,
    shuffle: bool = True,
    train_accuracy: bool | str = False,
    presentations: bool = True,
    augment: str | None = None,
    clip: float | None = None,
    test: tuple[Tensor, Tensor] | None = None,
    checkpoints: Sequence[int] = (),
    way: str | int = "auto",
    memory_budget: int = 2 * GIB,
    amp: bool = False,
    on_divergence: str = "raise",
    device: str | torch.device = "auto",
    progress: str | None = None,
) -> History:
    """Train every model on its own subset, in its own order; the models are changed in place and left in eval mode.

    Args:
        models: m networks of one architecture. Chains of usual layers share stacks, others (those with batch norm, of a
            forward pass of their own) are trained one by one. Frozen parameters stay.
        x: (n, ...) inputs, kept on the device as a whole.
        y: (n,) labels.
        subsets: (m, size) indices into x: the samples of each model.
        seeds: m seeds of the order in which samples are presented, and of dropout.
        epochs: passes over the subset.
        lr: learning rate of the first epoch.
        batch_size: samples per step, at most; a last smaller batch is kept.
        momentum: of SGD.
        weight_decay: of SGD, added to the gradient.
        schedule: ``constant``, ``step`` or ``cosine``, see ``lpntk.learn.schedules``.
        dropout: whether dropout layers act.
        shuffle: a new order in every epoch; otherwise that of the subset.
        train_accuracy: record after each epoch (``True``), or after the last one (``"last"``), each model's accuracy
            on its subset.
        presentations: keep what every sample showed whenever it was presented; thousands of models on large sets would
            fill a disk with it.
        augment: ``crop-flip``: each image shifted by up to 4 pixels and mirrored at random whenever it is presented.
        clip: length to which a longer gradient of a model is shortened.
        test: (x, y) to record each model's accuracy on after each epoch.
        checkpoints: numbers of finished epochs at which to keep the state of each model; 0 is before the first step.
        way: ``auto``, ``single`` (one by one), ``stack`` (as wide as memory allows) or the width itself.
        memory_budget: bytes that a stack may take.
        amp: bfloat16 autocast and images with the channels last in memory, on CUDA only.
        on_divergence: ``raise`` if every model diverged, or ``mark``: warn and mark them whatever their number.
        device: ``auto``, ``cpu`` or ``cuda[:i]``.
        progress: words for a progress bar; none by default.

    Raises:
        ValueError: if the numbers of models, subsets and seeds differ, an option is unknown or out of its range, a
            subset names a sample that is not there or a label no logit, or ``amp`` meets a CPU.
        FloatingPointError: if every model's loss stopped being finite. If only some did, or ``on_divergence`` is
            ``mark``, a ``DivergenceWarning`` is given and the history marks them.
    """
    device = resolve_device(device)
    _check(models, x, y, subsets, seeds, test=test, epochs=epochs, batch_size=batch_size, checkpoints=checkpoints,
           train_accuracy=train_accuracy, on_divergence=on_divergence, amp=amp, device=device, augment=augment,
           clip=clip)  # fmt: skip
    _check_labels(models[0], x, y[subsets].flatten())  # on a CUDA device a wrong one is an assertion without a word
    m, size = subsets.shape
    x, y, subsets = x.to(device), y.to(device), subsets.to(device)
    test = tuple(t.to(device) for t in test) if test is not None else None
    models = [model.to(device) for model in models]
    keep_freed_memory(device)
    most = 4096 if device.type == "cpu" else 65536
    evaluated = max(1, min(most, memory_budget // bytes_per_input(models[0], x[:1])))
    recipe = Recipe(epochs, lr, min(batch_size, size), momentum, weight_decay, schedule, dropout, shuffle, amp,
                    train_accuracy, presentations, augment, clip, tuple(checkpoints), evaluated)  # fmt: skip
    width = choose_width(models[0], x, recipe.batch_size, way=way, memory_budget=memory_budget)
    parts = []
    cuts = range(0, m, width)
    with progress_bar(len(cuts) * epochs, shown=progress is not None, desc=progress, leave=False) as bar:
        for cut in cuts:
            part = slice(cut, cut + width)
            with _single_explained(size, recipe.batch_size):
                parts.append(_train_stack(models[part], x, y, subsets[part], seeds[part], recipe, test, bar))
    history = History.join(parts)
    if history.diverged.any():
        _report(history, lr, on_divergence, x)
    return history


def _train_stack(models, x: Tensor, y: Tensor, subsets: Tensor, seeds: Sequence[int], recipe: Recipe, test, bar):
    """Train one stack from beginning to end."""
    m, size = subsets.shape
    device = x.device
    stack = Stack(models, channels_last=recipe.amp or device.type == "cpu")
    # torch 2.13's fused SGD leaves float16 and bfloat16 as they were on a CPU (its issue 191763)
    fused = all(p.dtype in (torch.float32, torch.float64) for p in stack.trained)
    optimizer = torch.optim.SGD(
        stack.trained, lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay, fused=fused
    )
    if recipe.clip is not None:
        optimizer.register_step_pre_hook(
            lambda *_: shorten([p.grad for p in stack.trained if p.grad is not None], m, recipe.clip)
        )
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    varied = CropFlip(x, seeds) if recipe.augment else None
    shape = (m, recipe.epochs, size if recipe.presentations else 0)
    records = [torch.full(shape, torch.nan), torch.full(shape, torch.nan), torch.zeros(shape, dtype=torch.bool)]
    accuracies = {"train": torch.full(shape[:2], torch.nan), "test": torch.full(shape[:2], torch.nan)}
    kept = {0: stack.snapshot()} if 0 in recipe.checkpoints else {}
    diverged = torch.zeros(m, dtype=torch.bool)
    with stack.drawing(seeds):
        for epoch in range(recipe.epochs):
            for group in optimizer.param_groups:
                group["lr"] = rate(recipe.schedule, recipe.lr, epoch, recipe.epochs)
            if recipe.shuffle:
                order = torch.stack([torch.randperm(size, generator=g) for g in generators]).to(device)  # (m, size)
            else:
                order = torch.arange(size, device=device).expand(m, size)
            seen = [torch.empty(*shape[::2], dtype=r.dtype, device=device) for r in records]
            lost = torch.zeros(m, dtype=torch.bool, device=device)
            if varied:
                varied.epoch(size)
            for at in range(0, size, recipe.batch_size):
                at = slice(at, at + recipe.batch_size)
                part = order[:, at]
                rows = subsets.gather(1, part)  # (m, b) indices into x
                shown = varied(rows, at) if varied else x[rows]
                logits = step(stack, optimizer, shown, y[rows], dropout=recipe.dropout, amp=recipe.amp)
                values = measure(logits, y[rows])
                lost |= ~values[0].isfinite().all(dim=1)
                for record, value in zip(seen, values, strict=True) if recipe.presentations else ():
                    record.scatter_(1, part, value.to(record.dtype))
            for record, value in zip(records, seen, strict=True):
                record[:, epoch] = value.cpu()
            if recipe.train_accuracy is True or (recipe.train_accuracy == "last" and epoch + 1 == recipe.epochs):
                accuracies["train"][:, epoch] = _stack_accuracy(stack, x, y, subsets, recipe.evaluated)
            if test is not None:
                everything = torch.arange(len(test[1]), device=device).expand(m, -1)
                accuracies["test"][:, epoch] = _stack_accuracy(stack, *test, everything, recipe.evaluated)
            if epoch + 1 in recipe.checkpoints:
                kept[epoch + 1] = stack.snapshot()
            bar.update()
            diverged |= lost.cpu()
            if diverged.all() and epoch + 1 >= max(recipe.checkpoints, default=0):
                break
    diverged |= ~stack.finite()
    stack.write_back()
    return History(
        *(records if recipe.presentations else ()),
        diverged=diverged,
        train_accuracy=accuracies["train"] if recipe.train_accuracy else None,
        test_accuracy=accuracies["test"] if test is not None else None,
        checkpoints=kept,
    )


@exact
@torch.no_grad()
def accuracy(model: nn.Module, x: Tensor, y: Tensor, batch_size: int = 1024) -> float:
    """Return the share of samples whose largest logit is the label's."""
    device = next(model.parameters()).device
    batches = zip(x.split(batch_size), y.split(batch_size), strict=True)
    hits = [model(a.to(device)).argmax(1).eq(b.to(device)).sum() for a, b in batches]
    return float(sum(hits)) / len(y)


@torch.no_grad()
def _stack_accuracy(stack: Stack, x: Tensor, y: Tensor, subsets: Tensor, samples: int) -> Tensor:
    """Return (m,) accuracies, each model on its own rows (m, size) of x; at most ``samples`` inputs at once."""
    hits = torch.zeros(len(subsets), device=x.device)
    for rows in subsets.split(max(1, samples // len(subsets)), dim=1):
        hits += (stack.logits(x[rows]).argmax(dim=2) == y[rows]).sum(dim=1)
    return (hits / subsets.shape[1]).cpu()


def _check(models, x: Tensor, y: Tensor, subsets: Tensor, seeds: Sequence[int], *, test, epochs: int, batch_size: int,
           checkpoints: Sequence[int], train_accuracy: bool | str, on_divergence: str, amp: bool,
           device: torch.device, augment: str | None, clip: float | None) -> None:  # fmt: skip
    """Refuse what cannot be meant, before anything is computed.

    Raises:
        ValueError: the message says which option, and what it must be.
    """
    for name, value in (("x", x), ("y", y), ("subsets", subsets)):
        if not isinstance(value, Tensor):
            raise ValueError(f"{name} must be a torch.Tensor; got {type(value).__name__}: use torch.as_tensor")
    if subsets.dtype == torch.bool or subsets.is_floating_point():
        raise ValueError(f"subsets must hold numbers of samples, not {subsets.dtype}: use nonzero() or long()")
    if subsets.ndim != 2 or not subsets.numel():
        raise ValueError(f"subsets must be (m, size), one row of samples per model; got {tuple(subsets.shape)}")
    if not len(models) == len(seeds) == len(subsets):
        found = f"{len(models)}, {len(subsets)} and {len(seeds)}"
        raise ValueError(f"models, subsets and seeds must be as many; got {found}")
    if len({id(model) for model in models}) < len(models):
        raise ValueError("every subset needs a model of its own; one was given twice")
    for inputs, labels in ((x, y), *([test] if test is not None else [])):
        if len(inputs) != len(labels):
            raise ValueError(f"every input needs its label; got {len(inputs)} inputs and {len(labels)} labels")
    low, high = int(subsets.min()), int(subsets.max())
    if low < 0 or high >= len(x):
        raise ValueError(f"subsets must name samples 0..{len(x) - 1}; got {low if low < 0 else high}")
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if not isinstance(value, Integral):
            raise ValueError(f"{name} must be a whole number; got {value!r}")
        if value < 1:
            raise ValueError(f"{name} must be at least 1; got {value}")
    if outside := [epoch for epoch in checkpoints if not 0 <= epoch <= epochs]:
        raise ValueError(f"checkpoints must be numbers of finished epochs, 0..{epochs}; got {outside[0]}")
    if not (isinstance(train_accuracy, bool) or train_accuracy == "last"):
        raise ValueError(f"train_accuracy must be True, False or 'last'; got {train_accuracy!r}")
    if augment not in (None, "crop-flip"):
        raise ValueError(f"augment must be 'crop-flip' or None; got {augment!r}")
    if clip is not None and not clip > 0:
        raise ValueError(f"clip must be above 0; got {clip}")
    if on_divergence not in ("raise", "mark"):
        raise ValueError(f"on_divergence must be 'raise' or 'mark'; got {on_divergence!r}")
    if amp and device.type != "cuda":
        raise ValueError(f"amp=True needs a CUDA device; the device is {device}: use amp=False")


def _check_labels(model: nn.Module, x: Tensor, y: Tensor) -> None:
    with torch.no_grad():
        k = model.eval()(x[:1].to(next(model.parameters()).device, copy=True)).shape[-1]
    check_labels(y, y, k, "x", "y")


@contextmanager
def _single_explained(size: int, batch_size: int) -> Iterator[None]:
    """Let batch norm say what to do about a batch of one sample, of which it can take no statistics.

    Raises:
        ValueError: in words of ours where torch raised one of that.
    """
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(
            f"batch norm cannot learn from a single sample, and {size} samples in batches of {batch_size} leave one in "
            "the last; give another batch_size, or leave a sample out"
        ) from error


def _report(history: History, lr: float, on_divergence: str, x: Tensor) -> None:
    lost, when = history.diverged, ""
    if history.loss is not None:
        finite, last = history.loss.isfinite().all(dim=2)[lost].sum(dim=1), history.loss.shape[1]  # (lost,) epochs
        when = f" in epoch {min(int(finite.min()) + 1, last)} of {last} or later"
    words = (
        f"{int(lost.sum())} of {len(lost)} models diverged{when} (the loss or a parameter is NaN or infinite, first in "
        f"model {int(lost.nonzero()[0])}); "
        + (f"lower lr, now {lr}" if x.isfinite().all() else "x holds NaN or infinity: clean the data first")
    )
    if lost.all() and on_divergence == "raise":
        raise FloatingPointError(words)
    warnings.warn(words + "; History.diverged marks them", DivergenceWarning, stacklevel=3)
