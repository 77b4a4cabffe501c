"""Is a file on disk the kernel that is asked for? By hashes of what decides it, and by a few entries computed again.

The hashes know parameters, buffers, modules, their attributes (``attributes.py``) and options. The code of a class,
and what it reads by a global name, they miss: of that only the entries that are computed again can tell.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from lpntk.kernel.model.attributes import attributes, tensor_bytes
from lpntk.kernel.tiles.blocks import Tile

MANIFEST, FORMAT = "kernel.json", "lpntk kernel 1"
ROUNDED = {"bf16": 0.05, "tf32": 0.01}  # of the product of two norms


def companion(path: Path) -> Path:
    """Return the folder of our files about a result."""
    return path.with_name(f"{path.name}.lpntk")


def found_identity(folder: Path) -> dict[str, object]:
    """Return what an earlier run has told of its kernel, {} if there was none.

    Raises:
        ValueError: if the folder holds what is not ours.
    """
    try:
        found = json.loads((folder / MANIFEST).read_bytes())
        if str(found["format"]).startswith(FORMAT.split()[0]):
            return found
    except (FileNotFoundError, NotADirectoryError):
        there = folder.iterdir() if folder.is_dir() else [folder]
        if not folder.exists() or all(path.name == "lock" or path.suffix == ".writing" for path in there):
            return {}
    except (ValueError, KeyError, TypeError):
        pass
    raise ValueError(f"{folder} is not lpntk's, or its {MANIFEST} is damaged; move it away or give another out")


def refuse_another(name: str, found: dict[str, object], identity: dict[str, object]) -> None:
    """Refuse a file of another kernel.

    Raises:
        ValueError: if anything differs; the message says what.
    """
    if differing := sorted(key for key in {*found, *identity} if found.get(key) != identity.get(key)):
        before, now = (told if isinstance(told := one.get("attributes"), dict) else {} for one in (found, identity))
        if others := sorted(key for key in {*before, *now} if before.get(key) != now.get(key)):
            differing[differing.index("attributes")] = f"attributes ({', '.join(others)})"
        raise ValueError(
            f"{name} holds another kernel: {', '.join(differing)} differ{'s' * (len(differing) == 1)}; "
            "delete it or give another out"
        )


def recheck(
    known: Iterable[tuple[Tile, Tensor]],
    engine: object,
    features: Callable[[int, int, int], object],
    *,
    normalize: bool,
    precision: str | None,
    name: str,
) -> None:
    """Compute known blocks of a kernel again and compare.

    Args:
        known: blocks (rows, columns) and their places; small ones are enough.
        engine: that has ``gram`` and ``diagonal``.
        features: maps (0 for rows or 1 for columns, first, end) to the features of these samples.
        normalize: whether the kernel is divided by the norms.
        precision: that it is computed in.
        name: of the file, for the message.

    Raises:
        ValueError: if they differ by more than rounding.
    """
    for (top, bottom, left, right), block in known:
        a, b = features(0, top, bottom), features(1, left, right)
        norms = torch.outer(engine.diagonal(a).sqrt(), engine.diagonal(b).sqrt()).cpu()
        got, want = engine.gram(a, b).cpu(), block * norms if normalize else block
        tolerance = ROUNDED.get(precision, torch.finfo(got.dtype).eps ** 0.5)
        if not ((got - want).abs() <= tolerance * norms).all():
            raise ValueError(
                f"{name} holds another kernel of a model with the same parameters and modules: computed again, "
                f"({top}, {left}) is {got[0, 0]:.6g} where it was {want[0, 0]:.6g}; something else that the model "
                "reads has changed, perhaps its code or a global name; delete it or give another out"
            )


def identity(
    model: nn.Module, tensors: dict[str, Tensor | None], given: nn.Module | None = None, **options: object
) -> dict[str, object]:
    """Return what decides a kernel: hashes of the model and of the samples, and the options as they are.

    Args:
        model: as it is run.
        tensors: the samples, by name.
        given: the model whose attributes count, if ``model`` is a copy that has run since.
        **options: of the kernel.
    """
    weights = hashlib.sha256(repr(model).encode())
    for name, value in model.state_dict().items():
        weights.update(name.encode())
        weights.update(_bytes(value))
    held = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    counted = model.state_dict().keys() | _unsaved(model)
    for name, value in held:  # a model may leave some out of what it saves
        if name not in counted:
            weights.update(name.encode() + _bytes(value))
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    samples = {name: hashlib.sha256(_bytes(t)).hexdigest() for name, t in tensors.items() if t is not None}
    told = {"model": weights.hexdigest(), "attributes": attributes(model if given is None else given), "frozen": frozen}
    return {**told, **samples, **{k: str(v) for k, v in options.items()}}


def _unsaved(model: nn.Module) -> set[str]:
    """Return the names of buffers that are not for keeping, which count as attributes."""
    return {
        f"{prefix}.{name}".lstrip(".")
        for prefix, module in model.named_modules()
        for name in module._non_persistent_buffers_set
    }


def _bytes(value: object) -> bytes:
    if isinstance(value, dict):  # of a module's get_extra_state
        value = [part for item in value.items() for part in item]
    if isinstance(value, list | tuple):
        return b"(" + b",".join(map(_bytes, value)) + b")"
    if not isinstance(value, Tensor):
        return repr(value).encode()
    return tensor_bytes(value)
