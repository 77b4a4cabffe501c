"""How does a page work for everyone, with no host to ask?

MathJax comes from the package ``django-static-mathjax`` of the lock and is copied beside the pages; formulas become
SVG, which needs no fonts and so works from ``file://`` too. Progress bars leave the notebooks before they become pages:
their state was most of a page, and showing it asked two hosts for scripts. Thebe, which Jupyter Book sets up unasked to
run code on other people's machines, is switched off. What remains is mended in ``lpntk_access``.
"""

import json
import shutil
from importlib import util
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ConfigError
from sphinx.util import logging

from lpntk.regenerate.page.widgets import WIDGETS, without_progress

logger = logging.getLogger(__name__)
MATHJAX = "mathjax/tex-svg.js"  # below _static; one file with the glyphs in it


def configure(app: Sphinx, config: Config) -> None:
    """Point to the bundled MathJax, without its menu, which would load more and makes each formula a tab stop."""
    config.mathjax_path = MATHJAX
    config.mathjax3_config = {"options": {"enableMenu": False}, "svg": {"fontCache": "global"}}
    config.nb_ipywidgets_js = {}


def switch_off_thebe(app: Sphinx) -> None:
    """Take away what sphinx-thebe does to pages; its style sheet stays, as a file beside them."""
    for event in ("env-before-read-docs", "doctree-resolved"):
        for listener in list(app.events.listeners[event]):
            if listener.handler.__module__ == "sphinx_thebe":
                app.disconnect(listener.id)


def bundle(app: Sphinx) -> None:
    """Copy MathJax beside the pages.

    Raises:
        ConfigError: if the package that carries it is not installed.
    """
    package = util.find_spec("mathjax")
    source = Path(package.origin).parent / "static/mathjax/es5/tex-svg.js" if package else None
    if source is None or not source.exists():
        raise ConfigError("no MathJax to bundle: expected django-static-mathjax; pip install -r requirements.txt")
    target = Path(app.outdir, "_static", MATHJAX)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def strip(app: Sphinx, docname: str, source: list[str]) -> None:
    """Remove progress bars from a notebook that is about to be read, and warn of a widget that would stay dead."""
    if Path(app.env.doc2path(docname)).suffix != ".ipynb":
        return
    notebook = json.loads(source[0])
    without_progress(notebook)
    if WIDGETS in notebook["metadata"]:
        logger.warning("%s shows a live widget, and this book bundles no script that draws one", docname)
    source[0] = json.dumps(notebook)


def setup(app: Sphinx) -> dict:
    app.connect("config-inited", configure)
    app.connect("builder-inited", switch_off_thebe)
    app.connect("builder-inited", bundle)
    app.connect("source-read", strip)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "version": "1"}
