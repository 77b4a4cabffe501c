"""How does a copied function hold copies? It is rebuilt: its closure, its defaults, the modules that it names.

``copy.deepcopy`` takes functions as they are, wherever they lie: on a module, in a list, a partial, another object.
"""

import copy
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from itertools import islice
from types import CellType, FunctionType, MethodType
from typing import Any

from torch import Tensor

UNCOPIED = (TypeError, RuntimeError, AttributeError, NotImplementedError)  # a file or a lock, a tensor with a graph


class Rebinding:
    """Copies objects and rebuilds, in these copies, the functions that hold something which was copied.

    Args:
        memo: of ``copy.deepcopy``: the copies by the ``id`` of what they are copies of.
    """

    def __init__(self, memo: dict[int, Any]):
        self.memo, self._made, self._counted, self._seen, self._open = memo, set(), 0, set(), set()

    def copied(self, value: Any) -> Any:
        """Return a deep copy, rebound."""
        return self._rebound(copy.deepcopy(value, self.memo))

    def _is_made(self, value: Any) -> bool:
        """Whether it is a copy; what is shared with the original is left alone."""
        self._made.update(id(made) for made in islice(self.memo.values(), self._counted, None))
        self._counted = len(self.memo)
        return id(value) in self._made

    def _rebound(self, value: Any) -> Any:
        """Return a copy with the functions in it rebuilt over copies of what they hold."""
        if isinstance(value, FunctionType):
            return self._function(value)
        if isinstance(value, MethodType):
            return _if_changed(value, [value.__func__, value.__self__], self._rebound, lambda new: MethodType(*new))
        if isinstance(value, tuple):
            make = getattr(value, "_make", type(value))  # a named one
            return _if_changed(value, value, self._rebound, make)
        if isinstance(value, Tensor) or id(value) in self._seen or not self._is_made(value):
            return value
        self._seen.add(id(value))
        if isinstance(value, partial):
            function, args, options, own = value.__reduce__()[2]
            value.__setstate__((self._rebound(function), self._rebound(args), dict(options), own))
            self._rebind_items(value.keywords)
        elif isinstance(value, dict):
            self._rebind_items(value)
        elif isinstance(value, list):
            value[:] = map(self._rebound, value)
        self._rebind_items(getattr(value, "__dict__", {}))
        return value

    def _rebind_items(self, items: dict) -> None:
        for key, item in items.items():
            if (new := self._rebound(item)) is not item:
                items[key] = new

    def _function(self, old: FunctionType) -> FunctionType:
        """Return a function over copies of what it holds, and of copied modules that it finds by a global name."""
        if id(old) in self.memo or self._is_made(old):
            return self.memo.get(id(old), old)
        named = {name: old.__globals__[name] for name in old.__code__.co_names if name in old.__globals__}
        copied = lambda i: i in self.memo and i not in self._open  # torch's own functions name each other
        found = {name: self._held(value) for name, value in named.items() if copied(_owner(value))}
        found = {name: value for name, value in found.items() if value is not named[name]}
        self._open.add(id(old))
        # the function and its cells are known before they are filled: a function may hold itself
        cells = tuple(self.memo.setdefault(id(cell), CellType()) for cell in old.__closure__ or ())
        scope = {**old.__globals__, **found} if found else old.__globals__
        new = self.memo[id(old)] = FunctionType(old.__code__, scope, old.__name__, old.__defaults__, cells)
        new.__kwdefaults__, new.__qualname__, new.__module__ = old.__kwdefaults__, old.__qualname__, old.__module__
        changed = bool(found)
        for cell, given in zip(cells, old.__closure__ or (), strict=True):
            with suppress(ValueError):  # empty
                cell.cell_contents = self._held(given.cell_contents)
                changed |= cell.cell_contents is not given.cell_contents
        if given := old.__defaults__:
            new.__defaults__ = _if_changed(given, given, self._held, tuple)
        if given := old.__kwdefaults__:
            new.__kwdefaults__ = _if_changed(
                given, given.values(), self._held, lambda v: dict(zip(given, v, strict=True))
            )
        changed |= new.__defaults__ is not old.__defaults__ or new.__kwdefaults__ is not old.__kwdefaults__
        new.__dict__.update((name, self._held(value)) for name, value in vars(old).items())
        self._open.discard(id(old))
        if not changed:
            self.memo[id(old)] = old  # some are told apart by which they are, as torch's own
        return self.memo[id(old)]

    def _held(self, value: Any) -> Any:
        with suppress(*UNCOPIED):  # has no weights, or shows in the graph
            return self.copied(value)
        return value


def _if_changed(whole: Any, parts: Iterable, change: Callable, make: Callable) -> Any:
    """Return ``make`` of the changed parts, or what is there if none is another."""
    new = [(part, change(part)) for part in parts]
    return make([b for _, b in new]) if any(a is not b for a, b in new) else whole


def _owner(value: Any) -> int:
    """Return the ``id`` of a module, or of what a bound method is bound to."""
    return id(getattr(value, "__self__", value))
