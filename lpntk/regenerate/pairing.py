"""Are both halves of each notebook the same? The ``.py`` is the source; the ``.ipynb`` is made from it.

python -m lpntk.regenerate.pairing            write every .ipynb anew from its .py; an edited one is kept beside it
python -m lpntk.regenerate.pairing --check    exit 1 and name the notebooks that disagree
"""

import argparse
import hashlib
import itertools
import json
import shutil
import sys
from pathlib import Path

import jupytext
import nbformat

from lpntk.keep.currency import NOTEBOOKS
from lpntk.report.book import home

MARK = "lpntk_cells"  # in a notebook's metadata: the digest of its cells when they were made
INSTALL = """# on a machine without this project, such as Colab: install it; elsewhere this does nothing
import importlib.util

if importlib.util.find_spec("lpntk") is None:
    get_ipython().run_line_magic("pip", "install --quiet 'lpntk[book] @ git+{url}@{branch}'")"""
ADVICE = (
    "if the .py is right, run `make pair`; if the .ipynb is, take it over with `jupytext --to py:percent` and its path "
    "(which replaces the .py), then run `make pair`"
)


def from_source(source: Path) -> nbformat.NotebookNode:
    """Return the notebook that a py:percent file says, with cell ids that depend on nothing but the position.

    Where the project has a home, a first cell installs the package from there, for services that open a notebook alone.
    """
    notebook = jupytext.read(source)
    for i, cell in enumerate(notebook.cells):
        cell.id = f"cell-{i:02d}"
    if url := home.address():
        install = nbformat.v4.new_code_cell(INSTALL.format(url=url, branch=home.branch()))
        install.id, install.metadata["tags"] = "install", ["active-ipynb"]  # a comment, should jupytext write the .py
        notebook.cells.insert(0, install)
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def write_pair(source: Path) -> Path | None:
    """Write the ``.ipynb`` beside a ``.py``; return where the one that stood there is kept, if it was edited."""
    pair, notebook = source.with_suffix(".ipynb"), from_source(source)
    notebook.metadata[MARK] = _digest_of_cells(notebook)
    kept = keep(pair) if edited(pair, notebook) else None
    nbformat.write(notebook, pair)
    return kept


def edited(pair: Path, new: nbformat.NotebookNode) -> bool:
    """Return whether a notebook holds what neither ``new`` nor an earlier ``.py`` says: cells, or outputs."""
    if not pair.exists():
        return False
    try:
        digest = _digest_of_cells(old := nbformat.read(pair, as_version=4))
    except (ValueError, nbformat.ValidationError):  # no notebook any more, and still somebody's work
        return True
    return digest not in (old.metadata.get(MARK), _digest_of_cells(new))


def keep(pair: Path) -> Path:
    """Copy a notebook to a name beside it that nothing has yet, and return that."""
    tails = itertools.chain([""], (f"-{i}" for i in itertools.count(2)))
    copy = next(p for tail in tails if not (p := pair.with_suffix(f".edited{tail}.ipynb")).exists())
    shutil.copy2(pair, copy)
    return copy


def _digest_of_cells(notebook: nbformat.NotebookNode) -> str:
    return hashlib.sha256(json.dumps(notebook.cells, sort_keys=True).encode()).hexdigest()[:16]


def disagreement(source: Path) -> str | None:
    """Return in words how the ``.ipynb`` differs from its ``.py``, or None if both say the same."""
    pair = source.with_suffix(".ipynb")
    if not pair.exists():
        return f"{pair.name} is missing"
    try:
        notebook = nbformat.read(pair, as_version=4)
    except (ValueError, nbformat.ValidationError) as error:
        return f"{pair.name} is no notebook ({str(error).splitlines()[0][:80]})"
    if any(cell.cell_type == "code" and cell.outputs for cell in notebook.cells):
        return f"{pair.name} holds outputs"
    mine, theirs = (
        [(c.cell_type, c.source, c.metadata.get("tags", [])) for c in n.cells] for n in (from_source(source), notebook)
    )
    for i, (a, b) in enumerate(zip(mine, theirs, strict=False)):
        if a != b:
            return f"cell {i} of {pair.name} differs from {source.name}"
    if len(mine) != len(theirs):
        return f"{source.name} has {len(mine)} cells, {pair.name} {len(theirs)}"
    return None


def main(arguments: list[str] | None = None) -> int:
    """Pair or check all notebooks; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m lpntk.regenerate.pairing", description="Pair notebooks with their source."
    )
    parser.add_argument("--check", action="store_true", help="write nothing, only compare")
    check = parser.parse_args(arguments).check
    faults = []
    for source in sorted(NOTEBOOKS.glob("*.py")):
        if check:
            faults.append(disagreement(source))
        elif kept := write_pair(source):
            print(f"{kept.name.split('.')[0]}.ipynb said what {source.name} does not; it is kept as {kept}")
    for fault in filter(None, faults):
        print(f"{fault}; {ADVICE}", file=sys.stderr)
    return int(any(faults))


if __name__ == "__main__":
    sys.exit(main())
