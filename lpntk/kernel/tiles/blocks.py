"""How is a large matrix cut? Into row blocks whose features stay, column blocks that pass by, and tiles.

The features of a sample take ``bytes_per_sample``, and only so many fit into the budget. A row block gets most of it
and meets all columns before the next one is made, so the features of a column are computed once per row block. A
symmetric matrix needs only the columns from the row block on. Where the two meet they make a strip of the matrix, which
is computed in tiles: each is a part of the budget, a step of the progress bar and all that a kill can lose.
"""

from dataclasses import dataclass
from math import isqrt
from typing import TypeVar

import numpy as np
from torch import Tensor

Array = TypeVar("Array", np.ndarray, Tensor)
Tile = tuple[int, int, int, int]  # first row, end of rows, first column, end of columns

COLUMN_SHARE = 8  # a column block gets one part in eight; smaller ones would slow the matrix products
TILE_SHARE = 8  # and so does the tile
LARGEST = 4096  # samples on the side of a tile
GIB, MIB = 2**30, 2**20


class NoRoomError(ValueError):
    """A budget in which not even two samples have room."""


@dataclass(frozen=True)
class Cut:
    """How an (n, n2) matrix is cut.

    Attributes:
        n: rows.
        n2: columns.
        symmetric: whether only one triangle is computed.
        rows: samples of a row block.
        columns: samples of a column block.
        side: a tile has at most ``side**2`` pairs, and columns are at most ``side``.
    """

    n: int
    n2: int
    symmetric: bool
    rows: int
    columns: int
    side: int

    def row_block(self, tile: Tile) -> tuple[int, int]:
        """Return the first row and the end of the row block that a tile is of."""
        start = tile[0] // self.rows * self.rows
        return start, min(start + self.rows, self.n)

    def tiles(self) -> list[Tile]:
        """Return all tiles, row block by row block, those of a symmetric matrix within the block's own columns first.

        Tiles of the same columns follow each other.
        """
        found = []
        for start in range(0, self.n, self.rows):
            stop = min(start + self.rows, self.n)
            if self.symmetric:
                own = _spans(start, stop, self.side)
                found += [(*rows, *columns) for i, columns in enumerate(own) for rows in own[: i + 1]]
            high = _spans(start, stop, self.side**2 // self.columns)
            for columns in _spans(stop if self.symmetric else 0, self.n2, self.columns):
                found += [(*rows, *columns) for rows in high]
        return found


def for_blocks(budget: int) -> int:
    """Return the bytes of a budget that features and tiles may fill.

    A quarter is for passes over the network and work space, an eighth for what libraries take unseen.
    """
    return budget - 3 * budget // 8


def cut(
    n: int,
    n2: int,
    symmetric: bool,
    bytes_per_sample: int,
    memory: int,
    *,
    bytes_per_pair: int = 4,
    parts: int = 1,
) -> Cut:
    """Return the cut of an (n, n2) matrix for which ``memory`` bytes hold what is computed at a time.

    Args:
        n: rows.
        n2: columns.
        symmetric: whether rows and columns are the same samples.
        bytes_per_sample: of the features, and of what else a block holds for each.
        memory: bytes for the features of a row block and a column block, and for a tile.
        bytes_per_pair: of a tile, its copies included.
        parts: processes that share the row blocks; each should find several.

    Raises:
        NoRoomError: if not even the features of two samples fit.
    """
    side = max(1, min(LARGEST, isqrt(memory // TILE_SHARE // bytes_per_pair)))
    fits = (memory - bytes_per_pair * min(side * side, n * n2)) // bytes_per_sample
    if fits < 2 and not (symmetric and n == 1 and fits):
        raise NoRoomError(
            f"memory_budget leaves {_said(memory)} for gradients, which is too small for one row block: a "
            f"sample keeps {_said(bytes_per_sample)} and two are held at once; "
            f"give at least {4 * bytes_per_sample} bytes ({_said(4 * bytes_per_sample)}) or use a smaller model"
        )
    if symmetric and n <= fits and parts == 1:
        return Cut(n, n2, symmetric, n, min(n, side), side)
    share = n if parts == 1 else max(1, -(-n // (4 * parts)))
    columns = max(1, min(n2, fits // COLUMN_SHARE, side))
    return Cut(n, n2, symmetric, max(1, min(share, fits - columns)), columns, side)


def views(whole: Array, tile: Tile, symmetric: bool) -> list[Array]:
    """Return where a tile belongs in a matrix: its place and, off the diagonal of a symmetric one, its mirror image."""
    top, bottom, left, right = tile
    mirror = [whole[left:right, top:bottom].T] if symmetric and top != left else []
    return [whole[top:bottom, left:right], *mirror]


def _said(size: int) -> str:
    return f"{size / GIB:.3g} GiB" if size >= GIB else f"{size / MIB:.3g} MiB"


def _spans(start: int, stop: int, step: int) -> list[tuple[int, int]]:
    return [(left, min(left + step, stop)) for left in range(start, stop, step)]
