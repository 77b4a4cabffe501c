"""What leads out of a page? Its files; where one is configured, its repository, and services that run notebooks.

A run's page offers two notebooks: the one that was run, with its results, and the one to run, which is also what the
services open. ``lpntk.report.book.home`` tells where the project lives; without that no page links to a repository.
"""

import re
from pathlib import Path

import nbformat
from sphinx.application import Sphinx
from sphinx.config import Config

from lpntk.regenerate.pairing import from_source
from lpntk.report.book import home

RUN = re.compile(r"results/[^/]+/(?P<name>[^/]+)/notebook")
TO_RUN = "_sources/notebooks"  # below the HTML


def configure(app: Sphinx, config: Config) -> None:
    """Show the buttons of the repository if there is one; the theme's own launchers would open what was executed."""
    url = home.address()
    config.html_theme_options |= {
        "repository_url": url,
        "repository_branch": home.branch(),
        "use_repository_button": bool(url),
        "use_issues_button": bool(url),
        "launch_buttons": {},
    }


def tell(app: Sphinx, docname: str, source: list[str]) -> None:
    """Name the repository in commands that install from it."""
    source[0] = home.installed_from(source[0])


def add_buttons(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    """Put the notebook to run, and where to run it, among the buttons at the top of a run's page."""
    if not (found := RUN.fullmatch(page)):
        return
    buttons, name = context["header_buttons"], f"{found['name']}.ipynb"
    ways = [
        _link(f"Run on {service}", url, "fas fa-play", f"launch-{service.lower()}")
        for service, url in home.launchers(f"notebooks/{name}").items()
    ]
    if ways:
        tooltip = "Run this notebook elsewhere"
        buttons.append(_group(tooltip, "fas fa-rocket", "launch-buttons", ways))
    for group in buttons:
        if group.get("label") == "download-buttons":
            executed = next(b for b in group["buttons"] if b["label"] == "download-source-button")
            executed |= {"text": "Notebook as it was run (.ipynb)", "tooltip": "Download with its results"}
            own = f"{context['pathto'](TO_RUN, 1)}/{name}"
            group["buttons"].insert(
                0, _link("Notebook to run (.ipynb)", own, "fas fa-code", "download-notebook-button")
            )


def _link(text: str, url: str, icon: str, label: str) -> dict:
    return {"type": "link", "text": text, "tooltip": text, "url": url, "icon": icon, "label": label}


def _group(tooltip: str, icon: str, label: str, buttons: list[dict]) -> dict:
    return {"type": "group", "tooltip": tooltip, "icon": icon, "label": label, "buttons": buttons}


def deliver(app: Sphinx, exception: Exception | None) -> None:
    """Lay the notebooks to run beside the pages."""
    if exception or app.builder.format != "html":
        return
    folder = Path(app.outdir, TO_RUN)
    folder.mkdir(parents=True, exist_ok=True)
    for source in Path(app.srcdir, "notebooks").glob("*.py"):
        nbformat.write(from_source(source), folder / f"{source.stem}.ipynb")


def setup(app: Sphinx) -> dict:
    app.connect("config-inited", configure)
    app.connect("source-read", tell)
    app.connect("html-page-context", add_buttons, priority=502)  # after the theme's own
    app.connect("build-finished", deliver)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "version": "1"}
