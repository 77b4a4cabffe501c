"""A CSV of features with a label: numbers scaled, words as columns of 0 and 1, gaps filled and said so."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from lpntk.data.arrays import check_labels, check_together
from lpntk.data.dataset import Dataset
from lpntk.data.sources import DataError
from lpntk.keep.cache import digest
from lpntk.reader.own.inputs.given import Given, parted, told_split

ENDINGS = (".csv", ".tsv", ".txt")
LABEL_NAMES = ("label", "target", "class", "y")
MOST_WORDS = 20  # different values up to which a column of words is kept
LEAST_ROWS = 3  # rows from which whole numbers in order are taken for an id


def read_table(path: Path, label: str | None, seed: int) -> Given:
    """Read a table whose columns are features, and one the class; a test part is split off.

    Args:
        path: of the file, with names of columns in its first line.
        label: the column of the classes; by default ``label``, ``target``, ``class`` or ``y``.
        seed: of the split.

    Raises:
        DataError: if there is no such file, column, class or feature.
    """
    frame, where = _read_frame(path), path.name
    label = _label_column(frame, label, where)
    y = _classes(frame.pop(label), label, where)
    test = parted(y, seed, where)
    features, notes, names = _features(frame, ~test, where)
    y_train, y_test, classes = check_labels(y[~test], y[test], where, words=True)
    x = features.to_numpy(np.float64)
    mean, std = x[~test].mean(axis=0), x[~test].std(axis=0)
    x = ((x - mean) / np.where(std > 0, std, 1)).astype(np.float32)[:, None, None, :]
    check_together(x[~test], y_train, x[test], y_test, where, None)
    x_train, x_test, y_train, y_test = map(torch.from_numpy, (x[~test], x[test], y_train, y_test))
    known = digest([digest(t) for t in (x_train, x_test, y_train, y_test)] + list(classes))
    data = Dataset(path.stem, x_train, y_train, x_test, y_test, classes, (0.0,), (1.0,), known)
    notes = [f"{len(y)} rows; the classes are in the column {label!r}.", *notes,
             f"{x.shape[-1]} features came of this, scaled by mean and standard deviation of the training part.",
             told_split(test, seed)]  # fmt: skip
    index = np.flatnonzero(~test)
    counted = "the rows below the line of names, counted from 0, as pandas does with iloc"
    return Given(data, index, [names[i] for i in index], counted, notes, False, list(features.columns))


def _read_frame(path: Path) -> pd.DataFrame:
    """Return the table, whatever separates its columns.

    Raises:
        DataError: if it cannot be read.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            first = file.readline()
        mark = max(",;\t", key=first.count)
        read = lambda **how: pd.read_csv(path, sep=mark, encoding="utf-8-sig", skipinitialspace=True, **how)
        frame = read()
        if mark != "," and (other := read(decimal=",")).select_dtypes("number").shape[1] > _numeric(frame).shape[1]:
            frame = other  # as spreadsheets write numbers where a comma is the point
    except FileNotFoundError:
        raise DataError(f"{path}: expected a CSV file; got no such file; check the path") from None
    except UnicodeDecodeError:
        raise DataError(f"{path.name}: expected text in UTF-8; got another encoding; save it as UTF-8") from None
    except (ValueError, OSError) as error:  # pandas' errors of parsing are ValueErrors
        raise DataError(
            f"{path.name}: expected a table with names in its first line; got one that cannot be read "
            f"({' '.join(str(error).split())}); save it again as CSV"
        ) from None
    if frame.empty or isinstance(frame.index, pd.MultiIndex) or not isinstance(frame.index, pd.RangeIndex):
        got = "no row" if frame.empty else "rows with more fields than there are names"
        raise DataError(f"{path.name}: expected a name for each column and rows below; got {got}; save it again as CSV")
    return frame.rename(columns=lambda name: str(name).strip())


def _numeric(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.select_dtypes(["number", "bool"])


def _label_column(frame: pd.DataFrame, asked: str | None, where: str) -> str:
    named = {name.lower(): name for name in frame.columns}
    found = asked if asked in frame.columns else next((named[name] for name in LABEL_NAMES if name in named), None)
    if found is None or (asked and found != asked):
        expected = f"a column {asked!r}" if asked else f"a column {', '.join(LABEL_NAMES)}"
        columns = ", ".join(list(frame.columns)[:30]) + (", ..." if frame.shape[1] > 30 else "")
        raise DataError(
            f"{where}: expected {expected} with the classes; got the columns {columns}; name one with --label"
        )
    return found


def _classes(column: pd.Series, label: str, where: str) -> np.ndarray:
    """Return (n,) words.

    Raises:
        DataError: if some are missing, or these are no classes.
    """
    if gaps := int(column.isna().sum()):
        row = int(column.isna().to_numpy().argmax())
        raise DataError(
            f"{where}: expected a class in every row of {label!r}; got {gaps} empty ones, first in row {row} (counted "
            "from 0); fill them in or remove these rows"
        )
    if pd.api.types.is_float_dtype(column) and (column % 1 == 0).all():
        column = column.astype("int64")
    different = column.nunique()
    if pd.api.types.is_float_dtype(column) or (different > 2 and different > len(column) / 2):
        raise DataError(
            f"{where}: expected classes in {label!r}; got {different} different values in {len(column)} rows, such as "
            f"{column.iloc[0]}; name the column of the classes with --label, or cut the numbers into ranges"
        )
    return column.astype(str).str.strip().to_numpy(dtype=str)


def _features(frame: pd.DataFrame, train: np.ndarray, where: str) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Return the features (n, d) as numbers, sentences on what was done, and n names of rows.

    Raises:
        DataError: if no column is of use, or one holds infinity.
    """
    kept, notes, names = {}, [], [f"row {i}" for i in range(len(frame))]
    told: dict[str, list[str]] = {}
    for name, column in frame.items():
        numeric, gaps = pd.api.types.is_numeric_dtype(column), column.isna()
        if numeric and np.isinf(column.to_numpy(float, na_value=np.nan)).any():
            raise DataError(f"{where}: expected finite numbers in {name!r}; got infinity; leave these cells empty")
        if column.nunique(dropna=False) < 2 or gaps[train].all():
            told.setdefault("were left out, as all their rows are alike or empty", []).append(name)
        elif _counts_rows(column):
            told.setdefault("were left out, as whole numbers in order that name the rows", []).append(name)
            names = [f"{'row' if name.startswith('Unnamed') else name} {value}" for value in column]
        elif not numeric and column.nunique() > MOST_WORDS:
            words = f"were left out, as words with more than {MOST_WORDS} different values"
            told.setdefault(words, []).append(name)
        elif numeric:
            values = column.astype(float)
            kept[name] = values.fillna(values[train].median())
            if gaps.any():
                kept[f"{name} is missing"] = gaps.astype(float)
                told.setdefault("had gaps, filled by the median of the training part, with a column that tells where",
                                []).append(f"{name} ({int(gaps.sum())})")  # fmt: skip
        else:
            kept |= {f"{name} = {value}": (column == value).astype(float) for value in sorted(column.dropna().unique())}
            kept |= {f"{name} is missing": gaps.astype(float)} if gaps.any() else {}
            told.setdefault("hold words and became a column of 0 and 1 for each value", []).append(name)
    notes = [f"Columns that {words}: {', '.join(which)}." for words, which in told.items()]
    if not kept:
        raise DataError(
            f"{where}: expected a column of numbers or of at most {MOST_WORDS} words beside the label; got none of use "
            f"({' '.join(notes) or 'no other column'}); add one"
        )
    return pd.DataFrame(kept), notes, names


def _counts_rows(column: pd.Series) -> bool:
    whole = pd.api.types.is_integer_dtype(column) and not column.hasnans
    return bool(whole and len(column) >= LEAST_ROWS and column.is_unique and column.is_monotonic_increasing)
