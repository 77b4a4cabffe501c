"""What does a layer contribute? Per-sample gradients of its own parameters, and how its pairs factor.

A layer turns a recorded call into tensors whose first axis counts the samples. From them it forms per-sample
gradients. A weight used at T positions has the gradient ``sum_t d_t p_t^T`` with ``d_t`` the output gradient and
``p_t`` the patch of inputs at position t; such layers (``PatchLayer``) can also give inner products of two samples
without the gradients, see ``pairs.py``. The rules of each type are in ``rules.py``.
"""

from collections.abc import Mapping
from math import prod
from types import MappingProxyType

import torch
from torch import Tensor

from lpntk.kernel.layerwise.capture import Call
from lpntk.kernel.layerwise.forms.batched import multiply
from lpntk.kernel.layerwise.windows import Axis
from lpntk.machine.products import is_long, product

Tensors = tuple[Tensor, ...]
Room = Mapping[str, list[Tensor]]
NO_ROOM: Room = MappingProxyType({})


class UnsupportedLayerError(ValueError):
    """A layer for which a sample has no gradient of its own."""


class Layer:
    """One call of one module. ``serves`` names the parameters whose gradients it can form."""

    serves: tuple[str, ...] = ("weight", "bias")

    def __init__(self, call: Call, n: int):
        self.module = call.module
        self.tensors(call, n)  # raises where the first axis does not count the samples

    def tensors(self, call: Call, n: int) -> Tensors:
        """Return what the gradients are made of, each (n, ...)."""
        raise NotImplementedError

    def gradients(self, tensors: Tensors, names: list[str], room: Room = NO_ROOM) -> dict[str, Tensor]:
        """Return the per-sample gradients (n, *shape) of the named parameters, those that have no room.

        Args:
            tensors: what ``tensors`` gave, or some samples of it.
            names: parameters of the module.
            room: where a gradient is to be formed, by name: ``pieces(name)`` tensors of (n, numel / pieces), which
                together hold its numbers in any order that is the same for all samples.
        """
        raise NotImplementedError

    def pieces(self, name: str) -> int:
        """In how many parts of one length, each a product of its own, the gradient of a parameter is formed."""
        return 1

    def macs(self, name: str) -> int:
        """Multiplications that one sample's gradient of a parameter takes."""
        return 0

    def numbers_in_passing(self) -> int:
        """Numbers per sample that ``gradients`` holds besides its operands."""
        return sum(p.numel() for p in self.module.parameters(recurse=False))


class PatchLayer(Layer):
    """A layer whose weight gradient is ``sum_t d_t p_t^T``, in ``groups`` independent parts.

    Attributes (set from the first call): ``t`` positions, ``q`` numbers in a patch, ``k`` outputs per position and
    group. ``dtype`` is that of the kernel.
    """

    groups, t, q, k = 1, 1, 1, 1
    dtype = torch.float32
    axes: tuple[Axis, ...] = ()  # geometry of a convolution

    def macs(self, name: str) -> int:
        """A weight takes one product per position, patch entry and output; a bias only additions."""
        return self.groups * self.t * self.q * self.k if name == "weight" else 0

    def packed(self, tensors: Tensors) -> Tensors:
        """Return (n, positions, channels) inputs and (n, t, groups * k) output gradients, to be kept."""
        return tensors

    def factors(self, packed: Tensors) -> tuple[Tensor, Tensor, list[int]]:
        """Return what the weight's gradient is the product of.

        Args:
            packed: what ``packed`` gave, or some samples of it.

        Returns:
            Output gradients d (n * groups, t, k), rows of inputs (n * groups, r, c), and for each piece of the gradient
            the row its patches start from: the piece i is ``d^T rows[starts[i]:starts[i] + t]``, (k, c).
        """
        x, d = packed
        return d, x, [0]

    def piece(self, d: Tensor, rows: Tensor, start: int, out: Tensor) -> None:
        """Write a piece of the weight's gradient, of some outputs or all, to ``out`` (n, numbers), see ``factors``."""
        shape = len(d), d.shape[2], rows.shape[2]
        multiply(d.mT, rows[:, start : start + self.t], out.view(shape))

    def weight_gradients(self, packed: Tensors, room: list[Tensor]) -> None:
        """Write the pieces of the weight's gradient to ``room``, each (n, groups * k * c), see ``factors``."""
        d, rows, starts = self.factors(packed)
        for start, given in zip(starts, room, strict=True):
            fits = self.groups == 1 or given.is_contiguous()  # groups lie along the first axis of a product
            out = given if fits else given.new_empty(given.shape)
            self.piece(d, rows, start, out)
            if not fits:
                given.copy_(out)

    def numbers_packed(self) -> int:
        """Numbers of one sample that ``packed`` gives."""
        positions = prod(axis.size for axis in self.axes) if self.axes else self.t
        channels = self.q // prod(axis.kernel for axis in self.axes)
        return self.groups * (positions * channels + self.t * self.k)

    def numbers_of_rows(self) -> int:
        """Numbers of the rows that ``factors`` gives of one sample."""
        return self.t * self.q

    def patches(self, x: Tensor) -> Tensor:
        """Return (groups, t, n, q) patches from packed inputs (n, positions, channels)."""
        return x.transpose(0, 1).unsqueeze(0)  # (1, t, n, q)

    def patch_products(self, a: Tensor, b: Tensor, bias: bool, rounded: bool = False) -> Tensor:
        """Return <p, p'> (+ 1 for a bias that rides along) of patches (g, i, q) and (g, j, q): (g, i, j)."""
        if rounded or is_long(a):
            found = product(a, b.mT, rounded=rounded)
            return found.add_(1) if bias else found
        return torch.baddbmm(a.new_ones(()), a, b.mT, beta=float(bias))
