"""What does a page say of itself, and how is it cited?

Every page tells search engines its first sentences. ``{cite-this}`` shows the references of ``CITATION.cff`` as BibTeX:
first the software's own, then those it names; each has a button that copies it.
"""

import re
from html import escape, unescape
from pathlib import Path

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from lpntk.report.book import home

LONGEST = 160  # what a search engine shows


def describe(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    """Write the beginning of a page into its head."""
    if doctree is None:
        return
    said = [p.astext() for p in doctree.findall(nodes.paragraph) if isinstance(p.parent, nodes.section)]
    title = unescape(re.sub(r"<[^>]+>", "", context["title"]))
    words = " ".join(" ".join([f"{title}.", *said]).split())
    if len(words) > LONGEST:
        words = words[:LONGEST].rsplit(" ", 1)[0] + " …"
    context["metatags"] += f'<meta name="description" content="{escape(words)}" />\n'


def bibtex(work: dict, url: str = "") -> str:
    """Return one work of a CITATION.cff as BibTeX."""
    people = [
        f"{{{a['name']}}}" if "name" in a else f"{a['family-names']}, {a['given-names']}" for a in work["authors"]
    ]
    kind = "inproceedings" if work["type"] == "conference-paper" else "software"
    family = work["authors"][0].get("family-names", "").lower()
    key = f"{family}{work.get('year', '')}{re.match(r'[A-Za-z]+', work['title'])[0].lower()}"
    fields = {
        "title": f"{{{work['title']}}}",  # its capitals stay
        "author": " and ".join(people),
        "booktitle": work.get("collection-title"),
        "year": work.get("year"),
        "version": work.get("version"),
        "url": work.get("url") or url,
    }
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
    return "\n".join([f"@{kind}{{{key},", *lines, "}"])


class CiteThis(SphinxDirective):
    """The paper's and the software's references, to copy."""

    def run(self):
        path = Path(self.env.srcdir, "CITATION.cff")
        self.env.note_dependency(str(path))
        cited = yaml.safe_load(path.read_text())
        shown = [nodes.paragraph("", cited["message"])]
        for says, work in (("The paper", cited["references"][0]), ("This book and its software", cited)):
            text = bibtex(work, home.address() if work is cited else "")
            shown += [nodes.rubric("", says), nodes.literal_block(text, text, language="bibtex")]
        return shown


def setup(app: Sphinx) -> dict:
    app.add_directive("cite-this", CiteThis)
    app.connect("html-page-context", describe)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "version": "1"}
