"""How does an executed notebook become a page? Without local paths and progress bars, with words that stay words."""

import html
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat

from lpntk.keep.files import ROOT
from lpntk.regenerate.page.widgets import without_progress
from lpntk.report.escape import markdown

BAR = re.compile(r"\d+%\|.*\||\d+\w* \[\d\d:\d\d, ")  # as tqdm draws it, with a total and without
CELL = re.compile(r"\S*ipykernel_\d+/\d+\.py:\d+: ")  # where a warning says that a cell is, in this run
WRITTEN = {"text/markdown": markdown, "text/html": html.escape, "text/latex": markdown}  # how a word is kept a word


def tidy(path: Path, dataset: str | None, origin: str) -> None:
    """Make an executed notebook fit for a page, with links as seen from its new place.

    Args:
        path: the executed notebook.
        dataset: name of the data set or path of its file, of which the name alone is told.
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
            cell.source = "\n".join([*lines, *([f"dataset = {Path(dataset).name!r}"] if dataset else [])])
        if cell.cell_type == "markdown":
            cell.source = linked(cell.source)
        if cell.cell_type == "code":
            cell.outputs = [
                kept for output in cell.outputs if (kept := _told_output(output, dataset or "")) is not None
            ]
    without_progress(notebook)
    last = nbformat.v4.new_markdown_cell(origin)
    last.id = "origin"
    notebook.cells.append(last)
    nbformat.write(notebook, path)


def linked(text: str) -> str:
    """Return the words of a notebook with its links as seen from the folder of a result."""
    return re.sub(r"\]\(\.\./", "](../../../", text)


def _told_output(output: nbformat.NotebookNode, dataset: str) -> nbformat.NotebookNode | None:
    """Return what a page shows of an output: warnings are seen, progress bars are not; None if nothing is left."""
    if output.output_type == "stream":
        if output.name == "stderr":
            lines = re.split(r"[\r\n]+", output.text)
            output.text = "".join(f"{line}\n" for line in lines if line.strip() and not BAR.search(line))
        output.text = _without_paths(output.text, dataset, str)
        return output if output.text else None
    for kind, content in output.get("data", {}).items():
        if isinstance(content, str) and kind.startswith("text/"):
            output.data[kind] = _without_paths(content, dataset, WRITTEN.get(kind, str))
    return output


def _without_paths(text: str, dataset: str, written: Callable[[str], str]) -> str:
    """Return a text without the paths of this machine; the data set's becomes its name."""
    if (name := Path(dataset).name) != dataset:
        for path in (dataset, written(dataset)):
            text = text.replace(path, written(name))
    text = CELL.sub("", text)
    for folder in (ROOT, sys.prefix, os.path.expanduser("~")):
        if str(folder) != "/":
            text = text.replace(f"{folder}/", "")
    return text
