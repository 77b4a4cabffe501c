"""Measured numbers and figures on pages: read from ``results/<profile>/`` at build time, traceable, never typed.

    {num}`01-kernel/cosine.same.mean:.2f`      one number, with its origin on hover
    {shown}`profile`                           the profile that this book shows
    {page}`01-kernel`                          a link to the page of a notebook
    ```{measured} 01-kernel/matrix             one figure with caption and the scale of its run
    ```{provenance}                            the table of every run under results/

A name may begin with a profile (``mnist/01-kernel/...``); otherwise ``lpntk_profile`` of the configuration holds, or
``lpntk_standard`` for a notebook which that profile did not run. Whatever is missing is a warning, and the build treats
warnings as errors.
"""

import json
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.directives.patches import Figure
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole
from sphinx.util.nodes import explicit_title_re

from lpntk.phenomena.cost.records import read
from lpntk.regenerate.manifest import duration
from lpntk.report.book.naming import in_words
from lpntk.report.escape import markdown

logger = logging.getLogger(__name__)


def locate(env, name: str, parts: int) -> tuple[str, list[str]]:
    """Split ``[profile/]notebook/...`` into the result's folder, relative to the root, and the rest."""
    words = name.split("/")
    if len(words) == parts:
        words = [shown(env, words[0]), *words]
    if len(words) != parts + 1:
        raise ValueError(f"expected [profile/]{'/'.join(['notebook', 'name'][:parts])}, got {name!r}")
    return f"results/{words[0]}/{words[1]}", words[2:]


def shown(env, notebook: str) -> str:
    """Return the profile whose result of a notebook the book shows."""
    own = env.config.lpntk_profile
    return own if Path(env.srcdir, "results", own, notebook).exists() else env.config.lpntk_standard


class Number(SphinxRole):
    """A number of ``numbers.json``: name of the notebook, key, and optionally a format."""

    def run(self):
        name, _, spec = self.text.partition(":")
        try:
            folder, (key,) = locate(self.env, name, 2)
            path = Path(self.env.srcdir, folder, "numbers.json")
            self.env.note_dependency(str(path))
            value = json.loads(path.read_text())[key]
            text = format(float(value) if value in ("nan", "inf", "-inf") else value, spec)
        except (OSError, KeyError, ValueError) as error:
            logger.warning("unresolved number %r: %s", self.text, error, location=self.get_location())
            return [nodes.problematic(self.rawtext, f"unresolved number {self.text}")], []
        return [nodes.abbreviation(text, text, explanation=f"{folder}/numbers.json: {key}", classes=["num"])], []


class Shown(SphinxRole):
    """The ``profile`` that the book shows, or a parameter of its kernel notebook such as ``dataset``."""

    def run(self):
        text = self.config.lpntk_profile
        if self.text != "profile":
            manifest = Path(self.env.srcdir, "results", shown(self.env, "01-kernel"), "01-kernel", "manifest.json")
            self.env.note_dependency(str(manifest))
            text = str(json.loads(manifest.read_text())["parameters"][self.text])
        return [nodes.literal(text, text)], []


class Page(SphinxRole):
    """A link to the page of a notebook at the profile shown, with its title or as ``words <notebook>``."""

    def run(self):
        own = explicit_title_re.match(self.text)
        words, target = own.groups() if own else (self.text, self.text)
        folder, _ = locate(self.env, target, 1)
        link = addnodes.pending_xref(
            self.rawtext,
            nodes.inline(words, words, classes=["xref", "std", "std-doc"]),
            refdomain="std",
            reftype="doc",
            reftarget=f"/{folder}/notebook",
            refexplicit=own is not None,
            refdoc=self.env.docname,
            refwarn=True,
        )
        self.set_source_info(link)
        return [link], []


class Measured(Figure):
    """A figure of a run: the argument names it, the content is its caption, its scale is added below."""

    def run(self):
        env = self.state.document.settings.env
        try:
            folder, (name,) = locate(env, self.arguments[0], 2)
            manifest = Path(env.srcdir, folder, "manifest.json")
            env.note_dependency(str(manifest))
            figure = Path(env.srcdir, folder, "figures", f"{name}.png")
            env.note_dependency(str(figure))
            made_by = json.loads(manifest.read_text())
            if not figure.exists():
                raise FileNotFoundError(f"no figure {name} among {[f.stem for f in figure.parent.glob('*.png')]}")
        except (OSError, ValueError) as error:
            logger.warning("unresolved figure %r: %s", self.arguments[0], error, location=(env.docname, self.lineno))
            return []
        self.arguments[0] = f"/{folder}/figures/{name}.png"
        told = recorded(name, Path(env.srcdir)) or scale(made_by, manifest.parent)
        self.content = self.content + StringList(["", told], source=str(manifest))
        return super().run()


def scale(made_by: dict, folder: Path) -> str:
    """One line of Markdown with what a reader must know to weigh a result, which lies in ``folder``."""
    given = made_by["parameters"]
    page = f"/results/{made_by['profile']}/{made_by['notebook'].removesuffix('.py')}/notebook"
    told = [f"{key} = {markdown(plain(given[key]))}" for key in ("n", "epochs", "lr", "seeds", "seed") if key in given]
    return (
        f"Data and network: {markdown(in_words(given) or 'none')}; {', '.join(told)}; {device(made_by)}; "
        f"{duration(folder, made_by['seconds'])}. "
        f"Drawn by {{doc}}`{made_by['notebook']} <{page}>`."
    )


def device(made_by: dict) -> str:
    """Return the machine of a run as Markdown."""
    return markdown(made_by["device"]).replace(", 1 threads", ", 1 thread")


def plain(value: object) -> str:
    """Return a parameter as a reader writes it: a list without brackets, a mapping by its names."""
    if isinstance(value, dict):
        return ", ".join(f"{inner} ({name})" for name, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def recorded(name: str, root: Path) -> str:
    """One line on a figure of a benchmark's record, which the run that drew it did not measure; else nothing."""
    start, _, record = name.partition("bench-")
    if start or not record:
        return ""
    reports = read(root / "results" / "bench")
    hardware = reports.hardware[reports.record == record].iloc[0]
    return f"Measured by `bench/run.py`, {markdown(hardware)}. Drawn by {{page}}`03-cost`."


class Provenance(SphinxDirective):
    """The table of every run under ``results/``: which, on what, on which machine, how long, at which commit.

    Parameters stand on the page of a run. The profile of the tests is told only where its pages are shown.
    """

    def run(self):
        root, rows = Path(self.env.srcdir, "results"), []
        for path in sorted(root.glob("*/*/manifest.json"), key=lambda path: (path.parent.name, path)):
            self.env.note_dependency(str(path))
            made_by = json.loads(path.read_text())
            page = f"results/{made_by['profile']}/{path.parent.name}/notebook"
            shown = page in self.env.found_docs
            if made_by["profile"] == "smoke" and not shown:
                continue
            name = f"{{doc}}`{path.parent.name} </{page}>`" if shown else path.parent.name
            rows.append(
                f"| {name} | {made_by['profile']} | {markdown(in_words(made_by['parameters']))} | {device(made_by)} "
                f"| {duration(path.parent, made_by['seconds'])} | `{(made_by.get('commit') or 'unknown')[:12]}` |"
            )
        if not rows:
            logger.warning("no result under %s: run `make regenerate` first", root, location=self.get_location())
            return []
        head = ["| page | profile | data, network | device | time | commit |", "|---|---|---|---|---|---|"]
        container = nodes.container(classes=["provenance"])
        self.state.nested_parse(StringList(head + rows, source=str(root)), self.content_offset, container)
        return [container]


def setup(app: Sphinx) -> dict:
    app.add_config_value("lpntk_profile", "quick", "env")
    app.add_config_value("lpntk_standard", lambda config: config.lpntk_profile, "env")
    app.add_role("num", Number())
    app.add_role("page", Page())
    app.add_role("shown", Shown())
    app.add_directive("measured", Measured)
    app.add_directive("provenance", Provenance)
    return {"parallel_read_safe": True, "version": "1"}
