"""Who writes here? One job at a time: a lock that says who holds it, and that the system drops when the holder dies."""

import errno
import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}  # what a file system without locks answers


@contextmanager
def locked(path: Path, what: str, first: bool = True) -> Iterator[None]:
    """Hold a lock while the block runs.

    Args:
        path: file of the lock, which is made if need be and stays.
        what: is locked, for the message.
        first: whether this process asks for its job; the others of the job pass False and share the lock.

    Raises:
        BlockingIOError: at once if another job holds it; the message says who.
        OSError: if the file cannot be locked, on a disk that knows locks.
    """
    with path.open("a+") as file:
        try:
            if first:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                file.truncate(0)
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = ", ".join(file.read().splitlines()) or "another process"
            words = f"{what} is being written by {holder}; wait for it, end it, or write somewhere else"
            raise BlockingIOError(errno.EWOULDBLOCK, words, str(path)) from None
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
            logging.getLogger(__name__).warning("%s: this disk knows no locks; see that one job at a time writes", path)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield
