"""How is an ``.npy`` larger than memory made, filled and read? With all its room beforehand, by rows, and mapped."""

import errno
import io
import mmap
import os
import shutil
import sys
from math import prod
from pathlib import Path

import numpy as np


def header(shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    """Return what stands before the numbers."""
    written = io.BytesIO()
    np.lib.format.write_array_header_1_0(written, {"descr": dtype.str, "fortran_order": False, "shape": shape})
    return written.getvalue()


def size(shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Return the bytes of the whole file."""
    return len(header(shape, dtype)) + prod(shape) * dtype.itemsize


def reserve(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Make an ``.npy`` that has all its room, or give one that is there its header and length; its numbers stay.

    Raises:
        OSError: if the disk has not enough room.
    """
    path.touch()
    with path.open("r+b") as file:
        needed = size(shape, dtype) - 512 * os.fstat(file.fileno()).st_blocks
        if needed > (free := shutil.disk_usage(path.parent).free):
            words = f"the result takes {needed / 2**30:.3g} GiB more where {free / 2**30:.3g} GiB are free"
            raise OSError(errno.ENOSPC, words, str(path))
        file.write(header(shape, dtype))
        file.truncate(size(shape, dtype))
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size(shape, dtype))


def write(path: Path, shape: tuple[int, int], blocks: list[tuple[int, int, np.ndarray]]) -> None:
    """Put blocks into an ``.npy`` at their first row and column, and return when the disk has them.

    Not through a map: it writes whole pages, parts of which another machine may be writing, and a full disk kills it.
    """
    with path.open("r+b") as file:
        for top, left, block in blocks:
            first = len(header(shape, block.dtype)) + left * block.itemsize
            for row, numbers in enumerate(np.ascontiguousarray(block), top):
                file.seek(first + row * shape[1] * block.itemsize)
                file.write(numbers)
        file.flush()
        os.fsync(file.fileno())


def part(path: Path, shape: tuple[int, int], dtype: np.dtype, place: tuple[int, int, int, int]) -> np.ndarray:
    """Return a block of an ``.npy``, read into memory of its own; beyond the end of the file it holds anything."""
    top, bottom, left, right = place
    block, first = np.empty((bottom - top, right - left), dtype), len(header(shape, dtype)) + left * dtype.itemsize
    with path.open("rb", buffering=0) as file:
        for row, numbers in enumerate(block, top):
            file.seek(first + row * shape[1] * dtype.itemsize)
            file.readinto(numbers)
    return block


def is_whole(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> bool:
    """Return whether a file is an ``.npy`` of this shape and type, with as many bytes as it takes."""
    expected = header(shape, dtype)
    with path.open("rb") as file:
        return file.read(len(expected)) == expected and os.fstat(file.fileno()).st_size == size(shape, dtype)


def read(path: Path) -> np.ndarray:
    """Map an ``.npy`` copy-on-write: its pages are read as they are used, and edits stay in this process."""
    with path.open("rb") as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        # np.load would have the system promise memory for all of it, which it refuses beyond its own size
        unreserved = 0x4000 if sys.platform == "linux" else 0  # MAP_NORESERVE; mmap names it from Python 3.13 on
        flags, prot = mmap.MAP_PRIVATE | unreserved, mmap.PROT_READ | mmap.PROT_WRITE
        return np.ndarray(shape, dtype, mmap.mmap(file.fileno(), 0, flags=flags, prot=prot), file.tell())
