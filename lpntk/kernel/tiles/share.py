r"""And beyond one machine? The same call under ``torchrun``: row blocks are shared, one file receives them all.

    torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint first-machine:29500 \
        -m lpntk --dataset mnist --model lenet --weights lenet.pt --out shared/kappa.npy

The file must lie where all machines can write and see alike. No tile is sent between processes: each writes its own in
the one file and enters them in a journal that only it writes, and the first compares all of them with their checksums
before the result gets its name. So what a disk loses between machines is told, not handed out. If a process dies, the
same command goes on where it stopped, with any number of processes.
"""

import os
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache

import torch
import torch.distributed as dist

from lpntk.kernel.tiles.blocks import Tile

# Processes only wait for each other, and who has least to do waits longest. gloo does that anywhere; nccl, made to send
# tensors between devices, needs a device for each process and gives up after ten minutes.
PATIENCE = timedelta(days=7)


@cache
def _patient(joined: "dist.ProcessGroup") -> "dist.ProcessGroup":
    """Return a group of the same processes to wait in, whatever the backend and patience of theirs."""
    return dist.new_group(backend="gloo", timeout=PATIENCE)


def _wait() -> None:
    dist.barrier(_patient(dist.group.WORLD))


def world() -> tuple[int, int]:
    """Return (rank, number of processes), having joined them if ``torchrun`` started this process."""
    if not dist.is_available():
        return 0, 1
    if not dist.is_initialized() and dist.is_torchelastic_launched():
        dist.init_process_group("gloo", timeout=PATIENCE)
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def local_device(device: str | torch.device) -> str | torch.device:
    """Return the CUDA device of this process's own, and make it the current one, if ``auto`` or ``cuda`` is asked for.

    Where a machine has more processes than devices they share them.
    """
    if str(device) in ("auto", "cuda") and torch.cuda.is_available() and "LOCAL_RANK" in os.environ:
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        torch.cuda.set_device(device)
    return device


def sharing() -> int:
    """Return how many processes of this machine share a CUDA device, see ``local_device``."""
    return -(-int(os.environ.get("LOCAL_WORLD_SIZE", 1)) // max(1, torch.cuda.device_count()))


def least(number: int) -> int:
    """Return the smallest of the processes' numbers, to all of them."""
    if dist.is_available() and dist.is_initialized():
        told = torch.tensor(number)
        dist.all_reduce(told, dist.ReduceOp.MIN, _patient(dist.group.WORLD))
        number = int(told)
    return number


@contextmanager
def first_rank_first(rank: int, size: int) -> Iterator[None]:
    """Let rank 0 through the block before the others: it creates what they open."""
    if size > 1 and rank > 0:
        _wait()
    yield
    if size > 1 and rank == 0:
        _wait()


def share(tiles: list[Tile], rank: int, size: int, row_block: Callable[[Tile], Hashable]) -> list[Tile]:
    """Return this process's tiles: whole row blocks, the largest first, each to who has least to do.

    Every process must call it with the same tiles.
    """
    if size == 1:
        return tiles
    blocks: dict[Hashable, list[Tile]] = {}
    for tile in tiles:
        blocks.setdefault(row_block(tile), []).append(tile)
    load, own = [0] * size, [[] for _ in range(size)]
    for block in sorted(blocks.values(), key=_pairs, reverse=True):
        least = load.index(min(load))
        load[least] += _pairs(block)
        own[least] += block
    return own[rank]


def wait_for_all(size: int) -> None:
    """Return once every process is here."""
    if size > 1:
        _wait()


def _pairs(tiles: list[Tile]) -> int:
    return sum((bottom - top) * (right - left) for top, bottom, left, right in tiles)
