"""Terms are explained where they first occur: a link to the glossary, with the meaning on hover.

The first mention of each term in the running text of a page becomes the link. Headings, code, signatures, formulas,
links and figures stay as they are, and so do the pages that would explain a term by itself.
"""

import re

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

PAGE = "book/glossary"
KEPT = (  # inside of these no word is touched
    nodes.title, nodes.reference, nodes.literal, nodes.math, nodes.math_block, nodes.literal_block, nodes.figure,
    nodes.abbreviation, nodes.thead, nodes.raw, nodes.rubric, nodes.caption, addnodes.desc_signature,
    addnodes.literal_strong,
)  # fmt: skip


def collect(app: Sphinx, doctree: nodes.document) -> None:
    """Keep the terms of the glossary page, with the text of their meaning and their anchor."""
    if app.env.docname != PAGE:
        return
    found = {}
    for item in doctree.findall(nodes.definition_list_item):
        meaning = item[-1].astext().replace("\n", " ")
        for term in item.findall(nodes.term):
            found[term.astext().strip()] = (term["ids"][0], meaning)
    app.env.lpntk_terms = found


def explain(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Turn the first mention of each term on a page into a link with its meaning."""
    terms = getattr(app.env, "lpntk_terms", {})
    if not terms or docname == PAGE or docname == "genindex":
        return
    left = dict(sorted(terms.items(), key=lambda item: -len(item[0])))  # the longest first: it may hold another one
    for text in list(doctree.findall(nodes.Text)):
        if left and not any(isinstance(above, KEPT) for above in _above(text)):
            parts = _marked(app, str(text), left, docname)
            if len(parts) > 1:
                text.parent.replace(text, parts)


def _above(node: nodes.Node):
    while (node := node.parent) is not None:
        yield node


def _marked(app: Sphinx, words: str, left: dict[str, tuple[str, str]], docname: str) -> list[nodes.Node]:
    """Cut a text at the terms that are still to be explained, which leave ``left``."""
    pattern = "|".join(rf"{re.escape(term)}s?" for term in left)
    for match in re.finditer(rf"(?<![\w-])({pattern})(?![\w-])", words, re.IGNORECASE):
        term = next(t for t in left if t.lower() in (match[0].lower(), match[0].lower().removesuffix("s")))
        if term[0].isupper() and match[0] not in (term, f"{term}s"):
            continue  # a name, such as F1: written as it is
        anchor, meaning = left.pop(term)
        uri = f"{app.builder.get_relative_uri(docname, PAGE)}#{anchor}"
        link = nodes.reference("", match[0], internal=True, refuri=uri, reftitle=meaning, classes=["term"])
        before, after = words[: match.start()], words[match.end() :]
        rest = _marked(app, after, left, docname) if left else [nodes.Text(after)]
        return [*([nodes.Text(before)] if before else []), link, *rest]
    return [nodes.Text(words)]


def merge(app: Sphinx, env, docnames, other) -> None:
    """Take over what another process has read."""
    if hasattr(other, "lpntk_terms"):
        env.lpntk_terms = other.lpntk_terms


def setup(app: Sphinx) -> dict:
    app.connect("doctree-read", collect)
    app.connect("doctree-resolved", explain)
    app.connect("env-merge-info", merge)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "version": "1"}
