"""Tiles that are written in another thread: all of them, in order, and no error is lost."""

import threading
import time

import pytest
import torch
from rows import each_row

from lpntk.kernel.model.outflow import Outflow

BLOCKS = [torch.full((2, 3), float(i)) for i in range(8)]


def test_every_block_is_written_in_order_by_another_thread():
    written, threads = [], set()

    def put(place, block):
        threads.add(threading.current_thread())
        written.append((place, block.clone()))

    with Outflow(put) as out:
        for i, block in enumerate(BLOCKS):
            out.put(i, block)
    assert [place for place, _ in written] == list(range(8))
    assert all(torch.equal(block, BLOCKS[place]) for place, block in written)
    assert len(threads) == 1
    assert threading.current_thread() not in threads


def test_who_computes_waits_while_too_much_is_underway():
    begun, go = [], threading.Event()
    with Outflow(lambda place, _: begun.append(place) or go.wait(10)) as out:
        for i in range(3):  # one is being written, two wait
            out.put(i, BLOCKS[i])
        more = threading.Thread(target=out.put, args=(3, BLOCKS[3]))
        more.start()
        more.join(0.2)
        assert more.is_alive()
        assert begun == [0]
        go.set()
        more.join(10)
    assert begun == [0, 1, 2, 3]


@each_row("error", [OSError("disk full"), KeyboardInterrupt()])
def test_an_error_reaches_who_computes(error):
    def put(place, block):
        written.append(place)
        if place == 1:
            raise error

    def everything():
        with Outflow(put) as out:
            for i, block in enumerate(BLOCKS):
                out.put(i, block)
                time.sleep(0.01)

    written = []
    with pytest.raises(type(error)) as raised:
        everything()
    assert raised.value is error
    assert written == [0, 1]


def test_an_error_of_the_last_block_is_not_lost():
    def put(place, block):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), Outflow(put) as out:
        out.put(0, BLOCKS[0])


def test_what_was_handed_over_is_written_when_the_next_one_fails():
    def everything():
        with Outflow(lambda place, _: written.append(place)) as out:
            out.put(0, BLOCKS[0])
            raise ValueError("another path")

    written = []
    with pytest.raises(ValueError, match="another path"):
        everything()
    assert written == [0]
    assert not any(thread.name == "outflow" for thread in threading.enumerate())
