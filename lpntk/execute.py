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

STARTS = 3  # of a kernel, until its notebook is given up
WIDGET = "application/vnd.jupyter.widget"
WIDGETS = "widgets"  # where the metadata of a notebook keep the state of its widgets


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
    without_progress(notebook)
    last = nbformat.v4.new_markdown_cell(origin)
    last.id = "origin"
    notebook.cells.append(last)
    nbformat.write(notebook, path)


def without_progress(notebook: dict) -> None:
    """Remove the progress bars that tqdm draws as widgets, and the state of widgets where none is left.

    On a page they are holes, as there is no kernel to fill them, and their state is larger than all the rest.

    Args:
        notebook: as JSON gives it; changed in place.
    """
    stored = notebook["metadata"].get(WIDGETS, {}).get(f"{WIDGET}-state+json", {})
    left = 0
    for cell in notebook["cells"]:
        views = [o.get("data", {}).get(f"{WIDGET}-view+json") for o in cell.get("outputs", [])]
        bars = [view is not None and _is_progress(view["model_id"], stored.get("state", {})) for view in views]
        if "outputs" in cell:
            cell["outputs"] = [o for o, bar in zip(cell["outputs"], bars, strict=True) if not bar]
        left += sum(view is not None for view in views) - sum(bars)
    if not left:
        notebook["metadata"].pop(WIDGETS, None)


def _is_progress(model: str, state: dict[str, dict]) -> bool:
    """Return whether a widget is a progress bar, or a box that holds one, or one of which no state was kept."""
    if model not in state:
        return True
    children = state[model]["state"].get("children", [])
    inside = [child.removeprefix("IPY_MODEL_") for child in children if isinstance(child, str)]
    return "Progress" in state[model]["model_name"] or any(_is_progress(child, state) for child in inside)
