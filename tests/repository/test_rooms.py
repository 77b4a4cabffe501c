"""The tree of the package: rooms of at most 11 entries, imports downwards only, no circle, no phenomenon in another.

The tests lie in the same rooms.
"""

import ast
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

from lpntk.report.book.definitions import top_names

ROOT = Path(__file__).resolve().parents[2]
PACKAGE, TESTS = ROOT / "lpntk", ROOT / "tests"
ORDER = ("machine", "keep", "data", "kernel", "learn", "report", "phenomena", "reader", "regenerate", "__main__",
         "__init__")  # fmt: skip
MODULES = {
    path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", "."): path for path in PACKAGE.rglob("*.py")
}
# names that stand at the top of two modules: what every module has of its own, units, and what decides results, so that
# another name would make them stale
TWICE = {"main", "log", "VERSION", "GIB", "MIB", "ELEMENTWISE", "HOOKS", "ON_CPU", "Pairs", "check_labels",
         "combined", "part", "shares", "_digest", "_pairs", "_parts", "_plain", "_report"}  # fmt: skip


def imports(path):
    """The modules of the package that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "lpntk":
            room = node.module.partition(".")[2]
            for alias in node.names:
                yield next(name for name in (f"{room}.{alias.name}", room, "__init__") if name in MODULES)


EDGES = {name: set(imports(path)) for name, path in MODULES.items()}


def test_a_folder_has_at_most_eleven_entries():
    for folder in {path.parent for path in (*MODULES.values(), *TESTS.rglob("*.py"))} | {TESTS}:
        entries = [entry for entry in folder.iterdir() if entry.name != "__pycache__"]
        assert len(entries) <= 11, f"{folder}: {len(entries)}"


def test_tests_lie_in_the_rooms_of_what_they_test():
    own = {"helpers", "repository"}
    rooms = {path.parent.relative_to(TESTS) for path in TESTS.rglob("test_*.py")}
    assert not [room for room in rooms if room.parts[0] not in own and not (PACKAGE / room).is_dir()]


def test_imports_go_downwards_and_never_from_one_phenomenon_to_another():
    rank = lambda name: ORDER.index(name.partition(".")[0])
    for name, found in EDGES.items():
        for other in found:
            assert rank(other) <= rank(name), f"{name} imports {other}"
            if name.startswith("phenomena.") and other.startswith("phenomena."):
                assert name.split(".")[1] == other.split(".")[1], f"{name} imports {other}"


def test_there_is_no_circle():
    assert list(TopologicalSorter(EDGES).static_order())  # raises CycleError


def test_every_room_says_what_it_answers():
    for name, path in MODULES.items():
        if name.endswith("__init__"):
            assert ast.get_docstring(ast.parse(path.read_text("utf-8"))), name


def test_one_name_is_one_thing_but_for_those_listed():
    found = defaultdict(set)
    for name, path in MODULES.items():
        if not name.startswith("phenomena."):  # a phenomenon may name its own things as another does
            for top, _ in top_names(ast.parse(path.read_text("utf-8"))):
                found[top].add(name)
    assert {top: modules for top, modules in found.items() if len(modules) > 1 and "." not in top}.keys() == TWICE
