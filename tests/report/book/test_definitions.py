"""Links to code are found by name: each name that a page or a notebook says exists, once."""

import importlib.util
import re
import sys
from pathlib import Path

import jupytext
import pytest
from bs4 import BeautifulSoup
from extensions import ROOMS
from rows import each_row
from sphinx.application import Sphinx

from lpntk.report.book.definitions import place_of

ROOT = Path(__file__).resolve().parents[3]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))
ROLE = re.compile(r"\{(?:source|test)\}`(?:[^`<]*<)?([^`<>]+)>?`")
GITHUB = "https://github.com/someone/lpntk"


@pytest.fixture(scope="module")
def extension():
    spec = importlib.util.spec_from_file_location("lpntk_code", ROOT / "book/_ext/words/lpntk_code.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tmp_path):
    """Two rooms with a name that stands in both, a test, and a page that names them."""
    for file, text in {
        "lpntk/one/here.py": "def lonely(): ...\n\n\ndef twin(): ...\n\n\nclass Box:\n    def inner(self): ...\n",
        "lpntk/two/here.py": "def twin(): ...\nLEFT, RIGHT = 1, 2\nKEPT: int = 3\n",
        "tests/rooms/test_one.py": "def helper(): ...\n\n\ndef test_it(): ...\n\n\ndef test_it_s_here(): ...\n",
        "bench/run.py": "",
        "book/page.md": "# Page\n\n{source}`lonely` {source}`two.here:twin` {source}`a file <bench/run.py>` "
        "{test}`test_it` {source}`test_it_s_here`\n",
    }.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
    return tmp_path


def test_a_name_is_found_where_it_stands(project):
    found = {name: place_of(project, name).words for name in ("lonely", "Box.inner", "RIGHT", "KEPT", "test_it")}
    assert found == {
        "lonely": "lpntk/one/here.py, line 1",
        "Box.inner": "lpntk/one/here.py, line 8",
        "RIGHT": "lpntk/two/here.py, line 2",
        "KEPT": "lpntk/two/here.py, line 3",
        "test_it": "tests/rooms/test_one.py, line 4",
    }
    assert place_of(project, "one.here:twin").line == 4
    assert place_of(project, "lpntk.two.here:twin").line == 1
    assert place_of(project, "bench/run.py").words == "bench/run.py"


@each_row(
    ("name", "words"),
    [
        ("lost", "nothing is called lost"),
        ("helper", "nothing is called helper"),  # of tests only the tests
        ("here:twin", r"2 things \(lpntk/one/here.py, line 4, lpntk/two/here.py, line 1\): write module:twin"),
        ("ne.here:twin", "nothing is called ne.here:twin"),  # a room has a whole name
        ("bench/lost.py", "no file bench/lost.py"),
    ],
)
def test_a_name_of_nothing_or_of_two_things_is_refused(project, name, words):
    with pytest.raises(LookupError, match=words):
        place_of(project, name)


def test_names_in_the_table_of_a_notebook_become_links_and_others_do_not(extension, project):
    words = "Before `lonely`.\n\n## Where it is computed\n\n| what | where |\n|---|---|\n"
    row = "| a `lonely` | `lonely`, `lost` in [`lpntk/one/here.py`](../x.py), $K$ |"
    today = "| a `lonely` | {source}`lonely`, {source}`lost` in [`lpntk/one/here.py`](../x.py), $K$ |"
    assert extension.with_links(f"{words}{row}\n\nAfter `lonely`.") == f"{words}{today}\n\nAfter `lonely`."
    earlier = today.replace("{source}`lost`", "`lost`")  # words of another day may name what is gone
    assert extension.with_links(words + row, root=project) == words + earlier


def built(project, monkeypatch, url):
    monkeypatch.setenv("LPNTK_REPOSITORY", url)
    monkeypatch.setattr(sys, "path", [*sys.path, *ROOMS])
    out = project / "out"
    settings = {"extensions": ["myst_parser", "lpntk_code"], "root_doc": "book/page", "html_theme": "basic",
                "include_patterns": ["book/*"]}  # fmt: skip
    with (project / "warnings.txt").open("w") as warnings:
        Sphinx(project, None, out, out / "trees", "html", settings, status=None, warning=warnings).build()
    page = out / "book/page.html"
    return page, BeautifulSoup(page.read_text(), "html.parser").select("a.to-code, a.to-checked")


def test_links_lead_to_a_copy_or_to_the_line_in_the_repository(project, monkeypatch):
    page, links = built(project, monkeypatch, "")
    assert [link.get_text() for link in links] == ["lonely", "twin", "a file", "✓ test", "it’s here"]
    assert links[0]["title"] == "lpntk/one/here.py, line 1"
    assert links[3]["title"] == "test_it in tests/rooms/test_one.py, line 4"
    for link, copy in zip(links, ("lpntk/one/here.py", "lpntk/two/here.py", "bench/run.py"), strict=False):
        assert (page.parent / link["href"]).read_text() == (project / copy).read_text()
    (project / "book/page.md").touch()
    _, links = built(project, monkeypatch, GITHUB)
    assert links[0]["href"] == f"{GITHUB}/blob/main/lpntk/one/here.py#L1"
    assert links[2]["href"] == f"{GITHUB}/blob/main/bench/run.py"


def test_a_lost_name_on_a_page_is_a_warning(project, monkeypatch):
    (project / "book/page.md").write_text("# Page\n\n{source}`lost`\n")
    built(project, monkeypatch, "")
    assert "no link to code: nothing is called lost" in (project / "warnings.txt").read_text()


@each_row("notebook", NOTEBOOKS)
def test_every_row_of_a_notebook_names_a_definition_and_a_test_that_exist(extension, notebook):
    words = [cell.source for cell in jupytext.read(notebook).cells if cell.cell_type == "markdown"]
    (table,) = [found[0] for found in map(extension.TABLE.search, words) if found]
    rows = extension.with_links(table).strip().splitlines()[4:]
    for row in rows:
        _, _, functions, tests, _ = row.split("|")
        assert all(not place_of(ROOT, name).file.startswith("tests/") for name in ROLE.findall(functions)), row
        assert all(place_of(ROOT, name).file.startswith("tests/") for name in ROLE.findall(tests)), row
        assert ROLE.findall(functions), row
        assert ROLE.findall(tests), row
    assert "](../" not in table  # no link to code by hand


def test_every_name_on_a_page_exists():
    names = [name for page in (ROOT / "book").rglob("*.md") for name in ROLE.findall(page.read_text())]
    assert names
    for name in names:
        place_of(ROOT, name)
