"""What is one step? Cross-entropy and SGD for every model of a stack, and what each sample showed just before it."""

import torch
import torch.nn.functional as F
from torch import Tensor

from lpntk.kernel.signs import residual
from lpntk.learn.stacks import Stack


def step(stack: Stack, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, *, dropout: bool, amp: bool) -> Tensor:
    """Step every model of a stack on its batch, x (m, b, ...) and y (m, b); return the logits before it, (m, b, k)."""
    with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=amp):
        logits = stack.logits(x, training=True, dropout=dropout)
    logits = logits.float() if amp else logits
    loss = F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="sum") / y.shape[1]  # models do not mix
    trained = stack.trained
    for p, grad in zip(trained, torch.autograd.grad(loss, trained, allow_unused=True), strict=True):
        fits = grad is None or grad.stride() == p.stride()  # fused SGD walks memory; what is unused has no gradient
        p.grad = grad if fits else torch.empty_like(p).copy_(grad)
    optimizer.step()
    return logits.detach()


def measure(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(m, b, k) logits and (m, b) labels -> loss, distance, correctness, each (m, b)."""
    log_q = logits.log_softmax(dim=2)
    loss = -log_q.gather(2, y[..., None]).squeeze(2)
    distance = torch.linalg.vector_norm(residual(log_q.exp(), y), dim=2)
    return loss, distance, logits.argmax(dim=2) == y


def shorten(grads: list[Tensor], m: int, longest: float) -> None:
    """Shorten the gradient of each of m models; one alone has no axis of models."""
    rows = [grad.reshape(m, -1) for grad in grads]
    norm = torch.stack([torch.linalg.vector_norm(row, dim=1) for row in rows]).norm(dim=0)  # (m,)
    factor = longest / norm.clamp_min(longest)
    for grad in grads:
        grad.mul_(factor if m == 1 else factor.view(-1, *[1] * (grad.ndim - 1)))
