"""How does a gradient become a few random numbers? Linear maps S of a sample's gradient g, exact or right on average.

    E <S g, S g'> = <g, g'>     over the seed: rows of S are independent, and E of a row's outer product is I / m

Three maps, the first two both in ``Dense``:

* the identity, for gradients no longer than their sketch would be;
* a dense matrix (m, p) of Gaussian or Rademacher numbers: ``|S g|^2`` has the variance ``2 |g|^4 / m``, or less;
* ``Kronecker``, for a weight used at positions t: its gradient is ``G = sum_t d_t p_t^T`` (k, q), and a row of S is the
  product of two random vectors, ``b^T G a = sum_t (b . d_t)(a . p_t)``, so that G is never formed.

The last one pays for its speed with variance. Over b, then over a, with the fourth moments of Gaussian vectors:

    Var |S G|^2 = |G|^4 (2 + 6 / rho) / m,     1 / rho = |G^T G|^2 / |G|^4

rho, the effective rank of G, lies between 1 and the number of positions. So the variance falls as 1/m for both, and a
layer with one position needs four times as many numbers as with a dense matrix; many positions need hardly more.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lpntk.kernel.layerwise.forms.rules import Conv, Embedding
from lpntk.kernel.layerwise.layers import PatchLayer
from lpntk.machine.products import add_product

Distribution = Literal["gaussian", "rademacher"]

BLOCK = 2**18  # random numbers of a dense matrix that exist at a time: few enough for the cache
CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def draw(shape: tuple[int, ...], distribution: Distribution, like: Tensor, random: torch.Generator) -> Tensor:
    """Return independent numbers of mean zero and variance one in the dtype and on the device of ``like``."""
    out = torch.empty(shape, dtype=like.dtype, device=like.device)
    if distribution == "gaussian":
        return out.normal_(generator=random)
    words = torch.empty(-(-out.numel() // 64), dtype=torch.int64, device=like.device)
    words.random_(-(2**63), None, generator=random)  # 64 signs at a time
    bits = words.view(torch.uint8)[:, None] >> torch.arange(8, dtype=torch.uint8, device=like.device) & 1
    return out.copy_(bits.flatten()[: out.numel()].view(shape)).mul_(2).sub_(1)


def generator(device: torch.device, *seed: int) -> torch.Generator:
    """Return a random generator for a path of seeds; different paths give unrelated numbers."""
    state = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])
    return torch.Generator(device).manual_seed(state >> 1)


@dataclass(frozen=True)
class Dense:
    """Gradients of some parameters, joined, times one random matrix; without a ``size`` they stay as they are.

    Attributes:
        numels: lengths of the gradients that are joined, by name.
        size: m, or None for the identity.
        distribution: of the entries.
        seed: path of seeds; the same path gives the same matrix, which is drawn anew each time and never held whole.
    """

    numels: dict[str, int]
    size: int | None
    distribution: Distribution
    seed: tuple[int, ...]

    @property
    def width(self) -> int:
        """Numbers per sample."""
        return sum(self.numels.values()) if self.size is None else self.size

    def add(self, out: Tensor, name: str, gradient: Tensor) -> None:
        """Add the share of one parameter to ``out``.

        Args:
            out: (n, width), zero before the first parameter.
            name: key of ``numels``.
            gradient: (n, numels[name]).
        """
        index = list(self.numels).index(name)
        if self.size is None:
            start = sum(list(self.numels.values())[:index])
            out[:, start : start + gradient.shape[1]] += gradient
            return
        random, step = generator(out.device, *self.seed, index), max(1, BLOCK // self.size)
        for part in gradient.split(step, dim=1):
            rows = draw((part.shape[1], self.size), self.distribution, out, random)
            add_product(out, part, rows, alpha=self.size**-0.5)


class Kronecker:
    """``sum_t (b . d_t)(a . p_t)`` for many pairs of Rademacher vectors; the groups of a convolution are summed too.

    ``a . p_t`` is what the layer itself would give with a random weight, so it is computed by its own operation.
    A bias, whose patch is the number one, is the random layer's bias.

    Args:
        layer: of the call whose weight (and bias) is sketched.
        bias: whether the bias rides along.
        size: m.
        like: a tensor with the dtype and the device.
        seed: path of seeds.
    """

    def __init__(self, layer: PatchLayer, bias: bool, size: int, like: Tensor, seed: tuple[int, ...]):
        self.layer, self.width = layer, size
        random, outputs, weight = generator(like.device, *seed), layer.groups * size, layer.module.weight
        shape = (weight.shape[0], outputs) if isinstance(layer, Embedding) else (outputs, *weight.shape[1:])
        self.weight = draw(shape, "rademacher", like, random)
        self.bias = draw((outputs,), "rademacher", like, random) if bias else None
        self.back = draw((outputs, layer.k), "rademacher", like, random)

    @staticmethod
    def pays(layer: PatchLayer, size: int) -> bool:
        """Return whether ``size`` products of random vectors take less arithmetic than the gradient and dense rows."""
        dense = layer.macs("weight") + size * layer.module.weight.numel()
        return size * layer.t * layer.groups * (layer.q + layer.k) < dense

    def numbers_in_passing(self) -> int:
        """Numbers per sample that ``add`` holds besides its operands."""
        return 2 * self.layer.groups * self.layer.t * self.width

    def add(self, out: Tensor, tensors: tuple[Tensor, Tensor]) -> None:
        """Add to ``out`` (n, width) what the layer's tensors of n samples give, see ``layers.py``."""
        forward = {Conv: self._convolution, Embedding: self._embedding}.get(type(self.layer), self._linear)
        out.add_(forward(*tensors), alpha=self.width**-0.5)

    def _linear(self, a: Tensor, d: Tensor) -> Tensor:
        return F.linear(a, self.weight, self.bias).mul_(F.linear(d, self.back)).sum(1)

    def _embedding(self, tokens: Tensor, d: Tensor) -> Tensor:
        return F.embedding(tokens, self.weight).mul_(F.linear(d, self.back)).sum(1)

    def _convolution(self, a: Tensor, d: Tensor) -> Tensor:
        conv, convolve = self.layer.module, CONVOLUTIONS[len(self.layer.axes)]
        padding = conv.padding if conv.padding_mode == "zeros" else 0  # else ``Conv.tensors`` has padded already
        inputs = convolve(a, self.weight, self.bias, conv.stride, padding, conv.dilation, conv.groups)
        back = self.back.reshape(*self.back.shape, *[1] * len(self.layer.axes))
        products = inputs.mul_(convolve(d, back, groups=conv.groups))  # (n, g * m, *positions)
        return products.flatten(2).sum(2).unflatten(1, (conv.groups, self.width)).sum(1)


def shares(size: int, numels: list[int], weights: list[float]) -> list[int]:
    """Divide ``size`` numbers among gradients; one that is no longer than its share gets just its length.

    The variances ``w_l^2 / m_l`` of independent sketches add up; for a fixed sum of the m_l they are least in sum where
    ``m_l`` is proportional to ``w_l``. A quarter goes in equal parts to all, because the weights are only estimates.

    Args:
        size: to be divided.
        numels: lengths of the gradients.
        weights: their mean squared norms.

    Returns:
        One share, at least 1, for each gradient; ``numels[i]`` where it is kept whole.
    """
    kept: set[int] = set()
    while True:
        rest = [i for i in range(len(numels)) if i not in kept]
        free, total = max(0, size - sum(numels[i] for i in kept)), sum(weights[i] for i in rest)
        portion = {i: max(1, round(free * (0.75 * weights[i] / (total or 1) + 0.25 / len(rest)))) for i in rest}
        short = {i for i in rest if numels[i] <= portion[i]}
        if not short:
            return [portion.get(i, numels[i]) for i in range(len(numels))]
        kept |= short
