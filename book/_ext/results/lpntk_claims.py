"""The verdict on each claim of the paper, on pages: worked out from ``book/claims.toml`` at build time, never typed.

    ```{claims}                  the table of all claims: the first page
    ```{claims-summary}          each verdict with the short names of its claims
    ```{verdict} difficulty      a box with one claim, what we have of it and its verdict: the top of a question's page
    {judged}`company/mnist`      the verdict on one claim by one profile, as a word; {judged}`company`: by all
    {told}`company/mnist`        what that profile measured of it, as in the table

A claim, number or label that is missing is a warning, and the build treats warnings as errors.
"""

from pathlib import Path

from docutils import nodes
from lpntk_results import shown
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

from lpntk.report.book.claims import VERDICTS, Claim, Number, Result, load_claims

logger = logging.getLogger(__name__)

HEADS = ("Claim or question", "Verdict", "Ours", "The paper's value")
NOT_COUNTED = "own value only"


def claims(env) -> dict[str, Claim]:
    """Return all claims by their id, and let pages that ask be built anew when a claim or a number changes."""
    path, results = Path(env.srcdir, "book", "claims.toml"), Path(env.srcdir, "results")
    found = load_claims(path, results, lambda notebook: shown(env, notebook))
    env.note_dependency(str(path))
    for result in (result for claim in found for result in claim.results):
        file = results / result.source
        env.note_dependency(str(file if file.suffix else file / "numbers.json"))
    return {claim.id: claim for claim in found}


def chip(verdict: str) -> nodes.inline:
    """Return a verdict as a coloured word; the word alone says everything."""
    return nodes.inline("", verdict, classes=["verdict", f"verdict-{verdict.replace(' ', '-')}"])


def said(parts: tuple[str | Number, ...]) -> list[nodes.Node]:
    """Return words and numbers, each number with its origin on hover."""
    number = lambda part: nodes.abbreviation(part.text, part.text, explanation=part.origin, classes=["num"])
    return [number(part) if isinstance(part, Number) else nodes.Text(part) for part in parts]


def line(result: Result) -> nodes.paragraph:
    """Return one result: data set and network, value, scale, and its own verdict or why it has none."""
    text = nodes.paragraph(classes=["claim-result"])
    text += [
        nodes.strong("", f"{result.on}: "),
        *said(result.ours),
        nodes.Text(". "),
        *said(result.scale),
        nodes.Text(". "),
    ]
    verdict = result.verdict or NOT_COUNTED
    text += [chip(verdict), *because(result.why)]
    return text


def because(why: str) -> list[nodes.Node]:
    """Return why a verdict is what it is as a sentence, or nothing."""
    return [nodes.Text(f" {why[0].upper()}{why[1:]}.")] if why else []


def link(claim: Claim, words: str, document: str) -> nodes.Node:
    """Return a link to the section that answers a claim, or the words alone where no page does yet."""
    if not claim.link:
        return nodes.Text(words)
    inner = nodes.inline(words, words, classes=["xref", "std", "std-ref"])
    where = {"refdomain": "std", "reftype": "ref", "reftarget": claim.link, "refdoc": document}
    return addnodes.pending_xref("", inner, **where, refexplicit=True, refwarn=True)


class AllClaims(SphinxDirective):
    """What shows all claims, as its ``shown`` says."""

    def run(self):
        try:
            rows = list(claims(self.env).values())
        except (OSError, KeyError, ValueError) as error:
            logger.warning("claims cannot be judged: %s", error, location=self.get_location())
            return []
        return [self.shown(rows)]


class Claims(AllClaims):
    """The table of all claims; on a phone each row becomes a card (``book.css``)."""

    def shown(self, rows: list[Claim]) -> nodes.table:
        group = nodes.tgroup(cols=len(HEADS))
        group += [nodes.colspec(colwidth=width) for width in (25, 13, 46, 16)]
        head, body = nodes.thead(), nodes.tbody()
        head += self.row([[nodes.paragraph("", words)] for words in HEADS], [])
        for claim in rows:
            says = nodes.paragraph("", "", link(claim, claim.says, self.env.docname))
            first = [says, nodes.paragraph("", claim.place, classes=["claim-place"])]
            ours = [line(result) for result in claim.results] or [nodes.paragraph("", "no run yet")]
            verdict = nodes.paragraph("", "", chip(claim.verdict), *because(claim.why))
            body += self.row([first, [verdict], ours, [nodes.paragraph("", claim.paper)]], [f"claim-{claim.id}"])
        group += [head, body]
        table = nodes.table(classes=["claims", "colwidths-given"])
        table += group
        return table

    @staticmethod
    def row(cells: list[list[nodes.Node]], classes: list[str]) -> nodes.row:
        """Return a row; a cell of the body carries the head of its column, which is seen on a phone alone."""
        row = nodes.row(classes=classes)
        for head, cell in zip(HEADS, cells, strict=True):
            entry = nodes.entry()
            if classes:
                entry += nodes.paragraph("", head, classes=["claim-head"])
            entry += cell
            row += entry
        return row


class Summary(AllClaims):
    """One line for each verdict that was given, with the claims it was given to."""

    def shown(self, rows: list[Claim]) -> nodes.bullet_list:
        lines = nodes.bullet_list(classes=["claims-summary"])
        for verdict in VERDICTS:
            links = [link(claim, claim.short, self.env.docname) for claim in rows if claim.verdict == verdict]
            if links:
                text = nodes.paragraph("", "", chip(verdict), nodes.Text(" "))
                for i, one in enumerate(links):
                    text += [nodes.Text(", "), one] if i else [one]
                lines += nodes.list_item("", text)
        return lines


class Verdict(SphinxDirective):
    """A box with the claims named in the argument: what the paper says, what was measured, the verdict."""

    required_arguments = 1
    optional_arguments = 5

    def run(self):
        box = nodes.container(classes=["verdict-box"])
        try:
            found = claims(self.env)
            for name in self.arguments:
                claim = found[name]
                words = f"{claim.says} ({claim.place})"
                box += nodes.paragraph("", "", chip(claim.verdict), nodes.Text(" "), nodes.strong("", words),
                                       *because(claim.why))  # fmt: skip
                box += [line(result) for result in claim.results]
        except (OSError, KeyError, ValueError) as error:
            logger.warning("no verdict on %s: %s", self.arguments, error, location=self.get_location())
            return []
        return [box]


class OneResult(SphinxRole):
    """What one profile says of a claim, named as in ``company/mnist``: its verdict, or what it measured.

    A claim without a profile, as in ``company``, is that over all of them.
    """

    def run(self):
        name, _, profile = self.text.partition("/")
        try:
            claim = claims(self.env)[name]
            if not profile and self.name == "judged":
                return [chip(claim.verdict)], []
            result = next(r for r in claim.results if r.source.startswith(f"{profile}/"))
        except (OSError, KeyError, ValueError, StopIteration) as error:
            logger.warning("nothing of %r: %s", self.text, error, location=self.get_location())
            return [], []
        if self.name == "told":
            return said(result.ours), []
        return [chip(result.verdict or NOT_COUNTED)], []


def setup(app: Sphinx) -> dict:
    app.setup_extension("lpntk_results")
    app.add_directive("claims", Claims)
    app.add_directive("claims-summary", Summary)
    app.add_directive("verdict", Verdict)
    app.add_role("judged", OneResult())
    app.add_role("told", OneResult())
    return {"parallel_read_safe": True, "version": "1"}
