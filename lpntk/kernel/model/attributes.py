"""What does a model read besides its parameters and buffers? The attributes of its modules, as digests by name.

Numbers, words, tensors, arrays and functions count, and what lists, dicts and partials hold of them. Of other objects
their class counts and what of this kind they would be pickled with, no further: a module may know its trainer.
"""

import hashlib
from collections.abc import Iterator
from functools import partial
from pathlib import PurePath
from types import CodeType, EllipsisType, FunctionType, MethodType, NoneType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lpntk.kernel.model.copying.holdings import content

TORCHS_OWN = frozenset(vars(nn.Module())) - {"training"}
HOOKS = ("_forward_hooks", "_forward_pre_hooks")
NUMBERS = (NoneType, bool, int, float, complex, np.generic)
PLAIN = (*NUMBERS, str, bytes, slice, range, EllipsisType, PurePath, type, torch.dtype, torch.device)  # told by repr


def attributes(model: nn.Module) -> dict[str, str]:
    """Return a digest of every attribute of a model's modules that is no parameter, buffer or module of theirs."""
    found = {}
    for prefix, module in model.named_modules():
        own = {name: value for name, value in vars(module).items() if name not in TORCHS_OWN}
        own |= {name: module._buffers[name] for name in module._non_persistent_buffers_set}
        own |= {name: [*hooks.values()] for name in HOOKS if (hooks := vars(module).get(name))}
        for name, value in own.items():
            digest = hashlib.sha256()
            for part in _parts(value, {}, True):
                digest.update(part + b"\n")
            found[f"{prefix}.{name}".lstrip(".")] = digest.hexdigest()[:16]
    return found


def tensor_bytes(t: Tensor) -> bytes:
    """Return a tensor's numbers with their type and shape, wherever it lies."""
    header = f"{t.dtype} {tuple(t.shape)} ".encode()
    if t.layout is not torch.strided:
        return header + tensor_bytes(t.detach().to_dense())
    return header + t.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _parts(value: Any, seen: dict[int, Any], deep: bool) -> Iterator[bytes]:
    """Yield what tells a value from others.

    Args:
        value: anything.
        seen: what was met before, by ``id``.
        deep: whether objects of unknown classes are looked into.
    """
    yield f"{type(value).__module__}.{type(value).__qualname__}".encode()
    if isinstance(value, PLAIN):
        yield next((kind.__repr__(value) for kind in (int, float) if isinstance(value, kind)), repr(value)).encode()
        return
    if id(value) in seen:
        yield b"again %d" % [*seen].index(id(value))
        return
    seen[id(value)] = value
    inner: list[Any] = []
    if isinstance(value, Tensor):
        yield tensor_bytes(value)
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        yield f"{value.dtype} {value.shape} ".encode() + value.tobytes()
    elif isinstance(value, dict):
        inner = [part for item in value.items() for part in item]  # in their order, which a loop over them sees
    elif isinstance(value, set | frozenset):
        yield from sorted(b"".join(_parts(item, dict(seen), deep)) for item in value)
    elif isinstance(value, list | tuple):
        inner = [*value]
    elif isinstance(value, partial):
        inner = [value.func, value.args, value.keywords]
    elif isinstance(value, MethodType):
        inner = [value.__func__, value.__self__]
    elif isinstance(value, FunctionType):
        yield f"{value.__module__}.{value.__qualname__}".encode()
        inner = [value.__code__, value.__defaults__, value.__kwdefaults__, dict(vars(value))]
        inner += map(content, value.__closure__ or ())
    elif isinstance(value, CodeType):
        yield value.co_code
        inner = [value.co_consts, value.co_names]
    elif isinstance(value, nn.Module):
        inner = [repr(value), dict(value.named_parameters()), dict(value.named_buffers())]
    elif deep:
        inner, deep = _pickled(value), False
    yield b"%d of them" % len(inner)  # so that no other nesting of the same parts gives the same bytes
    for part in inner:
        yield from _parts(part, seen, deep)


def _pickled(value: Any) -> list[Any]:
    """Return what an object would be pickled with, its attributes and slots among it; nothing if it refuses."""
    try:
        reduced = value.__reduce_ex__(4)
    except Exception:  # a lock, a file: whatever its class raises
        return [vars(value)] if hasattr(value, "__dict__") else []
    if isinstance(reduced, str):
        return [reduced]
    _, arguments, *rest = reduced
    state, items, pairs = ([*rest, None, None, None])[:3]
    return [arguments, state, list(items or ()), list(pairs or ())]
