"""Print the built book as one PDF: each page by the Chromium of this machine, in the order of the contents, joined.

    python book/pdf.py [--profile quick] [--output FILE]

Links between pages lead to pages of the PDF; titles become its outline.
"""

import argparse
import io
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from build import DEFAULT, ROOT, contents
from playwright.sync_api import sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, DictionaryObject, NameObject

from lpntk.report.book import chromium

PAPER = {"format": "A4", "scale": 0.75, "margin": dict.fromkeys(("top", "bottom", "left", "right"), "15mm")}
UNFOLD = "() => document.querySelectorAll('details').forEach((folded) => { folded.open = true })"


def chapters(html: Path, profile: str) -> list[Path]:
    """Return the built pages of a profile's book, in their order."""
    table = contents(profile)
    names = [table["root"], *(chapter["file"] for part in table["parts"] for chapter in part["chapters"])]
    return [page for name in names if (page := html / f"{name}.html").exists()]


def printed(pages: list[Path]) -> list[tuple[str, PdfReader]]:
    """Return title and PDF of each page, without the code that it folds away (``print.css``)."""
    with sync_playwright() as playwright:
        browser = chromium.launch(playwright)
        page, found = browser.new_page(color_scheme="light"), []
        for path in pages:
            page.goto(path.as_uri())
            page.evaluate("() => window.MathJax?.startup?.promise")
            page.evaluate(UNFOLD)
            found.append((page.title().split(" — ")[0], PdfReader(io.BytesIO(page.pdf(**PAPER)))))
        browser.close()
    return found


def joined(pages: list[Path], parts: list[tuple[str, PdfReader]]) -> PdfWriter:
    """Return one PDF of all, with an outline, and with links to files turned into links between its pages."""
    book, starts = PdfWriter(), {}
    for path, (title, part) in zip(pages, parts, strict=True):
        starts[path.resolve()] = len(book.pages)
        book.append(part, outline_item=title, import_outline=False)
    links = [link.get_object() for page in book.pages for link in page.get("/Annots", [])]
    for link in links:
        address = urlsplit(str(link.get("/A", {}).get("/URI", "")))
        if address.scheme != "file":
            continue
        del link["/A"]  # a file of this machine, which nobody else has
        if (start := starts.get(Path(unquote(address.path)).resolve())) is not None:
            there = ArrayObject([book.pages[start].indirect_reference, NameObject("/Fit")])
            link[NameObject("/A")] = DictionaryObject({NameObject("/S"): NameObject("/GoTo"), NameObject("/D"): there})
    return book


def main() -> int:
    """Print the book; return the exit status."""
    parser = argparse.ArgumentParser(description="Print the built book as one PDF.")
    parser.add_argument("--profile", default=DEFAULT)
    parser.add_argument("--output", type=Path, help="file to write (default: lpntk.pdf beside the folder of the HTML)")
    options = parser.parse_args()
    if chromium.find() is None:
        print(f"no PDF: {chromium.MISSING}", file=sys.stderr)
        return 1
    html = ROOT / "_build" / ("html" if options.profile == DEFAULT else f"{options.profile}/_build/html")
    if not (pages := chapters(html, options.profile)):
        print(f"no PDF: no book in {html}; run `make html` first", file=sys.stderr)
        return 1
    output = options.output or html.with_name("lpntk.pdf")
    joined(pages, printed(pages)).write(output)
    print(f"the book: {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
