"""Every explorer in a real browser, from the disk with no network: controls move it, and it tells what Python says."""

import re
from pathlib import Path

import pytest

from lpntk.reader.explore import fragment, vectors
from lpntk.report.book import chromium

pytestmark = pytest.mark.skipif(chromium.find() is None, reason=chromium.MISSING)
NAMES = ("company", "vectors", "training", "prune")
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>An explorer</title></head><body><main><h1>An explorer</h1>{}</main></body></html>"""
SMALL = """() => [...document.querySelectorAll('button, input, select')].filter((at) => at.getClientRects().length)
  .filter((at) => { const box = at.getBoundingClientRect(); return box.width < 24 || box.height < 24 })
  .map((at) => at.outerHTML.slice(0, 90))"""


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = chromium.launch(playwright)
        yield started
        started.close()


@pytest.fixture
def opened(browser, front):
    """What opens the page of an explorer, offline; nothing may be complained of until the test ends."""
    noted, contexts = [], []

    def open_page(name, **options):
        path = front.folder / f"page-{name}.html"
        path.write_text(PAGE.format((front.folder / f"results/{name}.html").read_text()))
        context = browser.new_context(**{"viewport": {"width": 1000, "height": 800}, **options})
        contexts.append(context)
        context.set_offline(True)
        page = context.new_page()
        page.on("console", lambda said: noted.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: noted.append(str(error)))
        page.on("request", lambda asked: noted.append(asked.url) if asked.url.startswith("http") else None)
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert noted == []


def answers(front, name):
    return fragment.read_fragment((front.folder / f"results/{name}.html").read_text())[1]["answers"]


def said(page):
    return page.inner_text(".said")


def place(page):
    """Which part of the sprite the chosen sample is."""
    return page.evaluate("() => document.querySelector('.chosen .tile').style.backgroundPosition")


def test_company_follows_keys_touch_and_its_own_companions(opened, front):
    told, page = answers(front, "company"), opened("company", has_touch=True)
    first = int(re.search(r"Sample (\d+)", said(page))[1])
    shows = lambda i: said(page) == told[str(i)]["said"] and page.get_by_role("radio", checked=True).count() == 1
    assert shows(first)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")  # past the choice of a class, to the one sample that a Tab reaches
    page.keyboard.press("Home")
    assert shows(0)
    at = place(page)
    page.keyboard.press("ArrowRight")
    assert shows(1)
    assert place(page) != at
    page.keyboard.press("ArrowDown")
    tops = page.evaluate("() => [...document.querySelectorAll('.pick')].map((at) => [at.offsetTop, at.offsetLeft])")
    below = next(i for i, (top, left) in enumerate(tops) if top > tops[1][0] and left == tops[1][1])
    assert shows(below)
    assert page.evaluate("() => document.activeElement.getAttribute('aria-checked')") == "true"
    page.keyboard.press("End")
    assert shows(len(told) - 1)
    page.locator(".pick").nth(4).tap()
    assert shows(4)
    nearest = told["4"]["groups"]["alike"][0]
    assert f"κ {nearest[1]:g}" in page.inner_text(".companion >> nth=0")
    assert f"{nearest[2]:.0f}°" in page.inner_text(".companion >> nth=0")
    page.locator(".companion").first.tap()
    assert shows(nearest[0])


@pytest.mark.parametrize("front", ["of_digits", "of_rows"], indirect=True)
def test_company_can_be_kept_to_one_class(opened, front):
    told, page = answers(front, "company"), opened("company")
    labels = page.evaluate(
        "() => JSON.parse(document.getElementById('explorer-company-data').textContent).given.labels"
    )
    wanted = labels[-1]
    page.get_by_label("Show", exact=True).select_option(f"={wanted}")
    assert page.locator(".pick:visible").count() == labels.count(wanted)
    chosen = int(re.search(r"Sample (\d+)", said(page))[1])
    assert labels[chosen] == wanted
    page.locator(f".pick >> nth={len(labels) - 1}").click()
    page.keyboard.press("ArrowRight")  # there is none
    assert said(page) == told[str(len(labels) - 1)]["said"]


def test_training_is_another_picture_at_every_stop_of_its_slider(opened, front):
    told, page = answers(front, "training"), opened("training")
    slider, seen = page.get_by_label("Finished epochs"), []
    slider.focus()
    for epoch, state in told.items():
        assert slider.get_attribute("aria-valuetext") == f"{epoch} of {[*told][-1]}"
        assert said(page) == state["said"]
        assert page.get_attribute(".matrix", "src") == state["matrix"]
        cells = page.locator("tbody tr", has_text="contradictory").locator("td").all_inner_texts()
        assert cells == [f"{100 * shares[3]:.2f}%" for shares in state["shares"].values()]
        bars = page.locator(".plot rect.bar").evaluate_all(
            "(bars) => bars.map((at) => Number(at.getAttribute('height')))"
        )
        assert bars == sorted(bars, reverse=True)
        seen.append((page.get_attribute(".matrix", "alt"), *bars))
        page.keyboard.press("ArrowRight")
    assert len({*seen}) == len(told) == 3


def test_prune_takes_away_what_the_method_leaves_out(opened, front):
    told, page = answers(front, "prune"), opened("prune")
    for method in ("heads", "balanced"):
        page.get_by_label("Keep").select_option(method)
        slider = page.get_by_label("Left out", exact=True)
        slider.focus()
        page.keyboard.press("Home")
        marks = []
        for gone in (0, 50, 90):
            state = told[f"{method}/{gone}"]
            assert slider.get_attribute("aria-valuetext") == f"{gone}%"
            assert said(page) == state["said"]
            pale = page.locator(".still .tile").evaluate_all(
                "(all) => all.map((at) => at.matches('.gone') ? '0' : '1').join('')"
            )
            assert pale == state["kept"]
            marks.append(page.get_attribute("circle.mark", "cx"))
            page.keyboard.press("ArrowRight")
        assert len({*marks}) == 3


def test_two_vectors_are_in_the_browser_what_they_are_in_python(opened):
    page = opened("vectors")
    page.add_script_tag(type="module", content=fragment.script("vectors") + "\nglobalThis.answer = view.answer;")
    page.wait_for_function("() => globalThis.answer")
    cases = [
        {"classes": k, "one": one, "other": other, "alike": alike, "learned": learned, "step": 1.3}
        for k in (2, 3, 4, 7, 10, 20)
        for one, other in ((0, k - 1), (1, 0), (1, 1))
        for alike in (-0.95, 0, 0.35)
        for learned in (0, 0.3, 0.9)
    ]
    found = page.evaluate("(cases) => cases.map((choice) => globalThis.answer(choice))", cases)
    for choice, state in zip(cases, found, strict=True):
        expected = vectors.of_vectors(choice)
        assert state.keys() == expected.keys()
        assert state["signs"] == expected["signs"]
        assert state["said"] == expected["said"]
        for key in ("factor", "cosine", "angle"):
            assert state[key] == pytest.approx(expected[key], abs=1e-9), (choice, key)
        for key in ("before", "after"):
            for row, wanted in zip(state[key], expected[key], strict=True):
                assert row == pytest.approx(wanted, abs=1e-12), (choice, key)


def test_two_vectors_move_with_every_slider(opened):
    page, choice = opened("vectors"), dict(vectors.BEGINNING)
    labels = {"one": "Label of the first", "other": "Label of the second", "alike": "Cosine of the inputs",
              "learned": "Learned so far", "step": "Size of the step"}  # fmt: skip
    drawing = "() => [...document.querySelectorAll('.plot')].map((at) => at.innerHTML).join()"
    for field, value in (("one", 9), ("other", 1), ("alike", -0.5), ("learned", 0.5), ("step", 2.4)):
        before = page.evaluate(drawing)
        page.get_by_label(labels[field]).fill(str(value))
        choice[field] = value
        assert said(page) == vectors.of_vectors(choice)["said"]
        assert page.evaluate(drawing) != before
    page.get_by_label("Classes K").fill("4")  # takes a label with it that is no longer there
    choice |= {"classes": 4, "one": 3}
    assert said(page) == vectors.of_vectors(choice)["said"]
    assert page.get_by_label(labels["one"]).get_attribute("aria-valuetext") == "class 3"
    assert "1 − 4/4" in page.inner_text(".plot >> nth=0")
    page.get_by_label("Classes K").focus()
    page.keyboard.press("ArrowLeft")
    assert "factor -0.33" in said(page)


@pytest.mark.parametrize("name", NAMES)
def test_everybody_can_use_it(opened, name):
    import axe_playwright_python

    axe = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text()
    for options in ({"color_scheme": "light"}, {"color_scheme": "dark", "viewport": {"width": 390, "height": 844}}):
        page = opened(name, **options)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= page.viewport_size["width"]
        assert page.evaluate(SMALL) == []
        page.evaluate(axe)
        found = page.evaluate("() => axe.run({resultTypes: ['violations'], preload: false})")["violations"]
        assert [f"{v['id']}: {v['nodes'][0]['html'][:150]}" for v in found] == []
        assert page.locator("[aria-live=polite]").count() == 1


@pytest.mark.parametrize("front", ["of_digits", "of_rows"], indirect=True)
@pytest.mark.parametrize("name", NAMES)
def test_without_scripts_a_sentence_tells_what_it_shows(opened, front, name):
    page = opened(name, java_script_enabled=False)
    assert "What it shows first: " in page.inner_text("main")
    assert page.locator("main b").count() == 0  # the name of a class is no markup
