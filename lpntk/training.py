"""How does it learn? One model, or a stack of hundreds that share every operation, with a record per sample.

A stack keeps the parameters of its models in one tensor per name, (m, ...), and takes their gradients in one call of
``torch.func.vmap``: models too small to fill a processor one by one fill it together. Plain SGD with momentum and
weight decay as in the paper's settings.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap
from tqdm.auto import tqdm

from lpntk.device import resolve_device


@dataclass(frozen=True)
class History:
    """What each of m models showed on each of its samples, at every presentation, before the update it took part in.

    Attributes:
        loss: (m, epochs, size) cross-entropy, nats.
        distance: (m, epochs, size) L2 distance between softmax and one-hot target.
        correct: (m, epochs, size) bool, whether the largest logit was the label's.
    """

    loss: Tensor
    distance: Tensor
    correct: Tensor

    def difficulty(self, measure: str = "loss") -> Tensor:
        """Return the learning difficulty (m, size): ``loss`` or ``distance`` accumulated over the presentations."""
        if measure not in ("loss", "distance"):
            raise ValueError(f"measure must be 'loss' or 'distance'; got {measure!r}")
        return getattr(self, measure).sum(dim=1)


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
    device: str | torch.device = "auto",
    progress: str | None = None,
) -> History:
    """Train every model on its own subset, in its own order; the models are changed in place and left in eval mode.

    Args:
        models: m networks of one architecture. A single one may hold batch norm; a stack may not.
        x: (n, ...) inputs, kept on the device as a whole.
        y: (n,) labels.
        subsets: (m, size) indices into x: the samples of each model.
        seeds: m seeds of the order in which samples are presented.
        epochs: passes over the subset.
        lr: constant learning rate.
        batch_size: samples per step, at most; a last smaller batch is kept.
        momentum: of SGD.
        weight_decay: of SGD, added to the gradient.
        device: ``auto``, ``cpu`` or ``cuda[:i]``.
        progress: words for a progress bar; none by default.

    Raises:
        ValueError: if the numbers of models, subsets and seeds differ.
        FloatingPointError: if a model's loss stopped being finite; says which and when.
    """
    m, size = subsets.shape
    if not len(models) == len(seeds) == m:
        raise ValueError(f"models, subsets and seeds must be as many; got {len(models)}, {m} and {len(seeds)}")
    device = resolve_device(device)
    x, y, subsets = x.to(device), y.to(device), subsets.to(device)
    models = [model.to(device).train() for model in models]
    params, gradients = _single(models[0]) if m == 1 else _stacked(models)
    optimizer = torch.optim.SGD(params.values(), lr=lr, momentum=momentum, weight_decay=weight_decay)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    records = [torch.empty(m, epochs, size, dtype=kind) for kind in (torch.float32, torch.float32, torch.bool)]

    for epoch in tqdm(range(epochs), desc=progress, disable=progress is None, leave=False):
        order = torch.stack([torch.randperm(size, generator=g) for g in generators]).to(device)  # (m, size)
        for part in order.split(batch_size, dim=1):
            rows = subsets.gather(1, part)  # (m, b) indices into x
            grads, logits = gradients(params, x[rows], y[rows])
            for name, p in params.items():
                p.grad = grads[name]
            optimizer.step()
            for record, value in zip(records, _measure(logits, y[rows]), strict=True):
                record[:, epoch].scatter_(1, part.cpu(), value.cpu())
        diverged = ~records[0][:, epoch].isfinite().all(dim=1)  # (m,)
        if diverged.any():
            raise FloatingPointError(
                f"{int(diverged.sum())} of {m} models diverged in epoch {epoch + 1} of {epochs} (the loss is NaN or "
                f"infinite, first in model {int(diverged.nonzero()[0])}); lower lr, now {lr}"
            )
    for i, model in enumerate(models):
        if m > 1:
            with torch.no_grad():
                for name, p in model.named_parameters():
                    p.copy_(params[name][i])
        model.eval()
    return History(*records)


@torch.no_grad()
def accuracy(model: nn.Module, x: Tensor, y: Tensor, batch_size: int = 1024) -> float:
    """Return the share of samples whose largest logit is the label's."""
    device = next(model.parameters()).device
    hits = [model(a.to(device)).argmax(1).eq(b.to(device)).sum() for a, b in _batches(x, y, batch_size)]
    return float(sum(hits)) / len(y)


def _batches(x: Tensor, y: Tensor, batch_size: int):
    return zip(x.split(batch_size), y.split(batch_size), strict=True)


def _loss(model: nn.Module):
    def loss(params: dict[str, Tensor], x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        logits = functional_call(model, params, (x,))  # (b, k)
        return F.cross_entropy(logits, y), logits

    return loss


def _single(model: nn.Module):
    """One model through plain autograd: batch norm and large convolutions run at full speed."""
    params = dict(model.named_parameters())
    loss = _loss(model)

    def gradients(params: dict[str, Tensor], x: Tensor, y: Tensor):
        value, logits = loss(params, x[0], y[0])
        grads = torch.autograd.grad(value, list(params.values()))
        return dict(zip(params, grads, strict=True)), logits.detach()[None]

    return params, gradients


def _stacked(models: list[nn.Module]):
    if any(True for _ in models[0].buffers()):
        raise ValueError(
            "a stack of models cannot hold buffers such as batch norm's running statistics; train these models one "
            "by one or choose a network without batch norm"
        )
    params, _ = stack_module_state(models)  # name -> (m, ...), leaves
    gradients = vmap(grad_and_value(_loss(models[0]), has_aux=True), randomness="different")

    def both(params: dict[str, Tensor], x: Tensor, y: Tensor):
        grads, (_, logits) = gradients(params, x, y)
        return grads, logits

    return params, both


def _measure(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(m, b, k) logits and (m, b) labels -> loss, distance, correctness, each (m, b)."""
    log_q = logits.detach().log_softmax(dim=2)
    loss = -log_q.gather(2, y[..., None]).squeeze(2)
    distance = torch.linalg.vector_norm(log_q.exp() - F.one_hot(y, logits.shape[2]), dim=2)
    return loss, distance, logits.argmax(dim=2) == y
