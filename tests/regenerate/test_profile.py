"""A profile is refused with a sentence before anything starts, or means what it says."""

import re

import numpy as np
import pytest
from rows import each_row

from lpntk.regenerate.execute import RegenerationError
from lpntk.regenerate.pairing import NOTEBOOKS, write_pair
from lpntk.regenerate.profile.profile import check_parameters, read_profile

DEFAULTS = """
n = 6
lr = 1.0
name = "a"
sizes = [4, 1]
rates = [1, 0.1]
options = {"hidden": [8]}
flag = False
most = None
results = "out"
"""


@pytest.fixture
def notebook(tmp_path):
    """A notebook with parameters of every type."""
    (tmp_path / "profiles").mkdir()
    source = tmp_path / "01-first.py"
    source.write_text(f'# %% tags=["parameters"]{DEFAULTS}\n# %%\n1\n')
    write_pair(source)
    return source


def settings(notebook, text):
    (notebook.parent / "profiles" / "tiny.yml").write_text(text)
    return read_profile("tiny", notebook.parent)


def parameters(notebook, text):
    return check_parameters(notebook, settings(notebook, f"01-first: {{{text}}}")["01-first"])


@each_row("name", ["../../outside", ".hidden", "", "a b", "interactive", "bench"])
def test_a_profile_is_no_path(notebook, name):
    (notebook.parent.parent / "outside.yml").write_text("01-first: {}")
    with pytest.raises(RegenerationError, match=r"is no name of a profile|no folder of a profile's results"):
        read_profile(name, notebook.parent)


@each_row("name", ["../notebooks/01-kernel", ".."])
def test_a_notebook_is_no_path(notebook, name):
    with pytest.raises(RegenerationError, match=rf"'{re.escape(name)}' is no name of a notebook in tiny\.yml"):
        settings(notebook, f'"{name}": {{}}')


@each_row(
    ("text", "words"),
    [
        ("01-first:\n  n: 3\n  lr: 1\n  n: 4\n", r"tiny\.yml .*line 4: the key n stands in line 2 already"),
        ("01-first: {options: {hidden: [8], hidden: [9]}}", "the key hidden stands in line 1"),
        ("01-first: {<<: {n: 1, n: 2}}", "the key n stands in line 1"),
        ("01-first: {name: 2024-01-01}", r"line 1: 2024-01-01 is a date; write '2024-01-01'"),
        ("01-first: {1: 2}", r"line 1: a key must be a word; got 1"),
        ("on: {}", r"line 1: a key must be a word; got on"),
        ("01-first: {name: on}", r"on may be a word or a truth value; write true or false, or 'on'"),
        ("01-first: {lr: 1e999}", "1e999 is no finite number"),
        ("01-first: &a {options: *a}", "this holds itself"),
        ("01-first: {most: !!python/name:os.system }", "could not determine a constructor"),
        ("01-first: {most: !!int many}", "invalid literal"),
    ],
)
def test_what_may_be_read_in_two_ways_is_refused_with_its_line(notebook, text, words):
    with pytest.raises(RegenerationError, match=words):
        settings(notebook, text)


def test_numbers_are_those_that_are_written(notebook):
    text = "lr: 1e-3, n: 1_000, sizes: [0x10], rates: [1E+3, .5, 2., -1.5e2], most: [010, 1:30, 1.2.3, 1e5x, '1e3', ~]"
    given = parameters(notebook, text)
    assert (given["lr"], given["n"], given["sizes"]) == (0.001, 1000, [16])
    assert given["rates"] == [1000.0, 0.5, 2.0, -150.0]
    assert given["most"] == ["010", "1:30", "1.2.3", "1e5x", "1e3", None]
    merged = settings(notebook, "all: &a {n: 3}\n01-first: {<<: *a, lr: 2}\n")
    assert merged == {"01-first": {"n": 3, "lr": 2}}


@each_row(
    ("text", "words"),
    [
        ("n: many", r"01-first\.py: n must be a whole number, such as 6; got 'many' \(a word\); correct the profile"),
        ("n: true", r"n must be a whole number.*got True"),
        ("n: 010", r"n must be a whole number.*got '010'"),
        ("n: ", r"n must be a whole number.*got nothing"),
        ("lr: true", r"lr must be a number.*got True"),
        ("lr: '1e-3'", r"lr must be a number.*got '1e-3'"),
        ("name: 5", r"name must be a word"),
        ("flag: 1", r"flag must be true or false"),
        ("sizes: 4", r"sizes must be a list, such as \[4, 1\]; got 4"),
        ("sizes: [4, 1.0]", r"sizes\[1\] must be a whole number"),
        ("rates: [1, fast]", r"rates\[1\] must be a number"),
        ("options: [8]", "options must be a mapping"),
        ("options: {hidden: 8}", r"options\.hidden must be a list"),
    ],
)
def test_a_value_has_the_type_of_its_default(notebook, text, words):
    with pytest.raises(RegenerationError, match=words):
        parameters(notebook, text)


def test_what_fits_is_taken(notebook):
    given = parameters(notebook, "lr: 1, rates: [1, 2], options: {width: 8}, most: 5, sizes: []")
    assert (given["lr"], given["rates"], given["options"], given["most"]) == (1, [1, 2], {"width": 8}, 5)


@each_row(
    ("name", "given", "words"),
    [
        ("01-kernel", {"n": 1}, r"n must .*at least 4 \(classes \+ 1\).*; got 1"),
        ("01-kernel", {}, r"n must be .*at most 30.*got 600"),
        ("01-kernel", {"n": 31}, r"at most 30 \(samples of the training set\) for the data set .*own\.npz; got 31"),
        (
            "02-difficulty",
            {"n": 30, "n_class": 10},
            r"n_class must .*at most 9 \(samples of the smallest class\).*got 10",
        ),
        ("03-cost", {"n": 30, "n_timed": 31}, r"n_timed must .*at most 30"),
        ("04-company", {"n": 30, "count": 10}, r"count must .*at most 9"),
        ("05-one-step", {"n_test": 0}, r"n_test must .*at least 1"),
        ("06-theorem", {"n": 30, "ks": [2, 4]}, r"ks must .*at most 3 \(classes of the data set\).*got 4"),
        ("06-theorem", {"n": 30, "ks": [1, 3]}, r"ks must .*at least 2 .*got 1"),
        ("06-theorem", {"n": 30, "ks": [3], "per_class": 10}, r"per_class must .*at most 9"),
        ("07-relations", {"n": 30, "classes": [2, 4]}, r"classes must .*at most 3"),
        ("07-relations", {"n": 30, "n_train": 2}, r"n_train must .*at least 4"),
        ("07-relations", {"n": 30, "n_train": "all"}, r"n_train must be a whole number"),
        ("07-relations", {"n": 30, "n_train": 20}, r"n must .*at most 20"),
        ("08-forgetting", {"n": 30, "followed": 31}, r"followed must .*at most 30 \(n\)"),
        ("08-forgetting", {"n": 30, "followed": 30, "batch_size": 0}, r"batch_size must .*at least 1"),
        ("01-kernel", {"dataset": "none.npz"}, r"01-kernel\.py: none\.npz: no such file"),
        ("01-kernel", {"dataset": "mnist", "n": 60_001}, r"n must .*at most 60000"),
    ],
)
def test_what_counts_samples_or_classes_fits_the_data(tmp_path, monkeypatch, name, given, words):
    save(tmp_path, monkeypatch)
    with pytest.raises(RegenerationError, match=words):
        check_parameters(NOTEBOOKS / f"{name}.py", {"dataset": "own.npz", **given})


def test_the_largest_that_fits_is_taken_and_a_file_is_found_from_anywhere(tmp_path, monkeypatch):
    path = save(tmp_path, monkeypatch)
    monkeypatch.setenv("HOME", str(tmp_path))
    given = check_parameters(NOTEBOOKS / "04-company.py", {"dataset": "~/own.npz", "n": 30, "count": 9})
    assert given["dataset"] == str(path)
    check_parameters(NOTEBOOKS / "06-theorem.py", {"dataset": "own.npz", "n": 4, "ks": [2, 3], "per_class": 9})
    check_parameters(NOTEBOOKS / "07-relations.py", {"dataset": "own.npz", "n": 30})  # classes of the default: 2, 3, 4


def save(folder, monkeypatch):
    """Save 30 samples of three classes, of which the smallest has nine; another 30 to test; and go there."""
    labels = np.repeat([0, 1, 2], [9, 10, 11])
    images = np.random.default_rng(0).random((30, 4, 4)).astype(np.float32)
    np.savez(folder / "own.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("LPNTK_DATA", raising=False)
    return folder / "own.npz"


def test_null_spares_a_notebook_what_is_for_all(notebook):
    told = settings(notebook, "all: {seed: 3, lr: 0.5}\n01-first: {lr: null, most: null}\n02-second: {}\n")
    assert told == {"01-first": {"seed": 3, "most": None}, "02-second": {"seed": 3, "lr": 0.5}}
