import json
import os

import nbformat
import numpy as np
import pytest
import warm
import yaml
from rows import each_row

from lpntk.regenerate import everything as regenerate
from lpntk.regenerate import manifest, runs
from lpntk.regenerate.execute import RegenerationError
from lpntk.regenerate.pairing import NOTEBOOKS, disagreement, write_pair
from lpntk.regenerate.profile.profile import check_parameters, read_profile
from lpntk.report.results import Results

HEADER = "# ---\n# jupyter:\n#   jupytext:\n#     formats: ipynb,py:percent\n# ---\n\n"
PARAMETERS = '# %% tags=["parameters"]\nvalue = 2\nscale = 1.0\nresults = "out"\n\n'
BODY = (
    "# %%\nfrom lpntk.report.results import Results\nrecord = Results(results)\n"
    'record.number("double", 2 * value * scale)\n\n'
    "# %% [markdown]\n# See [theory](../book/theory.md).\n\n"
    "# %%\nassert value != 13, 'thirteen'\n"
)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Two small paired notebooks and a profile."""
    monkeypatch.setattr(runs, "start", warm.start)
    notebooks = tmp_path / "notebooks"
    (notebooks / "profiles").mkdir(parents=True)
    for name in ("01-first", "02-second"):
        write(notebooks, name, PARAMETERS + BODY)
    profile(notebooks, {"all": {"scale": 10.0}, "01-first": {"value": 3}, "02-second": None})
    return tmp_path


def write(notebooks, name, text):
    (notebooks / f"{name}.py").write_text(HEADER + text)
    write_pair(notebooks / f"{name}.py")


def profile(notebooks, content):
    (notebooks / "profiles" / "tiny.yml").write_text(yaml.safe_dump(content))


def regenerated(project, **options):
    return regenerate.regenerate("tiny", results=project / "results", notebooks=project / "notebooks", **options)


def test_a_profile_runs_to_results_and_a_second_run_skips_them(project, capsys):
    first, second = regenerated(project)
    assert json.loads((first / "numbers.json").read_text()) == {"double": 60.0}
    assert json.loads((second / "numbers.json").read_text()) == {"double": 40.0}
    made_by = json.loads((first / "manifest.json").read_text())
    assert made_by["parameters"] == {"value": 3, "scale": 10.0}
    assert {"profile", "data", "versions", "device", "seconds"} <= set(made_by)
    text = (first / "notebook.ipynb").read_text()
    assert str(project) not in text  # no path of this machine
    executed = nbformat.reads(text, as_version=4)
    assert any("](../../../book/theory.md)" in cell.source for cell in executed.cells)
    assert executed.cells[-1].source.startswith("---\n*Where this page comes from: `notebooks/01-first.py`")
    assert capsys.readouterr().out.count("done in") == 2

    stamp = os.stat(first / "numbers.json").st_mtime_ns
    regenerated(project)
    assert os.stat(first / "numbers.json").st_mtime_ns == stamp
    assert capsys.readouterr().out.count("unchanged, kept") == 2

    profile(project / "notebooks", {"01-first": {"value": 4}, "02-second": {"scale": 10.0}})
    regenerated(project)
    out = capsys.readouterr().out
    assert "[1/2] 01-first (tiny): done" in out
    assert "[2/2] 02-second (tiny): unchanged, kept" in out

    regenerated(project, only=["02"], force=True)
    out = capsys.readouterr().out
    assert "01-first" not in out
    assert "[1/1] 02-second (tiny): done" in out


def test_a_failing_cell_names_notebook_and_cell_and_keeps_what_had_finished(project, capsys):
    regenerated(project)
    before = (project / "results/tiny/02-second/numbers.json").read_text()
    profile(project / "notebooks", {"01-first": {"value": 5}, "02-second": {"value": 13}})
    with pytest.raises(RegenerationError, match=r"02-second\.py, cell 4: AssertionError: thirteen"):
        regenerated(project)
    assert json.loads((project / "results/tiny/01-first/numbers.json").read_text()) == {"double": 10.0}
    assert (project / "results/tiny/02-second/numbers.json").read_text() == before
    assert (project / "results/tiny/failed/02-second.ipynb").exists()


@each_row(
    ("content", "words"),
    [
        ({"01-first": {"valve": 3}}, r"01-first\.py knows no parameter valve; it has value, scale, results"),
        ({"03-third": {}}, r"there is no 03-third\.py"),
    ],
)
def test_a_profile_that_does_not_fit(project, content, words):
    profile(project / "notebooks", content)
    with pytest.raises(RegenerationError, match=words):
        regenerated(project)


def test_a_profile_names_its_samples_by_dataset(project):
    own = '# %% tags=["parameters"]\nvalue = 2\nscale = 1.0\ndata = ""\nresults = "out"\n\n'
    write(project / "notebooks", "01-first", own + BODY)
    profile(project / "notebooks", {"01-first": {"data": ""}})
    regenerated(project)
    profile(project / "notebooks", {"01-first": {"data": "own.csv"}})
    with pytest.raises(RegenerationError, match=r"papermill -p data .* names its samples by dataset"):
        regenerated(project)


def test_notebooks_that_cannot_run(project):
    notebooks = project / "notebooks"
    write(notebooks, "01-first", BODY)
    with pytest.raises(RegenerationError, match=r"01-first\.py has no cell tagged 'parameters'"):
        regenerated(project)
    write(notebooks, "01-first", PARAMETERS + "# %%\n1 + 1\n")
    with pytest.raises(RegenerationError, match=r"01-first\.py recorded no number"):
        regenerated(project)
    (notebooks / "01-first.py").write_text(HEADER + PARAMETERS + BODY + "\n# %%\n2\n")
    with pytest.raises(RegenerationError, match=r"cell 1 of 01-first\.ipynb differs .*make pair"):
        regenerated(project)
    with pytest.raises(RegenerationError, match="no profile 'paper': expected one of tiny"):
        regenerate.regenerate("paper", notebooks=notebooks)
    with pytest.raises(RegenerationError, match="--only '07' fits no notebook"):
        regenerated(project, only=["07"])


@each_row(
    ("text", "words"),
    [
        ("", "must name at least one notebook"),
        ("all: {scale: 2}", "must name at least one notebook"),
        ("01-first: 5", "must name at least one notebook"),
        ("01-first: {results: x}", "sets results"),
        ("01-first: [", r"tiny\.yml is no YAML"),
    ],
)
def test_a_malformed_profile(project, text, words):
    (project / "notebooks" / "profiles" / "tiny.yml").write_text(text)
    with pytest.raises(RegenerationError, match=words):
        regenerated(project)


def test_the_time_of_training_is_told_beside_that_of_the_notebook(tmp_path):
    assert manifest.duration(tmp_path, 3.4) == "notebook 3 s"
    for key in manifest.TRAINING:
        (tmp_path / "numbers.json").write_text(json.dumps({key: 3512.4, "n": 1}))
        assert manifest.duration(tmp_path, 32) == "notebook 32 s, training 3512 s (kept)"
        assert manifest.duration(tmp_path, 3600) == "notebook 3600 s, training 3512 s"


def test_an_edited_lost_or_damaged_result_is_made_again(project, capsys):
    folder = regenerated(project, only=["01"])[0]
    for spoil in (
        lambda: (folder / "numbers.json").write_text('{"double": 61.0}'),
        lambda: (folder / "notebook.ipynb").unlink(),
        lambda: (folder / "manifest.json").write_text("{"),
    ):
        spoil()
        capsys.readouterr()
        regenerated(project, only=["01"])
        assert "01-first (tiny): done" in capsys.readouterr().out
        assert json.loads((folder / "numbers.json").read_text()) == {"double": 60.0}


def test_an_own_file_is_found_from_anywhere_and_its_path_is_not_told(project, monkeypatch):
    (project / "mine").mkdir()
    images, labels = np.zeros((8, 4, 4), np.uint8), np.arange(8) % 2
    np.savez(project / "mine" / "own.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    loads = "# %%\nfrom lpntk.data import dataset as data\nrecord.number('n', len(data.load(dataset).y_train))\n"
    write(project / "notebooks", "01-first", PARAMETERS.replace("value", 'dataset = "digits"\nvalue') + BODY + loads)
    profile(project / "notebooks", {"01-first": {"dataset": "mine/own.npz"}})
    monkeypatch.chdir(project)
    (folder,) = regenerated(project)
    assert json.loads((folder / "numbers.json").read_text())["n"] == 8
    for name in ("notebook.ipynb", "manifest.json"):
        assert str(project) not in (folder / name).read_text()
    assert json.loads((folder / "manifest.json").read_text())["parameters"]["dataset"] == "own.npz"


def test_the_command_exits_with_an_error(capsys):
    assert regenerate.main(["--profile", "nonsense"]) == 1
    assert "regenerate: no profile 'nonsense'" in capsys.readouterr().err
    assert regenerate.main(["--data", "no/such/folder"]) == 1
    assert "no such folder" in capsys.readouterr().err


def test_what_an_edit_is_looked_for_in_follows_imports(tmp_path):
    notebook = tmp_path / "n.py"
    notebook.write_text("from lpntk.kernel import reading as relations\n")
    assert [p.name for p in manifest.sources(notebook)] == ["reading.py", "n.py"]
    notebook.write_text("from lpntk.phenomena.difficulty import study as difficulty\n")
    assert "training.py" in [p.name for p in manifest.sources(notebook)]


def test_a_number_that_is_none_is_said_to_be_undefined(tmp_path):
    record = Results(tmp_path)
    record.update("slope", {"first": 2.0, "sd": float("nan")})
    assert [record.text(f"slope.{key}", ".1f") for key in ("first", "sd")] == ["2.0", "undefined"]


def test_results_refuse_what_a_page_could_not_show(tmp_path):
    record = Results(tmp_path)
    record.number("a.b", 1.5)
    record.number("a.nan", float("nan"))
    assert json.loads((tmp_path / "numbers.json").read_text()) == {"a.b": 1.5, "a.nan": "nan"}
    with pytest.raises(ValueError, match="recorded already"):
        record.number("a.b", 2)
    with pytest.raises(ValueError, match="a key is words"):
        record.number("a b", 2)
    with pytest.raises(TypeError, match="must be a number"):
        record.number("list", [1])


@each_row("source", sorted(NOTEBOOKS.glob("*.py")))
def test_each_notebook_is_paired_and_free_of_outputs(source):
    assert disagreement(source) is None


def test_no_notebook_stands_alone():
    assert {p.stem for p in NOTEBOOKS.glob("*.py")} == {
        p.stem for p in NOTEBOOKS.glob("*.ipynb") if ".edited" not in p.stem
    }


@each_row("name", [p.stem for p in (NOTEBOOKS / "profiles").glob("*.yml")])
def test_each_profile_fits_its_notebooks(name):
    settings = read_profile(name)
    assert set(settings) <= {p.stem for p in NOTEBOOKS.glob("*.py")}
    for notebook, given in settings.items():
        check_parameters(NOTEBOOKS / f"{notebook}.py", given)
