"""What if nothing cleverer explains a model? Every sample runs alone, forward and backward, as autograd means it.

Right for any module that maps one sample to its logits, whatever happens inside (packed sequences, checkpointing,
numpy, operations that ``torch.func`` cannot enter); slow, because nothing is shared between samples.
"""

import logging
import time

import torch
from torch import Tensor, nn

from lpntk.kernel.layerwise.coverage import TRIED, Direction
from lpntk.kernel.layerwise.gradients import trainable
from lpntk.kernel.model.copying.copies import check_own, untouched
from lpntk.kernel.model.ownership import weights_at_random
from lpntk.kernel.model.paths import nodes
from lpntk.kernel.model.trial import check_fixed, others_spared
from lpntk.machine.precision import kernel_dtype, tolerance
from lpntk.machine.products import product
from lpntk.machine.triangle import mirrored

FEW = 64  # copies of the samples tried, to see whether the model is fixed
log = logging.getLogger(__name__)


class OneByOne:
    """Kernel engine: a block of samples is its (n, p) gradient matrix, filled row by row.

    Args:
        model: network on its device, a copy: its parameters get gradients.
        direction: maps (logits, y) to the vectors ``s``.
        x: (n, ...) samples to try the model on, on its device.
        y: (n,) labels of ``x``.
        reason: why no other engine takes this model, for the log.
        rounded: multiply numbers rounded to bfloat16 in the Gram matrix.

    Raises:
        ValueError: if a sample has no gradient of its own in this model; the message names the cause.
    """

    def __init__(
        self, model: nn.Module, direction: Direction, x: Tensor, y: Tensor, *, reason: object, rounded: bool = False
    ):
        self.model, self.direction, self._rounded = model, direction, rounded
        x, y, params = x[:TRIED], y[:TRIED], trainable(model)
        self._params = list(params.values())
        self._like = torch.empty(0, sum(p.numel() for p in self._params), dtype=kernel_dtype(self._params)).to(x.device)
        e = weights_at_random(len(x)).to(x.device)
        with untouched(model):
            want, logits = self._backward(x, y, e)
        check_fixed(model, x, logits, tolerance(model, x.device), FEW)
        begun = time.perf_counter()
        rows = self.features(x, y)
        seconds = (time.perf_counter() - begun) / len(x)
        if not rows.isfinite().all():
            raise ValueError(
                "a sample's gradient is NaN or infinite, though its logits are not; look for what has no slope at a "
                "point, such as a root or a norm at 0 (torch.where after it hides the value and not the gradient)"
            )
        got, loose = e.to(rows) @ rows, tolerance(model, x.device)
        if not (got - want).norm() <= loose * rows.norm(dim=1).sum():
            raise ValueError(
                "a sample's gradient depends on the rest of its batch, though its logits do not; keep operations that "
                "count or scale by the batch out of the backward pass"
            )
        log.warning("%s. Each sample is differentiated alone instead: %.2g s a sample, once per block", reason, seconds)

    @property
    def bytes_per_sample(self) -> int:
        """Bytes that ``features`` keeps per sample."""
        return self._like.shape[1] * self._like.element_size()

    def features(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the (n, p) gradients of a block of samples."""
        rows = self._like.new_empty(len(x), self._like.shape[1])
        with untouched(self.model):
            for i, row in enumerate(rows):
                row.copy_(self._backward(x[i : i + 1], y[i : i + 1])[0])
        return rows

    def _backward(self, x: Tensor, y: Tensor, e: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return ``sum_i e_i phi_i`` of a batch, (p,), and its logits; ``e`` is 1 by default."""
        for p in self._params:
            p.grad = None
        with torch.enable_grad():
            logits = self.model(x.clone())
            graph = [*nodes(logits)]
            check_own(self.model, graph)
            s = self.direction(logits.detach(), y)
            with others_spared(graph, self._params):
                # not autograd.grad, which reentrant checkpoints forbid
                torch.autograd.backward(logits, s if e is None else s * e[:, None].to(s))
        found = [p.new_zeros(p.numel()) if p.grad is None else p.grad.to_dense().flatten() for p in self._params]
        return torch.cat([gradient.to(self._like) for gradient in found]), logits.detach()

    def gram(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the (n_a, n_b) block of inner products; it equals its transpose where ``a is b``."""
        found = product(a, b.T, rounded=self._rounded)
        return mirrored(found) if a is b else found

    def diagonal(self, a: Tensor) -> Tensor:
        """Return the (n_a,) squared norms."""
        return torch.linalg.vector_norm(a, dim=1).square()

    def check(self, a: Tensor, x: Tensor, y: Tensor) -> None:
        """Compare the logits of a few samples, which were alone, with those that they have in their batch.

        Raises:
            ValueError: if they differ: the model mixes samples in larger batches.
        """
        few = torch.arange(0, len(x), max(1, len(x) // TRIED))
        with torch.no_grad():
            among = self.model(x.clone())[few]
            alone = torch.cat([self.model(x[i : i + 1].clone()) for i in few])
        if not (difference := (among - alone).abs().max()) <= tolerance(self.model, x.device) * alone.abs().max():
            raise ValueError(
                f"logits within a batch of {len(x)} and alone differ by {float(difference):.2g}: the model mixes "
                "samples in larger batches; call model.eval(), and keep operations off the batch axis"
            )
