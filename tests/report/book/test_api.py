"""The page book/api.md: what it names is there, and what the package offers stands on it, told in full."""

import importlib
import inspect
import re
from pathlib import Path

from rows import each_row
from sphinx.ext.napoleon import GoogleDocstring

import lpntk

PAGE = Path(__file__).parents[3].joinpath("book", "api.md").read_text()
ENTRIES = dict.fromkeys(re.findall(r"^\.\. auto(?:function|class|exception):: (lpntk[.\w]+)$", PAGE, re.MULTILINE))


def told(thing):
    """The parameters and errors that a docstring tells of."""
    fields = str(GoogleDocstring(inspect.getdoc(thing)))
    return set(re.findall(r"^:param \\?\*{0,2}(?:\\\*)*(\w+):", fields, re.MULTILINE)), re.findall(
        r"^:raises (\S+):", fields, re.MULTILINE
    )


def test_every_public_name_has_its_entry():
    assert {f"lpntk.{name}" for name in lpntk.__all__} <= ENTRIES.keys()
    assert set(lpntk.__all__) == {"kernel_matrix", "load", "build", "train"}


@each_row("name", lpntk.__all__)
def test_a_public_name_tells_every_parameter_and_its_errors(name):
    parameters, errors = told(getattr(lpntk, name))
    assert parameters == inspect.signature(getattr(lpntk, name)).parameters.keys()
    assert errors


@each_row("entry", ENTRIES)
def test_an_entry_is_there_and_told(entry):
    module, _, name = entry.rpartition(".")
    thing = getattr(importlib.import_module(module), name)
    assert not name.startswith("_")
    assert inspect.getdoc(thing)
    if parameters := told(thing)[0]:
        assert parameters == inspect.signature(thing).parameters.keys()
