"""Where does a kernel go while it is computed? Into memory, or tile by tile into a file that survives a kill.

``kappa.npy`` appears once it is whole. What is ours besides lies in the folder ``kappa.npy.lpntk``:

- ``kernel.json``: what it is the kernel of. A run with the same model and samples goes on; any other is refused.
- ``matrix.npy``: all the room, filled in place; it becomes ``kappa.npy``.
- ``tiles.<rank>``: which tiles are there, with checksums. They are compared before a run goes on and before a finished
  file is handed back.
- ``lock``: who writes.
"""

import json
import logging
import os
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lpntk import npy
from lpntk.blocks import Cut, Tile, views
from lpntk.files import explained, rename, write_json
from lpntk.journal import Journal
from lpntk.lock import locked
from lpntk.reuse import FORMAT, MANIFEST, found_identity, refuse_another

NUMPY = {torch.float32: np.dtype("float32"), torch.float64: np.dtype("float64")}
SEEN_LATE = 90  # seconds after which a network file system shows at last what another machine has written


class Memory:
    """A result in memory: nothing outlives the process.

    Args:
        plan: how it is cut.
        dtype: of the numbers.

    Attributes:
        missing: the tiles that have to be computed.
    """

    def __init__(self, plan: Cut, dtype: torch.dtype):
        self.kappa, self.symmetric = torch.empty(plan.n, plan.n2, dtype=dtype), plan.symmetric
        self.missing = plan.tiles()

    def put(self, tile: Tile, block: Tensor) -> None:
        """Take a finished tile."""
        for view in views(self.kappa, tile, self.symmetric):
            view[:] = block

    def close(self) -> Tensor:
        """Return the whole result."""
        return self.kappa


@contextmanager
def opened(
    out: str | os.PathLike, plan: Cut, dtype: torch.dtype, identity: dict, rank: int = 0
) -> Iterator["KernelFile"]:
    """Open a result in a file, and keep other jobs from writing it.

    Args:
        out: where the whole result will be.
        plan: how it is cut.
        dtype: float32 or float64.
        identity: what the result is the kernel of, see ``lpntk.reuse``.
        rank: of this process; the first must be let through before the others.

    Raises:
        ValueError: if files of another kernel or of somebody else lie there, a finished result is not what was written,
            or ``out`` does not name an ``.npy``.
        OSError: if the disk has not enough room or cannot be written, or another job writes there.
    """
    path = Path(out).expanduser().resolve()  # where a link points to: it stays a link
    if path.suffix.lower() != ".npy" or path.is_dir():
        raise ValueError(f"out must name an .npy file; got {path.name!r}{', a folder' * path.is_dir()}")
    if dtype not in NUMPY:
        raise ValueError(f"out takes float32 or float64, not {dtype}; give precision='float32'")
    if path.exists():
        yield KernelFile(path, plan, NUMPY[dtype], identity, rank)
        return
    with explained(path):
        companion(path).mkdir(parents=True, exist_ok=True)
    with locked(companion(path) / "lock", str(path), first=rank == 0):
        yield KernelFile(path, plan, NUMPY[dtype], identity, rank)


def companion(path: Path) -> Path:
    """Return the folder of our files about a result."""
    return path.with_name(f"{path.name}.lpntk")


class KernelFile:
    """A result in an ``.npy``, made by one or several processes at a time; ``opened`` makes it.

    Attributes:
        holder: name of what was found, for messages.
        missing: the tiles that have to be computed.
    """

    def __init__(self, path: Path, plan: Cut, dtype: np.dtype, identity: dict, rank: int):
        self.path, self.plan, self.dtype, self.rank = path, plan, dtype, rank
        self.shape, self.folder, self.tiles = (plan.n, plan.n2), companion(path), plan.tiles()
        self.matrix, self.complete = self.folder / "matrix.npy", path.exists()
        self.holder = path.name if self.complete else self.folder.name
        self.identity = {"format": FORMAT, **identity, "shape": [*self.shape], "dtype": dtype.name}
        self.journal = Journal(self.folder, plan, json.dumps(self.identity, sort_keys=True), rank)
        self.done: dict[Tile, str] = {}  # checksums
        if rank > 0:
            self.done = dict(self.journal.entries())  # which the first process has just compared
        elif self.complete:
            self._check_finished()
        else:
            self._go_on()
        self.missing = [] if self.complete else [tile for tile in self.tiles if tile not in self.done]

    def known(self) -> list[tuple[Tile, Tensor]]:
        """Return a few small blocks that an earlier run has left, and their places."""
        found, tiles = {}, [*self.done]
        for top, bottom, left, right in tiles[:1] + tiles[-1:]:
            for t in (top, max(top, bottom - 2)):
                for x in (left, max(left, right - 2)):
                    block = self._read()[t : min(t + 2, bottom), x : min(x + 2, right)].copy()
                    found[t, t + len(block), x, x + block.shape[1]] = torch.from_numpy(block)
        return [*found.items()]

    def put(self, tile: Tile, block: Tensor) -> None:
        """Write a finished tile, and enter it once the disk has it.

        Raises:
            OSError: if the disk fails; what was there before stands.
        """
        block, (top, _, left, _) = block.cpu().numpy(), tile
        with explained(self.matrix):
            npy.write(self.matrix, self.shape, top, left, block)
            if self.plan.symmetric and top != left:
                npy.write(self.matrix, self.shape, left, top, block.T)
            self.done[tile] = self.journal.checksum(tile, block)
            self.journal.add(tile, self.done[tile])

    def close(self) -> Tensor:
        """Return the whole result, mapped copy-on-write; the first process finishes it before the others come.

        Raises:
            FileExistsError: if somebody else has given a file this name meanwhile.
            RuntimeError: if tiles of other processes do not appear.
        """
        if not self.complete and self.rank == 0:
            if len(self.journal.files()) > 1:
                self.done = {}  # what several have written is read again
            _until(self._all_stand, "tiles of other processes")
            if self.path.exists():
                raise FileExistsError(f"{self.path} has appeared meanwhile; move it away and run again")
            with explained(self.path):
                self.journal.rewrite(self.done)
                rename(self.matrix, self.path)
        _until(self.path.exists, self.path.name)
        self.complete = True
        return torch.from_numpy(self._read())

    def _all_stand(self) -> bool:
        new = {entry for entry in self.journal.entries() if entry[0] not in self.done}
        self.done |= self.journal.standing(self._read(), new)
        return self.done.keys() >= {*self.tiles}

    def _go_on(self) -> None:
        """Take what stands of an earlier run, and make room for the rest."""
        found = found_identity(self.folder)
        with explained(self.matrix):
            if self.matrix.exists():
                refuse_another(self.holder, found, self.identity)
            else:
                write_json(self.folder / MANIFEST, self.identity)
                self.journal.rewrite({})  # of a result that was deleted
            npy.reserve(self.matrix, self.shape, self.dtype)
            whole, entries = self._read(), self.journal.entries()
            stand = self.journal.standing(whole, entries)
            if len(stand) < len(entries):
                words = "%s: %d of %d tiles are not what was written; they are computed again"
                logging.getLogger(__name__).warning(words, self.matrix, len(entries) - len(stand), len(entries))
            self.done = self.journal.cut_anew(whole, self.tiles, stand)
            self.journal.rewrite(self.done)  # as it is cut now: no entry is half overwritten

    def _check_finished(self) -> None:
        """Refuse a finished file that is not what was written."""
        found = found_identity(self.folder)
        if not found:
            words = f"no {self.folder.name} beside it tells that lpntk wrote it; move it away or give another out"
            raise ValueError(f"{self.path} is there already, and {words}")
        refuse_another(self.holder, found, self.identity)
        entries, damage = self.journal.entries(), "it has another size or type"
        if npy.is_whole(self.path, self.shape, self.dtype):
            self.done = self.journal.standing(self._read(), entries)
            if self.journal.covered([(0, self.plan.n, 0, self.plan.n2)], self.done):
                return
            damage = f"{len(entries) - len(self.done)} of {len(entries)} tiles have another checksum"
        words = f"{self.path.name} is not what was written: {damage}"
        again = shlex.join(["mv", str(self.path), str(self.matrix)])
        raise ValueError(
            f"{words}. If it is damaged, '{again}' has the damaged tiles alone computed again; or delete "
            "it, or give another out"
        )

    def _read(self) -> np.ndarray:
        return npy.read(self.path if self.complete else self.matrix)


def _until(there: Callable[[], bool], what: str) -> None:
    for _ in range(SEEN_LATE):
        if there():
            return
        time.sleep(1)
    if not there():
        raise RuntimeError(f"{what} did not appear within {SEEN_LATE} s; is out on a disk that all machines see alike?")
