"""Results land where the notebook says, from wherever it is run."""

import pandas as pd
import pytest

from lpntk.keep import files
from lpntk.phenomena.cost import records as benchmarks
from lpntk.report.results import Results


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A package beside notebooks, and a working folder elsewhere."""
    (tmp_path / "repo" / "notebooks" / "profiles").mkdir(parents=True)
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    monkeypatch.setattr(files, "ROOT", tmp_path / "repo")
    monkeypatch.chdir(tmp_path / "elsewhere" / "deep")
    return tmp_path / "repo"


def test_a_relative_folder_counts_from_the_notebooks(checkout, tmp_path, monkeypatch):
    Results("../results/interactive/01").number("n", 1)
    assert (checkout / "results/interactive/01/numbers.json").exists()
    assert list((tmp_path / "elsewhere").rglob("*.json")) == []
    Results(tmp_path / "own").number("n", 1)
    assert (tmp_path / "own" / "numbers.json").exists()
    monkeypatch.setenv("HOME", str(tmp_path))
    Results("~/home").number("n", 1)
    assert (tmp_path / "home" / "numbers.json").exists()
    (checkout / "notebooks" / "profiles").rmdir()  # an installed package has none
    Results("out").number("n", 1)
    assert (tmp_path / "elsewhere/deep/out/numbers.json").exists()


def test_records_of_the_benchmark_are_found_from_wherever_a_notebook_runs(checkout):
    folder = checkout / "results" / "bench"
    (folder / "mnist").mkdir(parents=True)
    (folder / "mnist" / "all-pairs.json").write_text('{"relations": {"positive": 0.5}}')
    (folder / "broken.json").write_text("{}")
    assert benchmarks.all_pairs("../results/bench") == {"positive": 0.5}
    with pytest.raises(ValueError, match=r"broken\.json"):
        benchmarks.read("../results/bench")
    with pytest.raises(ValueError, match=r"all-pairs\.json"):
        benchmarks.whole_mnist("../results/bench")


def test_a_frame_is_kept_with_its_name_and_six_digits(tmp_path):
    Results(tmp_path).frame("judged", pd.DataFrame({"run": [0, 1], "f1": [1 / 3, float("nan")]}))
    assert (tmp_path / "frames" / "judged.csv").read_text() == "run,f1\n0,0.333333\n1,\n"
