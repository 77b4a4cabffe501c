"""How does each type of layer form its gradients? Linear and convolutional layers, embeddings, normalisations."""

import math

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lpntk.kernel.layerwise.capture import Call
from lpntk.kernel.layerwise.layers import NO_ROOM, Layer, PatchLayer, Room, Tensors, UnsupportedLayerError
from lpntk.kernel.layerwise.windows import Axis, pad_and_window

# a product for every row of the kernel costs more than copying less saves, where products are smaller than this
LONG_ENOUGH = 32  # positions
WIDE_ENOUGH = 16  # entries of a patch in one row of the kernel
TINY = 64  # numbers of a group's gradient: for as few a product costs 20 times a convolution of all samples' groups


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

    def gradients(self, tensors: Tensors, names: list[str], room: Room = NO_ROOM) -> dict[str, Tensor]:
        """One batched product."""
        found = {}
        if "weight" in room:
            self.weight_gradients(tensors, room["weight"])
        elif "weight" in names:
            weight = tensors[1].new_empty(len(tensors[1]), self.k * self.q)
            self.weight_gradients(tensors, [weight])
            found["weight"] = weight.view(-1, self.k, self.q)
        if "bias" in names:
            found["bias"] = _summed(tensors[1], 1, room)
        return found


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
        """Return inputs (n, c, *size), padded unless with zeros, and output gradients (n, k, *out).

        Raises:
            ValueError: if the first axis does not count the samples.
        """
        conv, a, (d,) = call.module, call.input, call.grads
        if len(a) != n:
            raise ValueError("the first axis does not count the samples")
        if conv.padding_mode != "zeros":
            a = nn.functional.pad(a, conv._reversed_padding_repeated_twice, mode=conv.padding_mode)
        return a, d

    def gradients(self, tensors: Tensors, names: list[str], room: Room = NO_ROOM) -> dict[str, Tensor]:
        """Patches or strips as a strided view, copied once, then batched products. Fastest on channels-last tensors."""
        n, count, found = len(tensors[0]), self.pieces("weight"), {}
        if self._tiny and "weight" in names:
            found["weight"] = self._convolved(*tensors)
            if "weight" in room:
                room["weight"][0].copy_(found["weight"].flatten(1))
        elif "weight" in room:
            self.weight_gradients(self.packed(tensors), room["weight"])
        elif "weight" in names:
            kernel = [axis.kernel for axis in self.axes]
            pieces = tensors[1].new_empty(count, n, self.groups * self.k * self.q // count)
            self.weight_gradients(self.packed(tensors), list(pieces))
            c = self.q // math.prod(kernel)
            weight = pieces.view(count, n, self.groups * self.k, -1, c)  # the first kernel axis, or none, then others
            found["weight"] = weight.permute(1, 2, 0, 3, 4).flatten(2, 3).unflatten(2, kernel).movedim(-1, 2)
        if "bias" in names:
            found["bias"] = _summed(tensors[1].flatten(2), 2, room)
        return found

    @property
    def _tiny(self) -> bool:
        """Whether there are many small gradients, as of a depthwise convolution."""
        return self.groups > 1 and self.k * self.q <= TINY and not self._in_runs

    def _convolved(self, a: Tensor, d: Tensor) -> Tensor:
        """Return the gradients (n, groups * k, ...) as those of one convolution with the groups of all samples."""
        (n, c), dims, conv = a.shape[:2], len(self.axes), self.module
        widths = [width for axis in reversed(self.axes) for width in (axis.start, max(axis.end, 0))]
        a = nn.functional.pad(a, widths)
        a, d = a.reshape(1, n * c, *a.shape[2:]), d.reshape(1, -1, *d.shape[2:])
        of_weight = (nn.grad.conv1d_weight, nn.grad.conv2d_weight, nn.grad.conv3d_weight)[dims - 1]
        size = d.shape[1], *conv.weight.shape[1:]
        found = of_weight(a, size, d, conv.stride, 0, conv.dilation, n * self.groups)
        return found.unflatten(0, (n, -1))

    def pieces(self, name: str) -> int:
        """One for each row of the kernel, where patches are runs of strips."""
        return self.axes[0].kernel if name == "weight" and self._in_runs else 1

    def factors(self, packed: Tensors) -> tuple[Tensor, Tensor, list[int]]:
        """Return output gradients, patches or strips, and where among these each piece starts, see ``PatchLayer``.

        Strips are patches without the first kernel axis, which take that much less memory: the offset i of that axis
        sees the t rows from i * step on. Entries are ordered by kernel offset, then channel.
        """
        x, d = packed
        n, (top, *others) = len(x), self.axes
        x = x.unflatten(1, [axis.size for axis in self.axes]).unflatten(-1, (self.groups, -1))  # (n, *size, g, c)
        d = d.unflatten(2, (self.groups, self.k)).transpose(1, 2).flatten(0, 1)  # (n * g, t, k)
        if not self._in_runs:
            return d, self._unfolded(x, self.axes).reshape(n * self.groups, self.t, self.q), [0]
        whole = Axis(top.size, top.start + top.size + max(top.end, 0), kernel=1, stride=1, dilation=1, start=top.start)
        step = math.prod(axis.out for axis in others)
        strips = self._unfolded(x, (whole, *others)).reshape(n * self.groups, whole.out * step, -1)
        return d, strips, [i * top.dilation * step for i in range(top.kernel)]

    @property
    def _in_runs(self) -> bool:
        """Whether moving down by one kernel row is moving on by a run of rows of strips."""
        top = self.axes[0]
        return top.stride == 1 and self.t >= LONG_ENOUGH and self.q // top.kernel >= WIDE_ENOUGH

    def _unfolded(self, x: Tensor, axes: tuple[Axis, ...]) -> Tensor:
        """Return windows of (n, *size, g, c) as a view (n, g, *out, *kernel, c)."""
        dims = len(axes)
        view = pad_and_window(x, 1, axes)  # (n, *out, g, c, *kernel)
        group, out, kernel = 1 + dims, range(1, 1 + dims), range(3 + dims, 3 + 2 * dims)
        return view.permute(0, group, *out, *kernel, group + 1)

    def numbers_in_passing(self) -> int:
        """The patches or strips, and the gradient."""
        return self.numbers_of_rows() + self.groups * self.q * self.k

    def numbers_of_rows(self) -> int:
        """Patches or strips."""
        rows = self.t * self.q
        if self._in_runs:
            top = self.axes[0]
            rows = (top.size + top.start + max(top.end, 0)) * (self.t // top.out) * (self.q // top.kernel)
        return self.groups * rows

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

    def gradients(self, tensors: Tensors, names: list[str], room: Room = NO_ROOM) -> dict[str, Tensor]:
        """Add every position to the row of its token."""
        tokens, d = tensors
        shape = self.module.weight.shape
        rows = room["weight"][0].zero_().view(-1, *shape) if "weight" in room else d.new_zeros(len(d), *shape)
        return {"weight": rows.scatter_add_(1, tokens.unsqueeze(2).expand_as(d), d)}

    def patches(self, x: Tensor) -> Tensor:
        """Return tokens (1, t, n, 1)."""
        return x.T[None, :, :, None]

    def patch_products(self, a: Tensor, b: Tensor, bias: bool, rounded: bool = False) -> Tensor:
        """Return 1 where two tokens agree: (1, i, 1) and (1, j, 1) give (1, i, j)."""
        return (a == b.mT).to(self.dtype)


class Norm(Layer):
    """Affine normalisation that does not mix samples: batch norm in evaluation, layer, group, instance, RMS norm."""

    trailing = (nn.LayerNorm, nn.RMSNorm)  # affine over the last axes; the others over axis 1

    def tensors(self, call: Call, n: int) -> Tensors:
        """Return the input and the output gradient, (n, ...).

        Raises:
            ValueError: if the first axis does not count the samples.
        """
        a, (d,) = call.input, call.grads
        if len(a) != n:
            raise ValueError("the first axis does not count the samples")
        return a, d

    def gradients(self, tensors: Tensors, names: list[str], room: Room = NO_ROOM) -> dict[str, Tensor]:
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


def _summed(d: Tensor, axis: int, room: Room) -> Tensor:
    return torch.sum(d, axis, out=room["bias"][0]) if "bias" in room else torch.sum(d, axis)
