"""How exactly are products taken? In the numbers of the model, in double, or rounded on a CUDA device."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import reduce
from typing import Literal

import torch
from torch import Tensor, nn

Precision = Literal["float32", "float64", "tf32", "bf16"]
DTYPES = {"float32": torch.float32, "tf32": torch.float32, "bf16": torch.float32, "float64": torch.float64}


def product(a: Tensor, b: Tensor, *, rounded: bool, out: Tensor | None = None) -> Tensor:
    """Return ``a @ b``, of operands rounded to bfloat16 if asked for, summed in the numbers of the operands.

    Args:
        a: (i, c) or (g, i, c).
        b: (c, j) or (g, c, j).
        rounded: whether to round.
        out: where to put the product.
    """
    if not rounded:
        return torch.matmul(a, b, out=out)
    a, b = a.bfloat16(), b.bfloat16()
    multiply = torch.mm if a.ndim == 2 else torch.bmm
    # tensor cores sum in float32; elsewhere the rounded operands are multiplied as they are
    wide = multiply(a, b, out_dtype=torch.float32) if a.is_cuda else multiply(a.float(), b.float())
    return wide if out is None else out.copy_(wide)


def cast(
    model: nn.Module, x: Tensor, x2: Tensor | None, precision: Precision | None, device: torch.device
) -> tuple[nn.Module, Tensor, Tensor | None]:
    """Return model and inputs in the numbers that ``precision`` is stored in.

    Raises:
        ValueError: if the precision is unknown, or ``tf32`` is asked for without a CUDA device.
    """
    if precision is None:
        return model, x, x2
    if precision not in DTYPES:
        raise ValueError(f"precision must be one of {', '.join(DTYPES)}; got {precision!r}")
    if precision == "tf32" and device.type != "cuda":
        raise ValueError(f"precision 'tf32' needs a CUDA device, not {device.type!r}; use float32")
    dtype = DTYPES[precision]
    to = lambda t: t.to(dtype) if t is not None and t.is_floating_point() else t
    return model.to(dtype), to(x), to(x2)


def kernel_dtype(params: Iterable[Tensor]) -> torch.dtype:
    """Return the numbers of a kernel: those that hold the gradients of all parameters, float32 or wider."""
    return reduce(torch.promote_types, (p.dtype for p in params), torch.float32)


def tolerance(model: nn.Module, device: torch.device, *, rounded: bool = False) -> float:
    """Return the relative difference that rounding explains, by the coarsest numbers that products are taken in.

    Args:
        model: its parameters are in these numbers.
        device: where it is run.
        rounded: whether products are taken of numbers rounded to bfloat16 besides.
    """
    reduced = device.type == "cuda" and torch.backends.cuda.matmul.fp32_precision == "tf32"
    coarsest = max(torch.finfo(p.dtype).eps if not reduced else 2**-11 for p in model.parameters())
    coarsest = max(coarsest, torch.finfo(torch.bfloat16).eps if rounded else 0.0)
    return min(max(1000 * coarsest, 1e-9), 10 * coarsest**0.5)


@contextmanager
def matmul_precision(precision: Precision | None, device: torch.device) -> Iterator[None]:
    """Take products of float32 numbers in float32, whatever the surroundings ask for; on CUDA in ``tf32`` if wanted.

    Every backend has its own setting and the older switches (``allow_tf32``, ``set_float32_matmul_precision``) write to
    the same ones, so the settings are what is saved and put back.
    """
    b = torch.backends
    backends = (b.cuda.matmul, b.cudnn.conv, b.cudnn.rnn, b.mkldnn.matmul, b.mkldnn.conv, b.mkldnn.rnn)
    before = [backend.fp32_precision for backend in backends]
    try:
        for i, backend in enumerate(backends):
            backend.fp32_precision = "tf32" if precision == "tf32" and i < 3 else "ieee"
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        for backend, value in zip(backends, before, strict=True):
            backend.fp32_precision = value
