"""Nothing that somebody wrote into a notebook is lost when it is written anew."""

import nbformat
import pytest

from lpntk.regenerate import pairing
from lpntk.regenerate.pairing import disagreement, write_pair

TEXT = "# %% [markdown]\n# One\n\n# %%\n1 + 1\n"


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "01-first.py"
    path.write_text(TEXT)
    assert write_pair(path) is None
    return path


def edit(source, line="# edited"):
    pair = source.with_suffix(".ipynb")
    notebook = nbformat.read(pair, as_version=4)
    notebook.cells[1].source += f"\n{line}"
    nbformat.write(notebook, pair)
    return pair.read_bytes()


def test_what_was_edited_in_the_notebook_alone_is_kept_each_time(source, capsys, monkeypatch):
    monkeypatch.setattr(pairing, "NOTEBOOKS", source.parent)
    first = edit(source)
    assert disagreement(source) == "cell 1 of 01-first.ipynb differs from 01-first.py"
    assert pairing.main(["--check"]) == 1
    words = capsys.readouterr().err
    assert "if the .py is right, run `make pair`" in words
    assert "if the .ipynb is, take it over with `jupytext" in words
    assert pairing.main([]) == 0
    copy = source.with_name("01-first.edited.ipynb")
    assert f"it is kept as {copy}" in capsys.readouterr().out
    assert disagreement(source) is None
    second = edit(source, "# again")
    assert write_pair(source) == source.with_name("01-first.edited-2.ipynb")
    assert (copy.read_bytes(), source.with_name("01-first.edited-2.ipynb").read_bytes()) == (first, second)


def test_outputs_are_kept_and_so_is_what_can_no_longer_be_read(source):
    pair = source.with_suffix(".ipynb")
    notebook = nbformat.read(pair, as_version=4)
    notebook.cells[1].outputs = [nbformat.v4.new_output("stream", text="after an hour")]
    nbformat.write(notebook, pair)
    assert "after an hour" in write_pair(source).read_text()
    pair.write_text("<<<<<<< ours\n{")
    assert disagreement(source).startswith("01-first.ipynb is no notebook")
    assert write_pair(source).read_text() == "<<<<<<< ours\n{"


def test_a_notebook_that_only_fell_behind_is_not_kept(source):
    source.write_text(TEXT + "\n# %%\n2\n")
    assert write_pair(source) is None
    source.with_suffix(".ipynb").unlink()
    assert disagreement(source) == "01-first.ipynb is missing"
    assert write_pair(source) is None
    assert [p.name for p in source.parent.glob("*.ipynb")] == ["01-first.ipynb"]
