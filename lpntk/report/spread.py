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


def words_of_runs(
    frame: pd.DataFrame, by: Sequence[str], values: Sequence[str], forms: str | Mapping[str, str]
) -> pd.DataFrame:
    """Return ``words``, and how many runs have a value where not all have one; ``undefined`` where none has."""
    groups = frame.groupby(list(by), sort=False)[list(values)]
    defined, text = groups.count(), words(frame, by, values, forms)
    text = text.where(defined.eq(groups.size(), axis=0), text + " (" + defined.astype(str) + " runs)")
    return text.where(defined > 0, "undefined")
