"""Is the model a fixed function of one sample, and which of its parameters are read past their modules?

Questions to ask of a few samples, in double precision where the model can be taken there: what rounding hides in
float32 shows in float64.
"""

import copy
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

EXACT = 1e-9  # relative; float64 leaves 1e-12 or so
LOOSEST = torch.finfo(torch.float32).eps ** 0.5


@dataclass
class Truth:
    """What autograd says of ``sum_i e_i phi_i``.

    Attributes:
        gradients: by parameter; zeros where it is not used.
        outside: parameters that are read past their modules.
        tolerance: relative error that rounding explains.
        saved_bytes: what autograd keeps for the backward pass, parameters not counted.
        logits: (n, k) of the pass that was differentiated.
    """

    gradients: dict[str, Tensor]
    outside: set[str]
    tolerance: float
    saved_bytes: int
    logits: Tensor


def in_double(model: nn.Module, x: Tensor) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a copy of model and samples in float64, and its logits; the originals if it cannot be taken there."""
    with torch.no_grad():
        try:
            double, x2 = copy.deepcopy(model).double(), x.double() if x.is_floating_point() else x
            logits = double(x2)
            if logits.dtype == torch.float64:
                return double, x2, logits
        except (RuntimeError, ValueError, TypeError):  # a dtype written into its code
            pass
        return model, x, model(x)


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

    with torch.enable_grad(), _stand_ins(modules, params) as stand_ins:
        with saved_tensors_hooks(keep, lambda t: t):
            logits = model(x)
            total = (logits * s * e[:, None]).sum()
        asked = [*params.values(), *(stand_in for _, stand_in in stand_ins)]
        found = torch.autograd.grad(total, asked, allow_unused=True)
    gradients = {name: torch.zeros_like(p) for name, p in params.items()}
    for name, gradient in zip([*params, *(name for name, _ in stand_ins)], found, strict=True):
        if gradient is not None:
            gradients[name] += gradient.to_dense()
    outside = {name for name, gradient in zip(params, found, strict=False) if gradient is not None}
    own = {t.untyped_storage().data_ptr() for t in (*params.values(), *model.buffers())}
    own |= {stand_in.untyped_storage().data_ptr() for _, stand_in in stand_ins}
    kept = [t for place, t in saved.items() if place not in own]
    bytes_kept = sum(t.untyped_storage().nbytes() for t in kept)
    return Truth(gradients, outside, _tolerance(kept, s), bytes_kept, logits.detach())


def check_fixed(model: nn.Module, x: Tensor, together: Tensor, again: Tensor, tolerance: float) -> None:
    """Check that the logits of a sample depend on nothing but the sample.

    Args:
        model: network.
        x: (n, ...) samples.
        together: (n, k) their logits in one pass.
        again: (n, k) the same in another.
        tolerance: relative difference that rounding explains.

    Raises:
        ValueError: if they are random, or differ alone and within a batch.
    """
    with torch.no_grad():
        try:
            alone = torch.cat([model(x[i : i + 1]) for i in range(len(x))])
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"the model cannot take one sample alone, so a sample has no gradient: {error}") from error
    small = tolerance * together.abs().max()
    if not (difference := (together - again).abs().max()) <= small:
        raise ValueError(
            f"the model is random: logits of the same batch differ by {float(difference):.2g} between two passes; "
            "call model.eval(), and switch off what draws numbers there too, such as F.dropout(training=True)"
        )
    if not (difference := (together - alone).abs().max()) <= small:
        raise ValueError(
            f"the model mixes samples: logits of a sample alone and within a batch differ by {float(difference):.2g}; "
            "call model.eval(), and keep operations (normalisation, attention) off the batch axis"
        )


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


def _tolerance(saved: list[Tensor], s: Tensor) -> float:
    """Return how far rounding may lead, by the coarsest numbers that the forward pass keeps."""
    if s.dtype != torch.float64:
        return torch.finfo(s.dtype).eps ** 0.5
    coarsest = max((torch.finfo(t.dtype).eps for t in saved if t.is_floating_point()), default=0.0)
    return min(max(EXACT, 30 * coarsest), LOOSEST)
