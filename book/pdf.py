"""Print the built book as one PDF: each page by the Chromium of this machine, in the order of the contents, joined.

    python book/pdf.py [--html _build/html] [--out _build/lpntk.pdf]

Links between pages lead to pages of the PDF; titles become its outline.
"""

import argparse
import io
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml
from playwright.sync_api import sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.annotations import Link
from pypdf.generic import Fit

from lpntk import chromium

ROOT = Path(__file__).resolve().parent.parent
PAPER = {"format": "A4", "scale": 0.75, "margin": dict.fromkeys(("top", "bottom", "left", "right"), "15mm")}
UNFOLD = "() => document.querySelectorAll('details:not(.hide)').forEach((folded) => { folded.open = true })"


def chapters(html: Path) -> list[Path]:
    """Return the pages of a built book in their order, as the contents beside its first page show it."""
    table = yaml.safe_load((ROOT / "_toc.yml").read_text())
    names = [table["root"], *(c["file"] for part in table["parts"] for c in part["chapters"])]
    return [page for name in names if (page := html / f"{name}.html").exists()]


def printed(pages: list[Path]) -> list[tuple[str, PdfReader]]:
    """Return title and PDF of each page, on white; code that a page folds away is left out (``book.css``)."""
    with sync_playwright() as playwright:
        browser = chromium.launch(playwright)
        page, found = browser.new_page(color_scheme="light"), []
        for path in pages:
            page.goto(path.as_uri())
            page.evaluate("() => window.MathJax?.startup?.promise")
            page.evaluate(UNFOLD)
            title = page.title().split(" — ")[0]
            found.append((title, PdfReader(io.BytesIO(page.pdf(**PAPER)))))
        browser.close()
    return found


def joined(pages: list[Path], parts: list[tuple[str, PdfReader]]) -> PdfWriter:
    """Return one PDF of all, with an outline and with links from page to page."""
    book, starts = PdfWriter(), {}
    for path, (title, part) in zip(pages, parts, strict=True):
        starts[path.resolve()] = len(book.pages)
        book.append(part, outline_item=title, import_outline=False)
    for number, page in enumerate(book.pages):
        kept = []
        for reference in page.get("/Annots") or []:
            link = reference.get_object()
            address = urlsplit(str(link.get("/A", {}).get("/URI", "")))
            if address.scheme != "file":
                kept.append(reference)
            elif (target := Path(unquote(address.path)).resolve()) in starts:
                inside = Link(rect=link["/Rect"], target_page_index=starts[target], fit=Fit.fit_horizontally())
                kept.append(book._add_object(inside))
        _ = number
    return book


def main() -> int:
    """Print the book; return the exit status."""
    parser = argparse.ArgumentParser(description="Print the built book as one PDF.")
    parser.add_argument("--html", type=Path, default=ROOT / "_build/html")
    parser.add_argument("--out", type=Path, default=ROOT / "_build/lpntk.pdf")
    options = parser.parse_args()
    if chromium.find() is None:
        print(f"no PDF: {chromium.MISSING}", file=sys.stderr)
        return 1
    if not (pages := chapters(options.html.resolve())):
        print(f"no PDF: no book in {options.html}; run `make html` first", file=sys.stderr)
        return 1
    joined(pages, printed(pages)).write(options.out)
    print(f"the book: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
