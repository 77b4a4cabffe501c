"""How do two samples meet in one layer, without their gradients? Inner products of positions, summed in tiles.

    <grad_W, grad_W'> = sum_{t,t'} <p_t, p'_t'> <d_t, d'_t'>

``inner`` takes the products of patches as they stand. ``pixel`` takes the products of single pixels and adds them along
the kernel offsets, because overlapping patches share them:

    <p_t, p'_t'> = sum_offset <x_{t + offset}, x'_{t' + offset}>

Tiles of samples are so small that the products of a tile stay in the cache.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lpntk.kernel.layerwise.layers import PatchLayer
from lpntk.kernel.layerwise.windows import offsets
from lpntk.machine.products import product
from lpntk.machine.triangle import strips

LARGEST_TILE = 512  # samples: beyond that a matrix product gains nothing


@dataclass(frozen=True)
class Pairs:
    """One layer's share of the Gram matrix, from packed inputs and output gradients."""

    layer: PatchLayer
    form: str  # "inner" or "pixel"
    bias: bool  # whether the bias's share is included

    def add_to(
        self, out: Tensor, a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor], scratch: int, *, rounded: bool = False
    ) -> None:
        """Add <phi_i, phi_j> of this layer to ``out`` (n_a, n_b); where ``a is b`` only from the diagonal on.

        Args:
            out: (n_a, n_b) matrix to add to.
            a: packed inputs (n_a, positions, c) and output gradients (n_a, t, k) of the rows.
            b: the same of the columns.
            scratch: bytes that one tile may take.
            rounded: multiply numbers rounded to bfloat16.
        """
        tile = self.tile(scratch, out.element_size())
        if a is b:
            tile = min(tile, next(strips(len(out)))[1])  # the first is as thick as any; the last may be a single row
        for i in range(0, out.shape[0], tile):
            rows = slice(i, i + tile)
            x, d = self._operands(a, rows)
            for j in range(i if a is b else 0, out.shape[1], tile):
                columns = slice(j, j + tile)
                x2, d2 = self._operands(b, columns)
                target = out[rows, columns]
                patches, outputs = self._patch_products(x, x2, rounded), self._products(d, d2, rounded)
                if patches.shape[1:] == target.shape and len(patches) == 1:  # one position: nothing to sum
                    target.addcmul_(patches[0], outputs[0])
                else:
                    shape = (len(d), self.layer.t, target.shape[0], self.layer.t, target.shape[1])
                    target += patches.mul_(outputs).view(shape).sum((0, 1, 3))

    def diagonal(self, a: tuple[Tensor, Tensor], scratch: int) -> Tensor:
        """Return this layer's share (n,) of the squared norms."""
        layer, parts = self.layer, []
        step = max(1, scratch // (2 * layer.groups * layer.t**2 * a[1].element_size()))
        for i in range(0, len(a[0]), step):
            rows = slice(i, i + step)
            p = layer.patches(a[0][rows]).transpose(1, 2).flatten(0, 1)  # (g * n, t, q)
            d = _by_group(a[1][rows], layer.groups).transpose(1, 2).flatten(0, 1)  # (g * n, t, k)
            products = layer.patch_products(p, p, self.bias).mul_(product(d, d.mT))  # (g * n, t, t)
            parts.append(products.view(layer.groups, -1, layer.t**2).sum((0, 2)))
        return torch.cat(parts)

    def tile(self, scratch: int, itemsize: int) -> int:
        """Samples on the side of a tile whose products fit into ``scratch`` bytes."""
        return max(1, min(LARGEST_TILE, math.isqrt(scratch // (self._numbers() * itemsize))))

    def _numbers(self) -> int:
        layer = self.layer
        pixels = math.prod(axis.size for axis in layer.axes) ** 2 if self.form == "pixel" else 0
        return layer.groups * (pixels + 2 * layer.t**2)

    def _operands(self, block: tuple[Tensor, Tensor], rows: slice) -> tuple[Tensor, Tensor]:
        x, d = block[0][rows], block[1][rows]
        x = self.layer.patches(x) if self.form == "inner" else _by_group(x, self.layer.groups)
        return x, _by_group(d, self.layer.groups)  # (g, positions, n, c), (g, t, n, k)

    def _products(self, a: Tensor, b: Tensor, rounded: bool) -> Tensor:
        return product(a.flatten(1, 2), b.flatten(1, 2).mT, rounded=rounded)  # (g, t * n_a, t * n_b)

    def _patch_products(self, x: Tensor, x2: Tensor, rounded: bool) -> Tensor:
        if self.form == "inner":
            return self.layer.patch_products(x.flatten(1, 2), x2.flatten(1, 2), self.bias, rounded)
        axes, g = self.layer.axes, len(x)
        n, n2 = x.shape[2], x2.shape[2]
        sizes, outs = [axis.size for axis in axes], [axis.out for axis in axes]
        pixels = self._products(x, x2, rounded).view(g, *sizes, n, *sizes, n2)
        sums = pixels.new_full((g, *outs, n, *outs, n2), float(self.bias))
        every = slice(None)
        for positions, inputs in offsets(axes):
            sums[(every, *positions, every, *positions)] += pixels[(every, *inputs, every, *inputs)]
        return sums.view(g, self.layer.t * n, self.layer.t * n2)


def _by_group(x: Tensor, groups: int) -> Tensor:
    """(n, positions, g * c) -> (g, positions, n, c): samples innermost, so that sums run over long rows."""
    return x.unflatten(2, (groups, -1)).permute(2, 1, 0, 3)
