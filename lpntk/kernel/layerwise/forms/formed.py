"""How do two samples meet in one layer, if its gradients are too long to keep? They are formed when they meet.

What is kept is what they are made of, as for ``pairs.py``. The gradients of all samples of a block are formed for some
outputs of the layer at a time, multiplied, and their memory is used again: what 256 channels of 8 x 8 pixels keep is an
eighteenth of their gradients.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from lpntk.kernel.layerwise.layers import PatchLayer, Tensors
from lpntk.machine.device import KEPT, empty
from lpntk.machine.triangle import gram


@dataclass(frozen=True)
class Formed:
    """One layer's share of the Gram matrix, its weight's, from packed inputs and output gradients."""

    layer: PatchLayer

    def add_to(self, out: Tensor, a: Tensors, b: Tensors, scratch: int, *, rounded: bool = False) -> None:
        """Add <phi_i, phi_j> of this layer to ``out`` (n_a, n_b); where ``a is b`` only from the diagonal on.

        Args:
            out: (n_a, n_b) matrix to add to.
            a: packed inputs (n_a, positions, c) and output gradients (n_a, t, k) of the rows.
            b: the same of the columns.
            scratch: bytes that gradients, and what they are the product of, may take.
            rounded: multiply numbers rounded to bfloat16.
        """
        if a is b:
            for rows in self._gradients(a, self._outputs(len(out), scratch, out), scratch):
                gram(out, rows, rows, add=True, rounded=rounded)
            return
        outputs = self._outputs(max(out.shape), scratch // 2, out)
        both = zip(self._gradients(a, outputs, scratch // 2), self._gradients(b, outputs, scratch // 2), strict=True)
        for rows, columns in both:
            gram(out, rows, columns, add=True, rounded=rounded)

    def diagonal(self, a: Tensors, scratch: int) -> Tensor:
        """Return this layer's share (n,) of the squared norms."""
        outputs = self._outputs(len(a[1]), scratch, a[1])
        return sum(torch.linalg.vector_norm(rows, dim=1).square() for rows in self._gradients(a, outputs, scratch))

    def _outputs(self, n: int, scratch: int, like: Tensor) -> int:
        """Return for how many outputs at a time: half of the scratch memory is for their gradients.

        On a CPU no more than its allocator keeps, and half of that is faster still: they are read back at once.
        """
        layer = self.layer
        per_output = n * layer.groups * (layer.q // layer.pieces("weight")) * like.element_size()
        room = scratch // 2 if like.is_cuda else min(scratch // 2, KEPT // 2)
        return max(1, min(layer.k, room // per_output))

    def _gradients(self, block: Tensors, outputs: int, scratch: int) -> Iterator[Tensor]:
        """Yield gradients (n, c), so many outputs of the layer at a time, each written over the one before."""
        layer, n = self.layer, len(block[0])
        per_sample = layer.numbers_of_rows() * block[1].element_size()
        at_once = max(1, min(scratch // 2, KEPT) // per_sample)  # of rows, in memory that is not fetched anew
        parts = [slice(start, start + at_once) for start in range(0, n, at_once)]
        made = partial(map, lambda part: layer.factors(tuple(t[part] for t in block)), parts)
        kept = list(made()) if n * per_sample <= scratch // 2 else None  # else made again for some other outputs
        columns = layer.groups * (layer.q // layer.pieces("weight"))
        room = empty(n * columns * outputs, block[1].new_empty(0))
        for piece in range(layer.pieces("weight")):
            for first in range(0, layer.k, outputs):
                some = slice(first, min(first + outputs, layer.k))
                gradient = room[: n * columns * (some.stop - first)].view(n, -1)
                for part, (d, rows, starts) in zip(parts, kept or made(), strict=True):
                    layer.piece(d[:, :, some], rows, starts[piece], gradient[part])
                yield gradient
