"""What is the exact eNTK block of a very wide network? Sums over layers; no Jacobian is ever formed.

    Theta(x, x') = sum over layers of (scale a . a' + 1) D D'^T

with a (d_in,) a layer's input, D (K, d_out) the logits' derivative by its output, and scale 1 where the weights act as
they are (standard parametrisation) or 1 / d_in where they act as W / sqrt(d_in) (NTK parametrisation, Jacot et al.
2018). The one is for the bias. Both parametrisations are the same random function and weigh its layers differently.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import sqrt

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lpntk.machine.precision import exact

PARAMETRISATIONS = ("ntk", "standard")


@dataclass(frozen=True)
class Weights:
    """A fully connected ReLU network, its weights as they act on their inputs.

    Attributes:
        matrices: one (d_out, d_in) per layer; the last one, with K rows, is the head.
        biases: one (d_out,) per layer.
    """

    matrices: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]

    def with_head(self, head: Tensor) -> "Weights":
        """Return the same network with another last matrix (k, width) and no bias in it."""
        biases = (*self.biases[:-1], head.new_zeros(len(head)))
        return replace(self, matrices=(*self.matrices[:-1], head), biases=biases)


def draw(
    d_in: int, width: int, depth: int, k: int, *, seed: int | Sequence[int], dtype: torch.dtype = torch.float32
) -> Weights:
    """Draw a network at its initialisation: Gaussian weights, biases zero.

    Returns:
        Weights of variance 2 / d_in in the hidden layers and 1 / width in the head.
    """
    generator = torch.Generator().manual_seed(_word(seed))
    sizes = [d_in, *[width] * depth, k]
    scales = [*[sqrt(2 / size) for size in sizes[:-2]], sqrt(1 / width)]
    matrices = [
        torch.randn(d_out, size, generator=generator, dtype=dtype).mul_(scale)
        for (size, d_out), scale in zip(pairwise(sizes), scales, strict=True)
    ]
    return Weights(tuple(matrices), tuple(torch.zeros(d_out, dtype=dtype) for d_out in sizes[1:]))


def fresh_head(weights: Weights, rows: int, *, seed: int | Sequence[int]) -> Tensor:
    """Draw ``rows`` rows of a head that knows nothing of the rest: (rows, width) of variance 1 / width."""
    last = weights.matrices[-1]
    generator = torch.Generator().manual_seed(_word(seed))
    return torch.randn(rows, last.shape[1], generator=generator, dtype=last.dtype) / sqrt(last.shape[1])


@dataclass(frozen=True)
class LayerGrams:
    """What a block is made of, for all pairs of n inputs.

    Attributes:
        inputs: per layer (n, n): a . a'.
        slopes: per layer (n, n, k, k): D D'^T; the identity at the head.
        fan_in: per layer d_in.
    """

    inputs: tuple[Tensor, ...]
    slopes: tuple[Tensor, ...]
    fan_in: tuple[int, ...]

    def body(self, parametrisation: str) -> Tensor:
        """Return the part of the blocks from all layers but the head: (n, n, k, k)."""
        layers = range(len(self.fan_in) - 1)
        return sum(self._input(i, parametrisation)[..., None, None] * self.slopes[i] for i in layers)

    def head(self, parametrisation: str) -> Tensor:
        """Return the factor (n, n) of the identity that is the head's part of the blocks."""
        return self._input(-1, parametrisation)

    def blocks(self, parametrisation: str) -> Tensor:
        """Return the exact eNTK blocks (n, n, k, k)."""
        return self.body(parametrisation) + self.head(parametrisation)[..., None, None] * self.slopes[-1]

    def _input(self, layer: int, parametrisation: str) -> Tensor:
        _check(parametrisation)
        return self.inputs[layer] / (self.fan_in[layer] if parametrisation == "ntk" else 1) + 1


@exact
@torch.no_grad()
def layer_grams(weights: Weights, x: Tensor) -> LayerGrams:
    """Return what the eNTK blocks of all pairs are made of: one forward pass and k backward passes per input.

    Args:
        weights: the network.
        x: (n, ...) inputs; products are taken in float64.
    """
    a, inputs, masks = x.flatten(1).to(weights.matrices[0].dtype), [], []
    for i, (matrix, bias) in enumerate(zip(weights.matrices, weights.biases, strict=True)):
        inputs.append(a)
        a = F.linear(a, matrix, bias)
        if i < len(weights.matrices) - 1:
            masks.append(a > 0)
            a = a.relu()
    n, k = a.shape
    d = torch.eye(k, dtype=a.dtype).expand(n, k, k)  # (n, k, d_out) at the head
    slopes = [_products(d)]
    for matrix, mask in zip(weights.matrices[:0:-1], masks[::-1], strict=True):
        d = (d @ matrix) * mask[:, None]  # (n, k, d_in) by this layer's input = by the output of the one below
        slopes.append(_products(d))
    grams = [a.double() @ a.double().T for a in inputs]
    return LayerGrams(tuple(grams), tuple(slopes[::-1]), tuple(matrix.shape[1] for matrix in weights.matrices))


def _products(d: Tensor) -> Tensor:
    n, k, _ = d.shape
    flat = d.flatten(0, 1).double()
    return (flat @ flat.T).view(n, k, n, k).transpose(1, 2)  # (n, n, k, k)


class ScaledLinear(nn.Linear):
    """A linear layer in the NTK parametrisation: W x / sqrt(d_in) + b."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, d_in) to (n, d_out)."""
        return F.linear(x, self.weight / sqrt(self.in_features), self.bias)


def module(weights: Weights, parametrisation: str) -> nn.Sequential:
    """Return the network as a module to train, in ``ntk`` or ``standard`` parametrisation; the weights are copied."""
    _check(parametrisation)
    kind, layers = (ScaledLinear if parametrisation == "ntk" else nn.Linear), [nn.Flatten()]
    for i, (matrix, bias) in enumerate(zip(weights.matrices, weights.biases, strict=True)):
        layer = kind(matrix.shape[1], matrix.shape[0], device="meta").to_empty(device="cpu").to(matrix.dtype)
        scale = sqrt(matrix.shape[1]) if parametrisation == "ntk" else 1
        with torch.no_grad():
            layer.weight.copy_(matrix * scale)
            layer.bias.copy_(bias)
        layers += [layer] if i == len(weights.matrices) - 1 else [layer, nn.ReLU()]
    return nn.Sequential(*layers)


def weights_of(model: nn.Module) -> Weights:
    """Return the weights of such a module as they act now."""
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    scale = lambda layer: sqrt(layer.in_features) if isinstance(layer, ScaledLinear) else 1
    return Weights(
        tuple(layer.weight.detach().cpu() / scale(layer) for layer in layers),
        tuple(layer.bias.detach().cpu().clone() for layer in layers),
    )


def _check(parametrisation: str) -> None:
    if parametrisation not in PARAMETRISATIONS:
        raise ValueError(f"parametrisation must be one of {', '.join(PARAMETRISATIONS)}; got {parametrisation!r}")


def _word(seed: int | Sequence[int]) -> int:
    """Return one 64-bit seed for several words, so that draws for other words are independent."""
    words = [seed] if isinstance(seed, int) else list(seed)
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)
