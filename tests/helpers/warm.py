"""Notebooks in processes that have imported the large libraries already: five seconds saved with each.

They run as ever, by papermill and each in a kernel of its own; but both processes are forks of one that has done
nothing else. That ``start`` gives the same from nothing is asked in ``tests/regenerate/test_runs.py``.
"""

import asyncio
import atexit
import json
import os
import signal
import subprocess
import sys
import traceback
from contextlib import suppress
from functools import cache
from pathlib import Path

LARGE = ("torch", "pandas", "matplotlib", "matplotlib.figure", "scipy.stats", "scipy.optimize", "sklearn.datasets",
         "sklearn.metrics", "sklearn.cluster", "papermill", "ipykernel.kernelapp", "ipykernel.ipkernel")  # fmt: skip


class Forked:
    """What ``subprocess.Popen`` is, of a process that somebody else has forked and that leaves its exit status."""

    stdin = stdout = stderr = None

    def __init__(self, pid, status):
        self.pid, self.status, self.returncode = pid, Path(status), None

    def poll(self):
        if self.returncode is None and not _alive(self.pid):
            self.returncode = int(self.status.read_text()) if self.status.exists() else -signal.SIGKILL
        return self.returncode

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)


class Child(Forked):
    """The same of a process that this one has forked."""

    def __init__(self, pid):
        self.pid, self.returncode = pid, None

    def poll(self):
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self):
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.returncode

    def send_signal(self, number):
        os.kill(self.pid, number)


def _alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


@cache
def _server():
    """The process that has imported all; it ends with this one, as its input does."""
    command = [sys.executable, __file__]
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment |= {"MATPLOTLIBRC": "/dev/null", "PYTHONPATH": os.pathsep.join(paths)}
    pipes = dict.fromkeys(("stdin", "stdout"), subprocess.PIPE)
    server = subprocess.Popen(command, **pipes, text=True, env=environment)
    atexit.register(lambda: (server.stdin.close(), server.wait()))
    return server


def start(source, partial, parameters, fault, environment):
    """Take the place of ``lpntk.regenerate.execute.start``."""
    task = {"source": str(source), "partial": str(partial), "parameters": parameters, "fault": str(fault)}
    ask, server = {"task": json.dumps(task), "status": f"{fault}.status", "environment": environment}, _server()
    server.stdin.write(json.dumps(ask) + "\n")
    server.stdin.flush()
    return Forked(int(server.stdout.readline()), ask["status"])


def _kernel(command, env=None, cwd=None, preexec_fn=None, **_):
    """Take the place of ``jupyter_client.launcher.launch_kernel``."""
    parent = os.getpid()
    if pid := os.fork():
        os.setpgid(pid, pid)  # signals for a kernel go to its group
        return Child(pid)
    try:
        os.setpgid(0, 0)
        preexec_fn()
        _become(env)
        os.chdir(cwd or ".")
        asyncio.set_event_loop(asyncio.new_event_loop())  # the parent's is running
        from ipykernel.kernelapp import IPKernelApp

        IPKernelApp.launch_instance(argv=[*command[command.index("-f") :], f"--IPKernelApp.parent_handle={parent}"])
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(0)


def _reap(*_):
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _become(environment):
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _execute(ask, tie):
    from jupyter_client.provisioning import local_provisioner

    from lpntk.regenerate import execute

    status = 1
    try:
        tie()
        _become(ask["environment"])
        os.setsid()
        local_provisioner.launch_kernel = _kernel
        status = execute.main(ask["task"])
    finally:
        Path(ask["status"]).write_text(str(status))
        os._exit(status)


def main():
    sys.path.pop(0)  # the helpers of tests
    for name in LARGE:
        __import__(name)
    import lpntk.regenerate.execute  # noqa: F401
    from lpntk.regenerate.own_kernel import tied

    os.register_at_fork(after_in_child=sys.modules["numpy"].random.seed)  # else all forks draw the same numbers
    signal.signal(signal.SIGCHLD, _reap)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for who asked
    tie, answers = tied(), os.dup(1)
    os.dup2(2, 1)
    for line in sys.stdin:
        if not (pid := os.fork()):
            _execute(json.loads(line), tie)
        os.write(answers, f"{pid}\n".encode())


if __name__ == "__main__":
    main()
