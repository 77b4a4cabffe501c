"""Where does a kernel go while it is computed? Into memory, or tile by tile into an ``.npy`` that survives a kill.

Beside ``kappa.npy`` a file ``kappa.json`` says what it is the kernel of. While tiles are missing both are called
``kappa.partial.*`` and every process appends the tiles it has finished to a log of its own; a later run with the same
model and samples reads the logs and goes on. Anything else is refused.
"""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lpntk.files import write_json

Tile = tuple[int, int, int, int]  # first row, end of rows, first column, end of columns

NUMPY = {torch.float32: np.float32, torch.float64: np.float64}


class Memory:
    """A result in memory: nothing outlives the process."""

    def __init__(self, n: int, n2: int, dtype: torch.dtype):
        self.kappa = torch.empty(n, n2, dtype=dtype)

    def missing(self, tiles: list[Tile]) -> list[Tile]:
        """Return the tiles that still have to be computed."""
        return tiles

    def finished(self, tile: Tile) -> None:
        """Note that a tile stands."""

    def close(self) -> Tensor:
        """Return the whole result."""
        return self.kappa


class KernelFile(Memory):
    """A result in a memory-mapped ``.npy``, open for one or several processes at a time.

    Args:
        path: where the whole result will be.
        n: rows.
        n2: columns.
        dtype: float32 or float64.
        identity: what the result is the kernel of, see ``identity``.
        rank: of this process; rank 0 creates the files, so the others must come after it.

    Raises:
        ValueError: if files of another kernel lie there, or the path does not end in ``.npy``.
    """

    def __init__(
        self, path: str | os.PathLike, n: int, n2: int, dtype: torch.dtype, identity: dict[str, object], rank: int = 0
    ):
        self.path = Path(path)
        if self.path.suffix != ".npy":
            raise ValueError(f"out must name an .npy file; got {self.path.name!r}")
        self.partial = self.path.with_suffix(".partial.npy")
        self.log = self.path.with_suffix(f".partial.{rank}.tiles")
        self.done: set[Tile] = set()
        identity = {**identity, "shape": [n, n2], "dtype": str(dtype).removeprefix("torch.")}
        self.complete = self._matches(self.path, identity)
        if self.complete:
            array = np.load(self.path, mmap_mode="r+")
        elif self._matches(self.partial, identity):
            array = np.load(self.partial, mmap_mode="r+")
            self.done = set().union(*(_read_log(log) for log in self._logs()))
        else:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            array = np.lib.format.open_memmap(self.partial, mode="w+", dtype=NUMPY[dtype], shape=(n, n2))
            write_json(_json(self.partial), identity)
        self._array, self.kappa = array, torch.from_numpy(array)

    def missing(self, tiles: list[Tile]) -> list[Tile]:
        """Return the tiles that no process has finished."""
        return [] if self.complete else [tile for tile in tiles if not self._covered(tile)]

    def finished(self, tile: Tile) -> None:
        """Flush a tile to the disk and only then log it."""
        self._array.flush()
        with self.log.open("a") as log:
            log.write(" ".join(map(str, tile)) + "\n")
            log.flush()
            os.fsync(log.fileno())

    def close(self) -> Tensor:
        """Give the whole result its final name and return it, memory-mapped. To be called by one process."""
        if not self.complete:
            self._array.flush()
            os.replace(_json(self.partial), _json(self.path))
            os.replace(self.partial, self.path)
            for log in self._logs():
                log.unlink()
            self.complete = True
        return self.kappa

    def _covered(self, tile: Tile) -> bool:
        """Whether a finished tile holds this one; tiles may have been cut otherwise under another budget."""
        top, bottom, left, right = tile
        return any(t <= top and bottom <= b and a <= left and right <= r for t, b, a, r in self.done)

    def _matches(self, path: Path, identity: dict[str, object]) -> bool:
        if not path.exists():
            return False
        found = json.loads(_json(path).read_text()) if _json(path).exists() else {}
        if differing := sorted(key for key in {*found, *identity} if found.get(key) != identity.get(key)):
            raise ValueError(
                f"{path.name} holds another kernel: {', '.join(differing)} differ{'s' * (len(differing) == 1)}; "
                "delete it or give another out"
            )
        return True

    def _logs(self) -> list[Path]:
        return sorted(self.path.parent.glob(f"{self.path.stem}.partial.*.tiles"))


def identity(model: nn.Module, tensors: dict[str, Tensor | None], **options: object) -> dict[str, object]:
    """Return what decides a kernel: hashes of the model and of the samples, and the options as they are."""
    weights = hashlib.sha256(repr(model).encode())
    for name, value in model.state_dict().items():
        weights.update(name.encode())
        weights.update(_bytes(value))
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    samples = {name: hashlib.sha256(_bytes(t)).hexdigest() for name, t in tensors.items() if t is not None}
    return {"model": weights.hexdigest(), "frozen": frozen, **samples, **{k: str(v) for k, v in options.items()}}


def _bytes(tensor: Tensor) -> bytes:
    header = f"{tensor.dtype} {tuple(tensor.shape)} ".encode()
    return header + tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _json(path: Path) -> Path:
    return path.with_suffix(".json")


def _read_log(path: Path) -> set[Tile]:
    """Return the tiles of a log; a line that a kill cut short counts for nothing."""
    lines = path.read_text().splitlines(keepends=True)
    return {tuple(map(int, line.split())) for line in lines if line.endswith("\n") and len(line.split()) == 4}
