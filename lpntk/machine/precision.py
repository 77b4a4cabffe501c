"""How exactly are products taken? In the numbers of the model, in double, or rounded on a CUDA device.

How they are summed is in ``products.py``.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial, reduce, wraps
from typing import Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

Precision = Literal["float32", "float64", "tf32", "bf16"]
DTYPES = {"float32": torch.float32, "tf32": torch.float32, "bf16": torch.float32, "float64": torch.float64}
ON_CUDA = (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn)
ON_CPU = (torch.backends.mkldnn.matmul, torch.backends.mkldnn.conv, torch.backends.mkldnn.rnn)
OLDER = (  # switches, which write to the same settings; how each is read and written
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (lambda: torch.backends.cudnn.allow_tf32, partial(setattr, torch.backends.cudnn, "allow_tf32")),
)
EPS = {"tf32": 2**-11, "bf16": 2**-8}  # of float32 numbers that a backend rounds before it multiplies them


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

    A backend rounds float32 numbers alone, and convolutions have a setting of their own: TF32 unless told otherwise.

    Args:
        model: its parameters are in these numbers.
        device: where it is run.
        rounded: whether products are taken of numbers rounded to bfloat16 besides.
    """
    backends = ON_CUDA if device.type == "cuda" else ON_CPU
    coarse = max(EPS.get(backend.fp32_precision, 0.0) for backend in backends)
    kinds = {p.dtype for p in model.parameters() if p.is_floating_point() or p.is_complex()}
    eps = {dtype: torch.finfo(dtype).eps for dtype in kinds if dtype.itemsize > 1}  # no product is taken in one byte
    coarsest = max(max(e, coarse) if dtype == torch.float32 else e for dtype, e in eps.items())
    coarsest = max(coarsest, EPS["bf16"] if rounded else 0.0, _kept.get(model, 0.0))
    least = 1e-5  # a network in double precision may round to float32 inside
    return max(least, min(1000 * coarsest, 10 * coarsest**0.5))


_kept: WeakKeyDictionary[nn.Module, float] = WeakKeyDictionary()  # by model: eps of the coarsest numbers seen in it


def note(model: nn.Module, t: Tensor) -> Tensor:
    """Note in which numbers a model computes inside, as under an autocast of its own; return the tensor."""
    if t.is_floating_point():
        _kept[model] = max(_kept.get(model, 0.0), torch.finfo(t.dtype).eps)
    return t


@contextmanager
def matmul_precision(precision: Precision | None, device: torch.device) -> Iterator[None]:
    """Take products of float32 numbers in float32, whatever the surroundings ask for; on CUDA in ``tf32`` if wanted.

    Every backend has its own setting, which is saved and put back. The older switches (``cudnn.allow_tf32``,
    ``set_float32_matmul_precision``) are told the same: torch refuses to read them where they disagree, and a model may
    read them, as by ``torch.backends.cudnn.flags``.
    """
    tf32, backends = precision == "tf32", (*ON_CUDA, *ON_CPU)
    with _LOCK:
        before, older = _enter(backends)
    try:
        for (_, write), value in zip(OLDER, ("high" if tf32 else "highest", tf32), strict=True):
            write(value)
        for backend in backends:
            backend.fp32_precision = "tf32" if tf32 and backend in ON_CUDA else "ieee"
        # only where one is on: an autocast in the model's own code then ends, with its cache of weights, in each pass
        around = torch.is_autocast_enabled(device.type)
        with torch.autocast(device.type, enabled=False, cache_enabled=False) if around else nullcontext():
            yield
    finally:
        with _LOCK:
            _leave(backends, before, older)


_LOCK, _MINE = threading.Lock(), threading.local()
_inside: list[tuple] = []  # what was set before the first thread came; a setting belongs to the process


def _enter(backends: tuple) -> tuple[list, list]:
    """Return what is set; a thread that comes while others are inside takes over what was set before them."""
    older = []
    for read, write in OLDER:
        with suppress(RuntimeError):  # they disagree already
            older.append((write, read()))
    found = [backend.fp32_precision for backend in backends], older
    _MINE.depth = getattr(_MINE, "depth", 0) + 1
    if _MINE.depth == 1:
        _inside.append(_inside[0] if _inside else found)
        found = _inside[0]
    return found


def _leave(backends: tuple, before: list, older: list) -> None:
    """Put back what was set, unless other threads are still inside; the last one does."""
    _MINE.depth -= 1
    if _MINE.depth == 0:
        _inside.pop()
        if _inside:
            return
    for write, value in older:
        write(value)
    for backend, value in zip(backends, before, strict=True):
        backend.fp32_precision = value


def exact(function: Callable) -> Callable:
    """Decorate a function whose float32 products shall be float32 on every device, see ``matmul_precision``."""

    @wraps(function)
    def inside(*args, **options):
        # without a cache: an autocast inside this one would keep the weights of its first pass for all that follow
        with matmul_precision(None, torch.device("cpu")), torch.autocast("cuda", enabled=False, cache_enabled=False):
            return function(*args, **options)

    return inside
