"""What does the package offer? Entries of ``book/api.md``, from the docstrings, each with a link to its source.

Sphinx's own autodoc and napoleon do the work. Annotations are left out of signatures: the docstrings say shapes and
units, which types do not.
"""

import importlib
import inspect

from docutils import nodes
from lpntk_code import address_of
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.config import Config

from lpntk.report.book.definitions import Place, place_of

ELSEWHERE = [("py:exc", "torch.OutOfMemoryError")]  # errors of other packages, of which this book has no entry


def configure(app: Sphinx, config: Config) -> None:
    """Choose how signatures and docstrings are shown."""
    config.autodoc_typehints = "none"
    config.autodoc_member_order = "bysource"
    config.add_module_names = True  # the name is what one imports
    config.napoleon_numpy_docstring = False
    config.napoleon_use_ivar = True  # attributes are a list, not entries of their own
    config.napoleon_attr_annotations = config.napoleon_use_rtype = False
    config.nitpick_ignore = [*config.nitpick_ignore, *ELSEWHERE]


def defined(app: Sphinx, module: str, name: str) -> Place:
    """Return where what a page calls ``module.name`` is defined; the package passes on what other modules define."""
    found = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    own = inspect.unwrap(found.fget if isinstance(found, property) else found)
    return place_of(app.srcdir, f"{own.__module__}:{name}")


def link(app: Sphinx, doctree: nodes.document) -> None:
    """Put a link to the source at the end of every signature."""
    for signature in doctree.findall(addnodes.desc_signature):
        if not signature.get("module", "").startswith("lpntk"):
            continue
        place = defined(app, signature["module"], signature["fullname"])
        target = address_of(app.env, place)
        signature += nodes.reference("", "source", refuri=target, reftitle=place.words, classes=["to-code"])


def setup(app: Sphinx) -> dict:
    app.setup_extension("sphinx.ext.autodoc")
    app.setup_extension("sphinx.ext.napoleon")
    app.connect("config-inited", configure)
    app.connect("doctree-read", link)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "version": "1"}
