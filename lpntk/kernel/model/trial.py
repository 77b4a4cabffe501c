"""Is the model a fixed function of one sample, and which of its parameters are read past their modules?

Questions to ask of a few samples, in double precision where the model can be taken there: what rounding hides in
float32 shows in float64.
"""

import logging
import random
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.graph import Node, saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode

from lpntk.kernel.model.copying.copies import copied, untouched
from lpntk.kernel.model.paths import leaves, nodes
from lpntk.machine.device import ran_out

log = logging.getLogger(__name__)

EXACT = 1e-9  # relative; float64 leaves 1e-12 or so
LOOSEST = torch.finfo(torch.float32).eps ** 0.5
PRESENTED = 512  # samples, to a model that draws random numbers
CHEAP = 4 * 2**20  # bytes of activations: as many samples as make these are presented to any model


@dataclass
class Truth:
    """What autograd says of ``sum_i e_i phi_i``.

    Attributes:
        gradients: by parameter; zeros where it is not used.
        outside: parameters that are read past their modules.
        tolerance: relative error that rounding explains.
        floor: the same of a gradient whose terms cancel, relative to all gradients together.
        saved_bytes: what autograd keeps for the backward pass, parameters not counted.
        logits: (n, k) of the pass that was differentiated.
    """

    gradients: dict[str, Tensor]
    outside: set[str]
    tolerance: float
    floor: float
    saved_bytes: int
    logits: Tensor


def in_double(model: nn.Module, x: Tensor) -> tuple[nn.Module, Tensor, bool, Tensor]:
    """Return a copy of model and samples in float64, or the originals if it cannot be taken there, and of a first pass
    whether it draws random numbers, and its logits.
    """
    with torch.no_grad():
        try:
            double, x2 = copied(model).double(), x.double() if x.is_floating_point() else x
            drawn, logits = draws(double, x2)
            if logits.dtype == torch.float64:
                return double, x2, drawn, logits
        except Exception as error:  # a dtype written into its code
            if ran_out(error):
                raise
            log.debug("no double precision: %s", error)
        return model, x, *draws(model, x)


def combined(
    model: nn.Module, x: Tensor, s: Tensor, e: Tensor, params: dict[str, nn.Parameter], modules: dict[str, nn.Module]
) -> Truth:
    """Return autograd's gradients of ``sum_i e_i s_i^T z_i``.

    Every call of a module reads a stand-in for each of its parameters, so what reaches the parameter itself, be it
    zero, was read elsewhere.
    """
    saved: dict[int, Tensor] = {}

    def keep(t: Tensor) -> Tensor:
        saved[t.untyped_storage().data_ptr()] = t.detach()
        return t

    with (
        torch.enable_grad(),
        untouched(model),
        _stand_ins(modules, params) as stand_ins,
        own_gradients(params.values()),
    ):
        with saved_tensors_hooks(keep, lambda t: t):
            logits = model(x)
            total = (logits * s * e[:, None]).sum()
        with others_spared(nodes(total), [*params.values(), *(p for _, p in stand_ins)]):
            total.backward()  # not autograd.grad, which passes over what a backward pass within it finds
        outside = {name for name, p in params.items() if p.grad is not None}
        gradients = {name: torch.zeros_like(p) for name, p in params.items()}
        for name, p in [*params.items(), *stand_ins]:  # a checkpoint that ran again has made more of them
            if p.grad is not None:
                gradients[name] += p.grad.to_dense()
    own = {t.untyped_storage().data_ptr() for t in (*params.values(), *model.buffers())}
    own |= {stand_in.untyped_storage().data_ptr() for _, stand_in in stand_ins}
    kept = [t for place, t in saved.items() if place not in own]
    bytes_kept = sum(t.untyped_storage().nbytes() for t in kept)
    return Truth(gradients, outside, *_tolerance(kept, s), bytes_kept, logits.detach())


def check_fixed(
    model: nn.Module,
    x: Tensor,
    together: Tensor,
    tolerance: float,
    presented: int,
    before: tuple[bool, Tensor] | None = None,
) -> None:
    """Check that the logits of a sample depend on nothing but the sample.

    A model that draws random numbers, whatever it does with them, meets so many copies of the samples that an effect
    at a rate of 0.02 is seen.

    Args:
        model: network.
        x: (n, ...) samples.
        together: (n, k) their logits in one pass.
        tolerance: relative difference that rounding explains.
        presented: copies for a model that draws nothing.
        before: of another pass what ``draws`` tells; such a pass is made by default.

    Raises:
        ValueError: if the logits are random, differ alone and within a batch, or would be others in evaluation mode.
    """
    if not together.isfinite().all():
        raise ValueError("the model gives logits that are NaN or infinite for these samples; mend its forward pass")
    small = tolerance * together.abs().max()
    with torch.no_grad():
        drawn, again = before or draws(model, x)
        copies = PRESENTED if drawn else min(PRESENTED, presented)
        passes = [again]
        if copies := copies // len(x):
            many = model(x.repeat(copies, *[1] * (x.ndim - 1)))
            passes += many.split(len(x)) if drawn else []
        if not (difference := max((together - z).abs().max() for z in passes)) <= small:
            raise ValueError(
                f"the model is random: logits of the same batch differ by {float(difference):.2g} between two passes; "
                "call model.eval(), and switch off what draws numbers there too, such as F.dropout(training=True)"
            )
        try:
            alone = torch.cat([model(x[i : i + 1]) for i in range(len(x))])
        except Exception as error:
            if ran_out(error):
                raise
            raise ValueError(f"the model cannot take one sample alone, so a sample has no gradient: {error}") from error
        batches = [alone, *(many.split(len(x)) if copies else [])]
        if not (difference := max((together - z).abs().max() for z in batches)) <= small:
            raise ValueError(
                f"the model mixes samples: logits of a sample alone and within a batch differ by "
                f"{float(difference):.2g}; call model.eval(), and keep operations (normalisation, attention) off the "
                "batch axis"
            )
        if any(module.training for module in model.modules()):
            evaluated = copied(model).eval()(x)
            if not (difference := (together - evaluated).abs().max()) <= small:
                raise ValueError(
                    f"the model is in training mode, where its logits differ by {float(difference):.2g} from those in "
                    "evaluation mode; call model.eval() first"
                )


def check_settled(model: nn.Module, x: Tensor, before: Tensor, tolerance: float) -> None:
    """Check that a model gives the logits that it gave before the kernel was computed.

    Raises:
        ValueError: if it does not: something in it counts or remembers its calls.
    """
    with torch.no_grad():
        difference = (model(x.clone()) - before).abs().max()
    if not difference <= tolerance * before.abs().max():
        raise ValueError(
            f"the model changes as it is called: logits of one sample differ by {float(difference):.2g} before and "
            "after its kernel was computed; hold still what it counts or remembers in forward"
        )


class _Draws(TorchDispatchMode):
    """Notes whether an operation draws from a generator of its own."""

    drawn = False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # or torch imports its compiler, which takes a second, to keep it from compiling this

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded in func.tags and kwargs.get("generator") is not None:
            self.drawn = True
        return func(*args, **kwargs)


def draws(model: nn.Module, x: Tensor) -> tuple[bool, Tensor]:
    """Return whether a forward pass draws random numbers, of torch, numpy or Python, and its logits."""

    def states() -> tuple:
        own = [torch.get_rng_state(), *([torch.cuda.get_rng_state(x.device)] if x.is_cuda else [])]
        _, key, place, *_ = np.random.get_state()
        return [t.numpy().tobytes() for t in own], key.tobytes(), place, random.getstate()

    before = states()
    with _Draws() as own:
        logits = model(x)
    return own.drawn or states() != before, logits


@contextmanager
def _stand_ins(modules: dict[str, nn.Module], params: dict[str, nn.Parameter]) -> Iterator[list[tuple[str, Tensor]]]:
    named, made, replaced = {id(p): name for name, p in params.items()}, [], []

    def before(module: nn.Module, args: tuple) -> None:
        replaced.append((module, dict(module._parameters)))
        for key, p in replaced[-1][1].items():
            if id(p) in named:
                made.append((named[id(p)], nn.Parameter(p.detach())))
                module._parameters[key] = made[-1][1]

    def put_back(*_: object) -> None:
        module, own = replaced.pop()
        module._parameters.update(own)

    with ExitStack() as hooks:
        for module in modules.values():
            hooks.callback(module.register_forward_pre_hook(before).remove)
            hooks.callback(module.register_forward_hook(put_back, prepend=True).remove)
        try:
            yield made
        finally:
            while replaced:  # a forward pass that failed half-way
                put_back()


@contextmanager
def others_spared(graph: Iterable[Node], known: Iterable[Tensor]) -> Iterator[None]:
    """Give no gradient to tensors that a graph begins with beside the known ones, as a global name may lead to some."""
    told = {id(t) for t in known}
    with own_gradients(t for t in leaves(graph) if id(t) not in told):
        yield


@contextmanager
def own_gradients(params: Iterable[nn.Parameter]) -> Iterator[None]:
    """Take away what gradients lie with some parameters, and put it back."""
    before = [(p, p.grad) for p in params]
    for p, _ in before:
        p.grad = None
    try:
        yield
    finally:
        for p, grad in before:
            p.grad = grad


def _tolerance(saved: list[Tensor], s: Tensor) -> tuple[float, float]:
    """Return how far rounding may lead, and how far where terms cancel, by the coarsest numbers that a pass keeps."""
    numbers = [t.dtype for t in (s, *saved) if t.is_floating_point()]
    coarsest = max(torch.finfo(dtype).eps for dtype in numbers)
    if s.dtype != torch.float64:
        return coarsest**0.5, min(30 * coarsest, LOOSEST)
    return min(max(EXACT, 30 * coarsest), LOOSEST), min(30 * coarsest, LOOSEST)
