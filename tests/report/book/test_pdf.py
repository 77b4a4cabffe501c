"""The book on paper: pages in their order, links between them, and nothing of the machine that printed it."""

import sys
from pathlib import Path

import pytest

from lpntk.report.book import chromium

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def pdf(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "book")
    import pdf

    return pdf


@pytest.mark.skipif(chromium.find() is None, reason=chromium.MISSING)
def test_links_to_a_page_lead_to_its_place_in_the_pdf(pdf, tmp_path):
    (tmp_path / "a.html").write_text(
        '<title>A — the book</title><a href="b.html#x">b</a> <a href="https://a.org">a</a>'
    )
    (tmp_path / "b.html").write_text('<title>B</title><a href="other.zip">file</a>')
    pages = [tmp_path / "a.html", tmp_path / "b.html"]
    book = pdf.joined(pages, pdf.printed(pages))
    assert [item.title for item in book.outline] == ["A", "B"]
    inside, outside, nowhere = (link.get_object() for page in book.pages for link in page["/Annots"])
    assert inside["/A"]["/D"][0] == book.pages[1].indirect_reference
    assert outside["/A"]["/URI"] == "https://a.org/"
    assert "/A" not in nowhere


def test_without_a_browser_a_sentence_says_so(pdf, monkeypatch, capsys):
    monkeypatch.setattr(chromium, "find", lambda: None)
    monkeypatch.setattr(sys, "argv", ["pdf.py"])
    assert pdf.main() == 1
    assert "no Chromium or Chrome: install one" in capsys.readouterr().err
