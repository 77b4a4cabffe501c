"""What does an object hold? Its attributes and items, and what a function keeps in its closure and its defaults."""

from collections.abc import Iterator
from functools import partial
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any

from torch import Tensor


def everything(root: Any) -> Iterator[Any]:
    """Yield an object and all that it holds, each once."""
    waiting, seen = [root], {}
    while waiting:
        value = waiting.pop()
        if id(value) not in seen:
            seen[id(value)] = value  # alive, or another could get its id
            yield value
            waiting += held(value)


def held(value: Any) -> list[Any]:
    """Return what an object holds itself; nothing for what a copy shares: modules of Python, classes, numbers."""
    if isinstance(value, Tensor | ModuleType | type | str | bytes):
        return []
    if isinstance(value, FunctionType):
        return [*map(content, value.__closure__ or ()), *defaults(value), *vars(value).values()]
    if isinstance(value, MethodType):
        return [value.__self__, value.__func__]
    found = []
    if isinstance(value, dict):
        found = [*value.values()]
    elif isinstance(value, list | tuple | set | frozenset):
        found = [*value]
    elif isinstance(value, partial):
        found = [value.func, value.args, value.keywords]
    return [*found, *getattr(value, "__dict__", {}).values()]


def content(cell: CellType) -> Any:
    """Return what a cell of a closure holds, None if it is empty."""
    try:
        return cell.cell_contents
    except ValueError:
        return None


def defaults(function: FunctionType) -> list[Any]:
    """Return the values that arguments have by default."""
    return [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
