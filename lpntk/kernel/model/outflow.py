"""How do tiles leave a CUDA device while the next is computed? Into pinned memory, and a thread writes them."""

import queue
import threading
from collections.abc import Callable
from types import TracebackType

import torch
from torch import Tensor

AHEAD = 2  # blocks that wait to be written; each holds memory of the host


class Outflow:
    """A queue in front of a slow ``put``; use it as a context, at whose end everything is written.

    An error of ``put`` is raised where the next block is handed over, or at the end; what still waits is dropped then.

    Args:
        put: takes whatever belongs to a block (its place) and the block on the CPU; called in another thread, in order.
    """

    def __init__(self, put: Callable[[object, Tensor], None]):
        self._write, self._error = put, None
        self._waiting: queue.Queue[tuple | None] = queue.Queue(AHEAD)
        self._thread = threading.Thread(target=self._run, name="outflow", daemon=True)

    def __enter__(self) -> "Outflow":
        self._thread.start()
        return self

    def put(self, place: object, block: Tensor) -> None:
        """Hand a block over; waits while too many are underway.

        Raises:
            BaseException: what an earlier block met when it was written.
        """
        self._raise()
        self._waiting.put((place, *_leaving(block)))

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._waiting.put(None)
        self._thread.join()  # blocks that are whole are written, whatever happened to the next
        if error is None:
            self._raise()

    def _run(self) -> None:
        while (taken := self._waiting.get()) is not None:
            place, block, arrived = taken
            if self._error is not None:
                continue  # nobody shall wait for room in the queue
            try:
                if arrived is not None:
                    arrived.synchronize()  # before that the block holds anything
                self._write(place, block)
            except BaseException as error:
                self._error = error
            del taken, block

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error


def _leaving(block: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
    """Return a block on the CPU, and what happens when it has arrived there.

    The copy is queued behind what computes the block, and before whatever may use its memory again.
    """
    if not block.is_cuda:
        return block, None
    host = torch.empty(block.shape, dtype=block.dtype, pin_memory=True)  # torch keeps pinned memory for the next one
    host.copy_(block, non_blocking=True)
    arrived = torch.cuda.Event(blocking=True)
    arrived.record(torch.cuda.current_stream(block.device))
    return host, arrived
