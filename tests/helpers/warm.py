"""Processes that have imported the large libraries already: five seconds saved with each.

Notebooks run as ever, by papermill and each in a kernel of its own; but both processes are forks of one that has done
nothing else, and so are kernels and programs that a test starts. That notebooks give the same from nothing is asked in
``tests/regenerate/test_runs.py``, and of a book in the fixture of ``tests/report/book/test_book.py``.
"""

import asyncio
import atexit
import gc
import json
import os
import signal
import subprocess
import sys
import traceback
from contextlib import suppress
from functools import cache
from pathlib import Path

from forks import Child, Forked, Program

LARGE = ("torch", "pandas", "matplotlib", "matplotlib.figure", "scipy.stats", "scipy.optimize", "sklearn.datasets",
         "sklearn.metrics", "sklearn.cluster", "papermill", "ipykernel.kernelapp", "ipykernel.ipkernel")  # fmt: skip


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


def _ask(what, kind=Forked, **told):
    """Let the server fork a process that does something."""
    server = _server()
    server.stdin.write(json.dumps({"what": what, **told}) + "\n")
    server.stdin.flush()
    return kind(int(server.stdout.readline()), told["status"])


def start(source, partial, parameters, fault, environment):
    """Take the place of ``lpntk.regenerate.execute.start``."""
    task = {"source": str(source), "partial": str(partial), "parameters": parameters, "fault": str(fault)}
    return _ask("notebook", task=json.dumps(task), status=f"{fault}.status", environment=environment)


def start_here(source, partial, parameters, fault, environment):
    """The same for a process that is itself a fork."""
    from lpntk.regenerate.own_kernel import tied

    task = {"source": str(source), "partial": str(partial), "parameters": parameters, "fault": str(fault)}
    ask = {"task": json.dumps(task), "status": os.devnull, "environment": environment}
    return Child(_fork(_notebook, ask, tied()))


def program(code, folder, *, environment, modules=(), cwd="."):
    """Run Python code as ``python -c`` would.

    Args:
        code: its ``sys.exit`` is heard.
        folder: empty; for what it says.
        environment: its variables.
        modules: that it imports, imported before.
        cwd: where it runs.
    """
    told = {"status": str(folder / "status"), "environment": environment, "modules": modules, "cwd": str(cwd)}
    return _ask("program", Program, code=code, **told)


def launch_kernel(folder, command, env=None, cwd=None, **_):
    """Take the place of ``jupyter_client.launcher.launch_kernel``, once a folder is given."""
    return _ask("kernel", command=command, status=str(folder / "status"), environment=env, cwd=str(cwd))


def _kernel(command, env=None, cwd=None, preexec_fn=None, **_):
    """The same in the process of a notebook, which is a fork."""
    ask = {"command": command, "environment": env, "cwd": cwd or ".", "status": os.devnull}
    return Child(_fork(_be_kernel, ask, preexec_fn))


def _be_kernel(ask, tie):
    os.setpgid(0, 0)
    tie()
    _become(ask["environment"])
    os.chdir(ask["cwd"])
    asyncio.set_event_loop(asyncio.new_event_loop())  # the parent's may be running
    from ipykernel.kernelapp import IPKernelApp

    command, parent = ask["command"], f"--IPKernelApp.parent_handle={os.getppid()}"
    IPKernelApp.launch_instance(argv=[*command[command.index("-f") :], parent])


def _reap(*_):
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _become(environment):
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _notebook(ask, tie):
    from jupyter_client.provisioning import local_provisioner

    from lpntk.regenerate import execute

    tie()
    _become(ask["environment"])
    os.setsid()
    local_provisioner.launch_kernel = _kernel
    sys.exit(execute.main(ask["task"]))


def _program(ask, tie):
    tie()
    _become(ask["environment"])
    os.chdir(ask["cwd"])
    encoding = ask["environment"].get("PYTHONIOENCODING", "utf-8")
    for place, stream, name, errors in ((1, sys.stdout, "out", "strict"), (2, sys.stderr, "err", "backslashreplace")):
        os.dup2(os.open(Path(ask["status"]).with_name(name), os.O_WRONLY | os.O_CREAT), place)
        stream.reconfigure(encoding=encoding, errors=errors)
    exec(compile(ask["code"], "<program>", "exec"), {"__name__": "__main__"})


def _fork(do, ask, tie):
    """Return the number of a process that does something, leaves its exit status, and ends."""
    sys.stdout.flush(), sys.stderr.flush()  # or it is said twice
    if pid := os.fork():
        if do is _be_kernel:
            os.setpgid(pid, pid)  # signals for a kernel go to its group
        return pid
    status = 1
    try:
        do(ask, tie)
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc(file=sys.stderr)
    finally:
        sys.stdout.flush(), sys.stderr.flush()
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
    does = {"notebook": _notebook, "program": _program, "kernel": _be_kernel}
    for line in sys.stdin:
        ask = json.loads(line)
        for name in ask.get("modules", ()):
            __import__(name)
        gc.freeze()  # what a fork collects it would copy first
        os.write(answers, f"{_fork(does[ask['what']], ask, tie)}\n".encode())


if __name__ == "__main__":
    main()
