"""Somebody's own data: from an ``.npz``, a folder of images, a table or by name, with all that was changed told."""

from pathlib import Path

import numpy as np

from lpntk.data.arrays import check_labels
from lpntk.data.dataset import SHAPES, Dataset, assembled, load
from lpntk.data.sources import KEYS, DataError, read_npz
from lpntk.keep.files import expanded
from lpntk.reader.own.inputs.given import Given, parted, printable, told_split
from lpntk.reader.own.inputs.images import read_folder
from lpntk.reader.own.inputs.named import HUB, TORCHVISION, read_hub, read_torchvision
from lpntk.reader.own.inputs.table import ENDINGS, read_table

IN_WORDS = (
    f"digits, mnist, cifar10, {', '.join(TORCHVISION)}, hf:owner/name, an .npz file, a folder of images by class, or a "
    "CSV table"
)


def read_own(
    name: str, *, root: str | None = None, size: int | None = None, label: str | None = None, seed: int = 0
) -> Given:
    """Read data that somebody names.

    Args:
        name: ``digits``, ``mnist``, ``cifar10``, a name of ``TORCHVISION``, ``hf:owner/name``, an ``.npz``, a folder of
            images by class, or a CSV.
        root: folder of what has a name in torchvision.
        size: side of the images of a folder or of the hub, pixels; by default the commonest one.
        label: column of a table, or of the hub, that holds the classes.
        seed: of the split, where there is no test part.

    Raises:
        DataError: if anything is wrong; the message says what was expected, what came and how to mend it.
    """
    if name in SHAPES:
        _refused(label, size, name)
        data = load(name, root)
        return Given(data, np.arange(len(data.y_train)), [f"sample {i}" for i in range(len(data.y_train))],
                     "the training part, counted from 0", (), True)  # fmt: skip
    if not name.strip():
        raise DataError(f"expected {IN_WORDS}; got an empty word; name one, or leave it away for digits")
    if name.lower() in TORCHVISION:
        return _refused(label, size, name) or read_torchvision(name.lower(), root)
    if name.startswith(HUB):
        return read_hub(name, size, label, seed)
    path = expanded(name)
    if path.is_dir():
        return _refused(label, None, name) or read_folder(path, size, seed)
    if path.suffix.lower() == ".npz":
        return _refused(label, size, name) or _own_archive(path, seed)
    if path.suffix.lower() in ENDINGS:
        return _refused(None, size, name) or read_table(path, label, seed)
    got = "an address" if "://" in name else "a file of another kind" if path.is_file() else "no such file or folder"
    fix = "download it first" if "://" in name else "check the path"
    raise DataError(f"{printable(name)}: expected {IN_WORDS}; got {got}; {fix}")


def _refused(label: str | None, size: int | None, name: str) -> None:
    """Refuse options that would do nothing.

    Raises:
        DataError: if one is given.
    """
    for option, value, kind in (("--label", label, "a CSV"), ("--size", size, "a folder of images")):
        if value is not None:
            raise DataError(f"{printable(name)}: expected {option} with {kind} only; got {value}; leave it away")


def _own_archive(path: Path, seed: int) -> Given:
    arrays, notes = read_npz(path, KEYS[:2], KEYS[2:]), ()
    if len(alone := [key for key in KEYS[2:] if key in arrays]) == 1:
        (missing,) = {*KEYS[2:]} - {*alone}
        raise DataError(f"{path.name}: expected both x_test and y_test or neither; {missing} is missing; save it too")
    x, y = arrays["x_train"], arrays["y_train"]
    if not x.ndim or not y.ndim:
        raise DataError(f"{path.name}: expected arrays of samples; got shapes {x.shape} and {y.shape}; save them anew")
    index, of = np.arange(len(y)), "x_train, counted from 0"
    if not alone:
        check_labels(y, y, path.name, words=True)
        if x.ndim < 2 or len(x) != len(y):
            raise DataError(
                f"{path.name}: expected one row of x_train for each of the {len(y)} labels; got shape {x.shape}"
            )
        test = parted(y.reshape(-1), seed, path.name)
        arrays = {"x_train": x[~test], "y_train": y[~test], "x_test": x[test], "y_test": y[test]}
        index, notes = np.flatnonzero(~test), (told_split(test, seed),)
    data: Dataset = assembled(arrays, path.stem, path.name)
    return Given(data, index, [f"sample {i}" for i in index], of, notes, x.ndim > 2)
