"""Where does a kernel go while it is computed? Into memory, or tile by tile into a file that survives a kill."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lpntk.keep.files import explained
from lpntk.kernel.tiles.blocks import Cut, Tile, views
from lpntk.kernel.tiles.kernel_file import KernelFile
from lpntk.kernel.tiles.lock import locked
from lpntk.kernel.tiles.reuse import companion, found_identity

NUMPY = {torch.float32: np.dtype("float32"), torch.float64: np.dtype("float64")}


class Memory:
    """A result in memory: nothing outlives the process.

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
) -> Iterator[KernelFile]:
    """Open a result in a file, and keep other jobs from writing it.

    Args:
        out: where the whole result will be.
        plan: how it is cut.
        dtype: float32 or float64.
        identity: what the result is the kernel of, see ``lpntk.kernel.tiles.reuse``.
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
    found_identity(companion(path))  # refuses what is not ours before anything is written there
    with explained(path):
        companion(path).mkdir(parents=True, exist_ok=True)
    with locked(companion(path) / "lock", str(path), first=rank == 0):
        yield KernelFile(path, plan, NUMPY[dtype], identity, rank)
