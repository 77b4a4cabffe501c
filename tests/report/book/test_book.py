"""The book, built from a smoke run: every link and image resolves, every number comes from a file."""

import html
import importlib.util
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
import warm
import yaml
from bs4 import BeautifulSoup
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

import lpntk
from lpntk.regenerate import everything as regenerate
from lpntk.regenerate import manifest, runs
from lpntk.regenerate.page.tidied import BAR, tidy
from lpntk.report import escape
from lpntk.report.book.claims import VERDICTS

ROOT = Path(__file__).resolve().parents[3]
HTML, GONE = Path("_build/smoke/_build/html"), Path("results/smoke/00-gone")
RUNS = re.findall(r"file: (results/[^/]+)/", (ROOT / "_toc.yml").read_text("utf-8"))
KEPT = sorted({run for run in RUNS if run != "results/quick"})  # committed runs
SOURCES = ("lpntk", "tests", "bench")  # pages link to them
PARTS = (
    "_config.yml",
    "_toc.yml",
    "CHANGELOG.md",
    "CITATION.cff",
    "book",
    "notebooks",
    *KEPT,
    "results/bench",
    *SOURCES,
)


def build(root):
    command = [sys.executable, "book/build.py", "--profile", "smoke"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


# the same in one process, which has imported all of it
AGAIN = """
import runpy, subprocess, sys
from types import SimpleNamespace

real = subprocess.run

def here(command, **_):
    from jupyter_book.cli.main import main
    subprocess.run, sys.argv = real, command
    try:
        main()
    except SystemExit as ended:
        return SimpleNamespace(returncode=ended.code or 0)

subprocess.run, sys.argv = here, ["book/build.py", "--profile", "smoke"]
runpy.run_path("book/build.py", run_name="__main__")
"""
NEEDED = (
    *("jupyter_book.cli.main", "jupyter_book.sphinx", "sphinx.cmd.build", "sphinx.builders.html", "myst_nb.sphinx_ext"),
    *("sphinx_book_theme", "sphinx_design", "sphinx_thebe", "sphinx_proof", "sphinxcontrib.bibtex", "jupytext"),
    *("lpntk.regenerate.profile.profile", "lpntk.phenomena.cost.records", "lpntk.reader.explore.fragment"),
)


def build_again(root, folder):
    """Return the exit status of a build, and what it says."""
    folder.mkdir()
    built = warm.program(AGAIN, folder, environment={**os.environ}, modules=NEEDED, cwd=root)
    said = "".join(built.communicate(timeout=300))
    return built.returncode, said


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A copy of the book's sources with the results of a fresh smoke run, built."""
    root = tmp_path_factory.mktemp("book")
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, root / part)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "start", warm.start)
        regenerate.regenerate("smoke", results=root / "results", jobs=2)
    (root / GONE).mkdir()  # an earlier result without a page, and a page without a result
    shutil.copy(root / "results/smoke/01-kernel/manifest.json", root / GONE)
    (root / HTML).mkdir(parents=True)
    (root / HTML / "gone.html").touch()
    built = build(root)
    assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]
    return root


def pages(root):
    return sorted(p for p in (root / HTML).rglob("*.html") if "_static" not in p.parts)


LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}  # what a page loads by itself
LINKS = {"stylesheet", "preload", "icon", "modulepreload", "preconnect", "dns-prefetch"}


VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
CODE = ("pre", "code")
POINTS = {"a": "href", "img": "src", "script": "src", "link": "href"}


class Read(HTMLParser):
    """What the tests of all pages ask of a page, in one walk over it: a tree of it takes twice as long."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.targets, self.loads, self.problems, self.bars = set(), [], [], [], []
        self.said, self.code, self.open = [], 0, []  # said: pieces of text, and whether they are outside of code
        self.feed(path.read_text())
        self.close()
        self.text = "".join(piece for piece, _ in self.said)
        self.prose = "".join(piece for piece, prose in self.said if prose)

    def handle_starttag(self, tag, attrs):
        at = dict(attrs)
        words = lambda name: (at.get(name) or "").split()
        self.ids |= {at["id"]} if "id" in at else set()
        self.targets += [at.get(POINTS[tag])] if tag in POINTS else []
        if tag in LOADS and (tag != "link" or LINKS & set(words("rel"))):
            self.loads.append(at.get(LOADS[tag]) or "")
        self.problems += [tag] if "problematic" in words("class") else []
        if tag not in VOID:
            self.code += tag in CODE
            self.open.append((tag, len(self.said) if "stderr" in words("class") else None))

    def handle_data(self, data):
        if not self.open or self.open[-1][0] not in ("script", "style"):
            self.said.append((data, not self.code))

    def handle_endtag(self, tag):
        while any(tag == opened for opened, _ in self.open):
            opened, begun = self.open.pop()
            self.code -= opened in CODE
            if begun is not None and BAR.search("".join(piece for piece, _ in self.said[begun:])):
                self.bars.append(opened)
            if opened == tag:
                break


@pytest.fixture(scope="module")
def read(book):
    return {page: Read(page) for page in pages(book)}


def test_a_profile_shows_its_own_pages_and_the_default_s_for_the_rest(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("build", ROOT / "book/build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    pages = ("results/quick/01-a/notebook", "results/quick/02-b/notebook", "results/own/02-b/notebook")
    for page in pages:
        (tmp_path / page).parent.mkdir(parents=True)
        (tmp_path / f"{page}.ipynb").touch()
    parts = [{"caption": "all", "chapters": [{"file": pages[0]}, {"file": pages[1]}]},
             {"caption": "again", "chapters": [{"file": pages[2], "title": "B again"}]}]  # fmt: skip
    (tmp_path / "_toc.yml").write_text(yaml.safe_dump({"root": "intro", "parts": parts}))
    shown = {"caption": "all", "chapters": [{"file": pages[0]}, {"file": pages[2]}]}
    assert module.contents("own") == {"root": "intro", "parts": [shown]}
    assert module.contents("quick") == {"root": "intro", "parts": parts}


def test_a_profile_is_no_path():
    refused = subprocess.run(
        [sys.executable, "book/build.py", "--profile", ".."], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert "'..' is no name of a profile" in refused.stderr


def test_the_name_of_a_data_set_is_no_markup(tmp_path):
    spec = importlib.util.spec_from_file_location("lpntk_results", ROOT / "book/_ext/results/lpntk_results.py")
    extension = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(extension)
    name = r"a|b <script> *x* $1$ `c` [d](e) \f &amp;.npz"
    made_by = {
        "notebook": "01-a.py", "profile": "own", "parameters": {"dataset": name, "model": "<b>", "n": 5},
        "device": "cpu", "seconds": 1, "code": {}, "data": "0" * 64, "versions": {"torch": "2", "python": "3"},
    }  # fmt: skip
    executed = nbformat.v4.new_notebook(cells=[
        nbformat.v4.new_code_cell(f"dataset = {'/home/me/' + name!r}", metadata={"tags": ["injected-parameters"]}),
        nbformat.v4.new_code_cell("...", outputs=[
            nbformat.v4.new_output("display_data", data={"text/markdown": f"On /home/me/{name} it holds."}),
            nbformat.v4.new_output("display_data", data={"text/html": f"<i>{html.escape('/home/me/' + name)}</i>"}),
            nbformat.v4.new_output("stream", text=f"read /home/me/{name}"),
        ]),
    ])  # fmt: skip
    nbformat.write(executed, tmp_path / "n.ipynb")
    tidy(tmp_path / "n.ipynb", f"/home/me/{name}", "from here")
    shown, page, printed = nbformat.read(tmp_path / "n.ipynb", as_version=4).cells[1].outputs
    assert printed.text == f"read {name}"
    render = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin).render
    table = f"| data | device |\n|---|---|\n| {escape.markdown(name)} | cpu |\n"
    told = [
        extension.scale(made_by, Path("none")),
        manifest.origin(made_by, "1 s"),
        shown.data["text/markdown"],
        table,
    ]
    for content in [*map(render, told), page.data["text/html"]]:
        soup = BeautifulSoup(content, "html.parser")
        assert name in soup.get_text()
        assert not soup.find_all(["script", "b", "a", "eq"])
        assert "/home/me" not in content
    assert [cell.get_text() for cell in BeautifulSoup(render(table), "html.parser").find_all("td")] == [name, "cpu"]


def test_every_page_of_the_contents_is_built(book):
    contents = yaml.safe_load((book / "_toc.yml").read_text())
    files = [c["file"] for part in contents["parts"] for c in part["chapters"]] + [contents["root"]]
    names = {str(p.relative_to(book / HTML)) for p in pages(book)}
    assert {f"{f.replace('/quick/', '/smoke/')}.html" for f in files} <= names


def test_every_public_name_has_its_entry_with_parameters_errors_and_source(book):
    page = BeautifulSoup((book / HTML / "book/api.html").read_text(), "html.parser")
    for name in lpntk.__all__:
        entry = page.find(id=f"lpntk.{name}")
        assert re.search(rf"def {name}\(", (book / HTML / "book" / entry.find(class_="to-code")["href"]).read_text())
        told = entry.find_next_sibling("dd")
        fields = {dt.get_text(): dt.find_next_sibling("dd") for dt in told.find_all("dt")}
        assert {"Parameters:", "Raises:"} <= fields.keys()
        parameters = [strong.get_text().strip("*") for strong in fields["Parameters:"].select("li > p > strong")]
        assert parameters == list(inspect.signature(getattr(lpntk, name)).parameters)
        assert not entry.select("a.term")  # the glossary explains words, not names


def test_local_links_and_images_resolve(read):
    broken, seen = [], 0
    for page, here in read.items():
        for target in here.targets:
            if not target or urlsplit(target).scheme or (target.startswith(("//", "#")) and len(target) < 2):
                continue
            parts = urlsplit(target)
            file = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            seen += 1
            if not file.exists() or (
                parts.fragment and file.suffix == ".html" and parts.fragment not in read[file].ids
            ):
                broken.append((page.name, target))
    assert seen > 100
    assert not broken


def test_nothing_is_left_unresolved(read):
    for page, here in read.items():
        assert not here.problems, page
        for trace in ("{num}", "{doc}", "{glue", "{measured}", "unresolved", "[eq-", "{eq}"):
            assert trace not in here.text, (page, trace)
        assert not here.bars, page
        assert "$" not in here.prose, page  # a formula that stayed as it was typed


def test_the_first_page_shows_every_claim_with_its_verdict(book):
    soup = BeautifulSoup((book / HTML / "book/intro.html").read_text(), "html.parser")
    rows = {row["class"][0] if row["class"][0].startswith("claim-") else row["class"][-1]: row
            for row in soup.select("table.claims tbody tr")}  # fmt: skip
    ids = [entry["id"] for entry in tomllib.loads((book / "book/claims.toml").read_text())["claim"]]
    assert list(rows) == [f"claim-{name}" for name in ids]
    for row in rows.values():
        assert row.find_all("td")[1].select_one(".verdict").get_text() in VERDICTS
        assert "–" not in [text.strip() for text in row.stripped_strings]  # a number that the run did not leave
    digits = [p.get_text() for p in soup.select(".claim-result") if p.get_text().startswith("digits")]
    assert digits
    assert all("own value only" in text for text in digits)


def test_provenance_lists_every_run(book):
    soup = BeautifulSoup((book / HTML / "book/provenance.html").read_text(), "html.parser")
    runs_there = {path.parent for path in book.glob("results/*/*/manifest.json")} - {book / GONE}
    assert len(soup.select(".provenance tbody tr")) == len(runs_there)
    for run in runs_there:  # each notebook reaches the package, so that a change there makes its result stale
        assert len(json.loads((run / "manifest.json").read_text())["code"]) > 10, run
    assert "three Gaussians, " in soup.select_one(".provenance").get_text()


def test_a_page_that_is_gone_does_not_stay_among_the_others(book):
    assert not (book / HTML / "gone.html").exists()


def test_a_run_leads_to_the_page_of_its_question(book):
    for run, page in {"02-difficulty": "questions/difficulty", "10-selection": "questions/less-data",
                      "16-your-data": "your-data", "19-authors": "questions/relations"}.items():  # fmt: skip
        soup = BeautifulSoup((book / HTML / f"results/smoke/{run}/notebook.html").read_text(), "html.parser")
        (told,) = [p for p in soup.select("article p") if p.get_text().startswith("One of the runs behind")]
        assert told.a["href"].endswith(f"book/{page}.html"), run


def test_the_answer_on_forms_names_one_for_each_layer(book):
    soup = BeautifulSoup((book / HTML / "book/questions/cost.html").read_text(), "html.parser")
    (table,) = [table for table in soup.select(".exercise table") if "form chosen" in table.get_text()]
    forms = [row.select("td")[-1].get_text(strip=True) for row in table.select("tbody tr")]
    assert len(forms) == 4
    assert set(forms) <= {"gradient", "formed", "inner", "pixel"}


def test_pages_carry_figures_with_alternative_text_and_their_scale(book):
    for question, least in {"kernel": 3, "difficulty": 3, "cost": 2}.items():
        soup = BeautifulSoup((book / HTML / f"book/questions/{question}.html").read_text(), "html.parser")
        figures = soup.find_all("figure")
        assert len(figures) >= least
        for figure in figures:
            assert len(figure.img["alt"]) > 20
            assert re.search("Data and network: |Measured by bench/run.py", figure.get_text())


def test_a_question_s_page_has_every_run_in_its_table_and_in_its_tabs(book):
    soup = BeautifulSoup((book / HTML / "book/questions/difficulty.html").read_text(), "html.parser")
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text())["parts"]
    chapters = [c["file"] for part in contents for c in part["chapters"] if "02-difficulty" in c["file"]]
    rows = soup.select_one(".across table").select("tbody tr")
    assert len(rows) == len(soup.select_one(".sd-tab-set").select("label")) == len(chapters) == 6
    assert [row.select("td")[-1].get_text(strip=True) for row in rows][:2] == ["own value only", "holds"]
    assert all(row.select("td")[0].a["href"].endswith("02-difficulty/notebook.html") for row in rows)


def test_every_question_has_two_or_three_exercises_with_an_answer_that_ran(book):
    for question in sorted((book / HTML / "book/questions").glob("*.html")):
        soup = BeautifulSoup(question.read_text(), "html.parser")
        exercises = soup.select(".exercise")
        assert 2 <= len(exercises) <= 3, question.name
        for number, exercise in enumerate(exercises, 1):
            assert exercise.select_one(".admonition-title").get_text().startswith(f"Exercise {number}: ")
            (answer,) = exercise.select("details")
            assert "open" not in answer.attrs
            assert len(answer.find("p").get_text()) > 20  # words first
            assert answer.select(".highlight-python pre")
            assert answer.select(".highlight-text pre, .cell_output table")
        assert "smoke/18-exercises-data" in str(soup) or "smoke/17-exercises" in str(soup)


def test_terms_are_explained_where_they_first_occur(book):
    for page in ("book/intro.html", "book/questions/difficulty.html", "results/mnist/08-forgetting/notebook.html"):
        soup = BeautifulSoup((book / HTML / page).read_text(), "html.parser")
        terms = soup.select("article a.term")
        assert len({term["href"] for term in terms}) == len(terms) >= 2, page
        assert all("glossary.html#term-" in term["href"] and len(term["title"]) > 30 for term in terms)


def test_explorers_stand_on_their_pages_and_hold_their_answers(book):
    places = {"company": "questions/relations", "training": "questions/kernel", "vectors": "theory",
              "prune": "questions/less-data"}  # fmt: skip
    run = BeautifulSoup((book / HTML / "results/smoke/15-explore/notebook.html").read_text(), "html.parser")
    assert not run.select('script[type*="jupyter.widget"]')
    for name, place in places.items():
        page = BeautifulSoup((book / HTML / f"book/{place}.html").read_text(), "html.parser")
        for soup in (page, run):
            assert "What it shows first: " in soup.select_one(f"#explorer-{name} noscript").get_text()
            held = json.loads(soup.select_one(f"script#explorer-{name}-data").string)
            assert held["state"]["said"]
        told = page.select_one(f"#explorer-{name} ~ .explored").get_text()
        assert ("Data and network: " in told) == (name != "vectors")  # formulas are of no run


def test_pages_ask_no_host_and_are_light(book, read):
    for page, here in read.items():
        assert not [target for target in here.loads if urlsplit(target).netloc], page.name
        assert page.stat().st_size < 10**6, page
    for style in (book / HTML).rglob("*.css"):
        assert not re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", style.read_text()), style


PAGE = """# What may be lost

```{verdict} difficulty
```

```{measured} 02-difficulty/rho
:alt: A figure that is drawn by the run
```

On digits {num}`02-difficulty/class.epochs.4.company:+.2f`.
"""


@pytest.fixture
def small_book(book, tmp_path):
    """A book of one page, that shows a claim, a figure and a number of a run, and the page of the run."""
    parts = shutil.ignore_patterns("_build", "*.ipynb", "lpntk", "tests")
    root = shutil.copytree(book, tmp_path / "small", ignore=parts)
    run = "results/smoke/02-difficulty/notebook"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A run")]), root / f"{run}.ipynb")
    page, parts = "book/questions/difficulty", [{"caption": "runs", "chapters": [{"file": run}]}]
    (root / f"{page}.md").write_text(PAGE)
    (root / "_toc.yml").write_text(yaml.safe_dump({"format": "jb-book", "root": page, "parts": parts}))
    return root


def test_what_is_lost_stops_the_build_and_what_is_edited_changes_the_page(small_book, tmp_path):
    numbers = small_book / "results/smoke/02-difficulty/numbers.json"
    figure = small_book / "results/smoke/02-difficulty/figures/rho.png"
    away = figure.with_suffix(".away")
    page = small_book / HTML / "book/questions/difficulty.html"
    content = json.loads(numbers.read_text())
    figure.rename(away)
    content["fast.epochs.16.corrected"] = "0.4321x"  # no number: a format that does not fit is no wrong page
    numbers.write_text(json.dumps(content))
    status, said = build_again(small_book, tmp_path / "first")
    assert status != 0
    assert "unresolved figure '02-difficulty/rho'" in said
    assert "fast.epochs.16.corrected is '0.4321x', which claims.toml would show as '.2f'" in said
    away.rename(figure)
    content["fast.epochs.16.corrected"] = 0.5
    del content["class.epochs.4.company"]
    numbers.write_text(json.dumps(content))
    status, said = build_again(small_book, tmp_path / "again")  # a failed page must not be taken from a cache
    assert status != 0
    assert "unresolved number '02-difficulty/class.epochs.4.company:+.2f'" in said
    assert "unresolved figure" not in said
    content["class.epochs.4.company"] = -7.77
    numbers.write_text(json.dumps(content))
    status, said = build_again(small_book, tmp_path / "whole")
    assert status == 0, said[-3000:]
    assert [tag.get_text() for tag in BeautifulSoup(page.read_text(), "html.parser").select("p > abbr.num")][
        -1
    ] == "-7.77"
    assert "rho.png" in page.read_text()
