"""Runs that are killed, edited, doubled or crossed by a user's own settings: nothing false is left behind."""

import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import pytest
import warm
import yaml
from forks import alive
from rows import each_row

from lpntk.keep.code import definitions
from lpntk.regenerate import everything as regenerate
from lpntk.regenerate import execute, manifest, runs
from lpntk.regenerate.execute import RegenerationError
from lpntk.regenerate.pairing import write_pair

ROOT = Path(__file__).resolve().parents[2]
HEADER = "# ---\n# jupyter:\n#   jupytext:\n#     formats: ipynb,py:percent\n# ---\n\n"
PARAMETERS = '# %% tags=["parameters"]\nvalue = 2\nresults = "out"\n\n'
RECORD = "# %%\nfrom lpntk.report.results import Results\nrecord = Results(results)\nrecord.number('value', value)\n\n"
BEGUN = (
    "# %%\nimport os, pathlib\nabove = pathlib.Path(results).parents[2]\n"
    "(above / f'begun-{value}').write_text(str(os.getpid()))\n\n"
)
SLEEPS = "# %%\nimport signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(600)\n"
BUSY = "# %%\nsum(range(10**13))\n"  # C code that holds the interpreter and looks at no signal


class Project:
    """A folder with notebooks and the profile ``tiny``."""

    def __init__(self, folder):
        self.folder, self.notebooks, self.results = folder, folder / "notebooks", folder / "results"
        (self.notebooks / "profiles").mkdir(parents=True)
        self.settings, self.started = {}, []

    def write(self, name, *cells, **parameters):
        (self.notebooks / f"{name}.py").write_text(HEADER + PARAMETERS + RECORD + "".join(cells))
        write_pair(self.notebooks / f"{name}.py")
        self.settings[name] = parameters
        (self.notebooks / "profiles" / "tiny.yml").write_text(yaml.safe_dump(self.settings))

    def run(self, **options):
        return regenerate.regenerate("tiny", results=self.results, notebooks=self.notebooks, **options)

    def start(self, *arguments, start=""):
        """Start the command in a process of its own, on these folders."""
        places = f"results=Path({str(self.results)!r}), notebooks=Path({str(self.notebooks)!r})"
        code = (
            "import sys\nfrom functools import partial\nfrom pathlib import Path\n"
            f"from lpntk.regenerate import everything as regenerate, runs\n{start}\n"
            f"regenerate.regenerate = partial(regenerate.regenerate, {places})\n"
            f"sys.exit(regenerate.main({['--profile', 'tiny', *arguments]}))"
        )
        folder = self.folder / f"said-{len(self.started)}"
        folder.mkdir()
        environment, needed = {**os.environ, "PYTHONPATH": str(ROOT)}, ["lpntk.regenerate.everything"]
        self.started.append(warm.program(code, folder, environment=environment, modules=needed))
        return self.started[-1]

    def begun(self, *values):
        """Wait until notebooks have begun, and return the numbers of their processes."""
        files = [self.results / "tiny" / f"begun-{value}" for value in values]
        within(120, lambda: all(file.exists() and file.read_text() for file in files))
        return [int(file.read_text()) for file in files]


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "start", warm.start)
    made = Project(tmp_path)
    yield made
    for process in made.started:
        process.kill()


def within(seconds, true):
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, f"not within {seconds} s"
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="the system kills a child with its parent on Linux only")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_all_ends_with_the_runner_whatever_the_notebooks_do(project, number):
    project.write("01-sleeps", BEGUN, SLEEPS, value=1)
    project.write("02-busy", BEGUN, BUSY, value=2)
    runner = project.start("--jobs", "2")
    kernels = project.begun(1, 2)
    sent = time.monotonic()
    runner.send_signal(number)
    _, told = runner.communicate(timeout=5)
    within(5 - (time.monotonic() - sent), lambda: not any(map(alive, kernels)))
    if number == signal.SIGKILL:
        assert runner.returncode == -signal.SIGKILL
    else:
        assert runner.returncode == 130
        assert told == "regenerate: interrupted; what had finished stays\n"
        assert [path.name for path in (project.results / "tiny" / ".partial").iterdir()] == ["lock"]
    assert not list(project.results.glob("tiny/0*"))


def test_what_was_edited_while_it_waited_is_not_run(project):
    edit = "import pathlib\nwith pathlib.Path(results).parents[4].joinpath('notebooks/02-next.py').open('a') as f:\n"
    project.write("01-first", "# %%\n" + edit + "    f.write('# %%\\nvalue = 3\\n')\n", value=1)
    project.write("02-next", value=2)
    with pytest.raises(RegenerationError, match=r"^02-next\.py.*make pair"):
        project.run()
    assert not (project.results / "tiny" / "02-next").exists()


def test_a_second_regeneration_is_told_who_runs_and_a_killed_one_is_no_obstacle(project):
    project.write("01-sleeps", BEGUN, SLEEPS, value=1)
    first = project.start()
    project.begun(1)
    second = project.start()
    _, told = second.communicate(timeout=60)
    assert second.returncode == 1
    assert f"process {first.pid} on " in told
    assert "wait for it, end it" in told
    assert first.poll() is None
    first.kill()
    first.wait()
    project.write("01-sleeps", value=3)
    (folder,) = project.run()
    assert json.loads((folder / "numbers.json").read_text()) == {"value": 3}


@pytest.mark.parametrize("put_back", [True, False])
def test_a_source_edited_while_it_ran_gives_no_result(project, put_back):
    edit = (
        "# %%\nsource = pathlib.Path(os.getcwd(), '01-first.py')\ntext = source.read_text()\n"
        f"source.write_text(text + '# edited')\nsource.write_text(text + '# edited' * {not put_back})\n"
    )
    project.write("01-first", BEGUN, edit)
    with pytest.raises(RegenerationError, match=r"01-first\.py: 01-first\.py was written to while it ran.*not kept"):
        project.run()
    assert not (project.results / "tiny" / "01-first").exists()
    assert (project.results / "tiny" / "failed" / "01-first.ipynb").exists()


def test_a_source_edited_while_it_waited_is_recorded_as_what_ran(project):
    later = project.notebooks / "02-later.py"
    project.write("02-later", "# %%\nrecord.number('a', 1)\n")
    write = f"# %%\nfrom lpntk.regenerate.pairing import write_pair\nlater = pathlib.Path({str(later)!r})\n"
    write += "later.write_text(later.read_text().replace(\"'a', 1\", \"'a', 2\"))\nwrite_pair(later)\n"
    project.write("01-first", BEGUN, write)
    _, folder = project.run(jobs=1)
    assert json.loads((folder / "numbers.json").read_text())["a"] == 2
    assert json.loads((folder / "manifest.json").read_text())["code"] == definitions(later)


def test_a_crash_between_two_renames_loses_nothing(project, monkeypatch, capsys):
    project.write("01-first", value=1)
    (folder,) = project.run()
    project.write("01-first", value=2)
    real, renamed = os.replace, []

    def crashes(source, target):
        if str(target) == str(folder):
            raise KeyboardInterrupt
        renamed.append(target)
        return real(source, target)

    monkeypatch.setattr(runs.os, "replace", crashes)
    monkeypatch.setattr(runs, "TemporaryDirectory", Kept)  # a crash clears nothing away
    with pytest.raises(KeyboardInterrupt):
        project.run()
    assert any(str(path).endswith(".old") for path in renamed)
    assert not folder.exists()
    monkeypatch.undo()
    capsys.readouterr()
    project.run()
    assert "unchanged, kept" in capsys.readouterr().out  # the new one was whole
    assert json.loads((folder / "numbers.json").read_text()) == {"value": 2}

    aside = project.results / "tiny" / ".partial" / "1-dead" / "01-first.old"
    aside.parent.mkdir()
    folder.rename(aside)
    project.run()
    assert "unchanged, kept" in capsys.readouterr().out
    assert not aside.parent.exists()


class Kept:
    """A temporary folder that stays."""

    def __init__(self, prefix, dir=None, **_):
        self.name = tempfile.mkdtemp(prefix=prefix, dir=dir)

    def __enter__(self):
        return self.name

    def __exit__(self, *_):
        pass


def test_half_of_a_result_is_never_taken_for_whole(project):
    project.write("01-first", value=1)
    half = project.results / "tiny" / ".partial" / "1-dead" / "01-first"
    half.mkdir(parents=True)
    (half / "numbers.json").write_text('{"value": 7}')
    (folder,) = project.run()
    assert json.loads((folder / "numbers.json").read_text()) == {"value": 1}


LOOKS = (
    "# %%\nimport sys, matplotlib\nimport matplotlib.pyplot as plt\n"
    "record.number('size', matplotlib.rcParams['font.size'])\nrecord.number('python', sys.executable)\n"
    "record.number('injected', 'injected' in globals())\nassert __debug__\n"
    "import lpntk\nrecord.number('package', lpntk.__file__)\nfig = plt.figure()\nfig\n"
)


def test_what_somebody_wrote_into_a_result_is_kept_beside_it(project, capsys):
    project.write("01-a")
    (folder,) = project.run()
    (folder / "notes.txt").write_text("mine")
    project.run()
    assert not (folder / "notes.txt").exists()
    (folder / "numbers.json").write_text("mine, too")
    project.run()
    assert json.loads((folder / "numbers.json").read_text())["value"] == 2
    kept = folder.parent / "edited"
    assert (kept / "01-a" / "notes.txt").read_text() == "mine"
    assert (kept / "01-a-2" / "numbers.json").read_text() == "mine, too"
    assert "01-a held what no run has written; it is kept in tiny/edited/01-a-2" in capsys.readouterr().out
    (folder / "numbers.json").unlink()
    project.run()
    project.run(force=True)
    assert len(list(kept.iterdir())) == 2


def test_a_users_settings_reach_no_cell(project, monkeypatch, tmp_path):
    monkeypatch.setattr(runs, "start", execute.start)
    home = tmp_path / "home"
    startup = home / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "0.py").write_text("injected = 1\n")
    (home / "start.py").write_text("injected = 1\n")
    (home / "matplotlibrc").write_text("font.size: 31\nbackend: nonsense\n")
    spec = home / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text('{"argv": ["false"], "display_name": "Python 3", "language": "python"}')
    for name, value in {
        "IPYTHONDIR": home / "ipython", "PYTHONSTARTUP": home / "start.py", "MATPLOTLIBRC": home / "matplotlibrc",
        "JUPYTER_PATH": home / "jupyter", "MPLBACKEND": "module://nonsense", "PYTHONOPTIMIZE": "1",
        "PYTHONWARNINGS": "error", "LPNTK_OWN": "passes",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))
    project.write("01-first", LOOKS, "# %%\nimport os\nrecord.number('own', os.environ['LPNTK_OWN'])\n")
    (folder,) = project.run()
    found = json.loads((folder / "numbers.json").read_text())
    assert found == {
        "value": 2, "size": 10.0, "python": sys.executable, "injected": False, "own": "passes",
        "package": str(ROOT / "lpntk" / "__init__.py"),
    }  # fmt: skip


def test_warnings_stay_on_the_page_and_progress_bars_and_paths_do_not(project):
    warns = (
        "# %%\nimport sys, warnings\nfrom tqdm import tqdm\nwarnings.warn('2 of 3 networks diverged')\n"
        "for _ in tqdm(range(3), desc='training'): pass\nfor _ in tqdm(iter('ab')): pass\n"
        f"print('{Path.home()}/secret', file=sys.stderr)\n"
    )
    project.write("01-first", warns)
    (folder,) = project.run()
    cells = nbformat.read(folder / "notebook.ipynb", as_version=4).cells
    told = "".join(o.text for c in cells if c.cell_type == "code" for o in c.outputs if o.get("name") == "stderr")
    assert "UserWarning: 2 of 3 networks diverged" in told
    assert "training" not in told
    assert "it/s" not in told
    assert str(Path.home()) + "/" not in told


def test_a_disk_that_takes_nothing_is_a_sentence(project, monkeypatch, capsys):
    project.write("01-first")
    project.results.write_text("a file where a folder should be")
    runner = project.start()
    _, told = runner.communicate(timeout=60)
    assert runner.returncode == 1
    assert told.startswith("regenerate: [Errno ")
    assert told.count("\n") == 1


def test_a_notebook_that_cannot_write_its_result_is_a_sentence(project):
    project.write("01-first", "# %%\nimport shutil\nshutil.rmtree(results)\nopen(results, 'w').close()\n")
    with pytest.raises(RegenerationError, match=r"01-first\.py: its result cannot be written .*make room"):
        project.run()


@each_row("jobs", ["0", "two"])
def test_a_number_of_jobs_that_cannot_be(jobs, capsys):
    with pytest.raises(SystemExit) as ended:
        regenerate.main(["--jobs", jobs])
    assert ended.value.code == 2
    assert f"expected a whole number of at least 1, got {jobs!r}" in capsys.readouterr().err


@each_row("jobs", [0, 1.5, True])
def test_a_number_of_jobs_that_cannot_be_is_refused_from_python_too(project, jobs):
    project.write("01-first")
    with pytest.raises(ValueError, match=r"jobs must be a whole number of at least 1.*got"):
        project.run(jobs=jobs)


@each_row("only", ["01", [], [""], ["01", ""]])
def test_a_choice_that_chooses_nothing_or_by_letters_is_refused(project, only):
    project.write("01-first")
    with pytest.raises(RegenerationError, match="only"):
        project.run(only=only)


DRAWS = "# %%\nimport numpy\nrecord.number('drawn', numpy.random.random())\n"
BROKEN = {
    "02-cell": "# %%\nraise ValueError('two\\nlines')\n",
    "03-source": "# %%\nfrom lpntk.keep import keys\ndef unfinished(:\n",
    "05-dies": "# %%\nimport os\nos._exit(3)\n",
    "06-no-json": "# %%\nopen(results + '/numbers.json', 'w').write('{')\n",
}


def test_one_failure_stops_no_other_and_all_are_told(project, capsys):
    for name, cell in BROKEN.items():
        project.write(name, cell)
    project.write("01-first", DRAWS, value=1)
    project.write("04-wrong", valve=3)
    project.write("07-last", DRAWS, value=7)
    with pytest.raises(RegenerationError) as told:
        project.run(jobs=2)
    head, *lines = str(told.value).splitlines()
    assert head == "5 of 7 notebooks failed; what the others gave stays"
    assert [line.split(".py")[0].strip() for line in lines] == [*sorted([*BROKEN, "04-wrong"])]
    assert "ValueError: two lines (the notebook up to there: tiny/failed/02-cell.ipynb)" in lines[0]
    assert "knows no parameter valve" in lines[2]
    assert "kernel died" in lines[3]
    assert "06-no-json.py: Expecting property name" in lines[4]
    finished = (project.results / "tiny" / name / "numbers.json" for name in ("01-first", "07-last"))
    first, last = (json.loads(path.read_text()) for path in finished)
    assert (first["value"], last["value"]) == (1, 7)
    assert first["drawn"] != last["drawn"]  # their processes are forks of one
    out = capsys.readouterr().out
    assert out.count(": failed, ") == 5
    assert "[1/7] 01-first (tiny): done" in out


def test_a_mistake_while_a_source_is_described_stops_no_other(project, monkeypatch):
    project.write("01-first", value=1)
    project.write("02-second", value=2)
    real = manifest.describe

    def describe(source, *rest):
        if source.stem == "01-first":
            raise KeyError("what nobody foresaw")
        return real(source, *rest)

    monkeypatch.setattr(manifest, "describe", describe)
    with pytest.raises(
        RegenerationError, match=r"01-first\.py: KeyError: 'what nobody foresaw' \(test_runs\.py, line "
    ):
        project.run()
    assert (project.results / "tiny/02-second/numbers.json").exists()
    assert not (project.results / "tiny/01-first").exists()


def test_all_failures_are_an_exit_status(project, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")  # as terminals without umlauts have it
    project.write("01-first", "# %%\n1 / 0\n")
    project.write("03-third", "# %%\nraise ValueError('größer')\n")
    project.write("02-second", "# %%\n[][1]\n")
    runner = project.start(start="import __main__ as warm\nruns.start = warm.start_here")
    _, told = runner.communicate(timeout=120)
    assert runner.returncode == 1
    assert told.startswith("regenerate: 3 of 3 notebooks failed; what the others gave stays\n")
    assert "\n  01-first.py, cell 3: ZeroDivisionError" in told
    assert told.count("\n") == 4
    assert "02-second.py, cell 3: IndexError" in told
    assert "03-third.py, cell 3: ValueError: gr\\xf6\\xdfer" in told


def test_a_result_names_the_machine_that_its_frames_were_computed_on(tmp_path):
    assert manifest.trained_on(tmp_path) == {}
    (tmp_path / "frames").mkdir()
    for name, device in (("a", "CPU one"), ("b", "CPU one")):
        (tmp_path / "frames" / f"{name}.json").write_text(json.dumps({"made_on": {"device": device, "threads": 1}}))
    assert manifest.trained_on(tmp_path) == {"device": "CPU one", "threads": 1}
    (tmp_path / "frames" / "c.json").write_text(json.dumps({"made_on": {"device": "GPU two", "threads": 1}}))
    assert manifest.trained_on(tmp_path) == {"device": "CPU one; GPU two", "threads": "1"}
