"""Exercises: each one of a notebook stands on its page; what is missing or misspelt stops the build with its name."""

import json
import re
import sys
from pathlib import Path

import jupytext
import pytest
import yaml
from bs4 import BeautifulSoup
from extensions import ROOMS
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, writes
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[3]
NOTEBOOKS = sorted(ROOT.glob("notebooks/*-exercises*.py"))
SHOWN = re.compile(r"^```\{exercises\} (?P<notebook>[\w-]+)/(?P<page>[\w-]+)$", re.MULTILINE)
TAG = "exercise-"


def tagged(cells):
    return [tag.removeprefix(TAG) for cell in cells for tag in cell.metadata.get("tags", []) if tag.startswith(TAG)]


def test_every_question_shows_two_or_three_exercises_and_none_is_left_over():
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text())["parts"]
    questions = [c["file"] for part in contents for c in part["chapters"] if c["file"].startswith("book/questions/")]
    shown = {(m["notebook"], m["page"], file.rpartition("/")[2])
             for file in questions for m in SHOWN.finditer((ROOT / f"{file}.md").read_text())}  # fmt: skip
    assert len(shown) == len(questions) == 14
    assert all(page == file for _, page, file in shown)
    written = [(path.stem, page) for path in NOTEBOOKS for page in tagged(jupytext.read(path).cells)]
    assert set(written) == {(notebook, page) for notebook, page, _ in shown}
    for one in set(written):
        assert 2 <= written.count(one) <= 3, one


SOURCE = """# %% [markdown]
# # Title

# %% [markdown] tags=["setup"]
# ## What there is
#
# A one.

# %%
one = 1

# %% [markdown]
# ## Page

# %% [markdown] tags=["exercise-page"]
# ### How much?
#
# Add. See [it](../book/page.md).

# %% [markdown] tags=["answer"]
# #### Answer
#
# It is two.

# %%
print(one + one)
"""


def cells(answer=True, code=True, output=True):
    """The same notebook, executed; without an answer, its code or its output."""
    made = jupytext.reads(SOURCE, "py:percent").cells
    printed = [new_output("stream", text=text) for text in ("2\n", "and more\n")]
    made[-1].outputs = printed if output else []
    return [cell for i, cell in enumerate(made) if not (i == 5 and not answer) and not (i == 6 and not code)]


@pytest.fixture
def built(tmp_path, monkeypatch):
    """Build a page with the exercises of that notebook: return its HTML and what was warned of."""

    def build(executed, directive="17-exercises/page"):
        monkeypatch.setattr(sys, "path", [*sys.path, *ROOMS])
        result = tmp_path / "results/quick/17-exercises"
        result.mkdir(parents=True)
        (tmp_path / "book").mkdir()
        (tmp_path / "notebooks").mkdir()
        jupytext.write(new_notebook(cells=executed), tmp_path / "notebooks/17-exercises.py", fmt="py:percent")
        (tmp_path / "book/page.md").write_text(f"# Page\n\n```{{exercises}} {directive}\n```\n")
        made_by = {"profile": "quick", "notebook": "17-exercises.py", "parameters": {"dataset": "digits", "n": 5},
                   "device": "cpu", "seconds": 1}  # fmt: skip
        (result / "manifest.json").write_text(json.dumps(made_by))
        (result / "notebook.ipynb").write_text(writes(new_notebook(cells=executed)))
        out, said = tmp_path / "out", tmp_path / "warnings.txt"
        settings = {"extensions": ["myst_parser", "sphinx_design", "lpntk_results", "lpntk_exercises"],
                    "root_doc": "book/page", "html_theme": "basic", "include_patterns": ["book/*"],
                    "myst_enable_extensions": ["colon_fence"]}  # fmt: skip
        with said.open("w") as warnings:
            Sphinx(tmp_path, None, out, out / "trees", "html", settings, status=None, warning=warnings).build()
        return BeautifulSoup((out / "book/page.html").read_text(), "html.parser"), said.read_text()

    return build


def test_an_answer_is_folded_and_holds_words_code_and_what_it_showed(built):
    page, said = built(cells())
    assert "no exercises" not in said
    (exercise,) = page.select(".exercise")
    assert exercise["id"] == "exercise-page-1"
    assert exercise.p.get_text() == "Exercise 1: How much?"
    assert exercise.select_one("a[href]")["href"] == "#"  # a link of the notebook, found from the page
    (answer,) = exercise.select("details")
    assert "open" not in answer.attrs
    assert answer.summary.get_text(strip=True) == "Answer"
    assert "It is two." in answer.get_text()
    assert [block.get_text().strip() for block in answer.select("pre")] == ["print(one + one)", "2\nand more"]
    setup = page.select_one("details")
    assert setup.summary.get_text(strip=True) == "What there is"
    assert [block.get_text().strip() for block in setup.select("pre")] == ["dataset = 'digits'\nn = 5", "one = 1"]


@pytest.mark.parametrize(
    ("executed", "directive", "words"),
    [
        (cells(), "17-exercises/pgae", "17-exercises.py has the tag exercise-pgae; there are exercises for page"),
        (cells(), "71-exercises/page", "No such file or directory"),
        (cells(), "page", "expected [profile/]notebook/name, got 'page'"),
        (cells(output=False), "17-exercises/page", "the answer of exercise 'How much?' shows nothing"),
        (cells(code=False), "17-exercises/page", "exercise 'How much?' needs a cell of words tagged 'answer' and code"),
        (cells(answer=False), "17-exercises/page", "exercise 'How much?' needs a cell of words tagged 'answer'"),
    ],
)  # fmt: skip
def test_what_is_missing_is_a_warning_that_names_it(built, executed, directive, words):
    page, said = built(executed, directive)
    assert f"no exercises '{directive}': " in said
    assert words in said
    assert not page.select(".exercise")


def test_an_answer_to_nothing_is_refused(built):
    _, said = built([*cells(), new_markdown_cell("#### Answer\n\nOne more.", metadata={"tags": ["answer"]})])
    assert "an answer without a question: '#### Answer" in said


def test_a_table_is_shown_as_a_table_and_a_value_as_text(built):
    table = new_output("display_data", data={"text/html": "<table><tr><td>9</td></tr></table>", "text/plain": "no"})
    executed = cells()
    executed[-1].outputs = [table]
    executed.append(new_code_cell("3", outputs=[new_output("execute_result", data={"text/plain": "3"})]))
    page, _ = built(executed)
    answer = page.select_one(".exercise details")
    assert answer.select_one(".cell_output .output.text_html table td").get_text() == "9"
    assert answer.select("pre")[-1].get_text().strip() == "3"


def pasted(notebook):
    """Return what a page shows to start from, at the sizes of the smoke profile, and the code of each answer."""
    from lpntk_exercises import SETUP, given, read
    from lpntk_runs import without_bookkeeping

    cells = jupytext.read(notebook).cells
    parameters = {}
    exec(next(cell.source for cell in cells if "parameters" in cell.metadata.get("tags", [])), parameters)
    parameters = {name: value for name, value in parameters.items() if name not in ("__builtins__", "results")}
    smoke = yaml.safe_load((ROOT / "notebooks/profiles/smoke.yml").read_text())[notebook.stem]
    parameters |= {name: value for name, value in smoke.items() if name in parameters}
    for cell in cells:
        cell.outputs = ["something"]  # whether an answer shows something is asked elsewhere
    code = {one.title: "\n".join(without_bookkeeping(cell.source) for cell in one.code) for one in read(cells)}
    (setup,) = (one.title for one in read(cells) if one.page == SETUP)
    return f"{given(parameters)}\n{code.pop(setup)}", code


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_start_and_one_answer_run_wherever_they_are_pasted(notebook, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, *ROOMS])
    start, answers = pasted(notebook)
    there = {}
    exec(compile(start, "the start", "exec"), there)
    failed = {}
    for title, code in answers.items():
        try:
            exec(compile(code, title, "exec"), dict(there))  # without what other answers named
        except Exception as error:
            failed[title] = repr(error)
    assert len(answers) > 10
    assert not failed
