"""In which Python do cells run? In the runner's, with none of the user's settings, and no longer than it lives.

A matplotlibrc changes figures, a startup file of IPython can break a cell, and the kernel ``python3`` may be another
Python. A kernel that outlives a killed runner goes on writing.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec

from lpntk.keep.files import ROOT

SETTINGS = ("MPLBACKEND", "PYTHONSTARTUP", "PYTHONWARNINGS", "PYTHONOPTIMIZE", "PYTHONINSPECT")
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux' prctl


def environment(folder: Path) -> dict[str, str]:
    """Return the variables of a process that runs a notebook: the user's, but for those that are settings of Python.

    Args:
        folder: exists and is empty; here they look for what Jupyter, IPython and matplotlib keep in the user's home.
    """
    (folder / "matplotlibrc").touch()
    kept = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]  # the package that the manifest describes
    own = {"MATPLOTLIBRC": folder / "matplotlibrc", "IPYTHONDIR": folder / "ipython", "JUPYTER_RUNTIME_DIR": folder}
    return kept | {name: str(path) for name, path in own.items()} | {"PYTHONPATH": os.pathsep.join(paths)}


def tied() -> Callable[[], None]:
    """Return what a child of this process has to do first, so that it is killed as soon as this process ends.

    The system does it, whatever the child is busy with and however this process dies. Only Linux can; elsewhere
    ipykernel looks every second whether its parent lives.
    """
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    parent = os.getpid()

    def tie() -> None:
        if prctl is not None:
            prctl(DIE_WITH_PARENT, signal.SIGKILL)
            if os.getppid() != parent:  # it died before that
                os._exit(1)

    return tie


class OwnKernel(AsyncKernelManager):
    """Starts kernels of this very Python, tied to this process."""

    @property
    def kernel_spec(self) -> KernelSpec:
        """What is started, whichever kernels are installed."""
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=command, display_name="Python 3", language="python")

    async def _async_launch_kernel(self, kernel_cmd: list[str], **options: object) -> None:
        await super()._async_launch_kernel(kernel_cmd, **options, preexec_fn=tied())
