"""Data by name, fetched where a network is there: some of torchvision's, and what lies on the Hugging Face hub."""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import ImageOps

from lpntk.data.dataset import assembled
from lpntk.data.sources import DataError, import_torchvision
from lpntk.keep.files import expanded
from lpntk.reader.own.inputs.given import Given, few_of
from lpntk.reader.own.inputs.images import read_folder
from lpntk.reader.own.inputs.table import read_table

HUB = "hf:"
BY_TRAIN, BY_SPLIT = ({"train": True}, {"train": False}), ({"split": "train"}, {"split": "test"})
# name -> class in torchvision.datasets, how it is asked for its training and its test part
TORCHVISION = {
    "fashionmnist": ("FashionMNIST", BY_TRAIN),
    "kmnist": ("KMNIST", BY_TRAIN),
    "usps": ("USPS", BY_TRAIN),
    "cifar100": ("CIFAR100", BY_TRAIN),
    "svhn": ("SVHN", BY_SPLIT),
    "stl10": ("STL10", BY_SPLIT),
}
OF_HUB = "the rows of the part train, counted from 0, as datasets does"
PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")  # modes that a PNG has
TESTS = ("test", "validation", "val", "valid")


def read_torchvision(name: str, root: str | None) -> Given:
    """Read a data set of ``TORCHVISION`` from a folder, and download it there if it is missing.

    Args:
        name: in lower case.
        root: the folder; by default the environment variable ``LPNTK_DATA``, else ``.data``.

    Raises:
        DataError: if it is neither there nor to be had.
    """
    title, parts = TORCHVISION[name]
    place, arrays = expanded(root or os.environ.get("LPNTK_DATA") or ".data"), {}
    for part, asked in zip(("train", "test"), parts, strict=True):
        found = _part(getattr(import_torchvision().datasets, title), title, place, asked)
        y = np.asarray(found.targets if hasattr(found, "targets") else found.labels).astype(np.int64)
        words = getattr(found, "classes", None)
        arrays |= {f"x_{part}": np.asarray(found.data), f"y_{part}": np.array(words)[y] if words else y}
    n = len(arrays["y_train"])
    return Given(assembled(arrays, title, title), np.arange(n), [f"sample {i}" for i in range(n)],
                 "the training part, counted from 0, as torchvision does", (), True)  # fmt: skip


def _part(kind: type, title: str, place: Path, asked: Mapping[str, object]) -> object:
    with suppress(Exception):  # it is not there, or not whole
        return kind(root=str(place), download=False, **asked)
    try:
        return kind(root=str(place), download=True, **asked)
    except Exception as error:  # of a network and of a disk, anything
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"{title}: expected it in {place.name or place} or from the network; got {reason}; go online, "
            "or name the folder that has it with --root"
        ) from error


def read_hub(name: str, size: int | None, label: str | None, seed: int) -> Given:
    """Read images, or a table, from the Hugging Face hub with the library ``datasets``, which keeps what it fetched.

    Args:
        name: ``hf:owner/name``.
        size: side of images, as in ``read_folder``.
        label: the column of the classes; by default the only one that has classes.
        seed: of the split, where there is no test part.

    Raises:
        DataError: if the library or the data are not to be had, or have no images or features with a class.
    """
    try:
        from datasets import load_dataset
    except ImportError:
        fix = "pip install datasets, or download it and give the folder"
        raise DataError(f"{name}: expected the library `datasets`; it is not installed; {fix}") from None
    try:
        parts = load_dataset(name.removeprefix(HUB))
    except Exception as error:  # of a network, of a name, of the library
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"{name}: expected a data set of the hub; got {reason}; check the name and the network"
        ) from error
    if "train" not in parts:
        raise DataError(f"{name}: expected a part `train`; got {few_of(list(parts))}; download it and sort it yourself")
    train, test = parts["train"], next((parts[part] for part in TESTS if part in parts), None)
    kinds = {column: type(feature).__name__ for column, feature in train.features.items()}
    labels = [label] if label else [column for column, kind in kinds.items() if kind == "ClassLabel"]
    if len(labels) != 1 or kinds.get(labels[0]) != "ClassLabel":
        got = f"the columns {few_of([f'{column} ({kind})' for column, kind in kinds.items()], 20)}"
        raise DataError(f"{name}: expected one column of classes (ClassLabel); got {got}; name one with --label")
    pictures = [column for column, kind in kinds.items() if kind == "Image"]
    if len(pictures) > 1:
        raise DataError(f"{name}: expected one column of images; got {few_of(pictures)}; download it and keep one")
    with TemporaryDirectory() as folder:
        if not pictures:
            table = Path(folder, f"{name.rpartition('/')[2]}.csv")
            frame, words = train.to_pandas(), dict(enumerate(train.features[labels[0]].names))
            if not (known := frame[labels[0]].isin(words)).all():
                row = int(known.to_numpy().argmin())
                raise DataError(f"{name}: expected a class in every row; row {row} of train has none")
            frame[labels[0]] = [words[c] for c in frame[labels[0]]]
            frame.to_csv(table, index=False)
            given = read_table(table, labels[0], seed)
            unread = [part for part in parts if part != "train"]
            notes = [*given.notes, *([f"Not read: {few_of(unread)}."] if unread else [])]
            return replace(given, notes=notes, counted=OF_HUB)
        for part, rows in (("train", train), *([("test", test)] if test is not None else [])):
            for i, row in enumerate(rows):
                if row[labels[0]] is None or row[labels[0]] < 0:
                    raise DataError(f"{name}: expected a class in every row; row {i} of {part} has none")
                place = Path(folder, part, f"{row[labels[0]]:06d}")
                place.mkdir(parents=True, exist_ok=True)
                image = ImageOps.exif_transpose(row[pictures[0]])
                plain = image if image.mode in PNG_MODES else image.convert("RGB")
                plain.save(place / f"{i:09d}.png")
        given = read_folder(Path(folder), size, seed)
    names = train.features[labels[0]].names
    data = replace(given.data, name=name.removeprefix(HUB), classes=tuple(names[int(c)] for c in given.data.classes))
    index = np.array([int(Path(file).stem) for file in given.names])  # a row of the hub, whatever its class
    return replace(given, data=data, index=index, names=[f"row {i}" for i in index],
                   counted=OF_HUB)  # fmt: skip
