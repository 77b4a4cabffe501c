"""Where is it computed, and what tests it? Links to code, found by name when the book is built.

    {source}`kernel_matrix`                        a definition or a file, by its name, its place on hover
    {source}`test_every_way_gives_the_kernel`      a test, whose name is a sentence: every way gives the kernel
    {source}`learn.training:train`                 where a name stands twice; shown without its module
    {source}`words <kernel_matrix>`
    {test}`test_the_bound_of_the_theorem_is_kept`  a small link from a step of a proof to what checks it

Links lead to the line in the repository where one is configured, else to a copy of the file beside the pages. In the
table "Where it is computed" of a notebook the names are plain, as Jupyter knows no roles; the page links them. A name
that nothing has, or several things, is a warning, and the build treats warnings as errors.
"""

import posixpath
import re
from pathlib import Path
from urllib.parse import quote

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole
from sphinx.util.nodes import explicit_title_re

from lpntk.report.book import home
from lpntk.report.book.definitions import Place, place_of

logger = logging.getLogger(__name__)

TABLE = re.compile(r"^## Where it is computed\n+(?:\|.*\n)*(?:\|.*)?", re.MULTILINE)
NAME = re.compile(r"(?<![\[}`])`([A-Za-z_][\w.:/]*)`")  # in backticks, and neither a role nor the words of a link


class Source(SphinxRole):
    """A link to what has this name; as ``test``, a small one from what it checks."""

    def run(self):
        own = explicit_title_re.match(self.text)
        words, name = own.groups() if own else (self.text.rpartition(":")[2], self.text)
        try:
            place = place_of(Path(self.env.srcdir), name)
        except LookupError as error:
            logger.warning("no link to code: %s", error, location=self.get_location())
            return [nodes.problematic(self.rawtext, name)], []
        test, step = words.startswith("test_"), self.name == "test"
        if step:
            words = "✓ test"
        elif test:
            words = words.removeprefix("test_").replace("_s_", "'s ").replace("_", " ")
        shown = nodes.inline("", words) if own or test else nodes.literal("", words)
        title = f"{name} in {place.words}" if test else place.words
        link = nodes.reference("", "", shown, refuri=address_of(self.env, place), reftitle=title)
        link["classes"], link["internal"] = ["to-checked" if step else "to-code"], not home.address()
        return [link], []


def address_of(env: BuildEnvironment, place: Place) -> str:
    """Return where a place is shown, as seen from the page that is being read."""
    env.note_dependency(str(Path(env.srcdir, place.file)))
    if url := home.address():
        line = f"#L{place.line}" if place.line else ""
        return f"{url}/blob/{quote(home.branch())}/{place.file}{line}"
    copied = env.dlfiles.add_file(env.docname, place.file)
    return posixpath.join("../" * env.docname.count("/"), "_downloads", quote(copied))


def with_links(words: str, root: Path | None = None) -> str:
    """Return the words of a notebook with links in the table "Where it is computed".

    Args:
        words: Markdown; names stand in backticks, in any column but the first.
        root: of the project: then names that are not found stay as they are, for words of an earlier day.
    """
    return TABLE.sub(lambda table: "\n".join(_row(line, root) for line in table[0].split("\n")), words)


def _row(line: str, root: Path | None) -> str:
    first, cells = re.match(r"(\|[^|]*)?(.*)", line).groups(default="")
    return first + (NAME.sub(lambda m: f"{{source}}{m[0]}" if _known(m[1], root) else m[0], cells) if first else cells)


def _known(name: str, root: Path | None) -> bool:
    try:
        return root is None or bool(place_of(root, name))
    except LookupError:
        return False


def setup(app: Sphinx) -> dict:
    app.add_role("source", Source())
    app.add_role("test", Source())
    return {"parallel_read_safe": True, "parallel_write_safe": True, "version": "1"}
