"""Does the meaning of the code decide, and nothing else?"""

import json
import shutil

import pytest
from rows import each_row

from lpntk.keep.code import PACKAGE, definitions, definitions_of, differing
from lpntk.keep.currency import NOTEBOOKS, changed, stale
from lpntk.learn.campaign import train_many
from lpntk.phenomena.forgetting.study import study

NOTEBOOK = """# %% [markdown]
# # Title
# %%
from lpntk import physics
from lpntk.kernel.matrix import kernel_matrix
from lpntk.helpers import twice

print(physics.force(2), twice(3), kernel_matrix)
"""
PHYSICS = '''"""What pulls?"""

from lpntk.helpers import twice

G: float = 9.8


def force(x: float) -> float:
    """Return the force."""
    return twice(x) * G  # a remark


def unused(x):
    return x
'''
HELPERS = "def twice(x):\n    return 2 * x\n"
KERNELS = "VERSION = 1\n\n\ndef kernel_matrix():\n    return 1\n"


def made(tmp_path):
    package = tmp_path / "lpntk"
    package.mkdir()
    (package / "kernel").mkdir()
    for name, text in {"physics": PHYSICS, "helpers": HELPERS, "kernel/matrix": KERNELS}.items():
        (package / f"{name}.py").write_text(text)
    (tmp_path / "n.py").write_text(NOTEBOOK)
    return tmp_path


@pytest.fixture
def project(tmp_path):
    return made(tmp_path)


def edit(project, name, old, new):
    path = project / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def told(project):
    return definitions(project / "n.py", project / "lpntk")


def test_what_a_notebook_reaches_is_told_by_name(project):
    assert set(told(project)) == {"notebook", "force", "twice", "G", "kernel_matrix"}
    assert told(project)["kernel_matrix"] == "version 1"


OFFERS = 'OFFERED = {\n    "kernel_matrix": "kernel.matrix",\n    "force": "physics",\n}\n'


@each_row(
    ("imports", "calls"),
    [
        ("from lpntk import force, kernel_matrix", "force(2), kernel_matrix"),
        ("from lpntk import force as pull, kernel_matrix as k", "pull(2), k"),
        ("import lpntk", "lpntk.force(2), lpntk.kernel_matrix"),
        ("import lpntk as l", "l.force(2), l.kernel_matrix"),
        ("import lpntk.physics as p, lpntk.kernel.matrix as m", "p.force(2), m.kernel_matrix"),
    ],
)
def test_what_the_package_itself_offers_is_followed(tmp_path, imports, calls):
    project = made(tmp_path)
    (project / "lpntk/__init__.py").write_text(OFFERS)
    (project / "n.py").write_text(f"{imports}\nprint({calls})\n")
    before = told(project)
    assert set(before) == {"notebook", "force", "twice", "G", "kernel_matrix"}
    edit(project, "lpntk/helpers.py", "2 * x", "3 * x")
    assert differing(before, told(project)) == ["twice"]


@each_row(
    ("imports", "calls"),
    [
        ("from lpntk import kernel", "kernel.matrix.kernel_matrix()"),
        ("import lpntk.kernel.matrix", "lpntk.kernel.matrix.kernel_matrix()"),
        ("import lpntk", "lpntk.unheard()"),
    ],
)
def test_a_name_that_cannot_be_followed_is_refused(tmp_path, imports, calls):
    project = made(tmp_path)
    (project / "lpntk/__init__.py").write_text(OFFERS)
    (project / "n.py").write_text(f"{imports}\nprint({calls})\n")
    with pytest.raises(ValueError, match=r"no module: .* import the name from the module that defines it"):
        told(project)


@each_row(
    ("name", "old", "new"),
    [
        ("n.py", "# # Title", "# # Another title, and more words"),
        ("n.py", "print(physics", "# a remark\nprint(physics"),
        ("lpntk/physics.py", "Return the force.", "Return how strong the pull is."),
        ("lpntk/physics.py", "  # a remark", ""),
        ("lpntk/physics.py", "x: float) -> float", "x: int) -> int"),
        ("lpntk/physics.py", "G: float = 9.8", "G: int = 9.8"),
        ("lpntk/physics.py", "def unused(x):\n    return x", ""),
        ("lpntk/physics.py", "return twice(x) * G", "return (\n        twice(x) * G\n    )"),
        ("lpntk/kernel/matrix.py", "return 1", "return 1.0"),  # behind a border: a faster engine, say
    ],
)
def test_prose_places_and_formatting_do_not_count(tmp_path, name, old, new):
    project = made(tmp_path)
    before = told(project)
    edit(project, name, old, new)
    assert differing(before, told(project)) == []


def test_a_move_does_not_count(project):
    before, package = told(project), project / "lpntk"
    (package / "room").mkdir()
    shutil.move(package / "physics.py", package / "room" / "forces.py")
    edit(project, "n.py", "from lpntk import physics", "from lpntk.room import forces")
    edit(project, "n.py", "physics.force", "forces.force")
    assert differing(before, told(project)) == []


@each_row(
    ("name", "old", "new", "names"),
    [
        ("lpntk/physics.py", "9.8", "9.81", ["G"]),
        ("lpntk/physics.py", "twice(x) * G", "twice(x) + G", ["force"]),
        ("lpntk/helpers.py", "2 * x", "x + x", ["twice"]),
        ("lpntk/kernel/matrix.py", "VERSION = 1", "VERSION = 2", ["kernel_matrix"]),
        ("n.py", "twice(3)", "twice(4)", ["notebook"]),
        ("lpntk/physics.py", "return twice(x) * G", "return unused(x)", ["G", "force", "unused"]),
    ],
)
def test_what_changes_a_number_is_named(tmp_path, name, old, new, names):
    project = made(tmp_path)
    before = told(project)
    edit(project, name, old, new)
    assert differing(before, told(project)) == names


def test_a_result_that_earlier_code_made_is_told(tmp_path):
    folder = tmp_path / "profile" / "01-kernel"
    folder.mkdir(parents=True)
    made_by = {"notebook": "01-kernel.py", "parameters": {}, "code": definitions(NOTEBOOKS / "01-kernel.py")}
    (folder / "manifest.json").write_text(json.dumps(made_by))
    assert changed(folder) == []
    assert stale(tmp_path) == {}
    made_by["code"]["kernel_matrix"] = "version 0"
    (folder / "manifest.json").write_text(json.dumps(made_by))
    assert stale(tmp_path) == {"profile/01-kernel": ["kernel_matrix"]}
    del made_by["code"]
    (folder / "manifest.json").write_text(json.dumps(made_by))
    assert "does not tell" in changed(folder)[0]


@each_row(("model", "moved"), [("mlp", []), ("lenet", ["train_many"])])
def test_a_version_that_moved_the_numbers_of_one_network_leaves_the_others_current(tmp_path, model, moved):
    code = definitions(NOTEBOOKS / "02-difficulty.py") | {"train_many": "version 1"}
    made_by = {"notebook": "02-difficulty.py", "parameters": {"model": model}, "code": code}
    (tmp_path / "manifest.json").write_text(json.dumps(made_by))
    assert changed(tmp_path) == moved


def test_a_function_of_the_package_is_followed_as_a_notebook_is():
    told = definitions_of(study)
    assert {"study", "walk", "Stack", "chain"} <= told.keys()
    assert definitions_of(train_many) == {"train_many": "version 2"}


def test_committed_results_tell_their_code():
    for path in PACKAGE.parent.glob("results/*/*/manifest.json"):
        if path.parts[-3] not in ("quick", "smoke"):
            assert "code" in json.loads(path.read_text()), path
