"""What went into every layer, and which gradient came back? One forward and one backward pass, watched by hooks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from lpntk.kernel.model.apart import Together
from lpntk.kernel.model.copying.copies import check_own
from lpntk.kernel.model.ownership import UnexplainedError, check_company, check_rows
from lpntk.kernel.model.paths import nodes, path


@dataclass
class Call:
    """One call of one module: its detached inputs and, after the backward pass, the gradients of its outputs."""

    name: str
    module: nn.Module
    args: tuple
    kwargs: dict[str, Any]
    edges: list[GradientEdge | None]  # one per output tensor, None where no gradient can flow
    versions: list[int]
    grads: list[Tensor | None] = field(default_factory=list)

    @property
    def input(self) -> Tensor:
        """The first argument, however it was passed."""
        return self.args[0] if self.args else next(iter(self.kwargs.values()))


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield the tensors of nested tuples, lists and dicts, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, dict):
        yield from tensors_in(list(value.values()))


def record(
    model: nn.Module,
    modules: dict[str, nn.Module],
    x: Tensor,
    direction: Callable[[Tensor], Tensor],
    grouped: Callable[[list[Call]], list[Call]] | None = None,
) -> tuple[list[Call], Tensor, int]:
    """Run a batch forward and ``sum_i s_i^T z_i`` backward, and return what passed through some modules.

    The gradients of weights are never formed: the backward pass asks for the gradients of the recorded outputs only.
    An output is remembered by its edge in the graph, taken the moment the module returns, so an in-place operation
    that follows (``ReLU(inplace=True)``, ``out += x``) does not change what is asked for.

    Args:
        model: network in evaluation mode.
        modules: the modules to watch, by name.
        x: (n, ...) inputs.
        direction: maps (n, k) logits to constant vectors ``s`` (n, k).
        grouped: picks the calls whose rows must be grouped by sample, which is looked at where an operation may put
            some of them elsewhere; nothing is looked at by default.

    Returns:
        The calls in the order they happened, ``s``, and which way the pass took (``paths.py``).

    Raises:
        ValueError: if the pass reads parameters that are not the model's.
        UnexplainedError: if rows that must be grouped by sample are not, or a part of the graph is hidden.
        RuntimeError: if an input that is still needed was changed in place after a layer had read it.
    """
    calls: list[Call] = []
    watched = None if grouped is None or len(x) == 1 else Together(model, len(x))
    with torch.enable_grad():
        with _hooks(modules, calls), _pooling_keeps_layout(model), watched or nullcontext():
            logits = model(x)
        _check_unchanged(calls)
        s, graph = direction(logits.detach()), list(nodes(logits))
        check_own(model, graph)
        if any("Checkpoint" in node.name() for node in graph):  # of a reentrant one
            raise UnexplainedError("a checkpoint makes its graph during the backward pass (use_reentrant=True)")
        way = path(graph, {id(p): name for name, p in model.named_parameters()})
        del graph  # it holds what autograd saved
        edges = [edge for call in calls for edge in call.edges if edge is not None]
        flows, together = bool(edges) and logits.requires_grad, watched and watched.found
        # of a number: to compare the shapes of anything else torch imports sympy, which takes half a second
        total = (logits * s).sum()
        found = torch.autograd.grad(total, edges, allow_unused=True, retain_graph=bool(together)) if flows else []
        answers = iter(found or [None] * len(edges))
        for call in calls:
            call.grads = [None if edge is None else next(answers) for edge in call.edges]
        if together:
            chosen = grouped(calls)
            check_company(model, x, logits.detach(), together)
            if rows := [row for call in chosen for row in _rows(call)]:
                check_rows(model, logits, s, rows, together)
    for call in calls:
        call.edges = []  # they keep the graph alive
    return calls, s, way


def _rows(call: Call) -> Iterator[tuple[str, float, Tensor, GradientEdge]]:
    """Yield what ``check_rows`` is told of a call, for each of its outputs that got a gradient."""
    numbers = [t for t in tensors_in((call.args, call.kwargs)) if t.is_floating_point()]
    size = sum(float(t.norm()) ** 2 for t in numbers) ** 0.5 if numbers else len(call.input) ** 0.5
    for grad, edge in zip(call.grads, call.edges, strict=True):
        if grad is not None:
            yield call.name, size, grad, edge


@contextmanager
def _hooks(modules: dict[str, nn.Module], calls: list[Call]) -> Iterator[None]:
    def hook_of(name: str) -> Callable:
        def hook(module: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
            edges = [get_gradient_edge(t) if t.requires_grad else None for t in tensors_in(output)]
            versions = [t._version for t in tensors_in((args, kwargs))]
            calls.append(Call(name, module, _detached(args), _detached(kwargs), edges, versions))

        return hook

    handles = []
    try:
        for name, module in modules.items():
            handles.append(module.register_forward_hook(hook_of(name), with_kwargs=True, prepend=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _pooling_keeps_layout(model: nn.Module) -> Iterator[None]:
    """Hand max-pooling its gradient channels last where its output was: otherwise torch copies all it reads and writes.

    A flattening layer after the pooling returns the other layout.
    """

    def hook(module: nn.Module, args: tuple, output: Any) -> None:
        last = torch.channels_last
        images = isinstance(output, Tensor) and output.requires_grad and output.ndim == 4
        if images and output.is_contiguous(memory_format=last):
            output.register_hook(lambda grad: grad.contiguous(memory_format=last))

    handles = [m.register_forward_hook(hook) for m in model.modules() if isinstance(m, nn.MaxPool2d)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _detached(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach()  # shares the storage and the version counter
    if isinstance(value, dict):
        return {key: _detached(item) for key, item in value.items()}
    if type(value) in (tuple, list):
        return type(value)(_detached(item) for item in value)
    return value


def _check_unchanged(calls: list[Call]) -> None:
    for call in calls:
        if [t._version for t in tensors_in((call.args, call.kwargs))] != call.versions:
            raise RuntimeError(
                f"an input of {call.name!r} ({type(call.module).__name__}) was changed in place after the layer had "
                "read it, so its gradient is lost; use the out-of-place operation there, or inplace=False"
            )
