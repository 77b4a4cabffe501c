"""How much does it vary? Means and standard deviations over seeds, as numbers for pages and as words for tables."""

from collections.abc import Sequence

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


def words(frame: pd.DataFrame, by: Sequence[str], values: Sequence[str], form: str = "{:.1%}") -> pd.DataFrame:
    """Return a table of ``mean ± sd``, each number written by ``form``."""
    mean, sd = over_seeds(frame, by, values)
    text = mean.map(form.format) + " ± " + sd.map(form.format)
    return text.where(sd.notna(), mean.map(form.format))
