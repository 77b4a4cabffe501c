"""How does a page show a name as it is? A file may be called ``a|b <script>.npz``, which is markup to its reader."""

import ast
import html
import re
from collections.abc import Mapping, Sequence


def markdown(value: object) -> str:
    """Return a value as Markdown that says just that, in a line or a cell of a table."""
    return re.sub(r"([\\`*_{}\[\]<>|$&~^#])", r"\\\1", " ".join(str(value).split()))


def rename(cells: Sequence[Mapping], name: str) -> None:
    """Put a data set's name in the place of its path, which is nobody's business, in all that an own file's run showed.

    Args:
        cells: of an executed notebook, changed in place; the path stands where papermill gave it.
        name: as the pages shall show it.
    """
    given = [line for cell in cells if "injected-parameters" in cell.metadata.get("tags", []) for line in
             cell.source.splitlines() if line.startswith("dataset = ")]  # fmt: skip
    path = ast.literal_eval(given[0].removeprefix("dataset = ")) if given else name
    if path == name:
        return
    written = {"text/markdown": markdown(name), "text/html": html.escape(name)}
    for output in (output for cell in cells for output in cell.get("outputs", [])):
        for place, media in ((output, "text"), *((output.get("data", {}), media) for media in output.get("data", {}))):
            if isinstance(place.get(media), str):
                for old in (path, html.escape(path)):
                    place[media] = place[media].replace(old, written.get(media, name))
