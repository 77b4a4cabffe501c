"""Are both halves of each notebook the same? The ``.py`` is the source; the ``.ipynb`` is made from it, never back.

python -m lpntk.pairing            write every .ipynb anew from its .py
python -m lpntk.pairing --check    exit 1 and name the notebooks that disagree
"""

import argparse
import sys
from pathlib import Path

import jupytext
import nbformat

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"


def from_source(source: Path) -> nbformat.NotebookNode:
    """Return the notebook that a py:percent file says, with cell ids that depend on nothing but the position."""
    notebook = jupytext.read(source)
    for i, cell in enumerate(notebook.cells):
        cell.id = f"cell-{i:02d}"
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def write_pair(source: Path) -> None:
    """Write the ``.ipynb`` beside a ``.py``."""
    nbformat.write(from_source(source), source.with_suffix(".ipynb"))


def disagreement(source: Path) -> str | None:
    """Return in words how the ``.ipynb`` differs from its ``.py``, or None if both say the same."""
    pair = source.with_suffix(".ipynb")
    if not pair.exists():
        return f"{pair.name} is missing"
    notebook = nbformat.read(pair, as_version=4)
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
    parser = argparse.ArgumentParser(prog="python -m lpntk.pairing", description="Pair notebooks with their source.")
    parser.add_argument("--check", action="store_true", help="write nothing, only compare")
    check = parser.parse_args(arguments).check
    faults = []
    for source in sorted(NOTEBOOKS.glob("*.py")):
        if check:
            faults.append(disagreement(source))
        else:
            write_pair(source)
    for fault in filter(None, faults):
        print(f"{fault}; run `make pair`", file=sys.stderr)
    return int(any(faults))


if __name__ == "__main__":
    sys.exit(main())
