"""How is an ``.npy`` larger than memory made and read? Mapped, with room on the disk beforehand, and copy-on-write."""

import errno
import mmap
import os
import shutil
import sys
from pathlib import Path

import numpy as np


def check_room(folder: Path, needed: int) -> None:
    """Check that so many bytes are free.

    Raises:
        OSError: if they are not.
    """
    if needed > (free := shutil.disk_usage(folder).free):
        raise OSError(
            errno.ENOSPC,
            f"the tiles to come and the result take {needed / 2**30:.3g} GiB, but {free / 2**30:.3g} GiB are free; "
            "make room or give out another disk",
            str(folder),
        )


def create(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> np.memmap:
    """Make an ``.npy`` that has all its room, and map it: a disk that fills up under a map would kill the process.

    Raises:
        OSError: if the disk has not enough room.
    """
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def read(path: Path) -> np.ndarray:
    """Map an ``.npy`` copy-on-write: its pages are read as they are used, and edits stay in this process."""
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        # np.load would have the system promise memory for all of it, which it refuses beyond its own size
        unreserved = 0x4000 if sys.platform == "linux" else 0  # MAP_NORESERVE; mmap names it from Python 3.13 on
        flags, prot = mmap.MAP_PRIVATE | unreserved, mmap.PROT_READ | mmap.PROT_WRITE
        return np.ndarray(shape, dtype, mmap.mmap(file.fileno(), 0, flags=flags, prot=prot), file.tell())
