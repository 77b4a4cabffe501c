"""How does a kernel become a file? Tile by tile in place, with checksums, and under its name once it is whole.

``kappa.npy`` appears at the end. What is ours besides lies in the folder ``kappa.npy.lpntk``:

- ``kernel.json``: what it is the kernel of. A run with the same model and samples goes on; any other is refused.
- ``matrix.npy``: all the room, filled in place; it becomes ``kappa.npy``.
- ``tiles.<rank>``: which tiles are there, with checksums. They are compared before a run goes on, before the result
  gets its name and before it is handed back later.
- ``lock``: who writes.
"""

import json
import logging
import shlex
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lpntk.keep.files import explained, rename, write_json
from lpntk.kernel.tiles import npy
from lpntk.kernel.tiles.blocks import Cut, Tile
from lpntk.kernel.tiles.journal import Journal
from lpntk.kernel.tiles.reuse import FORMAT, MANIFEST, companion, found_identity, refuse_another

SEEN_LATE = 90  # seconds after which a network file system shows at last what another machine has written


class KernelFile:
    """A result in an ``.npy``, made by one or several processes at a time; see ``store.opened``.

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
        tiles, places = [*self.done], set()
        for top, bottom, left, right in tiles[:1] + tiles[-1:]:
            rows, columns = ([(a, min(a + 2, b)), (max(a, b - 2), b)] for a, b in [(top, bottom), (left, right)])
            places |= {(*r, *c) for r in rows for c in columns}
        return [(place, torch.from_numpy(self._part(place))) for place in sorted(places)]

    def put(self, tile: Tile, block: Tensor) -> None:
        """Write a finished tile, and enter it once the disk has it.

        Raises:
            OSError: if the disk fails; what was there before stands.
        """
        block, (top, _, left, _) = block.cpu().numpy(), tile
        with explained(self.matrix):
            mirror = [(left, top, block.T)] if self.plan.symmetric and top != left else []
            npy.write(self.matrix, self.shape, [(top, left, block), *mirror])
            self.done[tile] = self.journal.checksum(tile, block)
            self.journal.add(tile, self.done[tile])

    def close(self) -> Tensor:
        """Return the whole result, mapped copy-on-write; the first process finishes it before the others come.

        Raises:
            FileExistsError: if somebody else has given a file this name meanwhile.
            RuntimeError: if tiles do not appear, or are not what was written.
        """
        if not self.complete and self.rank == 0:
            self.done = {}
            _until(self._all_stand, "all tiles as they were written")
            if self.path.exists():
                raise FileExistsError(f"{self.path} has appeared meanwhile; move it away and run again")
            with explained(self.path):
                self.journal.rewrite(self.done)
                rename(self.matrix, self.path)
        _until(self.path.exists, self.path.name)
        self.complete = True
        return torch.from_numpy(npy.read(self.path))

    def _all_stand(self) -> bool:
        new = {entry for entry in self.journal.entries() if entry[0] not in self.done}
        self.done |= self.journal.standing(self._part, new)
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
            entries = self.journal.entries()
            stand = self.journal.standing(self._part, entries)
            if len(stand) < len(entries):
                words = "%s: %d of %d tiles are not what was written; they are computed again"
                logging.getLogger(__name__).warning(words, self.matrix, len(entries) - len(stand), len(entries))
            self.done = self.journal.cut_anew(self._part, self.tiles, stand)
            self.journal.rewrite(self.done)  # as it is cut now: no entry is half overwritten

    def _check_finished(self) -> None:
        """Refuse a finished file that is not what was written.

        Raises:
            ValueError: if nothing tells that it is a kernel, or it is damaged.
        """
        found = found_identity(self.folder)
        if not found:
            words = f"no {self.folder.name} beside it tells that lpntk wrote it; move it away or give another out"
            raise ValueError(f"{self.path} is there already, and {words}")
        refuse_another(self.holder, found, self.identity)
        entries, damage = self.journal.entries(), "it has another size or type"
        if npy.is_whole(self.path, self.shape, self.dtype):
            self.done = self.journal.standing(self._part, entries)
            if self.journal.covered([(0, self.plan.n, 0, self.plan.n2)], self.done):
                return
            damage = f"{len(self.done)} of {len(entries)} checksums agree, and they leave pairs out"
        words = f"{self.path.name} is not what was written: {damage}"
        again = shlex.join(["mv", str(self.path), str(self.matrix)])
        raise ValueError(
            f"{words}. If it is damaged, '{again}' has the damaged tiles alone computed again; or delete "
            "it, or give another out"
        )

    def _part(self, tile: Tile) -> np.ndarray:
        return npy.part(self.path if self.complete else self.matrix, self.shape, self.dtype, tile)


def _until(there: Callable[[], bool], what: str) -> None:
    for _ in range(SEEN_LATE):
        if there():
            return
        time.sleep(1)
    if not there():
        raise RuntimeError(f"{what} did not appear within {SEEN_LATE} s; is out on a disk that all machines see alike?")
