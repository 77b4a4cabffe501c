"""How is a product summed? Of rounded operands in float32, and on CUDA in parts where the sum is long.

cuBLAS may add up an entry of a float32 product term by term, which loses whatever is small beside the sum so far. Such
sums over per-sample gradients of a LeNet (1.2M terms) are off by 3e-4, of ResNet-18 (11M) by 6e-3; in parts of 4096
terms by 2e-7 and 7e-7. A CPU's libraries sum in blocks already.
"""

import torch
from torch import Tensor

PART = 2**12  # terms that are added one after another
AT_ONCE = 2**22  # numbers of the sums of several parts: as many as keep a device busy, where each has few


def product(
    a: Tensor, b: Tensor, *, rounded: bool = False, out: Tensor | None = None, part: int | None = None
) -> Tensor:
    """Return ``a @ b``, of operands rounded to bfloat16 if asked for, summed in the numbers of the operands.

    Args:
        a: (i, c) or (g, i, c).
        b: (c, j) or (g, c, j).
        rounded: whether to round.
        out: where to put the product.
        part: terms that are summed one after another, before the sums are added up; by default ``PART`` in float32 on
            CUDA, and elsewhere as the library does it.
    """
    if part is None and is_long(a):
        part = PART
    if rounded:
        a, b = a.bfloat16(), b.bfloat16()
        if not a.is_cuda:  # the rounded operands are multiplied as they are; tensor cores sum in float32
            a, b = a.float(), b.float()
    if part is not None and part < a.shape[-1]:
        return _in_parts(a, b, part, out)
    if not rounded:
        return torch.matmul(a, b, out=out)
    wide = _multiply(a, b)
    return wide if out is None else out.copy_(wide)


def is_long(a: Tensor) -> bool:
    """Return whether a product ``a @ b`` needs to be summed in parts."""
    return a.is_cuda and a.dtype == torch.float32 and a.shape[-1] > PART


def add_product(out: Tensor, a: Tensor, b: Tensor, *, alpha: float = 1.0, rounded: bool = False) -> Tensor:
    """Add ``alpha * a @ b`` to ``out`` (i, j), see ``product``, and return it."""
    if rounded or is_long(a):
        return out.add_(product(a, b, rounded=rounded), alpha=alpha)
    return out.addmm_(a, b, alpha=alpha)


def _in_parts(a: Tensor, b: Tensor, part: int, out: Tensor | None) -> Tensor:
    """Sum parts of a product, several at a time where they are small: few are added to the same sum."""
    shape, length = (*a.shape[:-1], b.shape[-1]), a.shape[-1]
    if out is None:
        out = a.new_empty(shape, dtype=torch.float32 if a.dtype == torch.bfloat16 else a.dtype)
    out.zero_()
    several = 1 if a.ndim == 3 else max(1, min(length // part, AT_ONCE // max(1, out.numel())))
    start = 0
    while start < length:
        stop = min(start + several * part, start + max(part, (length - start) // part * part), length)
        left, right = a[..., start:stop], b[..., start:stop, :]
        if several > 1 and stop - start > part:
            left, right = left.unflatten(1, (-1, part)).transpose(0, 1), right.unflatten(0, (-1, part))
            out += _multiply(left, right).sum(0)
        elif a.dtype == out.dtype:
            (out.addmm_ if a.ndim == 2 else out.baddbmm_)(left, right)
        else:
            out += _multiply(left, right)
        start = stop
    return out


def _multiply(a: Tensor, b: Tensor) -> Tensor:
    multiply = torch.mm if a.ndim == 2 else torch.bmm
    return multiply(a, b, out_dtype=torch.float32) if a.dtype == torch.bfloat16 else multiply(a, b)
