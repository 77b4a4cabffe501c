"""Every built page in a real browser, from the disk and with no network: what a reader sees, on a desk and a phone.

The book is the one in ``_build/html`` if it is younger than its sources, or the one that LPNTK_BOOK names, which must
be there. ``.ci/run`` names the book that it has built.
"""

import os
from pathlib import Path

import pytest
from rows import each_row

from lpntk.report.book import chromium

ROOT = Path(__file__).resolve().parents[3]
NAMED = os.environ.get("LPNTK_BOOK")
HTML = Path(NAMED or ROOT / "_build/html").resolve()
SOURCES = [ROOT / "_config.yml", ROOT / "_toc.yml", *(p for p in (ROOT / "book").rglob("*.*") if p.suffix != ".pyc")]
PAGES = sorted(str(p.relative_to(HTML)) for folder in ("book", "results") for p in (HTML / folder).rglob("*.html"))
STUMBLES = Path(__file__).with_name("pages.js").read_text()
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
GRAVE = ("serious", "critical")


def settled(page, look):
    """Return what a look at the page finds once colours have faded in and the theme is done, within four seconds."""
    for _ in range(10):
        if not (found := look()):
            break
        page.wait_for_timeout(400)
    return found


def missing():
    """Return in words why no page can be opened here, or an empty text."""
    if chromium.find() is None:
        return chromium.MISSING
    if NAMED:
        return ""
    if not PAGES:
        return "no built book: run `make book` before"
    if max(p.stat().st_mtime for p in SOURCES) > (HTML / "index.html").stat().st_mtime:
        return "the built book is older than its sources: run `make html` before"
    return ""


pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


class Reader:
    """A page of the browser that notes what it complains of and which hosts it asks; it reaches none."""

    def __init__(self, browser):
        self.page, self.noted = browser.new_page(viewport=DESK, color_scheme="light"), []
        self.page.route(lambda url: not url.startswith(("file:", "data:", "blob:")), self.refuse)
        self.page.on("console", self.hear)
        self.page.on("pageerror", lambda error: self.noted.append(str(error)))

    def hear(self, said):
        if said.type in ("error", "warning"):
            self.noted.append(said.text)

    def refuse(self, route):
        self.noted.append(f"asked {route.request.url}")
        route.abort()

    def open(self, name):
        self.noted.clear()
        self.page.set_viewport_size(DESK)
        self.page.goto(f"{HTML.as_uri()}/{name}")
        self.page.evaluate("() => window.MathJax?.startup?.promise")
        self.page.evaluate("() => document.querySelectorAll('details').forEach((folded) => { folded.open = true })")
        self.page.wait_for_timeout(400)  # it fades in, and what scrolls in there is measured once it is seen
        return self.page

    def grave(self, within, rules=None):
        """Return what axe-core calls serious or critical."""
        options = {
            "resultTypes": ["violations"],
            "preload": False,
        }  # else it would fetch style sheets, which no file may
        options |= {"runOnly": rules} if rules else {}
        found = self.page.evaluate("([within, options]) => axe.run(within, options)", [within, options])["violations"]
        return [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in found if v["impact"] in GRAVE]


@pytest.fixture(scope="module")
def reader():
    """One browser and one page for all tests; a module that is skipped needs neither playwright nor axe."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = chromium.launch(playwright)
        yield Reader(browser)
        browser.close()


@pytest.fixture(scope="module")
def axe():
    import axe_playwright_python

    return Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text()


@pytest.mark.parametrize("name", PAGES or ["index.html"])
def test_nobody_stumbles_over_a_page(reader, axe, name):
    page = reader.open(name)
    page.evaluate(axe)
    found = [f"desk: {fault}" for fault in settled(page, lambda: page.evaluate(STUMBLES))]
    found += [f"desk, light: {fault}" for fault in settled(page, lambda: reader.grave("html"))]
    page.evaluate("() => { document.documentElement.dataset.theme = 'dark' }")
    page.set_viewport_size(PHONE)
    page.wait_for_timeout(400)  # colours change slowly
    found += [f"phone: {fault}" for fault in settled(page, lambda: page.evaluate(STUMBLES))]
    if name.startswith(("book/", "results/quick/")):  # other profiles' pages are the same in other numbers
        found += [
            f"phone, dark: {fault}" for fault in settled(page, lambda: reader.grave("article", ["color-contrast"]))
        ]
    if found + reader.noted:
        pytest.fail("\n".join([name, *found, *reader.noted]), pytrace=False)


def test_the_first_address_leads_to_the_first_page(reader):
    reader.noted.clear()
    reader.page.goto(f"{HTML.as_uri()}/index.html")
    reader.page.wait_for_url("**/intro.html")
    assert reader.noted == []


def test_a_search_from_the_disk_finds_pages_and_says_why_it_shows_no_excerpts(reader):
    page = reader.open("search.html?q=kernel")
    page.wait_for_selector("#search-results li a")
    assert "Results come without excerpts" in page.inner_text("body")
    assert reader.noted == []


PLANTED = r"""<!doctype html><html lang="en"><title>t</title><body><article>
<table style="width: 2000px"><tr><td>wide</td></tr></table>
<div style="overflow: hidden"><img src="drawn.svg" style="width: 3000px"></div>
<div class="math">\(x\)</div> <p>and $$\frac{1}{2}$$</p> <p style="color: #bbb">pale</p>
<script>console.error("said aloud"); fetch("https://example.org/").catch(() => {}); throw new Error("thrown")</script>
</article></body></html>"""
FOUND = [
    *("the page scrolls sideways", "cut at the edge: <table", "cut at the edge: <img", "not drawn", "without words"),
    *("TeX as it was typed", "color-contrast", "image-alt", "said aloud", "thrown", "asked https://example.org/"),
]


def test_planted_faults_are_all_found(reader, axe, tmp_path):
    (tmp_path / "planted.html").write_text(PLANTED)
    (tmp_path / "drawn.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    reader.noted.clear()
    reader.page.set_viewport_size(PHONE)
    reader.page.goto((tmp_path / "planted.html").as_uri())
    reader.page.evaluate(axe)
    found = "\n".join([*reader.page.evaluate(STUMBLES), *reader.grave("html"), *reader.noted])
    for words in FOUND:
        assert words in found, found


LONG = f"""<link rel="stylesheet" href="{(ROOT / "book/assets/book.css").as_uri()}">
<script src="{(ROOT / "book/assets/scroll.js").as_uri()}"></script>
<style>span.math {{ display: inline-flex; max-width: 100% }}</style>
"""
FORMULA = '<p><span class="math"><mjx-container><svg width="900" height="9"></svg></mjx-container></span></p>'
FIGURE = '<a class="alone" href="x"><img src="drawn.svg" alt="drawn" style="width: 85%; --legible: 900px"></a>'
FIGURE = f'<p><span class="alone-box">{FIGURE}</span></p>'  # as lpntk_access leaves it


@each_row(("what", "body"), [("Formula", FORMULA), ("Figure", FIGURE)])
def test_what_is_wide_is_named_fades_and_scrolls_by_keyboard_where_it_does_not_fit(reader, tmp_path, what, body):
    (tmp_path / "drawn.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    (tmp_path / "long.html").write_text(LONG + body)
    page = reader.page
    page.set_viewport_size(PHONE)
    page.goto((tmp_path / "long.html").as_uri())
    page.get_by_role("group", name=f"{what}, wider than the page").focus()
    left, right = (f"document.querySelector('.wide').style.getPropertyValue('--{side}')" for side in ("left", "right"))
    assert page.evaluate(f"[{left}, {right}]") == ["0px", "48px"]
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.wait_for_function(f"{left} === '48px'")
    page.set_viewport_size(DESK)
    page.wait_for_function("!document.querySelector('.wide, [tabindex]')")
