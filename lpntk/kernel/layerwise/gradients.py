"""How do I get one gradient per sample, of any network? ``torch.func``, one row of P numbers per sample.

This engine keeps nothing clever: it is what the layer-wise engine (``gram.py``) is compared with, and what catches the
parameters that engine cannot see.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from lpntk.machine.device import ran_out
from lpntk.machine.products import product
from lpntk.machine.strides import guard


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters that the kernel differentiates by: each once, frozen ones left out; see to ``guard``."""
    guard(model)
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def combined_gradients(model: nn.Module, x: Tensor, toward: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """Return ``grad_w sum_i v_i^T z(x_i; w)`` by name, from one backward pass; zeros where a parameter is not used.

    Args:
        model: network in evaluation mode; maps (n, ...) to (n, k).
        x: (n, ...) inputs.
        toward: maps the logits to constant vectors ``v`` (n, k).
    """
    params = trainable(model)
    with torch.enable_grad():
        logits = model(x)
        total = (logits * toward(logits.detach())).sum()
        found = torch.autograd.grad(total, list(params.values()), allow_unused=True)
    return {
        name: torch.zeros_like(p) if gradient is None else gradient.to_dense()
        for (name, p), gradient in zip(params.items(), found, strict=True)
    }


def per_sample_gradients(model: nn.Module, x: Tensor, s: Tensor, params: dict[str, Tensor] | None = None) -> Tensor:
    """Return ``grad_w s_i^T z(x_i; w)`` for every sample of a batch.

    Args:
        model: network in evaluation mode; maps (n, ...) to (n, k).
        x: (n, ...) inputs.
        s: (n, k) constant vectors, see ``signs.py``.
        params: names and values to differentiate by; all trainable parameters by default.

    Returns:
        (n, p) gradients, parameters flattened and joined in the order of ``params``.
    """
    params = trainable(model) if params is None else params
    params = {name: p.detach() for name, p in params.items()}

    def projected(params: dict[str, Tensor], x_i: Tensor, s_i: Tensor) -> Tensor:
        logits = functional_call(model, params, (x_i.unsqueeze(0),))  # (1, k)
        return (logits.squeeze(0) * s_i).sum()

    rows = over_samples(grad(projected), params, x, s)
    return torch.cat([rows[name].reshape(len(x), -1) for name in params], dim=1)  # (n, p)


@torch.no_grad()  # for the parameters that are not among ``params``; ``grad`` inside still works
def over_samples(function: Callable, params: dict[str, Tensor], *samples: Tensor) -> dict[str, Tensor]:
    """Map ``function(params, *sample)`` over the first axis of ``samples`` and stack the results by name.

    ``vmap`` where every operation has a batching rule, else (an LSTM on the CPU) one sample after the other.

    Raises:
        RuntimeError: if memory runs out.
    """
    try:
        return vmap(function, in_dims=(None,) + (0,) * len(samples))(params, *samples)
    except RuntimeError as error:
        if ran_out(error):
            raise
        rows = [function(params, *sample) for sample in zip(*samples, strict=True)]
        return {name: torch.stack([row[name] for row in rows]) for name in params}


class PerSampleGradients:
    """Kernel engine: a block of samples is represented by its (n, p) gradient matrix, a Gram block is one GEMM.

    Args:
        model: network in evaluation mode on its device.
        direction: maps (logits, y) to the vectors ``s``.
    """

    def __init__(self, model: nn.Module, direction: Callable[[Tensor, Tensor], Tensor]):
        self.model, self.direction = model, direction
        self.p = sum(p.numel() for p in trainable(model).values())
        self.itemsize = next(iter(trainable(model).values())).element_size()

    @property
    def bytes_per_sample(self) -> int:
        """Bytes that ``features`` needs per sample at its peak: the row, once per parameter and once joined."""
        return 2 * self.p * self.itemsize

    def features(self, x: Tensor, y: Tensor) -> Tensor:
        """Return (n, p) gradients of a block of samples."""
        with torch.no_grad():
            s = self.direction(self.model(x), y)
        return per_sample_gradients(self.model, x, s)

    def gram(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the (n_a, n_b) block of inner products."""
        return product(a, b.T)

    def diagonal(self, a: Tensor) -> Tensor:
        """Return the (n_a,) squared norms."""
        return torch.linalg.vector_norm(a, dim=1).square()
