"""Which inputs does a convolution see at each position? Windows as strided views, and as pairs of slices."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from torch import Tensor
from torch.nn.functional import pad


@dataclass(frozen=True)
class Axis:
    """One spatial axis of a convolution; ``start`` is the zero padding before the first input."""

    size: int
    out: int
    kernel: int
    stride: int
    dilation: int
    start: int

    @property
    def end(self) -> int:
        """Zeros needed after the last input (negative: inputs that no window reaches)."""
        return (self.out - 1) * self.stride + (self.kernel - 1) * self.dilation + 1 - self.start - self.size

    def slices(self, offset: int) -> tuple[slice, slice]:
        """Return (positions, inputs) that meet at a kernel offset, padding left out."""
        shift = offset * self.dilation - self.start
        first = max(0, -(shift // self.stride))  # smallest t with t * stride + shift >= 0
        last = min(self.out - 1, (self.size - 1 - shift) // self.stride)
        if last < first:
            return slice(0, 0), slice(0, 0)
        inputs = slice(first * self.stride + shift, last * self.stride + shift + 1, self.stride)
        return slice(first, last + 1), inputs


def pad_and_window(x: Tensor, dim: int, axes: tuple[Axis, ...]) -> Tensor:
    """Return the windows of every position as a view: spatial axes from ``dim`` on become positions, offsets come last.

    Args:
        x: (..., *sizes, ...) with the spatial axes at ``dim``.
        dim: where they start.
        axes: their geometry.

    Returns:
        (..., *outs, ..., *kernels)
    """
    behind = x.ndim - dim - len(axes)
    widths = [0, 0] * behind
    for axis in reversed(axes):
        widths += [axis.start, max(axis.end, 0)]
    if any(widths):
        x = pad(x, widths)
    shape, stride = list(x.shape), list(x.stride())
    for i, axis in enumerate(axes, dim):
        shape[i], step = axis.out, stride[i]
        stride[i] = step * axis.stride
        shape.append(axis.kernel)
        stride.append(step * axis.dilation)
    return x.as_strided(shape, stride, x.storage_offset())


def offsets(axes: tuple[Axis, ...]) -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """Yield, for every kernel offset, the slices of positions and of inputs that it joins."""
    for offset in product(*(range(axis.kernel) for axis in axes)):
        pairs = [axis.slices(i) for axis, i in zip(axes, offset, strict=True)]
        yield tuple(p for p, _ in pairs), tuple(i for _, i in pairs)
