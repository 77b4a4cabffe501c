"""A process that was forked, in the place of a ``subprocess.Popen``."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path


class Forked:
    """What ``subprocess.Popen`` is, of a process that somebody else has forked and that leaves its exit status."""

    stdin = stdout = stderr = None

    def __init__(self, pid, status):
        self.pid, self.status, self.returncode = pid, Path(status), None

    def poll(self):
        if self.returncode is None and not alive(self.pid):
            self.returncode = int(self.status.read_text()) if self.status.exists() else -signal.SIGKILL
        return self.returncode

    def wait(self, timeout=120):
        ends = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > ends:
                raise subprocess.TimeoutExpired(str(self.status), timeout)
            time.sleep(0.02)
        return self.returncode

    def send_signal(self, number):
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)


class Program(Forked):
    """One whose words lie in files beside its status."""

    def communicate(self, timeout=120):
        self.wait(timeout)
        return tuple(self.status.with_name(name).read_text() for name in ("out", "err"))


class Child(Forked):
    """The same of a process that this one has forked."""

    def __init__(self, pid):
        self.pid, self.returncode = pid, None

    def poll(self):
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout=None):
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False
