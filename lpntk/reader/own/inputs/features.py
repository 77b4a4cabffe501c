"""Which columns of a table are features, and how do they become numbers? What was done to each is told."""

import numpy as np
import pandas as pd

from lpntk.data.sources import DataError
from lpntk.reader.own.inputs.given import few_of

MOST_WORDS = 20  # different values up to which a column of words is kept
MOST_ODD = 0.1  # share of words, such as "missing", up to which a column is one of numbers
LEAST_ROWS = 3  # rows from which whole numbers in order are taken for an id


def table_features(frame: pd.DataFrame, train: np.ndarray, where: str) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Return the features (n, d) as numbers, sentences on what was done, and n names of rows.

    Raises:
        DataError: if no column is of use, one holds infinity, or two would have one name.
    """
    kept, notes, names = {}, [], [f"row {i}" for i in range(len(frame))]
    told: dict[str, list[str]] = {}

    def add(name: str, values: pd.Series) -> None:
        if name in kept:
            raise DataError(f"{where}: expected a name of its own for each feature; got two of {name!r}; rename one")
        kept[name] = values

    for name, column in frame.items():
        if (numbers := _mostly_numbers(column)) is not None:
            odd = column[numbers.isna() & column.notna()].astype(str).str.strip().unique()
            told.setdefault("hold numbers and a few words, which were taken for gaps", []).append(
                f"{name} ({few_of([repr(str(word)) for word in odd])})"
            )
            column = numbers
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
            add(name, values.fillna(values[train].median()))
            if gaps.any():
                add(f"{name} is missing", gaps.astype(float))
                told.setdefault("had gaps, filled by the median of the training part, with a column that tells where",
                                []).append(f"{name} ({int(gaps.sum())})")  # fmt: skip
        else:
            for value in sorted(column.dropna().unique()):
                add(f"{name} = {value}", (column == value).astype(float))
            if gaps.any():
                add(f"{name} is missing", gaps.astype(float))
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


def _mostly_numbers(column: pd.Series) -> pd.Series | None:
    """Return a column of words as numbers if nearly all of them are, with gaps for the others; else None."""
    if pd.api.types.is_numeric_dtype(column) or column.isna().all():
        return None
    numbers = pd.to_numeric(column, errors="coerce")
    words = column.notna() & numbers.isna()
    return numbers if 0 < words.sum() <= MOST_ODD * column.notna().sum() else None
