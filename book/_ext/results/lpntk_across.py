"""One question over all data sets: a table with a row for each run, a figure with a tab for each run.

    ```{across} 02-difficulty             one line of the content per column: its head | what its cells hold
    :claim: difficulty                    adds the verdict of each run
    the same set twice | {rho.ceiling:.2f}
    16 samples | {rho.16.mean:.2f} if rho.16.learned else not learned
    ```
    ```{tabs} 02-difficulty/rho           as ``measured``; numbers in the caption are those of the tab
    :needs: fast.epochs.decline           leaves out runs without this number, whose figure shows something else
    ```

``{key}`` stands for a number of the run, ``{@name}`` for one of its parameters; a number that a run has not is a dash.
With ``:turned:`` runs are columns. Runs are those that have a page in this book.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from lpntk_claims import claims
from lpntk_results import shown
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from lpntk.report.book.claims import FIELD
from lpntk.report.book.naming import DATA, NETWORKS, in_words

logger = logging.getLogger(__name__)

CONDITION = re.compile(r"(?P<cell>.*) if (?P<key>[\w.@-]+) else (?P<other>.*)")
NOTHING = "–"


def runs(env, notebook: str) -> dict[str, dict]:
    """Return profile -> manifest of every run of a notebook with a page: the one shown, then by data and network."""
    found = {}
    for path in Path(env.srcdir, "results").glob(f"*/{notebook}/manifest.json"):
        if f"results/{path.parts[-3]}/{notebook}/notebook" in env.found_docs:
            env.note_dependency(str(path))
            found[path.parts[-3]] = json.loads(path.read_text())
    place = lambda names, name: list(names).index(name) if name in names else len(names)
    order = lambda item: (
        item[0] != shown(env, notebook),
        place(DATA, item[1]["parameters"].get("dataset")),
        place(NETWORKS, item[1]["parameters"].get("model")),
    )
    return dict(sorted(found.items(), key=order))


def split(template: str) -> Iterator[tuple[str, str, str]]:
    """Yield the words before each ``{key:format}``, the key and the format; last the words after, without a key."""
    end = 0
    for field in FIELD.finditer(template):
        yield template[end : field.start()], field[1], field[2] or ""
        end = field.end()
    yield template[end:], "", ""


class Across(SphinxDirective):
    """The table; its text is Markdown with ``num`` roles, so each number keeps its origin on hover."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {"claim": directives.unchanged, "turned": directives.flag}

    def run(self):
        try:
            lines = self.lines(self.arguments[0], self.options.get("claim", ""))
        except (OSError, KeyError, ValueError) as error:
            logger.warning("no table of %r: %s", self.arguments[0], error, location=self.get_location())
            return []
        box = nodes.container(classes=["across"])
        self.state.nested_parse(StringList(lines, source=self.env.docname), self.content_offset, box)
        return [box]

    def lines(self, notebook: str, claim: str) -> list[str]:
        columns = [[part.strip() for part in line.partition("|")[::2]] for line in self.content if line.strip()]
        rows = [["data, network", *(head for head, _ in columns), *["verdict"] * bool(claim)]]
        judged = {r.source.partition("/")[0] for r in claims(self.env)[claim].results} if claim else set()
        for profile, made_by in runs(self.env, notebook).items():
            path = Path(self.env.srcdir, "results", profile, notebook, "numbers.json")
            self.env.note_dependency(str(path))
            known = json.loads(path.read_text()) | {f"@{k}": v for k, v in made_by["parameters"].items()}
            name = f"{{page}}`{in_words(made_by['parameters'])} <{profile}/{notebook}>`"
            cells = [self.cell(cell, known, f"{profile}/{notebook}") for _, cell in columns]
            verdict = f"{{judged}}`{claim}/{profile}`" if profile in judged else NOTHING
            rows.append([name, *cells, *[verdict] * bool(claim)])
        if void := [head for head, *cells in zip(*rows, strict=True) if len(rows) > 1 and set(cells) == {NOTHING}]:
            raise ValueError(f"no run has the numbers of {', '.join(void)}")
        table = [list(row) for row in zip(*rows, strict=True)] if "turned" in self.options else rows
        lines = ["| " + " | ".join(row) + " |" for row in table]
        lines.insert(1, "|---" * len(table[0]) + "|")
        return lines

    @staticmethod
    def cell(template: str, known: dict, source: str) -> str:
        if found := CONDITION.fullmatch(template):
            if not found["key"].startswith("@") and found["key"] not in known:
                return NOTHING  # not run, which is not the same as not true
            template = found["cell"] if known.get(found["key"]) else found["other"]
        parts = []
        for words, key, spec in split(template):
            if key and key not in known:
                return NOTHING
            form = f":{spec}" if spec else ""
            number = f"{known[key]:{spec}}" if key.startswith("@") else f"{{num}}`{source}/{key}{form}`"
            parts += [words, number if key else ""]
        return "".join(parts)


class Tabs(SphinxDirective):
    """The figure of every run in a tab; the tabs of a page turn together."""

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {
        "name": directives.unchanged_required,
        "alt": directives.unchanged_required,
        "width": directives.unchanged,
        "needs": directives.unchanged,
    }

    def run(self):
        notebook, _, figure = self.arguments[0].partition("/")
        own = {  # a run that has not drawn it has no tab; one that has drawn and lost it stops the build below
            name: made_by
            for name, made_by in runs(self.env, notebook).items()
            if f"figures/{figure}.png" in made_by["files"] and self.has(name, notebook, self.options.get("needs", ""))
        }
        if not own:
            logger.warning("no run has a figure %r", self.arguments[0], location=self.get_location())
            return []
        # digits are small: the first tab that a reader sees is that of the paper's data, where there is one
        first = next((p for p, m in own.items() if m["parameters"].get("dataset") != "digits"), next(iter(own)))
        lines = ["::::::{tab-set}", ":sync-group: data", ""]
        for profile, made_by in own.items():
            name = self.options["name"] + ("" if profile == first else f"-{profile}")
            lines += [f":::::{{tab-item}} {in_words(made_by['parameters'])}", f":sync: {profile}"]
            lines += [":selected:"] * (profile == first) + ["", f"````{{measured}} {profile}/{self.arguments[0]}"]
            lines += [f":name: {name}", f":alt: {in_words(made_by['parameters'])}. {self.options['alt']}"]
            lines += [f":width: {self.options['width']}", ""] if "width" in self.options else [""]
            lines += [line.replace(f"`{notebook}", f"`{profile}/{notebook}") for line in self.content]
            lines += ["````", ":::::", ""]
        box = nodes.container(classes=["across"])
        self.state.nested_parse(StringList([*lines, "::::::"], source=self.env.docname), self.content_offset, box)
        return [box]

    def has(self, profile: str, notebook: str, key: str) -> bool:
        path = Path(self.env.srcdir, "results", profile, notebook, "numbers.json")
        return not key or key in json.loads(path.read_text())


def setup(app: Sphinx) -> dict:
    app.setup_extension("lpntk_claims")
    app.add_directive("across", Across)
    app.add_directive("tabs", Tabs)
    return {"parallel_read_safe": True, "version": "1"}
