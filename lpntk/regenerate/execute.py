"""How does one notebook run? By papermill, in a process of its own that is killed with the one that started it.

    python -m lpntk.regenerate.execute '{"source": ..., "partial": ..., "parameters": {...}, "fault": ...}'

Nothing heavy of this package is imported here: the process should start fast.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import papermill
from nbclient.exceptions import CellTimeoutError
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from lpntk.regenerate.failures import RegenerationError, in_one_line
from lpntk.regenerate.own_kernel import OwnKernel, tied


def start(
    source: Path, partial: Path, parameters: dict[str, object], fault: Path, environment: dict[str, str]
) -> subprocess.Popen:
    """Start ``execute`` in a process of its own, whose exit status is 0 if all went well.

    Args:
        source: as of ``execute``.
        partial: as of ``execute``.
        parameters: as of ``execute``.
        fault: file for the message of the error, if there is one.
        environment: variables of the process and of its kernel.
    """
    task = {"source": str(source), "partial": str(partial), "parameters": parameters, "fault": str(fault)}
    command = [sys.executable, "-m", "lpntk.regenerate.execute", json.dumps(task)]
    # a session of its own: a Ctrl-C is for the runner, who ends everything at once
    return subprocess.Popen(command, env=environment, preexec_fn=tied(), start_new_session=True)


def execute(source: Path, partial: Path, parameters: dict[str, object]) -> None:
    """Run one notebook into a folder that exists.

    Args:
        source: the py:percent source; its paired ``.ipynb`` is what runs, in its own folder.
        partial: where ``notebook.ipynb``, ``numbers.json`` and ``figures/`` go.
        parameters: all of them but ``results``.

    Raises:
        RegenerationError: if a cell fails, the kernel dies, the disk does not take the result or no number was
            recorded. What had run of the notebook stays in ``partial``.
    """
    # sockets that are files: of two kernels that start together, ports could be given to both
    talk = {
        "transport": "ipc",
        "connection_file": os.path.join(os.environ["JUPYTER_RUNTIME_DIR"], f"{os.getpid()}.json"),
    }
    try:
        papermill.execute_notebook(
            str(source.with_suffix(".ipynb")),
            str(partial / "notebook.ipynb"),
            parameters={**parameters, "results": str(partial.resolve())},
            kernel_name="python3",
            kernel_manager_class=OwnKernel,
            config=Config(OwnKernel=talk),
            progress_bar=False,
            cwd=str(source.parent),
            shutdown_kernel="immediate",  # all is written by then, and torch takes seconds to leave
        )
    except PapermillExecutionError as error:
        raise RegenerationError(f"{source.name}, cell {error.cell_index}: {error.ename}: {error.evalue}") from None
    except (RuntimeError, CellTimeoutError) as error:  # nbclient's DeadKernelError is one
        raise RegenerationError(f"{source.name}: its kernel died ({error}); it may have run out of memory") from None
    except OSError as error:
        raise RegenerationError(
            f"{source.name}: its result cannot be written ({error}); make room, or choose a folder that can be written"
        ) from None
    if not (partial / "numbers.json").exists():
        raise RegenerationError(f"{source.name} recorded no number; call Results(results).number(...) in it")


def main(task: str) -> int:
    """Execute what ``start`` was told, and return the exit status."""
    told = json.loads(task)
    try:
        execute(Path(told["source"]), Path(told["partial"]), told["parameters"])
    except Exception as error:  # whatever it is, the runner has to tell it
        Path(told["fault"]).write_text(in_one_line(error), "utf-8", "backslashreplace")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
