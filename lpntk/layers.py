"""What does each type of layer contribute? Per-sample gradients of its own parameters, and how its pairs factor.

A layer turns a recorded call into tensors whose first axis counts the samples. From them it forms per-sample
gradients. A weight used at T positions has the gradient ``sum_t d_t p_t^T`` with ``d_t`` the output gradient and
``p_t`` the patch of inputs at position t; such layers (``PatchLayer``) can also give inner products of two samples
without the gradients, see ``pairs.py``.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad

from lpntk.capture import Call, tensors_in
from lpntk.gradients import over_samples
from lpntk.precision import product
from lpntk.windows import Axis, pad_and_window

Tensors = tuple[Tensor, ...]


class Layer:
    """One call of one module. ``serves`` names the parameters whose gradients it can form."""

    serves: tuple[str, ...] = ("weight", "bias")

    def __init__(self, call: Call, n: int):
        self.module = call.module
        self.tensors(call, n)  # raises where the first axis does not count the samples

    def tensors(self, call: Call, n: int) -> Tensors:
        """Return what the gradients are made of, each (n, ...)."""
        raise NotImplementedError

    def gradients(self, tensors: Tensors, names: list[str]) -> dict[str, Tensor]:
        """Return the per-sample gradients (n, *shape) of the named parameters."""
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
    group.
    """

    groups, t, q, k = 1, 1, 1, 1
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
        if rounded:
            return product(a, b.mT, rounded=True).add_(float(bias))
        return torch.baddbmm(a.new_ones(()), a, b.mT, beta=float(bias))


class Linear(PatchLayer):
    """``nn.Linear`` on (n, ..., d), or on any shape whose rows are grouped by sample."""

    def __init__(self, call: Call, n: int):
        super().__init__(call, n)
        a, d = self.tensors(call, n)
        (_, self.t, self.q), self.k = a.shape, d.shape[2]

    def tensors(self, call: Call, n: int) -> Tensors:
        """Return inputs (n, t, q) and output gradients (n, t, k)."""
        a, (d,) = call.input, call.grads
        return a.reshape(n, -1, a.shape[-1]), d.reshape(n, -1, d.shape[-1])

    def gradients(self, tensors: Tensors, names: list[str]) -> dict[str, Tensor]:
        """One batched product."""
        a, d = tensors
        forms = {"weight": lambda: torch.bmm(d.mT, a), "bias": lambda: d.sum(1)}
        return {name: forms[name]() for name in names}


class Conv(PatchLayer):
    """``nn.Conv1d``, ``2d`` and ``3d`` with any stride, padding, dilation and number of groups."""

    def __init__(self, call: Call, n: int):
        super().__init__(call, n)
        conv, (a, d) = self.module, self.tensors(call, n)
        if a.ndim != conv.weight.ndim:
            raise ValueError("the input has no batch axis")
        starts = conv._reversed_padding_repeated_twice[-2::-2]  # padding before each axis
        padded = conv.padding_mode != "zeros"
        self.axes = tuple(
            Axis(size, out, kernel, stride, dilation, 0 if padded else start)
            for size, out, kernel, stride, dilation, start in zip(
                a.shape[2:], d.shape[2:], conv.kernel_size, conv.stride, conv.dilation, starts, strict=True
            )
        )
        self.groups, self.t = conv.groups, math.prod(d.shape[2:])
        self.q = conv.in_channels // conv.groups * math.prod(conv.kernel_size)
        self.k = conv.out_channels // conv.groups

    def tensors(self, call: Call, n: int) -> Tensors:
        """Return inputs (n, c, *size), padded unless with zeros, and output gradients (n, k, *out)."""
        conv, a, (d,) = call.module, call.input, call.grads
        if len(a) != n:
            raise ValueError("the first axis does not count the samples")
        if conv.padding_mode != "zeros":
            a = nn.functional.pad(a, conv._reversed_padding_repeated_twice, mode=conv.padding_mode)
        return a, d

    def gradients(self, tensors: Tensors, names: list[str]) -> dict[str, Tensor]:
        """Patches as a strided view, copied once, then one batched product. Fastest on channels-last tensors."""
        a, d = tensors
        n, dims, found = len(a), len(self.axes), {}
        if "weight" in names:
            x = a.movedim(1, -1).unflatten(-1, (self.groups, -1))  # (n, *size, g, c)
            view = pad_and_window(x, 1, self.axes)  # (n, *out, g, c, *kernel)
            group, out, kernel = 1 + dims, range(1, 1 + dims), range(3 + dims, 3 + 2 * dims)
            patches = view.permute(0, group, *out, *kernel, group + 1).reshape(n * self.groups, self.t, self.q)
            d_parts = d.unflatten(1, (self.groups, self.k)).flatten(3).mT.flatten(0, 1)  # (n * g, t, k)
            weight = torch.bmm(d_parts.mT, patches)  # (n * g, k, q), q: kernel offset, then channel
            shape = (n, self.groups * self.k, *(axis.kernel for axis in self.axes), -1)
            found["weight"] = weight.view(shape).movedim(-1, 2)
        if "bias" in names:
            found["bias"] = d.flatten(2).sum(2)
        return found

    def numbers_in_passing(self) -> int:
        """The patches and the gradient."""
        return self.groups * self.q * (self.t + self.k)

    def packed(self, tensors: Tensors) -> Tensors:
        """Channels last, so that a block of samples is gathered in long runs."""
        return tuple(t.flatten(2).transpose(1, 2) for t in tensors)

    def patches(self, x: Tensor) -> Tensor:
        """Return (groups, t, n, q) patches, entries ordered by kernel offset, then channel."""
        n, dims = len(x), len(self.axes)
        x = x.reshape(n, *(axis.size for axis in self.axes), self.groups, -1)  # (n, *size, g, c)
        view = pad_and_window(x, 1, self.axes)  # (n, *out, g, c, *kernel)
        group, channel = 1 + dims, 2 + dims
        order = (group, *range(1, 1 + dims), 0, *range(3 + dims, 3 + 2 * dims), channel)
        return view.permute(order).reshape(self.groups, self.t, n, self.q)


class Embedding(PatchLayer):
    """``nn.Embedding``: the patch is a one-hot vector, so two patches agree or have the product zero."""

    serves = ("weight",)

    def __init__(self, call: Call, n: int):
        module = call.module
        if module.max_norm is not None or module.scale_grad_by_freq:
            option = "scale_grad_by_freq" if module.max_norm is None else "max_norm"
            raise UnsupportedLayerError(
                f"module {call.name!r} (Embedding) uses {option}, which makes a sample's gradient depend on the rest "
                "of the batch; build the embedding without it"
            )
        super().__init__(call, n)
        tokens, d = self.tensors(call, n)
        self.t, self.q, self.k = tokens.shape[1], 0, d.shape[2]  # q: comparing tokens multiplies nothing

    def tensors(self, call: Call, n: int) -> Tensors:
        """Return tokens (n, t) and output gradients (n, t, k), zero where the token is padding."""
        tokens, (d,) = call.input.reshape(n, -1), call.grads
        d = d.reshape(n, tokens.shape[1], -1)
        padding = self.module.padding_idx
        return (tokens, d) if padding is None else (tokens, d.masked_fill((tokens == padding).unsqueeze(2), 0))

    def gradients(self, tensors: Tensors, names: list[str]) -> dict[str, Tensor]:
        """Add every position to the row of its token."""
        tokens, d = tensors
        rows = d.new_zeros(len(d), *self.module.weight.shape)
        return {"weight": rows.scatter_add_(1, tokens.unsqueeze(2).expand_as(d), d)}

    def patches(self, x: Tensor) -> Tensor:
        """Return tokens (1, t, n, 1)."""
        return x.T[None, :, :, None]

    def patch_products(self, a: Tensor, b: Tensor, bias: bool, rounded: bool = False) -> Tensor:
        """Return 1 where two tokens agree: (1, i, 1) and (1, j, 1) give (1, i, j)."""
        return (a == b.mT).to(self.module.weight.dtype)


class Norm(Layer):
    """Affine normalisation that does not mix samples: batch norm in evaluation, layer, group, instance, RMS norm."""

    trailing = (nn.LayerNorm, nn.RMSNorm)  # affine over the last axes; the others over axis 1

    def tensors(self, call: Call, n: int) -> Tensors:
        """Return the input and the output gradient, (n, ...)."""
        a, (d,) = call.input, call.grads
        if len(a) != n:
            raise ValueError("the first axis does not count the samples")
        return a, d

    def gradients(self, tensors: Tensors, names: list[str]) -> dict[str, Tensor]:
        """Sum over positions: output gradient times normalised input (weight), output gradient (bias)."""
        a, d = tensors
        found = {}
        for name in names:
            values = d * self._normalised(a) if name == "weight" else d
            shape = getattr(self.module, name).shape
            if isinstance(self.module, self.trailing):
                found[name] = values.reshape(len(d), -1, *shape).sum(1)
            else:
                found[name] = values.reshape(len(d), *shape, -1).sum(2)
        return found

    def _normalised(self, a: Tensor) -> Tensor:
        plain = {name: torch.full_like(p, float(name == "weight")) for name, p in self.module.named_parameters()}
        with torch.no_grad():
            return functional_call(self.module, plain, (a,))


class AnyLayer(Layer):
    """Any other module with parameters of its own: ``torch.func`` on that module alone."""

    def __init__(self, call: Call, n: int):
        self.module = call.module
        self.batched = [len(t) == n if t.ndim else False for t in tensors_in((call.args, call.kwargs))]
        self.given = [g is not None for g in call.grads]
        if not any(self.batched) or any(g is not None and (g.ndim == 0 or len(g) != n) for g in call.grads):
            raise ValueError("the first axis does not count the samples")
        self.args, self.kwargs = call.args, call.kwargs

    def tensors(self, call: Call, n: int) -> Tensors:
        """Return inputs, repeated where all samples share one, and the output gradients that exist."""
        inputs = tensors_in((call.args, call.kwargs))
        shared = [t if own else t.expand(n, *t.shape) for t, own in zip(inputs, self.batched, strict=True)]
        return (*shared, *(g for g in call.grads if g is not None))

    def gradients(self, tensors: Tensors, names: list[str]) -> dict[str, Tensor]:
        """Differentiate the module's outputs, weighted by their gradients, for one sample at a time."""
        split = len(self.batched)

        def weighted(params: dict[str, Tensor], *sample: Tensor) -> Tensor:
            own = (t.unsqueeze(0) if b else t for t, b in zip(sample[:split], self.batched, strict=True))
            args, kwargs = _refilled((self.args, self.kwargs), own)
            outputs = tensors_in(functional_call(self.module, params, args, kwargs))
            kept = (o for o, given in zip(outputs, self.given, strict=True) if given)
            return sum((o.squeeze(0) * g).sum() for o, g in zip(kept, sample[split:], strict=True))

        params = {name: self.module._parameters[name].detach() for name in names}
        return over_samples(grad(weighted), params, *tensors)


def _refilled(value: Any, tensors: Any) -> Any:
    """Put new tensors, in order, where a nested value holds old ones."""
    if isinstance(value, Tensor):
        return next(tensors)
    if isinstance(value, dict):
        return {key: _refilled(item, tensors) for key, item in value.items()}
    return type(value)(_refilled(item, tensors) for item in value) if type(value) in (tuple, list) else value


class UnsupportedLayerError(ValueError):
    """A layer for which a sample has no gradient of its own."""


TYPES: dict[type[nn.Module], Callable[[Call, int], Layer]] = {
    nn.Linear: Linear,
    nn.Embedding: Embedding,
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), Conv),
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), Norm),
    **dict.fromkeys((nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d), Norm),
    **dict.fromkeys((nn.LayerNorm, nn.RMSNorm, nn.GroupNorm), Norm),
}


def layer_for(call: Call, n: int, names: list[str]) -> Layer | None:
    """Return the layer that forms the gradients of a module's parameters ``names``, or None if nothing can.

    A subclass counts as its parent while it keeps the parent's ``forward`` and has no further parameters.
    """
    parents = (t for t in type(call.module).__mro__ if t in TYPES and t.forward is type(call.module).forward)
    make = TYPES.get(next(parents, None), AnyLayer)
    if not set(names) <= set(make.serves):
        make = AnyLayer
    try:
        return make(call, n)
    except UnsupportedLayerError:
        raise
    except (ValueError, RuntimeError):  # shapes that no rule can read as one row per sample
        return None
