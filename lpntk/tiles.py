"""How does a tile survive a kill? It is appended to a log that says what kernel it is of, and synced before the next.

The first line of a log is JSON: what decides the kernel. Then follow the tiles, each behind its place and a checksum.
"""

import json
import os
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

Tile = tuple[int, int, int, int]  # first row, end of rows, first column, end of columns

HEAD = struct.Struct("=4qI")  # place and checksum of the block that follows


class Record(NamedTuple):
    """Where a tile lies.

    Attributes:
        log: the file.
        tile: the place in the matrix.
        start: first byte of the block.
        checksum: CRC-32 of the block.
    """

    log: Path
    tile: Tile
    start: int
    checksum: int

    def read(self, dtype: np.dtype) -> np.ndarray:
        """Return the block, (rows, columns).

        Raises:
            ValueError: if it is not what was written.
        """
        top, bottom, left, right = self.tile
        block = np.fromfile(self.log, dtype, (bottom - top) * (right - left), offset=self.start)
        if zlib.crc32(block) != self.checksum:
            raise ValueError(f"{self.log.name} is damaged at byte {self.start}; delete it and run again")
        return block.reshape(bottom - top, right - left)


def begin(log: Path, identity: dict[str, object]) -> None:
    """Write the first line of a log."""
    with log.open("wb") as file:
        file.write(json.dumps(identity, sort_keys=True).encode() + b"\n")
        _sync(file)


def append(log: Path, tile: Tile, block: np.ndarray) -> None:
    """Append a tile, and return when the disk has it.

    Raises:
        OSError: if the disk is full; what was there before stands.
    """
    block = np.ascontiguousarray(block)
    with log.open("ab") as file:
        file.write(HEAD.pack(*tile, zlib.crc32(block)))
        file.write(memoryview(block).cast("B"))
        _sync(file)


def read_identity(log: Path) -> dict[str, object] | None:
    """Return the first line of a log, None if a kill cut it short.

    Raises:
        ValueError: if the file is no log.
    """
    with log.open("rb") as file:
        line = file.readline(2**20)
    try:
        return json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        raise ValueError(f"{log.name} is not a log of tiles; delete it or give another out") from None


def read_places(log: Path, dtype: np.dtype) -> tuple[list[Record], int]:
    """Return the whole tiles of a log, and where they end: a kill may have cut the last one short."""
    found, size = [], log.stat().st_size
    with log.open("rb") as file:
        file.readline(2**20)
        end = file.tell()
        while len(head := file.read(HEAD.size)) == HEAD.size:
            *tile, checksum = HEAD.unpack(head)
            top, bottom, left, right = tile
            start = end + HEAD.size
            stop = start + (bottom - top) * (right - left) * np.dtype(dtype).itemsize
            if not (0 <= top < bottom and 0 <= left < right and stop <= size):
                break
            found.append(Record(log, tuple(tile), start, checksum))
            end = file.seek(stop)
    if found and not _stands(found[-1], dtype):  # those before were synced before it was begun
        end = found.pop().start - HEAD.size
    return found, end


def _stands(record: Record, dtype: np.dtype) -> bool:
    try:
        record.read(dtype)
    except ValueError:
        return False
    return True


def _sync(file) -> None:
    file.flush()
    os.fsync(file.fileno())
