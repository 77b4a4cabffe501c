"""How does a table look on a page? As the theme draws tables, with numbers as they should be read."""

from collections.abc import Mapping, Sequence

import pandas as pd
from pandas.io.formats.style import Styler


def table(rows: Sequence[Mapping[str, object]] | pd.DataFrame, index: str, formats: str | Mapping[str, str]) -> Styler:
    """Return a table for display.

    Args:
        rows: one mapping of column -> value per row, or a frame.
        index: the column that names the rows.
        formats: how to write a value, such as ``{:.1%}``, for all columns or by column.
    """
    style = pd.DataFrame(rows).set_index(index).style.format(formats, na_rep="-")
    return style.set_table_attributes('class="dataframe"')
