"""Which tiles of a matrix on disk stand? Those that a journal lists, if the matrix holds what their checksums tell.

A line is the place of a tile and its checksum. Each process has a journal of its own, so no journal has two writers.
"""

import re
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lpntk.keep.files import write_text
from lpntk.kernel.tiles.blocks import Cut, Tile, views

LINE = re.compile(r"^(\d{1,12}) (\d{1,12}) (\d{1,12}) (\d{1,12}) ([0-9a-f]{8})$", re.ASCII | re.MULTILINE)


class Journal:
    """The finished tiles of a matrix.

    Args:
        folder: of the journals.
        plan: how the matrix is cut now; earlier runs may have cut it otherwise.
        kernel: what it is the matrix of; entries of another one do not count.
        rank: of this process.
    """

    def __init__(self, folder: Path, plan: Cut, kernel: str, rank: int):
        self.folder, self.plan, self.seed, self.rank = folder, plan, zlib.crc32(kernel.encode()), rank

    def files(self) -> list[Path]:
        """Return the journals of all processes."""
        return [path for path in sorted(self.folder.iterdir()) if re.fullmatch(r"tiles\.\d+", path.name)]

    def checksum(self, tile: Tile, block: np.ndarray) -> str:
        """Return the CRC-32 of a block, begun with the kernel and the place it is of."""
        return f"{zlib.crc32(np.ascontiguousarray(block), zlib.crc32(repr(tile).encode(), self.seed)):08x}"

    def add(self, tile: Tile, checksum: str) -> None:
        """Enter a tile that the disk has."""
        with (self.folder / f"tiles.{self.rank}").open("a") as file:
            file.write(_line(tile, checksum))

    def rewrite(self, stand: dict[Tile, str]) -> None:
        """Replace all journals by one."""
        one = self.folder / "tiles.0"
        write_text(one, "".join(_line(*entry) for entry in stand.items()))
        for journal in self.files():
            if journal != one:
                journal.unlink()

    def entries(self) -> set[tuple[Tile, str]]:
        """Return what is listed; a line that a kill or a fault has spoiled is lost, and no other."""
        lines = [line for journal in self.files() for line in LINE.findall(journal.read_text(errors="replace"))]
        found = {((int(t), int(b), int(x), int(r)), checksum) for t, b, x, r, checksum in lines}
        return {e for e in found if e[0][0] < e[0][1] <= self.plan.n and e[0][2] < e[0][3] <= self.plan.n2}

    def standing(self, part: Callable[[Tile], np.ndarray], entries: set[tuple[Tile, str]]) -> dict[Tile, str]:
        """Return the entries that agree with the matrix, of which ``part`` reads a block."""
        return {tile: checksum for tile, checksum in sorted(entries) if self._found(part, tile) == {checksum}}

    def cut_anew(
        self, part: Callable[[Tile], np.ndarray], tiles: list[Tile], stand: dict[Tile, str]
    ) -> dict[Tile, str]:
        """Return the entries of those tiles whose every pair stands."""
        entries = {}
        for tile in self.covered(tiles, stand):
            found = {stand[tile]} if tile in stand else self._found(part, tile)
            if len(found) == 1:  # else it is of a tile on the diagonal that was not symmetric to the last bit
                entries[tile] = found.pop()
        return entries

    def covered(self, tiles: list[Tile], stand: dict[Tile, str]) -> list[Tile]:
        """Return the tiles of which every pair stands, in one entry or in several."""
        edges = np.unique([*tiles, *stand])
        between = np.zeros((len(edges), len(edges)), bool)
        at = lambda tile: np.searchsorted(edges, tile)
        for tile in stand:
            for view in views(between, at(tile), self.plan.symmetric):
                view[:] = True
        return [tile for tile in tiles if views(between, at(tile), symmetric=False)[0].all()]

    def _found(self, part: Callable[[Tile], np.ndarray], tile: Tile) -> set[str]:
        """Return the checksums of a tile and, off the diagonal of a symmetric matrix, of its mirror image."""
        found = {self.checksum(tile, part(tile))}
        if self.plan.symmetric and tile[0] != tile[2]:
            found.add(self.checksum(tile, part((*tile[2:], *tile[:2])).T))
        return found


def _line(tile: Tile, checksum: str) -> str:
    return f"{' '.join(map(str, tile))} {checksum}\n"
