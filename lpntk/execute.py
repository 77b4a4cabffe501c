"""How does one notebook run? By papermill, beside its place, and made fit for a page.

Nothing of this package is imported here but the names of files: several notebooks are executed by processes of their
own, and those should start fast.
"""

import re
import time
from pathlib import Path

import nbformat
import papermill
from nbclient.exceptions import CellTimeoutError
from papermill.exceptions import PapermillExecutionError

from lpntk.escape import rename

STARTS = 3  # of a kernel, until its notebook is given up


class RegenerationError(Exception):
    """A regeneration that cannot go on; the message names notebook, cell or parameter and the fix."""


def execute(source: Path, partial: Path, parameters: dict[str, object]) -> float:
    """Run one notebook into a folder that exists, and return the seconds.

    Args:
        source: the py:percent source; its paired ``.ipynb`` is what runs, in its own folder.
        partial: where ``notebook.ipynb``, ``numbers.json`` and ``figures/`` go.
        parameters: all of them but ``results``.

    Raises:
        RegenerationError: if a cell fails, the kernel dies or no number was recorded. What had run of the notebook
            stays in ``partial``.
    """
    started = time.perf_counter()
    try:
        _run(source, partial, parameters)
    except PapermillExecutionError as error:
        raise RegenerationError(f"{source.name}, cell {error.cell_index}: {error.ename}: {error.evalue}") from None
    except (RuntimeError, CellTimeoutError) as error:  # nbclient's DeadKernelError is one
        raise RegenerationError(f"{source.name}: its kernel died ({error}); it may have run out of memory") from None
    if not (partial / "numbers.json").exists():
        raise RegenerationError(f"{source.name} recorded no number; call Results(results).number(...) in it")
    return time.perf_counter() - started


def _run(source: Path, partial: Path, parameters: dict[str, object]) -> None:
    for attempt in range(STARTS):
        try:
            papermill.execute_notebook(
                str(source.with_suffix(".ipynb")),
                str(partial / "notebook.ipynb"),
                parameters={**parameters, "results": str(partial.resolve())},
                kernel_name="python3",
                progress_bar=False,
                cwd=str(source.parent),
                extra_arguments=["--IPKernelApp.log_level=ERROR"],  # it warns that it talks over TCP, on this machine
                shutdown_kernel="immediate",  # all is written by then, and torch takes seconds to leave
            )
            return
        except RuntimeError as error:  # two kernels that start together may want one port, and the second dies of it
            if "kernel_info" not in str(error) or attempt + 1 == STARTS:
                raise


def tidy(path: Path, dataset: object, origin: str) -> None:
    """Make an executed notebook fit for a page: no local paths or progress bars, links as seen from its new place.

    Args:
        path: the executed notebook.
        dataset: name of the data set, which takes the place of its path.
        origin: Markdown for the last cell, which says where the page comes from.
    """
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("papermill", None)
    rename(notebook.cells, str(dataset))
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.metadata["tags"] = ["injected-parameters", "hide-input"]
            lines = [line for line in cell.source.splitlines() if not line.startswith(("results = ", "dataset = "))]
            cell.source = "\n".join([*lines, f"dataset = {dataset!r}"])
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"\]\(\.\./", "](../../../", cell.source)
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    last = nbformat.v4.new_markdown_cell(origin)
    last.id = "origin"
    notebook.cells.append(last)
    nbformat.write(notebook, path)
