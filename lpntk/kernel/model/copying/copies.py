"""How is a model copied so that nothing of the copy reaches back into the original?

``copy.deepcopy`` copies modules and their tensors, but takes a function as it is. A function that was put on a module
(``model.forward = lambda x: old(x)``, a wrapper by ``torch.autocast``, a hook, a partial) may hold the original in its
closure or its defaults, and a copy that calls it computes with the original's weights. Nor can a tensor be copied
together with its graph: what was computed from parameters and kept is a constant of the copy. Whatever is not followed
here shows in the graph of a pass, which then begins with a parameter that is not the copy's own.
"""

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from types import FunctionType
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node, saved_tensors_hooks

from lpntk.kernel.model.copying.holdings import everything
from lpntk.kernel.model.copying.rebinding import UNCOPIED, Rebinding
from lpntk.kernel.model.paths import leaves, nodes
from lpntk.machine.precision import note

_originals: WeakKeyDictionary[nn.Module, ref] = WeakKeyDictionary()
COMPUTED = (
    "the model keeps a tensor of shape {shape} that was computed from its parameters before, as in __init__ or in a "
    "first pass, and reads it again; what flows there is no gradient of these parameters any more. Compute it in "
    "forward, or keep it as a constant:\n"
    "    def forward(self, x): scale = 2 * self.weight; ...\n"
    "    self.scale = (2 * self.weight).detach()"
)


class Computed(nn.Parameter):
    """Stands in a copy for a tensor that was computed from parameters; no parameter of any module."""


def copied(model: nn.Module) -> nn.Module:
    """Return a deep copy whose functions hold the copy where they held the original.

    Raises:
        ValueError: if something in the model cannot be copied.
    """
    memo, functions = {}, False
    for value in everything(model):  # an older weight norm's weight is computed anew by its hook, others may not be
        functions |= isinstance(value, FunctionType)
        if isinstance(value, Tensor) and value.grad_fn is not None:
            memo[id(value)] = Computed(value.detach().clone())
    try:
        found = Rebinding(memo).copied(model) if functions else copy.deepcopy(model, memo)
    except UNCOPIED as error:
        raise ValueError(
            f"the model cannot be copied ({error}), and the kernel works on a copy to leave yours as it is; give a new "
            "model of the same class the weights: new.load_state_dict(model.state_dict())"
        ) from error
    _originals[found] = ref(model)
    return found


def check_apart(model: nn.Module, x: Tensor) -> None:
    """Check that what a copy computes comes from its own parameters, and anew in every pass.

    The numbers that the pass keeps are noted, as they decide what rounding explains.

    Args:
        model: a copy; it has run before, with gradients, if it keeps what it computes in a first pass.
        x: (n, ...) samples.

    Raises:
        ValueError: if it does not; the message names the parameter.
    """
    with torch.enable_grad(), saved_tensors_hooks(lambda t: note(model, t), lambda t: t):
        passes = [list(nodes(model(x.clone()))) for _ in range(2)]
    for found in passes:
        check_own(model, found)
    again = set(passes[0]).intersection(passes[1])
    for node in again:
        if not hasattr(node, "variable") and any(isinstance(leaf, nn.Parameter) for leaf in leaves(nodes(node))):
            raise ValueError(COMPUTED.format(shape=tuple(node._input_metadata[0].shape)))


def check_own(model: nn.Module, graph: Iterable[Node]) -> None:
    """Check that the graph of a pass begins with no parameter but the model's own.

    Raises:
        ValueError: if it does not; the message says what it reads instead.
    """
    own = {id(p) for p in model.parameters()}
    for leaf in leaves(graph):
        if isinstance(leaf, nn.Parameter) and id(leaf) not in own:
            raise ValueError(_strange(model, leaf))


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Let no backward pass reach a parameter of the models that this one is a copy of, by whatever graph.

    A reentrant checkpoint makes its graph during the backward pass, where nobody sees it.

    Raises:
        ValueError: if one does, before the gradient is added to what lies there.
    """

    def refuse(p: Tensor) -> Callable:
        def hook(_: Tensor) -> None:
            raise ValueError(_strange(model, p))

        return hook

    with ExitStack() as hooks:
        for p in (p for original in _lineage(model) for p in original.parameters()):
            if p.requires_grad:
                hooks.callback(p.register_hook(refuse(p)).remove)
        yield


def _lineage(model: nn.Module) -> Iterator[nn.Module]:
    """Yield what a model is a copy of, and what that is a copy of."""
    while (model := _originals.get(model, lambda: None)()) is not None:
        yield model


def _strange(model: nn.Module, leaf: Tensor) -> str:
    if isinstance(leaf, Computed):
        return COMPUTED.format(shape=tuple(leaf.shape))
    for original in _lineage(model):
        for name, p in original.named_parameters():
            if p is leaf:
                return (
                    f"a copy of the model still reads the original's parameter {name!r}: something in it finds the "
                    "original by a way that a copy does not follow, such as a global name, a class, a cache of "
                    "functools or a __deepcopy__ of its own; let a method of a subclass find it by self, or bind the "
                    "function: model.forward = types.MethodType(function, model)"
                )
    return (
        f"a copy of the model reads parameters that are not its own, one of shape {tuple(leaf.shape)}; after "
        "torch.compile give the module that was compiled (compiled._orig_mod), or compile it in place: "
        "model.compile(); modules in a list or function are no part of the model, so make them attributes: "
        "self.parts = nn.ModuleList(parts)"
    )
