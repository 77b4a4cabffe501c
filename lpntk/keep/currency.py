"""Is a committed result still what today's code would give? By the definitions that decided it (``code.py``)."""

import json
from functools import cache
from pathlib import Path

from lpntk.keep.code import PACKAGE, definitions, differing

NOTEBOOKS = PACKAGE.parent / "notebooks"
# versions that moved the numbers of some results only: (definition, made, now) -> whether, from its parameters
PARTLY = {
    (name, "version 1", "version 2"): lambda parameters: "'lenet'" in str(parameters)  # the one network with dropout
    for name in ("accuracy", "train", "train_many")
}
UNKNOWN = "all of them: its manifest does not tell"


@cache
def _today(notebook: Path) -> dict[str, str]:
    return definitions(notebook)


def changed(folder: Path) -> list[str]:
    """Return the definitions that changed since the result in a folder was made; none if it is current."""
    made_by = json.loads((folder / "manifest.json").read_text())
    if "code" not in made_by:
        return [UNKNOWN]
    code, today = made_by["code"], _today(NOTEBOOKS / made_by["notebook"])
    moved = lambda name: PARTLY.get((name, code.get(name), today.get(name)), lambda _: True)
    return [name for name in differing(code, today) if moved(name)(made_by["parameters"])]


def stale(results: Path) -> dict[str, list[str]]:
    """Return what changed, by ``profile/notebook``, for every result that is not current."""
    folders = [path.parent for path in sorted(results.glob("*/*/manifest.json"))]
    found = {f"{folder.parent.name}/{folder.name}": changed(folder) for folder in folders}
    return {name: names for name, names in found.items() if names}
