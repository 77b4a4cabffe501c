"""A run's page, made from the executed notebook when the book is built: what was run comes first.

The executed notebook stays as the run left it. The page has its title with data and network, the parameters that were
really given, today's prose (if the code is still the code that ran), folded code without bookkeeping, and every figure
with a number, a caption, a text for those who cannot see it, and links to its data and manifest. A page whose result
was made by other code than today's says so.
"""

import ast
import json
import re
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from inspect import getdoc
from pathlib import Path

import jupytext
import nbformat
from lpntk_claims import claims
from lpntk_code import with_links
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell
from sphinx.application import Sphinx
from sphinx.util import logging

from lpntk.keep.currency import changed
from lpntk.regenerate.manifest import duration
from lpntk.regenerate.page.tidied import linked
from lpntk.report.book.claims import Claim
from lpntk.report.book.naming import in_words
from lpntk.report.escape import markdown

logger = logging.getLogger(__name__)

PAGE = re.compile(r"results/(?P<profile>[^/]+)/(?P<name>[^/]+)/notebook")
LINK = re.compile(r"\[([^\[\]]*)\]\(([^()\s]+)\)")
# where a run's question stands, if not under questions/ by the name of its notebook
BEHIND = {
    "10-selection": "questions/less-data",
    "12-gaussians": "questions/fair-sample",
    "14-beside": "questions/other-scores",
    "16-your-data": "your-data",
    "19-authors": "questions/relations",
}
BOOKKEEPING = ("number", "update")  # calls on ``record`` that show nothing


def read(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put the page in the place of the notebook that Sphinx has read."""
    if not (found := PAGE.fullmatch(docname)):
        return
    root = Path(app.srcdir)
    folder, written = root / "results" / found["profile"] / found["name"], root / "notebooks" / f"{found['name']}.py"
    made_by = json.loads((folder / "manifest.json").read_text())
    app.env.note_dependency(str(written))
    try:
        judged_by = list(claims(app.env).values())
    except (OSError, KeyError, ValueError) as error:
        logger.warning("claims cannot be judged: %s", error, location=docname)
        judged_by = []
    again = found["profile"] != app.config.lpntk_profile  # its words stand on the page of the profile that is shown
    made = page(nbformat.reads(source[0], as_version=4), made_by, folder, written, judged_by, again)
    source[0] = nbformat.writes(made)


def page(
    executed: NotebookNode, made_by: dict, folder: Path, written: Path, judged_by: Iterable[Claim], again: bool = False
) -> NotebookNode:
    """Return the page of an executed notebook.

    Args:
        executed: as the run left it.
        made_by: its manifest.
        folder: of the result.
        written: the notebook's source today.
        judged_by: all claims of the paper; those that this run is evidence of are told.
        again: fold what the page of another run says too: what is done, by which rules, and where it is computed.
    """
    cells = told(executed, folder, written)
    title, _, rest = cells[0].source.partition("\n")
    figures = _captions(written)
    cells = [part for cell in cells[1:] for part in _shown(cell, folder, figures, made_by)]
    colon = "" if title.endswith("?") else ":"
    title = f"{title}{colon} {in_words(made_by['parameters'])}"
    if again:
        rest = _folded("What this notebook does, and its rules", rest)
        last = cells[-1]
        if isinstance(last, NotebookNode) and last.cell_type == "markdown" and last.source.startswith("## "):
            last.source = _folded(*(part.strip("# \n") for part in last.source.partition("\n")[::2]))
    head = f"{title}\n\n{_what_was_run(made_by, folder, judged_by)}{_stale(folder)}\n{rest}"
    executed.cells = [new_markdown_cell(head), *cells]
    return executed


def told(executed: NotebookNode, folder: Path, written: Path) -> list[NotebookNode]:
    """Return the cells of an executed notebook, those with parameters left out, in today's words where they still fit.

    Args:
        executed: as the run left it.
        folder: of the result.
        written: the notebook's source today.
    """
    ran = [cell for cell in executed.cells if cell.cell_type == "code" and not _given(cell)]
    today = jupytext.read(written).cells
    now = [cell for cell in today if cell.cell_type == "code" and not _given(cell)]
    if [_meaning(cell.source) for cell in ran] == [_meaning(cell.source) for cell in now]:
        for cell, written_now in zip(ran, now, strict=True):
            cell.source = written_now.source  # the same, but it may import from elsewhere now
        outputs = iter(ran)
        return [next(outputs) if cell.cell_type == "code" else _linked(cell) for cell in today if not _given(cell)]
    return [_mended(c, folder) for c in executed.cells if not _given(c) and c.get("id") != "origin"]


def _folded(title: str, words: str) -> str:
    return f"::::{{dropdown}} {title}\n{words}\n::::" if words.strip() else ""


def _given(cell: NotebookNode) -> bool:
    """Whether a cell holds parameters: the defaults that were not run, or those that were, which the head tells."""
    return bool({"parameters", "injected-parameters"} & set(cell.metadata.get("tags", [])))


def _meaning(code: str) -> str:
    """Return what a cell does, whatever places it imports from: a module may have moved since."""
    tree = ast.parse(code)
    tree.body = [node for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom)]
    return ast.dump(tree)


def _linked(cell: NotebookNode) -> NotebookNode:
    cell.source = with_links(linked(cell.source))
    return cell


def _mended(cell: NotebookNode, folder: Path) -> NotebookNode:
    """Leave out links of earlier prose to pages, definitions and modules that are gone; their words stay."""
    if cell.cell_type == "markdown":
        kept = lambda m: m[0] if "://" in m[2] or (folder / m[2].partition("#")[0]).exists() else m[1]
        cell.source = with_links(LINK.sub(kept, cell.source), root=folder.parents[2])
    return cell


def _what_was_run(made_by: dict, folder: Path, judged_by: Iterable[Claim]) -> str:
    """Return the scale of a run as a table, and all its parameters folded away."""
    given, versions = made_by["parameters"], made_by["versions"]
    scale = [f"{key} = {given[key]}" for key in ("n", "epochs", "lr", "seeds", "runs") if key in given]
    rows = [
        ("data, network", in_words(given)),
        ("scale", ", ".join(scale)),
        ("device", f"{made_by['device']}; torch {versions['torch']}, Python {versions['python']}"),
        ("time", duration(folder, made_by["seconds"])),
    ]
    profile, name = folder.parts[-2:]
    why = lambda result: f" {result.why[0].upper()}{result.why[1:]}." if result.why else ""
    judged = [
        f"| {claim.says} | {{judged}}`{claim.id}/{profile}`{why(result)} |"
        for claim in judged_by
        for result in claim.results
        if result.source == f"{profile}/{name}"
    ]
    table = "\n".join([*(f"| {key} | {markdown(value)} |" for key, value in rows if value), *judged])
    every = "\n".join(f"| `{key}` | {markdown(json.dumps(value))} |" for key, value in given.items())
    behind = BEHIND.get(name, f"questions/{name.partition('-')[2]}")
    place, question = _place(folder), f"../../../book/{behind}.md"
    said = f"One of the runs behind the page [](<{question}>). " * (folder / question).exists()
    if judged:
        said += (
            "The verdicts above follow the table of claims. The one at the end of this page follows the notebook's own "
            "rule; where they differ, the table counts."
        )
    return (
        f"| what was run | |\n|---|---|\n{table}\n\n{said}\n\n"
        f":::{{dropdown}} All parameters, and the files of this run\n| parameter | value |\n|---|---|\n{every}\n\n"
        f"Numbers: {{download}}`numbers.json <{place}/numbers.json>`; "
        f"manifest: {{download}}`manifest.json <{place}/manifest.json>`.\n:::\n"
    )


def _place(folder: Path) -> str:
    """Return a result's folder as Sphinx finds it from every page."""
    return "/" + "/".join(folder.parts[-3:])


def _stale(folder: Path) -> str:
    if not (names := changed(folder)):
        return ""
    return (
        "\n:::{warning}\nThis result was made by earlier code. Its numbers stand as they were measured; "
        "`make regenerate` measures them anew.\n:::\n\n:::{dropdown} What changed in the code since\n"
        f"{', '.join(f'`{name}`' for name in names)}\n:::\n"
    )


def _shown(cell: NotebookNode, folder: Path, captions: dict[str, tuple[str, str]], made_by: dict) -> list[NotebookNode]:
    """Return what the page shows of a cell: code folded, figures as figures."""
    if cell.cell_type != "code":
        return [cell]
    names = figures_of(cell.source, folder)
    images = [output for output in cell.outputs if "image/png" in output.get("data", {})]
    drawn = []
    if len(names) == len(images):
        cell.outputs = [output for output in cell.outputs if output not in images]
        drawn = [_figure(name, folder, _caption(name, captions), made_by) for name in names]
    cell.source = without_bookkeeping(cell.source)
    if not cell.source.strip() and not cell.outputs:
        return drawn
    cell.metadata["tags"] = [*cell.metadata.get("tags", []), "hide-input"]
    return [cell, *drawn]


def figures_of(code: str, folder: Path) -> list[str]:
    """Return the names of the figures that a cell shows; of ``bench-{}`` all files that fit, sorted."""
    names = []
    for name in re.findall(r"record\.figure\(\s*f?\"([\w{}.-]+)\"", code):
        pattern = re.sub(r"\{[^{}]*\}", "*", name)
        names += sorted(path.stem for path in folder.glob(f"figures/{pattern}.png")) if "*" in pattern else [name]
    return names


def _caption(name: str, captions: dict[str, tuple[str, str]]) -> tuple[str, str]:
    """Return caption and source of a figure; where one function draws many, it begins with what tells them apart."""
    if name in captions:
        return captions[name]
    start = next((start for start in captions if start.endswith("-") and name.startswith(start)), None)
    words, drawn_by = captions.get(start, ("", ""))
    return f"{name.removeprefix(start).replace('-', ' ')}: {words}" if start else words, drawn_by


def _figure(name: str, folder: Path, caption: tuple[str, str], made_by: dict) -> NotebookNode:
    place, (words, drawn_by) = _place(folder), caption
    words = f"{words} {in_words(made_by['parameters'])}."
    source = f", {{source}}`source <{drawn_by}>`" if drawn_by else ""
    return new_markdown_cell(
        f"```{{figure}} {place}/figures/{name}.png\n:name: run-{folder.parent.name}-{folder.name}-{name}\n"
        f":alt: {markdown(words)}\n\n{words} {{download}}`Numbers <{place}/numbers.json>`, "
        f"{{download}}`manifest <{place}/manifest.json>`{source}.\n```"
    )


def without_bookkeeping(code: str) -> str:
    """Leave out statements that only write numbers down."""
    lines, drop = code.splitlines(), set()
    for node in ast.parse(code).body:
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Call)
            and isinstance(node.value.func, ast.Attribute)
            and node.value.func.attr in BOOKKEEPING
            and ast.unparse(node.value.func.value) == "record"
        ):
            drop |= set(range(node.lineno - 1, node.end_lineno))
    return "\n".join(line for i, line in enumerate(lines) if i not in drop)


@cache
def _captions(written: Path) -> dict[str, tuple[str, str]]:
    """Return, by figure, what the function that draws it says it draws, and ``module:name`` of that function."""
    tree = ast.parse(written.read_text())
    modules = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    found = {}
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "figure"):
            continue
        name, drawn = node.args[:2]
        if isinstance(name, ast.JoinedStr):
            name = name.values[0]  # what stands before the blank
        if isinstance(name, ast.Constant) and isinstance(drawn, ast.Call) and isinstance(drawn.func, ast.Attribute):
            draws = getattr(import_module(modules[ast.unparse(drawn.func.value)]), drawn.func.attr)
            words = getdoc(draws).split("\n\nArgs:")[0].replace("\n", " ")
            drawn_by = f"{draws.__module__}:{draws.__name__}"
            found[name.value] = re.sub(r"^Draw (.)", lambda m: m[1].upper(), words), drawn_by
    return found


def setup(app: Sphinx) -> dict:
    app.connect("source-read", read)
    return {"parallel_read_safe": True, "version": "1"}
