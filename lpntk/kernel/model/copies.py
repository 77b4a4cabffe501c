"""How is a model copied so that nothing of the copy reaches back into the original?

``copy.deepcopy`` copies modules and their tensors, but takes a function as it is. A function that was put on a module
(``model.forward = lambda x: old(x)``, a wrapper by ``torch.autocast``, a hook) may hold the original in its closure,
and a copy that calls it computes with the original's weights.
"""

import copy
from contextlib import suppress
from types import CellType, FunctionType
from typing import Any

from torch import Tensor, nn

from lpntk.kernel.model.paths import leaves


def copied(model: nn.Module) -> nn.Module:
    """Return a deep copy whose functions hold the copy where they held the original.

    Raises:
        ValueError: if something in the model cannot be copied.
    """
    memo: dict[int, Any] = {}
    for module in model.modules():  # what was computed (an older weight norm's weight) is computed anew by its hook
        for value in vars(module).values():
            if isinstance(value, Tensor) and value.grad_fn is not None:
                memo[id(value)] = value.detach().clone()
    try:
        found = copy.deepcopy(model, memo)
        for module in found.modules():
            for name, value in vars(module).items():
                module.__dict__[name] = _rebound(value, memo)
    except (TypeError, RuntimeError, AttributeError, NotImplementedError) as error:
        raise ValueError(
            f"the model cannot be copied ({error}), and the kernel works on a copy to leave yours as it is; give a new "
            "model of the same class the weights: new.load_state_dict(model.state_dict())"
        ) from error
    return found


def check_apart(copied: nn.Module, original: nn.Module, logits: Tensor) -> None:
    """Check that what a copy computed does not come from the original's parameters.

    Args:
        copied: of ``original``.
        original: model.
        logits: what the copy gave, with its graph.

    Raises:
        ValueError: if it does; the message names the parameter.
    """
    own = {id(p) for p in copied.parameters()}
    named = {id(p): name for name, p in original.named_parameters() if id(p) not in own}
    strange = [leaf for leaf in leaves(logits) if isinstance(leaf, nn.Parameter) and id(leaf) not in own]
    if any(id(leaf) not in named for leaf in strange):
        raise ValueError(
            "a copy of the model reads parameters that are not its own, as after torch.compile; give the module that "
            "was compiled (compiled._orig_mod), or compile it in place: model.compile()"
        )
    if reached := [named[id(leaf)] for leaf in strange]:
        raise ValueError(
            f"a copy of the model still reads the original's parameter {reached[0]!r}: a forward pass or hook is a "
            "function that finds the model by a global name; write it as a method of a subclass, or bind it: "
            "model.forward = types.MethodType(function, model)"
        )


def _rebound(value: Any, memo: dict[int, Any]) -> Any:
    """Return a value with the functions in it rebuilt over copies of what they hold."""
    if isinstance(value, FunctionType):
        return memo[id(value)] if id(value) in memo else _function(value, memo)
    if isinstance(value, dict) and any(isinstance(item, FunctionType) for item in value.values()):
        for key, item in value.items():
            value[key] = _rebound(item, memo)
    if type(value) in (list, tuple):
        return type(value)(_rebound(item, memo) for item in value)
    return value


def _function(old: FunctionType, memo: dict[int, Any]) -> FunctionType:
    """Return a function over copies of its closure, and of the copied modules that it finds by a global name."""
    named = {name: old.__globals__[name] for name in old.__code__.co_names if name in old.__globals__}
    copied = {name: copy.deepcopy(value, memo) for name, value in named.items() if _owner(value) in memo}
    if not copied and not old.__closure__:
        return old
    # the function and its cells are known before they are filled: a function may hold itself
    cells = tuple(memo.setdefault(id(cell), CellType()) for cell in old.__closure__ or ())
    scope = {**old.__globals__, **copied} if copied else old.__globals__
    new = memo[id(old)] = FunctionType(old.__code__, scope, old.__name__, old.__defaults__, cells)
    new.__kwdefaults__ = old.__kwdefaults__
    new.__dict__.update(old.__dict__)
    for cell, held in zip(cells, old.__closure__ or (), strict=True):
        try:
            content = held.cell_contents
        except ValueError:  # empty
            continue
        with suppress(TypeError, RuntimeError, AttributeError, NotImplementedError):  # a file or a lock has no weights
            content = copy.deepcopy(content, memo)
        cell.cell_contents = _rebound(content, memo)
    return new


def _owner(value: Any) -> int:
    """Return the ``id`` of a module, or of what a bound method is bound to."""
    return id(getattr(value, "__self__", value))
