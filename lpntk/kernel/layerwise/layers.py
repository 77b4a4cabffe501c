"""What does a layer contribute? Per-sample gradients of its own parameters, and how its pairs factor.

A layer turns a recorded call into tensors whose first axis counts the samples. From them it forms per-sample
gradients. A weight used at T positions has the gradient ``sum_t d_t p_t^T`` with ``d_t`` the output gradient and
``p_t`` the patch of inputs at position t; such layers (``PatchLayer``) can also give inner products of two samples
without the gradients, see ``pairs.py``. The rules of each type are in ``rules.py``.
"""

from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from lpntk.kernel.layerwise.capture import Call
from lpntk.kernel.layerwise.windows import Axis
from lpntk.machine.products import is_long, product

Tensors = tuple[Tensor, ...]
Room = Mapping[str, Tensor]
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
        """Return the per-sample gradients (n, *shape) of the named parameters.

        Args:
            tensors: what ``tensors`` gave, or some samples of it.
            names: parameters of the module.
            room: where a gradient may be formed at once, by name: (n, numel) with its numbers in any order that is the
                same for all samples. What is returned for such a name is then ``room[name]`` itself.
        """
        raise NotImplementedError

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

    def patches(self, x: Tensor) -> Tensor:
        """Return (groups, t, n, q) patches from packed inputs (n, positions, channels)."""
        return x.transpose(0, 1).unsqueeze(0)  # (1, t, n, q)

    def patch_products(self, a: Tensor, b: Tensor, bias: bool, rounded: bool = False) -> Tensor:
        """Return <p, p'> (+ 1 for a bias that rides along) of patches (g, i, q) and (g, j, q): (g, i, j)."""
        if rounded or is_long(a):
            found = product(a, b.mT, rounded=rounded)
            return found.add_(1) if bias else found
        return torch.baddbmm(a.new_ones(()), a, b.mT, beta=float(bias))
