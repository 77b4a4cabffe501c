"""Exercises of a page: each question with a folded answer, whose code and output are those of a notebook that ran.

    ```{exercises} 17-exercises/kernel       [profile/]notebook/page
    ```

In the notebook an exercise is a cell of words with the tag ``exercise-<page>``, which begins with ``### Title``; then
the cell of its answer, with the tag ``answer``, which begins with ``#### Answer``; then the code that bears it out. One
cell of words with the tag ``setup``, and the code after it, say what all answers start from; before that code stand the
values of the parameters that were run, so that this and the code of one answer run wherever they are pasted. The
profile is chosen as in ``lpntk_results``. A page that nobody wrote exercises for, an exercise without an answer and an
answer whose code shows nothing are warnings, and the build treats warnings as errors.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import nbformat
from docutils import nodes
from docutils.statemachine import StringList
from lpntk_results import locate
from lpntk_runs import figures_of, told, without_bookkeeping
from nbformat import NotebookNode
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

logger = logging.getLogger(__name__)

TAG, ANSWER, SETUP = "exercise-", "answer", "setup"


@dataclass
class Exercise:
    """A question, its answer in words, and the code after these. ``page`` is ``setup`` for what comes first."""

    page: str
    title: str
    question: str
    answer: str = ""
    code: list[NotebookNode] = field(default_factory=list)


def read(cells: list[NotebookNode]) -> list[Exercise]:
    """Return all exercises of a notebook's cells, in their order.

    Raises:
        ValueError: if the cells are not written as this module says; the message names the exercise.
    """
    found, current = [], None
    for cell in cells:
        tags, words = cell.metadata.get("tags", []), cell.source
        pages = [tag.removeprefix(TAG) for tag in tags if tag.startswith(TAG)] + [SETUP] * (SETUP in tags)
        if pages:
            title, _, question = words.partition("\n")
            current = Exercise(pages[0], title.lstrip("# "), question.strip())
            found.append(current)
        elif ANSWER in tags:
            if current is None or current.answer:
                raise ValueError(f"an answer without a question: {words[:60]!r}; tag its question {TAG}<page>")
            current.answer = words.removeprefix("#### Answer").strip()
        elif cell.cell_type == "code" and current:
            current.code.append(cell)
        elif cell.cell_type != "code":
            current = None  # other words, such as the heading of the next page
    for one in found:
        if one.page != SETUP and not (one.answer and one.code):
            raise ValueError(f"exercise {one.title!r} needs a cell of words tagged {ANSWER!r} and code after it")
        if one.page != SETUP and not any(cell.outputs for cell in one.code):
            raise ValueError(f"the answer of exercise {one.title!r} shows nothing: end its code with what it found")
    return found


class Exercises(SphinxDirective):
    """All exercises of one page."""

    required_arguments = 1

    def run(self):
        try:
            lines = list(self.lines())
        except (OSError, ValueError) as error:
            logger.warning("no exercises %r: %s", self.arguments[0], error, location=self.get_location())
            return []
        box = nodes.container(classes=["exercises"])
        self.state.nested_parse(StringList(lines, source=self.env.docname), self.content_offset, box)
        return [box]

    def lines(self) -> Iterator[str]:
        """Yield the Markdown of the exercises."""
        place, (page,) = locate(self.env, self.arguments[0], 2)
        folder = Path(self.env.srcdir, place)
        written = Path(self.env.srcdir, "notebooks", f"{folder.name}.py")
        for file in (folder / "notebook.ipynb", written):
            self.env.note_dependency(str(file))
        made_by = json.loads((folder / "manifest.json").read_text())
        found = read(told(nbformat.read(folder / "notebook.ipynb", as_version=4), folder, written))
        own = [exercise for exercise in found if exercise.page == page]
        if not own:
            known = ", ".join(dict.fromkeys(exercise.page for exercise in found if exercise.page != SETUP))
            raise ValueError(f"no cell of {written.name} has the tag {TAG}{page}; there are exercises for {known}")
        ran = f"{{page}}`{made_by['profile']}/{folder.name}`"  # its title tells data and network
        yield from (f"Predict first, then open the answer. The code of all answers ran in {ran}.", "")
        for setup in (exercise for exercise in found if exercise.page == SETUP):
            yield from (f":::::{{dropdown}} {setup.title}", *setup.question.split("\n"), "")
            yield from _block("python", given(made_by["parameters"]))
            yield from (line for cell in setup.code for line in shown(cell, folder, setup.title))
            yield from (":::::", "")
        for number, exercise in enumerate(own, 1):
            yield from (f"::::::{{admonition}} Exercise {number}: {exercise.title}", ":class: exercise")
            yield from (f":name: exercise-{page}-{number}", "", *_here(exercise.question), "")
            yield from (":::::{dropdown} Answer", *_here(exercise.answer), "")
            yield from (line for cell in exercise.code for line in shown(cell, folder, exercise.title))
            yield from (":::::", "::::::", "")


def given(parameters: dict[str, object]) -> str:
    """Return the parameters of a run as code that sets them."""
    return "\n".join(f"{name} = {value!r}" for name, value in parameters.items())


def _block(language: str, text: str) -> Iterator[str]:
    yield from (f"````{{code-block}} {language}", *text.split("\n"), "````", "")


def _here(words: str) -> list[str]:
    """Return the words of a result's page with its links as every page finds them."""
    return words.replace("](../../../", "](/").split("\n")


def shown(cell: NotebookNode, folder: Path, title: str) -> Iterator[str]:
    """Yield the Markdown of a cell of code and of what it showed."""
    figures = iter(figures_of(cell.source, folder))
    yield from _block("python", without_bookkeeping(cell.source).strip())
    for printed, outputs in groupby(cell.outputs, key=lambda output: output.output_type == "stream"):
        if printed:  # in as many pieces as the clock of the run would have it
            text = "".join(output.text for output in outputs)
            yield from _block("text", text.rstrip())
        else:
            yield from (line for output in outputs for line in _displayed(output.data, figures, folder, title))


def _displayed(data: dict[str, str], figures: Iterator[str], folder: Path, title: str) -> Iterator[str]:
    """Yield the Markdown of what a cell displayed: a figure of the run, a table as on the page of the run, or text."""
    if "image/png" in data:
        place = "/".join(folder.parts[-3:])
        yield from (f"````{{image}} /{place}/figures/{next(figures)}.png", f":alt: What the code draws: {title}")
        yield from ("````", "")
    elif "text/html" in data:
        table = f'<div class="cell_output"><div class="output text_html">{data["text/html"]}</div></div>'
        yield from ("````{raw} html", *table.split("\n"), "````", "")
    else:
        yield from _block("text", data["text/plain"])


def setup(app: Sphinx) -> dict:
    app.add_directive("exercises", Exercises)
    return {"parallel_read_safe": True, "version": "1"}
