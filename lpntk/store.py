"""Where does a kernel go while it is computed? Into memory, or tile by tile into files that survive a kill.

Every process appends its tiles to a log of its own, ``kappa.partial.<rank>.tiles``: no file has two writers, so a
folder shared between machines needs no locks and no common memory map. When all tiles stand, the first process puts
them together into ``kappa.npy``, beside which ``kappa.json`` says what it is the kernel of. A later run with the same
model and samples goes on from the logs; anything else is refused.
"""

import glob
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lpntk import npy
from lpntk.files import write_json
from lpntk.tiles import Record, Tile, append, begin, read_identity, read_places

NUMPY = {torch.float32: np.float32, torch.float64: np.float64}
SEEN_LATE = 90  # seconds after which a network file system shows at last what another machine has written


class Memory:
    """A result in memory: nothing outlives the process.

    Args:
        n: rows.
        n2: columns.
        dtype: of the numbers.
        symmetric: whether tiles off the diagonal stand for their mirror image, too.
    """

    def __init__(self, n: int, n2: int, dtype: torch.dtype, symmetric: bool):
        self.kappa, self.symmetric = torch.empty(n, n2, dtype=dtype), symmetric

    def missing(self, tiles: list[Tile]) -> list[Tile]:
        """Return the tiles that still have to be computed."""
        return tiles

    def put(self, tile: Tile, block: Tensor) -> None:
        """Take a finished tile."""
        _put(self.kappa, tile, block, self.symmetric)

    def close(self, tiles: list[Tile]) -> Tensor:
        """Return the whole result."""
        return self.kappa


class KernelFile:
    """A result in an ``.npy``, made by one or several processes at a time.

    While tiles are missing the disk holds each once; the end needs room for them and for the whole result.

    Args:
        path: where the whole result will be.
        n: rows.
        n2: columns.
        dtype: float32 or float64.
        symmetric: whether tiles off the diagonal stand for their mirror image, too.
        identity: what the result is the kernel of, see ``lpntk.reuse``.
        rank: of this process.

    Raises:
        ValueError: if files of another kernel lie there, or the path does not end in ``.npy``.
        OSError: if the disk has not enough room.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        n: int,
        n2: int,
        dtype: torch.dtype,
        symmetric: bool,
        identity: dict,
        rank: int = 0,
    ):
        self.path, self.shape, self.symmetric, self.rank = Path(path), (n, n2), symmetric, rank
        if self.path.suffix != ".npy":
            raise ValueError(f"out must name an .npy file; got {self.path.name!r}")
        if dtype not in NUMPY:
            raise ValueError(f"out takes float32 or float64, not {dtype}; give precision='float32'")
        self.dtype = np.dtype(NUMPY[dtype])
        self.identity = {**identity, "shape": [n, n2], "dtype": self.dtype.name}
        self.partial = self.path.with_suffix(".partial.npy")
        self.log = self.path.with_suffix(f".partial.{rank}.tiles")
        self.done: dict[Tile, Record] = {}
        self.complete = self.path.exists()
        self.holder = self.path.name if self.complete else f"{self.path.stem}.partial.*.tiles"
        if self.complete:
            manifest = self.path.with_suffix(".json")
            self._refuse_another(self.path.name, json.loads(manifest.read_text()) if manifest.exists() else {})
        else:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.done = self._read_logs()
            if rank == 0:
                self.partial.unlink(missing_ok=True)  # a kill left it; it is put together anew
                self._check_room()
            if not self.log.exists() or read_identity(self.log) is None:
                begin(self.log, self.identity)
            os.truncate(self.log, read_places(self.log, self.dtype)[1])

    def missing(self, tiles: list[Tile]) -> list[Tile]:
        """Return the tiles that no process has finished."""
        return [] if self.complete else [tile for tile in tiles if not self._covered(tile)]

    def known(self) -> list[tuple[Tile, Tensor]]:
        """Return a few small blocks that an earlier run has left, and their places."""
        if self.complete:
            whole = npy.read(self.path)
            tops, lefts = ((0, max(0, n - 2)) for n in self.shape)
            found = [(top, left, whole[top : top + 2, left : left + 2].copy()) for top in tops for left in lefts]
        else:
            records = [*self.done.values()]
            found = [(r.tile[0], r.tile[2], r.read(self.dtype)[:2, :2]) for r in records[:1] + records[-1:]]
        return [((t, t + len(b), x, x + b.shape[1]), torch.from_numpy(b)) for t, x, b in found]

    def put(self, tile: Tile, block: Tensor) -> None:
        """Append a finished tile to the log of this process."""
        append(self.log, tile, block.cpu().numpy())

    def close(self, tiles: list[Tile]) -> Tensor:
        """Return the whole result, mapped copy-on-write; the first process puts it together before the others come.

        Args:
            tiles: all that the result consists of.

        Raises:
            RuntimeError: if the files of other processes do not appear.
        """
        if not self.complete and self.rank == 0:
            _until(lambda: self._all_stand(tiles), "tiles of other processes")
            self._put_together()
        if self.rank == 0:
            for log in self._logs():
                log.unlink()
        _until(self.path.exists, self.path.name)
        self.complete = True
        return torch.from_numpy(npy.read(self.path))

    def _put_together(self) -> None:
        array = npy.create(self.partial, self.shape, self.dtype)
        whole = torch.from_numpy(array)
        for record in self.done.values():
            _put(whole, record.tile, torch.from_numpy(record.read(self.dtype)), self.symmetric)
        array.flush()
        write_json(self.path.with_suffix(".json"), self.identity)
        os.replace(self.partial, self.path)  # the last step: what comes before it is simply done again after a kill

    def _all_stand(self, tiles: list[Tile]) -> bool:
        self.done = self._read_logs()
        return not self.missing(tiles)

    def _covered(self, tile: Tile) -> bool:
        """Whether a finished tile holds this one; tiles may have been cut otherwise under another budget."""
        top, bottom, left, right = tile
        return tile in self.done or any(
            t <= top and bottom <= b and x <= left and right <= r for t, b, x, r in self.done
        )

    def _read_logs(self) -> dict[Tile, Record]:
        found = {}
        for log in self._logs():
            if (identity := read_identity(log)) is not None:
                self._refuse_another(log.name, identity)
                found |= {record.tile: record for record in read_places(log, self.dtype)[0]}
        return found

    def _logs(self) -> list[Path]:
        return sorted(self.path.parent.glob(f"{glob.escape(self.path.stem)}.partial.*.tiles"))

    def _refuse_another(self, name: str, found: dict[str, object]) -> None:
        identity = self.identity
        if differing := sorted(key for key in {*found, *identity} if found.get(key) != identity.get(key)):
            raise ValueError(
                f"{name} holds another kernel: {', '.join(differing)} differ{'s' * (len(differing) == 1)}; "
                "delete it or give another out"
            )

    def _check_room(self) -> None:
        n, n2 = self.shape
        done = sum((bottom - top) * (right - left) for top, bottom, left, right in self.done)
        to_come = max(0, (n * (n + 1) // 2 if self.symmetric else n * n2) - done)
        npy.check_room(self.path.parent, self.dtype.itemsize * (to_come + n * n2))


def _put(kappa: Tensor, tile: Tile, block: Tensor, symmetric: bool) -> None:
    top, bottom, left, right = tile
    kappa[top:bottom, left:right] = block
    if symmetric and left != top:
        kappa[left:right, top:bottom] = block.T


def _until(there: Callable[[], bool], what: str) -> None:
    for _ in range(SEEN_LATE):
        if there():
            return
        time.sleep(1)
    if not there():
        raise RuntimeError(f"{what} did not appear within {SEEN_LATE} s; is out on a disk that all machines share?")
