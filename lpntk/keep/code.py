"""Which code decides a result? The definitions that a notebook reaches, by their meaning instead of their bytes.

A definition is a function, class or value at the top of a module; from the code of a notebook names lead to
definitions and from these to others. Prose, docstrings, annotations, imports, formatting and the place of a definition
do not count, so a move or a mended sentence leaves a result current. At a border following stops: what reads data has
given its digest, what writes files or words decides no number, and ``kernel_matrix`` and ``train`` stand for all that
is behind them by a ``VERSION``, which golden numbers guard: a faster engine changes nothing, a changed number raises
it.
"""

import ast
import functools
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
# modules that are not followed: they read data, keep files, or write what is shown
SILENT = (
    *("data.arrays", "data.dataset", "data.sources", "keep.cache", "keep.files", "keep.keys", "machine.device"),
    *("report.escape", "report.panels", "report.plots", "report.results", "report.tables", "regenerate.manifest"),
    *("machine.precision", "machine.strides"),  # they keep products what they are, whatever surrounds them
    "kernel.checks",  # they refuse, and change nothing
)
# followed no further than to VERSION in their module
VERSIONED = {
    ("kernel.matrix", "kernel_matrix"),
    ("learn.models", "build"),
    ("learn.moments", "train_moments"),
    ("learn.training", "train"),
    ("learn.training", "accuracy"),
    ("learn.campaign", "train_many"),
    ("phenomena.company.reference", "reference_kernel"),
}
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
IGNORED = ("annotation", "returns", "type_comment", "type_params", "kind", "ctx")


@dataclass(frozen=True)
class Module:
    """What the names of a module stand for.

    Attributes:
        name: below the package.
        own: name -> the statement that defines it.
        imported: name -> (module of this package, name in it; none for the module itself).
    """

    name: str
    own: dict[str, ast.stmt]
    imported: dict[str, tuple[str, str | None]]


def definitions(notebook: Path, package: Path = PACKAGE) -> dict[str, str]:
    """Return the definitions that decide a result, by name, each with a digest of its meaning.

    Args:
        notebook: the py:percent source.
        package: folder of the package; another version of it, if an older result is looked at.

    Raises:
        ValueError: if a name is taken from a folder of the package, where nothing can be followed.
    """
    tree = ast.parse(notebook.read_text("utf-8"))
    cells = _module("", tree, package)
    return {"notebook": _digest(tree, cells), **_followed(_reached(tree, cells), package)}


@functools.cache
def definitions_of(function: Callable) -> dict[str, str]:
    """Return what decides the values of a function or class of this package, as ``definitions`` does of a notebook."""
    return _followed([(function.__module__.removeprefix(f"{PACKAGE.name}."), function.__qualname__)], PACKAGE)


def _followed(waiting: list[tuple[str, str]], package: Path) -> dict[str, str]:
    """Return the definitions that are reached from these, (module, name), by name, each with a digest.

    Raises:
        ValueError: if a name is taken from a folder.
    """
    found: dict[str, set[str]] = {}
    modules: dict[str, Module] = {}
    seen = set()
    while waiting:
        place = waiting.pop()
        module, name = place
        if place in seen or module in SILENT:
            continue
        seen.add(place)
        if not module and not name.startswith("__"):  # what the package itself offers
            waiting.append((offered(package).get(name, name), name))
        if not module:
            continue
        if module not in modules:
            path = package / f"{module.replace('.', '/')}.py"
            if not path.exists():
                raise ValueError(
                    f"{name!r} is taken from {package.name}.{module}, which is no module: what a result depends on "
                    "cannot be followed; import the name from the module that defines it"
                )
            modules[module] = _module(module, ast.parse(path.read_text("utf-8")), package)
        table = modules[module]
        if place in VERSIONED:
            found[name] = {f"version {_version(table)}"}
        elif name in table.own:
            found.setdefault(name, set()).add(_digest(table.own[name], table))
            waiting += _reached(table.own[name], table)
        elif name in table.imported:  # passed on
            target, inner = table.imported[name]
            waiting.append((target, inner or name))
    return {name: "+".join(sorted(digests)) for name, digests in sorted(found.items())}


def differing(made: dict[str, str], now: dict[str, str]) -> list[str]:
    """Return the names of definitions that changed, came or went, sorted."""
    return sorted(name for name in made.keys() | now.keys() if made.get(name) != now.get(name))


def _module(name: str, tree: ast.Module, package: Path) -> Module:
    own: dict[str, ast.stmt] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            own[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            own |= {part.id: node for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
    imported: dict[str, tuple[str, str | None]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first, *rest = alias.name.split(".")
                if first == package.name:  # without "as" it is the package, whatever of it is imported
                    imported[alias.asname or first] = (".".join(rest) if alias.asname else "", None)
        if not isinstance(node, ast.ImportFrom) or node.level or not node.module:
            continue
        first, *rest = node.module.split(".")
        for alias in node.names if first == package.name else ():
            inside = [*rest, alias.name]
            whole = package.joinpath(*inside).with_suffix(".py").exists()
            imported[alias.asname or alias.name] = (".".join(inside), None) if whole else (".".join(rest), alias.name)
    return Module(name, own, imported)


def offered(package: Path) -> dict[str, str]:
    """Return which module defines each name that the package itself offers."""
    start = package / "__init__.py"
    own = _module("", ast.parse(start.read_text("utf-8")), package).own if start.exists() else {}
    return ast.literal_eval(own["OFFERED"].value) if "OFFERED" in own else {}


def _reached(node: ast.AST, module: Module) -> list[tuple[str, str]]:
    """Return (module, name) of what a definition names."""
    found = []
    for part in _parts(node):
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
            target, inner = module.imported.get(part.value.id, ("", ""))
            found += [(target, part.attr)] if inner is None else []
        elif isinstance(part, ast.Name) and part.id in module.own:
            found += [(module.name, part.id)] if module.name else []  # a notebook counts as a whole
        elif isinstance(part, ast.Name):
            target, inner = module.imported.get(part.id, ("", ""))
            found += [(target, inner)] if inner else []
    return found


def _version(module: Module) -> int:
    statement = module.own.get("VERSION")
    return ast.literal_eval(statement.value) if statement is not None else 1


def _parts(node: ast.AST) -> Iterator[ast.AST]:
    """Walk over what has a meaning: no docstrings, annotations or imports."""
    yield node
    for _, value in _fields(node):
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, ast.AST):
                yield from _parts(item)


def _fields(node: ast.AST) -> Iterator[tuple[str, object]]:
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(value, list):
            value = [item for item in value if not isinstance(item, ast.Import | ast.ImportFrom)]
            if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
                value = value[1:]
        if isinstance(node, ast.JoinedStr):  # Python 3.12 ends a nested format with an empty string
            value = [item for item in value if not (isinstance(item, ast.Constant) and item.value == "")]
        if name not in IGNORED and value is not None and value != []:
            yield name, value


def _digest(node: ast.AST, module: Module) -> str:
    return hashlib.sha256(_told(node, module).encode()).hexdigest()[:16]


def _told(value: object, module: Module) -> str:
    """Write a syntax tree down, alike in every version of Python; what is taken from a module goes by its own name."""
    inside = isinstance(value, ast.Attribute) and isinstance(value.value, ast.Name)
    if inside and module.imported.get(value.value.id, ("", ""))[1] is None:
        return f"Name(id={value.attr!r})"
    if isinstance(value, ast.AST):
        fields = ",".join(f"{name}={_told(item, module)}" for name, item in _fields(value))
        return f"{type(value).__name__}({fields})"
    return f"[{','.join(_told(item, module) for item in value)}]" if isinstance(value, list) else repr(value)
