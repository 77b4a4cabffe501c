"""How is a large matrix cut? Into row blocks that stay, and column blocks that pass by.

The features of a sample take ``bytes_per_sample``, and only so many fit into the budget. A row block gets most of it
and meets all columns before the next one is made, so the features of a column are computed once per row block. A
symmetric matrix needs only the columns from the row block on.
"""

from dataclasses import dataclass

from lpntk.tiles import Tile

COLUMN_SHARE = 8  # a column block gets one part in eight; smaller ones would slow the matrix products
GIB = 2**30


@dataclass(frozen=True)
class Cut:
    """How an (n, n2) matrix is cut.

    Attributes:
        n: rows.
        n2: columns.
        symmetric: whether only one triangle is computed.
        rows: samples of a row block.
        columns: samples of a column block.
    """

    n: int
    n2: int
    symmetric: bool
    rows: int
    columns: int

    def tiles(self) -> list[Tile]:
        """Return all tiles, row block by row block, the tile on the diagonal of a symmetric matrix first."""
        found = []
        for top in range(0, self.n, self.rows):
            bottom = min(top + self.rows, self.n)
            if self.symmetric:
                found.append((top, bottom, top, bottom))
            for left in range(bottom if self.symmetric else 0, self.n2, self.columns):
                found.append((top, bottom, left, min(left + self.columns, self.n2)))
        return found


def cut(n: int, n2: int, symmetric: bool, bytes_per_sample: int, memory: int, *, parts: int = 1) -> Cut:
    """Return the cut of an (n, n2) matrix whose features fit into ``memory`` bytes.

    Args:
        n: rows.
        n2: columns.
        symmetric: whether rows and columns are the same samples.
        bytes_per_sample: of the features.
        memory: bytes for the features of a row block and a column block.
        parts: processes that share the row blocks; each should find several.

    Raises:
        ValueError: if not even two samples fit.
    """
    fits = memory // bytes_per_sample
    if fits < 2 and not (symmetric and n == 1 and fits):
        raise ValueError(
            f"memory_budget leaves {memory / GIB:.3g} GiB for gradients, which is too small for one row block: a "
            f"sample keeps {bytes_per_sample / GIB:.3g} GiB and two are held at once; "
            f"give at least {3 * bytes_per_sample} bytes or use a smaller model"
        )
    share = n if parts == 1 else max(1, -(-n // (4 * parts)))
    if symmetric and n <= fits and parts == 1:
        return Cut(n, n2, symmetric, n, n)
    columns = max(1, min(n2, fits // COLUMN_SHARE))
    return Cut(n, n2, symmetric, max(1, min(share, fits - columns)), columns)
