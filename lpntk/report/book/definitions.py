"""Where does a name stand? Definitions and tests are found by name, so that no page keeps a link to code by hand.

A function, class or value at the top of a module under ``lpntk/``, a method (``Class.method``), or a test under
``tests/`` is found by its name alone; where a name stands twice, as ``room.module:name`` with as many rooms as it
takes. A name with a slash in it is a file.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """A definition.

    Attributes:
        file: its path, as seen from the root of the project.
        line: where it begins, from 1; 0 for a file as a whole.
    """

    file: str
    line: int

    @property
    def words(self) -> str:
        """The place as a reader is told it."""
        return f"{self.file}, line {self.line}" if self.line else self.file

    def ends(self, module: str) -> bool:
        """Return whether the module has this name, which may leave out rooms at its beginning."""
        return f".{self.file.removesuffix('.py').replace('/', '.')}".endswith(f".{module}")


def place_of(root: Path, name: str) -> Place:
    """Return where a name is defined.

    Args:
        root: of the project, with ``lpntk/`` and ``tests/`` in it.
        name: ``name``, ``Class.name``, ``module:name`` or the path of a file.

    Raises:
        LookupError: if nothing has this name, or more than one thing; the message says which.
    """
    if "/" in name:
        if not (root / name).is_file():
            raise LookupError(f"no file {name}")
        return Place(name, 0)
    module, _, own = name.rpartition(":")
    found = [place for place in _defined(root).get(own, []) if not module or place.ends(module)]
    if not found:
        raise LookupError(f"nothing is called {name}: expected a definition under lpntk/ or a test under tests/")
    if len(found) > 1:
        places = ", ".join(place.words for place in found)
        raise LookupError(f"{name} is the name of {len(found)} things ({places}): write module:{own}")
    return found[0]


@cache
def _defined(root: Path) -> dict[str, list[Place]]:
    """Return all places by name; of ``tests/`` the tests alone."""
    found = defaultdict(list)
    for folder, start in (("lpntk", ""), ("tests", "test_")):
        for path in sorted((root / folder).rglob("*.py")):
            for name, line in top_names(ast.parse(path.read_text(encoding="utf-8"))):
                if name.startswith(start):
                    found[name].append(Place(path.relative_to(root).as_posix(), line))
    return dict(found)


def top_names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield name and line of every function, class, method and value at the top of a module."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        if isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{n.name}", n.lineno) for n in node.body if isinstance(n, ast.FunctionDef))
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [n for target in targets for n in ast.walk(target)]
            yield from ((n.id, n.lineno) for n in names if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
