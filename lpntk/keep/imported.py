"""Which modules of this package does a source import, directly or not? One that was edited during a run is noticed."""

import ast
from pathlib import Path

from lpntk.keep.code import PACKAGE, offered


def sources(notebook: Path) -> list[Path]:
    """Return the notebook and every module of this package that it imports, directly or not, sorted."""
    found, waiting = set(), [notebook]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            if PACKAGE.name in names:  # any of what the package itself offers
                names += [f"{PACKAGE.name}.{module}" for module in offered(PACKAGE).values()]
            modules = [name.split(".") for name in names if name.split(".")[0] == PACKAGE.name]
            candidates = [PACKAGE.joinpath(*parts[1:]) for parts in modules]
            waiting += [c.with_suffix(".py") for c in candidates if c != PACKAGE and c.with_suffix(".py").exists()]
    return sorted(found, key=lambda path: (path.parent.name, path.name))
