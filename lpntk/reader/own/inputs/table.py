"""A CSV of features with a label: numbers scaled, words as columns of 0 and 1, gaps filled and said so."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lpntk.data.arrays import check_labels, check_together
from lpntk.data.dataset import Dataset
from lpntk.data.sources import DataError
from lpntk.keep.cache import digest
from lpntk.reader.own.inputs.features import table_features
from lpntk.reader.own.inputs.given import Given, few_of, parted, printable, told_split

ENDINGS = (".csv", ".tsv", ".txt")
LABEL_NAMES = ("label", "target", "class", "y")
MARKS = ",;\t|"  # what may separate columns
CONSTANT = 4 * np.finfo(np.float64).eps  # deviation of a column that is constant up to rounding, of its largest value
QUOTED = re.compile(r'"[^"]*"')


def read_table(path: Path, label: str | None, seed: int) -> Given:
    """Read a table whose columns are features, and one the class; a test part is split off.

    Args:
        path: of the file, with names of columns in its first line.
        label: the column of the classes; by default ``label``, ``target``, ``class`` or ``y``.
        seed: of the split.

    Raises:
        DataError: if there is no such file, column, class or feature.
    """
    where = printable(path.name)
    frame, texts, told = _read_frame(path, where)
    label, doubtful = _label_column(frame, label, where)
    y = _classes(texts(label), label, where)
    frame = frame.drop(columns=label)
    test = parted(y, seed, where)
    features, notes, names = table_features(frame, ~test, where)
    y_train, y_test, classes = check_labels(y[~test], y[test], where, words=True)
    x = features.to_numpy(np.float64)
    x = np.ldexp(x, -np.ceil(np.log2(np.abs(x).max(axis=0).clip(1))).astype(int))  # exact, and no square overflows
    mean, std = x[~test].mean(axis=0), x[~test].std(axis=0)
    rounding = CONSTANT * np.abs(x[~test]).max(axis=0)  # divided by it, one odd row of the test part would be 1e15
    x = ((x - mean) / np.where(std > rounding, std, 1)).astype(np.float32)[:, None, None, :]
    check_together(x[~test], y_train, x[test], y_test, where, None)
    x_train, x_test, y_train, y_test = map(torch.from_numpy, (x[~test], x[test], y_train, y_test))
    known = digest([digest(t) for t in (x_train, x_test, y_train, y_test)] + list(classes))
    data = Dataset(path.stem, x_train, y_train, x_test, y_test, classes, (0.0,), (1.0,), known)
    notes = [f"{len(y)} rows; the classes are in the column {label!r}.", *doubtful, *told, *notes,
             f"{x.shape[-1]} features came of this, scaled by mean and standard deviation of the training part.",
             told_split(test, seed)]  # fmt: skip
    index = np.flatnonzero(~test)
    counted = "the rows below the line of names, counted from 0, as pandas does with iloc"
    return Given(data, index, [names[i] for i in index], counted, notes, False, list(features.columns))


def _read_frame(path: Path, where: str) -> tuple[pd.DataFrame, Callable[[str], pd.Series], list[str]]:
    """Return the table, whatever separates its columns; a function that returns a column as text; and sentences.

    Raises:
        DataError: if it cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            first = file.readline()
        mark = max(MARKS, key=QUOTED.sub("", first).count)  # what stands inside a name separates nothing
        read = lambda **how: pd.read_csv(path, sep=mark, encoding="utf-8-sig", skipinitialspace=True, **how)
        names = [str(name).strip() for name in read(header=None, nrows=1, dtype=str).iloc[0]]
        frame, notes = read(), []
        if mark != "," and (other := read(decimal=",")).select_dtypes("number").shape[1] > _numeric(frame).shape[1]:
            frame = other  # as spreadsheets write numbers where a comma is the point
            notes = ["Commas in numbers were read as decimal points."]
    except FileNotFoundError:
        raise DataError(f"{path}: expected a CSV file; got no such file; check the path") from None
    except UnicodeDecodeError:
        raise DataError(f"{where}: expected text in UTF-8; got another encoding; save it as UTF-8") from None
    except (ValueError, OSError) as error:  # pandas' errors of parsing are ValueErrors
        raise DataError(
            f"{where}: expected a table with names in its first line; got one that cannot be read "
            f"({' '.join(str(error).split())}); save it again as CSV"
        ) from None
    if frame.empty or isinstance(frame.index, pd.MultiIndex) or not isinstance(frame.index, pd.RangeIndex):
        got = "no row" if frame.empty else "rows with more fields than there are names"
        raise DataError(f"{where}: expected a name for each column and rows below; got {got}; save it again as CSV")
    frame = frame.rename(columns=lambda name: str(name).strip())

    def texts(label: str) -> pd.Series:
        if names.count(label) > 1:
            raise DataError(f"{where}: expected one column {label!r}; got {names.count(label)}; rename the others")
        return read(usecols=[list(frame.columns).index(label)], dtype=str).iloc[:, 0]

    return frame, texts, notes


def _numeric(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.select_dtypes(["number", "bool"])


def _label_column(frame: pd.DataFrame, asked: str | None, where: str) -> tuple[str, list[str]]:
    """Return the column of the classes, and a sentence on others that might be meant.

    Raises:
        DataError: if there is none, or several of one name.
    """
    named = [name for kind in LABEL_NAMES for name in frame.columns if name.lower() == kind]
    found = next(iter([asked] if asked in frame.columns else [] if asked else named), None)
    if found is None:
        expected = f"a column {asked!r}" if asked else f"a column {', '.join(LABEL_NAMES)}"
        columns = few_of(list(frame.columns), 30)
        raise DataError(
            f"{where}: expected {expected} with the classes; got the columns {columns}; name one with --label"
        )
    others = [name for name in named if name != found]
    if not asked and (alike := [name for name in others if name.lower() == found.lower()]):
        raise DataError(f"{where}: expected one column of classes; got {found} and {alike[0]}; name one with --label")
    if asked or not others:
        return found, []
    return found, [f"{few_of(others)} might be the classes, too, and counts as a feature: --label names another."]


def _classes(column: pd.Series, label: str, where: str) -> np.ndarray:
    """Return (n,) words: numbers as whole numbers where they are, and nothing that is written in two ways.

    Raises:
        DataError: if some are missing, or these are no classes.
    """
    if gaps := int(column.isna().sum()):
        row = int(column.isna().to_numpy().argmax())
        raise DataError(
            f"{where}: expected a class in every row of {label!r}; got {gaps} without one (empty, or a word that means "
            f"it, such as NA or None), first in row {row} (counted from 0); fill them in, remove these rows, or "
            "rename a class of such a name"
        )
    texts = column.str.strip()
    if (texts == "").any():
        row = int((texts == "").to_numpy().argmax())
        raise DataError(f"{where}: expected a class in every row of {label!r}; got spaces in row {row}; fill them in")
    numbers = pd.to_numeric(texts, errors="coerce")
    different, fractions = texts.nunique(), numbers.notna().all() and (numbers % 1 != 0).any()
    if fractions or (different > 2 and different > len(texts) / 2):
        raise DataError(
            f"{where}: expected classes in {label!r}; got {different} different values in {len(texts)} rows, such as "
            f"{texts.iloc[0]}; name the column of the classes with --label, or cut the numbers into ranges"
        )
    if numbers.notna().all():
        spellings = texts.groupby(numbers).unique()
        if len(twice := spellings[spellings.map(len) > 1]):
            raise DataError(
                f"{where}: expected each class of {label!r} in one spelling; got {' and '.join(twice.iloc[0][:3])}, "
                "which are one number; write them alike if they are one class, and with a letter if not"
            )
        whole = numbers.abs().max() < 2**53
        texts = numbers.astype("int64").astype(str) if whole and texts.str.contains(r"\.").any() else texts
    return texts.to_numpy(dtype=str)
