"""Somebody's own data: from an ``.npz``, a folder of images, a table or by name, with all that was changed told."""

from pathlib import Path

import numpy as np

from lpntk.data.arrays import check_labels
from lpntk.data.dataset import SHAPES, Dataset, assembled, load
from lpntk.data.sources import KEYS, DataError, read_npz
from lpntk.keep.files import expanded
from lpntk.reader.own.inputs.given import Given, parted, told_split
from lpntk.reader.own.inputs.images import read_folder
from lpntk.reader.own.inputs.table import ENDINGS, read_table

IN_WORDS = "digits, mnist, cifar10, an .npz file, a folder of images by class, or a CSV table"


def read_own(
    name: str, *, root: str | None = None, size: int | None = None, label: str | None = None, seed: int = 0
) -> Given:
    """Read data that somebody names.

    Args:
        name: ``digits``, ``mnist``, ``cifar10``, an ``.npz``, a folder of images by class, or a CSV.
        root: folder of mnist and cifar10.
        size: side of the images of a folder, pixels; by default the commonest one.
        label: column of a table that holds the classes.
        seed: of the split, where there is no test part.

    Raises:
        DataError: if anything is wrong; the message says what was expected, what came and how to mend it.
    """
    if name in SHAPES:
        data = load(name, root)
        return Given(data, np.arange(len(data.y_train)), [f"sample {i}" for i in range(len(data.y_train))],
                     "the training part, counted from 0", (), True)  # fmt: skip
    path = expanded(name)
    if path.is_dir():
        return read_folder(path, size, seed)
    if path.suffix.lower() == ".npz":
        return _own_archive(path, seed)
    if path.suffix.lower() in ENDINGS:
        return read_table(path, label, seed)
    got = "a file of another kind" if path.is_file() else "no such file or folder"
    raise DataError(f"{name}: expected {IN_WORDS}; got {got}; check the path")


def _own_archive(path: Path, seed: int) -> Given:
    arrays, notes = read_npz(path, KEYS[:2], KEYS[2:]), ()
    if len(alone := [key for key in KEYS[2:] if key in arrays]) == 1:
        (missing,) = {*KEYS[2:]} - {*alone}
        raise DataError(f"{path.name}: expected both x_test and y_test or neither; {missing} is missing; save it too")
    x, y = arrays["x_train"], arrays["y_train"]
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
