"""What keeps readers out of a page? Pictures without words, and the HTML that theme and notebooks give.

A figure of a notebook is named by what ``record.figure`` calls it and by its section, unless the metadata of its cell
say what is seen (``mystnb: {image: {alt: ...}}``); else a reader would be told the name of a file.

Each repair is a pattern, what takes its place, and the rule of accessibility (as axe-core names it) that it keeps.
Figures lead to their files, and on a phone they scroll rather than shrink. All that runs over the written pages: half
of these tags come from templates of the theme, which no event hands over.
"""

import json
import re
from pathlib import Path

from PIL import Image
from sphinx.application import Sphinx

PHONE = 60 / 150  # dots per inch that can be read on a phone, over those of a figure's file
FIGURE = re.compile(r'(<a\b[^>]*>\s*)?(<img\b[^>]* src="([^"]*\b_images/[^"]+\.png)"[^>]*?)\s*/?>(\s*</a>)?')
EMPTY = r"(?:\s|&nbsp;|&#160;|\xa0|<p>\s*</p>)*"
REPAIRS = [
    # empty-table-header: the corner of a table heads nothing
    (rf"<th\b([^>]*)>{EMPTY}</th>", r"<td\1></td>"),
    # a long name may be broken where its words meet, or its table does not fit
    (r"<th\b[^>]*>[^<]*_[^<]*</th>", lambda th: re.sub(r"(?<=\w)_(?=\w)(?=[^>]*<)", "_<wbr>", th[0])),
    # so may the name of a definition, which says in which module it lies
    (r'(?<=descclassname"><span class="pre">)[^<]*', lambda module: module[0].replace(".", ".<wbr>")),
    # label-content-name-mismatch: a label that is not what is shown; what is shown names it well
    (r'<summary aria-label="Toggle hidden content">', "<summary>"),
    (r'(<button class="btn search-button-field[^>]*?) aria-label="Search"', r"\1"),
    (r'(<i class="theme-switch\b[^>]*?)\s+title="[^"]*"', r"\1"),
    # aria-deprecated-role, aria-required-children: what a list of references holds is its items
    (r' role="doc-biblioentry"', ' role="listitem"'),
    # region: the title in the sidebar stands in no landmark
    (r'<div id="pst-primary-sidebar"', r'\g<0> role="complementary" aria-label="Sidebar"'),
]


def name_pictures(app: Sphinx, docname: str, source: list[str]) -> None:
    """Give the figures of a notebook that is about to be read their alternative text."""
    if Path(app.env.doc2path(docname)).suffix != ".ipynb":
        return
    notebook = json.loads(source[0])
    section = ""
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            section = (re.findall(r"^#+ (.+)$", text, re.MULTILINE) or [section])[-1]
        elif any("image/png" in output.get("data", {}) for output in cell["outputs"]):
            names = " and ".join(re.findall(r"record\.figure\(\s*f?\"([^\"{]*[^\"{-])", text))
            image = cell["metadata"].setdefault("mystnb", {}).setdefault("image", {})
            image.setdefault("alt", f"Figure {names}".strip() + f", described in the section {section}")
    source[0] = json.dumps(notebook)


def repaired(page: str) -> str:
    """Return the HTML of a page after all repairs."""
    for pattern, replacement in REPAIRS:
        page = re.sub(pattern, replacement, page)
    return page


def enlarged(page: str, folder: Path) -> str:
    """Return the HTML of a page in ``folder`` where each figure leads to its file and tells its width on a phone."""

    def link(found: re.Match) -> str:
        linked, image, source, _ = found.groups()
        if linked and "image-reference" not in linked:  # a figure of given width is linked by Sphinx
            return found[0]
        with Image.open(folder / source) as file:
            width = f"--legible: {round(PHONE * file.width)}px"
        given = re.search(r' style="([^"]*)"', image)
        style = f"{given[1].rstrip('; ')}; {width}" if given else width
        image = f'{image.replace(given[0], "") if given else image} style="{style}" />'
        alone = f'<a class="alone" href="{source}" title="The figure alone">{image}</a>'
        return f'<span class="alone-box">{alone}</span>'  # what scrolls is not the link

    return FIGURE.sub(link, page)


def repair(app: Sphinx, exception: Exception | None) -> None:
    """Repair every written page."""
    if exception or app.builder.format != "html":
        return
    for path in Path(app.outdir).rglob("*.html"):
        if not path.relative_to(app.outdir).parts[0].startswith("_"):
            page = enlarged(repaired(path.read_text(encoding="utf-8")), path.parent)
            path.write_text(page, encoding="utf-8")


def setup(app: Sphinx) -> dict:
    app.connect("source-read", name_pictures)
    app.connect("build-finished", repair)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "version": "1"}
