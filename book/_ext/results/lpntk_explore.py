"""A picture to play with on a page: the fragment that a run has left, with its scale.

    ```{explorer} 15-explore/company
    The caption, if there is one.
    ```

The fragment is HTML that holds all it needs, its script among it; other builders show the caption alone. What a run
has left decides what is shown, and today's script how: on the pages of runs, too.
"""

import json
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from lpntk_results import locate, scale
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from lpntk.reader.explore.fragment import HELD, renewed

logger = logging.getLogger(__name__)


class Explored(SphinxDirective):
    """One explorer of one run: ``[profile/]notebook/name``."""

    required_arguments = 1
    has_content = True

    def run(self):
        try:
            folder, (name,) = locate(self.env, self.arguments[0], 2)
            manifest, fragment = (Path(self.env.srcdir, folder, file) for file in ("manifest.json", f"{name}.html"))
            for path in (manifest, fragment):
                self.env.note_dependency(str(path))
            made_by, picture = json.loads(manifest.read_text("utf-8")), renewed(fragment.read_text("utf-8"))
        except (OSError, ValueError) as error:
            logger.warning("unresolved explorer %r: %s", self.arguments[0], error, location=self.get_location())
            return []
        box = nodes.container(classes=["explored"])
        given = made_by["parameters"]
        if name != "prune" and "moments" in given:  # the network that is watched is trained to the last moment
            made_by["parameters"] = given | {"epochs": max(given["moments"])}
        told = "" if name == "vectors" else scale(made_by, manifest.parent)  # no run decides what formulas say
        lines = StringList([*self.content, "", told], source=str(manifest))
        self.state.nested_parse(lines, self.content_offset, box)
        return [nodes.raw("", picture, format="html"), box]


def renew(app: Sphinx, docname: str, source: list[str]) -> None:
    """Give the explorers in a notebook that is about to be read today's script."""
    if Path(app.env.doc2path(docname)).suffix != ".ipynb":
        return
    notebook = json.loads(source[0])
    for data in (output.get("data", {}) for cell in notebook["cells"] for output in cell.get("outputs", [])):
        if HELD.search(text := "".join(data.get("text/html", ""))):
            data["text/html"] = renewed(text)
    source[0] = json.dumps(notebook)


def setup(app: Sphinx) -> dict:
    app.setup_extension("lpntk_results")
    app.add_directive("explorer", Explored)
    app.connect("source-read", renew)
    return {"parallel_read_safe": True, "version": "1"}
