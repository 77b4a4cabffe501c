"""An explorer answers: in a kernel that a front end talks to, and as a fragment that holds its answers."""

import json
import re

import nbformat
import numpy as np
import pytest

from lpntk.data.dataset import assembled
from lpntk.reader.explore import company, fragment, images, vectors, widget
from lpntk.regenerate.page.tidied import tidy
from lpntk.regenerate.page.widgets import WIDGET

VIEW = f"{WIDGET}-view+json"
CHOICES = {
    "sample": ({"sample": 7}, {"sample": 39}),
    "epoch": ({"epoch": 1}, {"epoch": 2}),
    "method,removed": ({"method": "balanced", "removed": 90}, {"method": "heads", "removed": 0}),
    "classes,one,other,alike,learned,step": (
        {**vectors.BEGINNING, "classes": 4, "one": 1, "other": 2},
        {**vectors.BEGINNING, "one": 5, "alike": -0.5, "learned": 0.3},
    ),
}  # fmt: skip


@pytest.mark.parametrize("front", ["of_digits", "of_rows"], indirect=True)
def test_a_kernel_answers_what_the_front_end_chooses(front):
    assert front.opened.keys() == CHOICES.keys()
    for fields, choices in CHOICES.items():
        name = {"sample": "company", "epoch": "training", "method,removed": "prune"}.get(fields, "vectors")
        view, data = fragment.read_fragment((front.folder / f"results/{name}.html").read_text())
        assert view == name
        seen = []
        for choice in choices:
            state = front.choose(fields, choice)
            seen.append(state)
            if name == "vectors":
                assert state == json.loads(json.dumps(vectors.of_vectors(choice)))
            else:
                assert state == data["answers"]["/".join(map(str, choice.values()))]
        assert seen[0]["said"] != seen[1]["said"]


def test_a_choice_that_cannot_be_leaves_the_picture_as_it_is(front):
    before = front.choose("sample", {"sample": 3})
    assert before["sample"] == 3
    assert front.choose("sample", {"sample": 40}) is None
    assert front.choose("sample", {"sample": 2})["sample"] == 2


def test_a_notebook_shows_the_live_widget_and_its_page_the_fragment(front, tmp_path):
    assert [VIEW in view and "text/html" in view for view in front.views] == [True] * 4
    cells = [
        nbformat.v4.new_code_cell("", outputs=[nbformat.v4.new_output("execute_result", data=view)])
        for view in front.views
    ]
    bar = nbformat.v4.new_output("display_data", data={VIEW: {"model_id": "gone"}})
    cells.append(nbformat.v4.new_code_cell("", outputs=[bar]))
    state = {"model": {"model_name": "AnyModel", "state": {"_esm": "..."}}}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"widgets": {f"{WIDGET}-state+json": {"state": state}}})
    nbformat.write(notebook, tmp_path / "n.ipynb")
    tidy(tmp_path / "n.ipynb", "digits", "from here")
    tidied = nbformat.read(tmp_path / "n.ipynb", as_version=4)
    assert "widgets" not in tidied.metadata
    outputs = [cell.outputs for cell in tidied.cells[:-1]]
    assert all({*output.data} == {"text/plain", "text/html"} for (output,) in outputs[:4])
    assert outputs[4] == []


@pytest.mark.parametrize("front", ["of_digits", "of_rows"], indirect=True)
def test_a_fragment_asks_no_host_and_is_below_a_megabyte(front):
    for name in ("company", "vectors", "training", "prune"):
        text = (front.folder / f"results/{name}.html").read_text()
        assert len(text.encode()) < widget.LIMIT == 10**6
        assert {*re.findall(r"https?://[^\s\"'`]+", text)} <= {"http://www.w3.org/2000/svg"}
        assert "eval(" not in text
        assert text.count("<script") == text.count("</script>") == 2  # whatever the classes are called


def test_a_fragment_that_no_page_could_take_is_refused(watched, tmp_path, monkeypatch):
    monkeypatch.setattr(widget, "LIMIT", 1000)
    with pytest.raises(ValueError, match=r"the explorer company takes 0\.\d+ MB; expected at most 0.001 MB"):
        company.sample_and_company(watched).save(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_fragment_is_shown_by_today_s_script(watched, monkeypatch, tmp_path):
    company.sample_and_company(watched).save(tmp_path)
    old = (tmp_path / "company.html").read_text()
    assert fragment.renewed(old) == old
    monkeypatch.setattr(fragment, "FRONT", tmp_path)
    for name in ("company.js", "core.js", "explorer.css"):
        (tmp_path / name).write_text(f"/* another {name} */")
    new = fragment.renewed(old)
    assert fragment.read_fragment(new) == fragment.read_fragment(old)
    assert "/* another core.js */" in new
    assert "radiogroup" not in new
    with pytest.raises(ValueError, match="expected the HTML of an explorer; got a text without its data"):
        fragment.renewed("<p>another thing</p>")


def sprite_of(x):
    y = np.arange(len(x)) % 2
    data = assembled({"x_train": x, "x_test": x, "y_train": y, "y_test": y}, "own", "own")
    return images.sprite(data, data.x_train)


def test_a_sprite_has_every_sample_at_its_place(pixels):
    rng = np.random.default_rng(0)
    grey, colour = rng.integers(0, 256, (5, 8, 6), np.uint8), rng.integers(0, 256, (5, 4, 4, 3), np.uint8)
    for shown in (grey, colour):
        sprite = sprite_of(shown)
        assert (sprite["height"], sprite["width"], sprite["columns"], sprite["n"]) == (*shown.shape[1:3], 3, 5)
        sheet = pixels(sprite["png"])
        for i, image in enumerate(shown):
            top, left = i // 3 * image.shape[0], i % 3 * image.shape[1]
            part = sheet[top : top + image.shape[0], left : left + image.shape[1]]
            expected = 255 - np.stack([image] * 3, axis=-1).astype(int) if image.ndim == 2 else image
            assert abs(part - expected).max() <= 1


def test_rows_of_numbers_are_drawn_as_bars_and_large_images_smaller(pixels):
    rows = np.array([[0.0, 1.0, 0.5], [1.0, 0.0, 0.25]], np.float32)
    sprite = sprite_of(rows)
    dark = pixels(sprite["png"])[:, :, 0] < 128
    wide = sprite["width"] // 3
    heights = [
        [int(dark[: images.BAR_HEIGHT, i * sprite["width"] + j * wide].sum()) for j in range(3)] for i in range(2)
    ]
    assert heights == [[0, 24, 12], [24, 0, 6]]
    big = np.zeros((2, 64, 128), np.uint8)
    big[:, 10] = 255
    sprite = sprite_of(big)
    assert (sprite["width"], sprite["height"]) == (32, 16)


def test_long_rows_are_drawn_by_means(pixels):
    rows = np.zeros((2, 320), np.float32)
    rows[0, :10] = 1  # the first of 32 bars
    sprite = sprite_of(rows)
    dark = pixels(sprite["png"])[:, :, 0] < 128
    assert sprite["width"] == 32
    assert dark.sum(axis=0).tolist() == [24] + [0] * 63
