"""Which modules of this package does a source import, directly or not? One that was edited during a run is noticed."""

import ast
import sys
import sysconfig
from pathlib import Path

from lpntk.keep.cache import digest
from lpntk.keep.code import PACKAGE, offered

INSTALLED = ("site-packages", "dist-packages")  # folders of libraries


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


def own_code(module: str) -> str:
    """Return a digest of code that is somebody's own: of the package of a module, and all imported from no library."""
    package, library, found = module.partition(".")[0], sysconfig.get_path("stdlib"), {}
    for name, loaded in [*sys.modules.items()]:
        file = Path(getattr(loaded, "__dict__", {}).get("__file__") or "")
        foreign = file.is_relative_to(library) or file.is_relative_to(PACKAGE) or {*INSTALLED} & {*file.parts}
        if file.is_file() and (name.partition(".")[0] == package or not (foreign or name == "__main__")):
            found[name] = file.read_bytes().hex()
    return digest(found)
