"""From which file do the samples come? scikit-learn, torchvision's folders, or an ``.npz``: four raw arrays."""

import contextlib
import importlib
import sys
import zipfile
import zlib
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from types import ModuleType

import numpy as np

from lpntk.keep.files import cache_folder, expanded, replacing

KEYS = ("x_train", "y_train", "x_test", "y_test")
MNIST_BYTES = {
    "train-images-idx3-ubyte": 47_040_016,
    "train-labels-idx1-ubyte": 60_008,
    "t10k-images-idx3-ubyte": 7_840_016,
    "t10k-labels-idx1-ubyte": 10_008,
}
FILES = {
    "mnist": [f"MNIST/raw/{name}" for name in MNIST_BYTES],
    "cifar10": [f"cifar-10-batches-py/{name}" for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")],
}
UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    AttributeError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    zlib.error,
    zipfile.BadZipFile,
)  # fmt: skip (what numpy raises at a file that is damaged, packed oddly or encrypted)
TRAIN_TEST = {"mnist": (60_000, 10_000), "cifar10": (50_000, 10_000)}


class DataError(ValueError):
    """Data that cannot be used; the message names file, expectation and fix."""


def own_file(name: str) -> Path | None:
    """Return the path that a name of data means, ``~`` being the home, or None if it names no file of one's own."""
    return expanded(name) if name.lower().endswith(".npz") else None


def read_arrays(name: str, root: Path, *, download: bool = True) -> tuple[dict[str, np.ndarray], str]:
    """Return the raw arrays ``x_train, y_train, x_test, y_test`` and the words that name their source.

    Args:
        name: ``digits``, ``mnist``, ``cifar10`` or the path of an ``.npz``.
        root: folder in which the files are looked for.
        download: fetch what is missing through torchvision.

    Raises:
        DataError: if there is no such data set or its file is missing or unreadable.
    """
    if name == "digits":
        return _digits(), "digits (scikit-learn)"
    if name in TRAIN_TEST:
        packed = root / f"{name}.npz"
        if packed.exists():
            return read_npz(packed), packed.name
        return _torchvision(name, root, download), f"{name} ({Path(FILES[name][0]).parent} in {root.name or root})"
    if own := own_file(name):
        return read_npz(own), own.name
    here = expanded(name)
    got = "a folder" if here.is_dir() else "a file of another kind" if here.is_file() else "no such name"
    raise DataError(
        f"no data set {name!r} ({got}): expected digits, mnist, cifar10 or the path of an .npz file, as "
        f"np.savez('own.npz', x_train=..., ...) makes it with the arrays {', '.join(KEYS)}"
    )


def _digits() -> dict[str, np.ndarray]:
    """scikit-learn's digits, split once and for all: 1,437 training and 360 test images, classes in proportion.

    They are kept as an ``.npz``, because importing scikit-learn takes seconds in every process that asks.
    """
    kept = cache_folder() / f"digits-{metadata.version('scikit-learn')}.npz"
    with contextlib.suppress(DataError):  # there is none yet, or it is damaged
        return read_npz(kept)
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = (digits.images / 16).astype(np.float32)  # ink in 0..16
    labels = digits.target.astype(np.int64)
    split = train_test_split(images, labels, test_size=360, random_state=0, stratify=labels, shuffle=True)
    arrays = dict(zip(("x_train", "x_test", "y_train", "y_test"), split, strict=True))
    with contextlib.suppress(OSError):  # a folder that cannot be written costs seconds, no more
        kept.parent.mkdir(parents=True, exist_ok=True)
        with replacing(kept) as partial, partial.open("wb") as file:  # a file: np.savez would add .npz to a name
            np.savez(file, **arrays)
    return {key: arrays[key] for key in KEYS}


def read_npz(path: Path, keys: Sequence[str] = KEYS, optional: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Return arrays of an ``.npz`` by name: all of ``keys``, and those of ``optional`` that it holds.

    Raises:
        DataError: if it is missing, damaged, lacks an array or holds Python objects.
    """  # noqa: DOC501 (TypeError is caught here)
    if not path.is_file():
        got = "it is a folder" if path.is_dir() else "no such file"
        raise DataError(f"{path}: {got}; expected an .npz with {', '.join(keys)}; check the path")
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise TypeError("it holds one array, no archive of arrays")
        with archive:
            missing = [key for key in keys if key not in archive.files]
            if missing:
                raise DataError(
                    f"{path.name}: expected the arrays {', '.join(keys)}; missing {', '.join(missing)} "
                    f"(it holds {', '.join(archive.files) or 'nothing'}); save it with np.savez"
                )
            read = [*keys, *(key for key in optional if key in archive.files)]
            return {key: _array(archive, key, path.name) for key in read}
    except DataError:
        raise
    except UNREADABLE as error:
        reason = "it is no zip archive" if "allow_pickle" in str(error) else error
        raise DataError(
            f"{path.name}: expected a whole .npz of plain arrays, but it cannot be read ({reason}); "
            "it may be truncated: copy or save it again with np.savez"
        ) from error


def _array(archive: np.lib.npyio.NpzFile, key: str, where: str) -> np.ndarray:
    """Read one array; one of Python objects is never unpickled, for that would run what the file says.

    Raises:
        DataError: if it holds Python objects.
        ValueError: if it cannot be read.
    """
    try:
        return archive[key]
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        fix = "astype(str) for names, astype(int) for numbers" if key[0] == "y" else "np.stack, if their shapes are one"
        raise DataError(f"{where}: {key} holds Python objects, not numbers or words; before saving use {fix}") from None


def _torchvision(name: str, root: Path, download: bool) -> dict[str, np.ndarray]:
    datasets = import_torchvision().datasets
    kind = {"mnist": datasets.MNIST, "cifar10": datasets.CIFAR10}[name]
    arrays = {}
    for split, train in (("train", True), ("test", False)):
        source = _read_split(kind, name, root, train, download)
        images, labels = np.asarray(source.data), np.asarray(source.targets, dtype=np.int64)
        expected = TRAIN_TEST[name][0 if train else 1]
        if len(images) != expected or len(labels) != expected:
            raise DataError(
                f"{name} in {root}: expected {expected} {split} images and labels, got {len(images)} and "
                f"{len(labels)}; delete the folder and let it download again"
            )
        arrays[f"x_{split}"], arrays[f"y_{split}"] = images, labels
    return arrays


def _read_split(kind: type, name: str, root: Path, train: bool, download: bool):
    """Read what lies there; download only what is missing; turn every failure into one message.

    Raises:
        DataError: if it cannot be read, or is missing and was not downloaded.
    """
    try:
        return kind(root=str(root), train=train, download=False)
    except Exception as error:  # a damaged file fails in many ways inside torchvision
        absent = [file for file in FILES[name] if not (root / file).exists()]
        if not absent or not download:
            fault = f"it cannot be read ({error or type(error).__name__})"
            if absent:
                fault = "it is missing" if len(absent) == len(FILES[name]) else f"there is no {', '.join(absent)}"
            raise DataError(_advice(name, root, _wrong_sizes(root) or _wrong_sums(kind, root) or fault)) from error
    try:
        return kind(root=str(root), train=train, download=True)
    except Exception as error:
        raise DataError(_advice(name, root, f"it is missing and could not be downloaded ({error})")) from error


def _wrong_sums(kind: type, root: Path) -> str:
    """Name the CIFAR-10 files that are there and are not those published, if there are any."""
    whole = import_torchvision().datasets.utils.check_integrity
    listed = [*getattr(kind, "train_list", []), *getattr(kind, "test_list", [])]
    files = [(root / getattr(kind, "base_folder", "") / file, md5) for file, md5 in listed]
    wrong = [p.name for p, md5 in files if p.exists() and not whole(p, md5)]
    return f"the MD5 sums of {', '.join(wrong)} are not those published" if wrong else ""


def _wrong_sizes(root: Path) -> str:
    """Name the MNIST files that are not as long as the published ones, if there are any."""
    raw = root / "MNIST" / "raw"
    sizes = {name: (raw / name).stat().st_size for name in MNIST_BYTES if (raw / name).exists()}
    return ", ".join(
        f"{name} has {size} bytes instead of {MNIST_BYTES[name]}"
        for name, size in sizes.items()
        if size != MNIST_BYTES[name]
    )


def _advice(name: str, root: Path, fault: str) -> str:
    layout = {"mnist": "MNIST/raw/*-ubyte", "cifar10": "cifar-10-batches-py/"}[name]
    return (
        f"{name}: expected {layout} or {name}.npz in {root}, but {fault}; point --data or LPNTK_DATA to a folder "
        "that has a whole copy, delete a damaged one, or use the embedded data set 'digits'"
    )


def import_torchvision() -> ModuleType:
    """Import torchvision beside any build of torch.

    The package index serves one torchvision, compiled for CUDA. Beside a CPU build of torch its binary cannot register
    the operators ``nms`` and ``qnms`` and the import stops, although data sets and models never call them. Declaring
    them first cures it.

    Raises:
        RuntimeError: if it cannot be imported for another reason.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    for module in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
        del sys.modules[module]
    import torch

    global _operators  # the declaration lives as long as this object
    _operators = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        _operators.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return importlib.import_module("torchvision")


_operators = None
