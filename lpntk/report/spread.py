"""How much does it vary? Means and standard deviations over seeds, as numbers for pages and as words for tables."""

from collections.abc import Mapping, Sequence

import pandas as pd


def over_seeds(frame: pd.DataFrame, by: Sequence[str], values: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return mean and standard deviation (n - 1; NaN of one seed) of some columns in every group."""
    groups = frame.groupby(list(by), sort=False)[list(values)]
    return groups.mean(), groups.std()


def numbers(frame: pd.DataFrame, by: Sequence[str], values: Sequence[str]) -> dict[str, float]:
    """Return them under dotted keys: the group, the column, ``mean`` or ``sd``; points in a group become ``_``."""
    told = {}
    for kind, table in zip(("mean", "sd"), over_seeds(frame, by, values), strict=True):
        for group, row in table.iterrows():
            parts = group if isinstance(group, tuple) else (group,)
            name = ".".join(str(part).replace(".", "_") for part in parts)
            told |= {f"{name}.{column}.{kind}": float(value) for column, value in row.items()}
    return told


def keyed(table: pd.DataFrame, key: str, values: Sequence[str]) -> dict[str, float]:
    """Return numbers under dotted keys, one of every row and value.

    Args:
        table: one row per unit; the names of its index count as columns.
        key: such as ``{setting}.{column}``: columns of the row, and ``column`` for the one whose number it is.
        values: columns.
    """
    rows = table.reset_index().to_dict("records")
    return {key.format(**row | {"column": value}): row[value] for row in rows for value in values}


def words(
    frame: pd.DataFrame, by: Sequence[str], values: Sequence[str], forms: str | Mapping[str, str] = "{:.1%}"
) -> pd.DataFrame:
    """Return a table of ``mean ± sd``; ``-`` where there is no mean.

    Args:
        frame: one row per seed and group.
        by: columns that name the group.
        values: columns to average.
        forms: how to write a number, in all columns or by column; those it does not name are written as ``{:.1%}``.
    """
    mean, sd = over_seeds(frame, by, values)
    form = {value: forms if isinstance(forms, str) else forms.get(value, "{:.1%}") for value in values}
    written = lambda table: table.apply(lambda column: column.map(form[column.name].format))
    text = (written(mean) + " ± " + written(sd)).where(sd.notna(), written(mean))
    return text.where(mean.notna(), "-")


def words_and_seeds(frame: pd.DataFrame, by: Sequence[str], values: Sequence[str], form: str) -> pd.DataFrame:
    """Return a table of ``mean ± sd (seeds ± sd)``: over all rows of a group, and over the means of its ``seed``."""
    each, _ = over_seeds(frame, [*by, "seed"], values)
    _, between = over_seeds(each.reset_index(), by, values)
    behind = (" (seeds ± " + between.map(form.format) + ")").where(between.notna(), "")
    return words(frame, by, values, form) + behind


def interval(low: float, high: float, form: str = "{:.3f}") -> str:
    """Return ``low to high``; ``-`` where there is none."""
    return f"{form.format(low)} to {form.format(high)}" if low == low else "-"


def estimate(value: float, low: float, high: float, form: str = "{:.3f}") -> str:
    """Return ``value (low to high)``; the value alone where there is no interval, ``-`` where there is no value."""
    if value != value:
        return "-"
    return form.format(value) + (f" ({interval(low, high, form)})" if low == low else "")


def words_of_runs(
    frame: pd.DataFrame, by: Sequence[str], values: Sequence[str], forms: str | Mapping[str, str]
) -> pd.DataFrame:
    """Return ``words``, and how many runs have a value where not all have one; ``undefined`` where none has."""
    groups = frame.groupby(list(by), sort=False)[list(values)]
    defined, text = groups.count(), words(frame, by, values, forms)
    text = text.where(defined.eq(groups.size(), axis=0), text + " (" + defined.astype(str) + " runs)")
    return text.where(defined > 0, "undefined")
