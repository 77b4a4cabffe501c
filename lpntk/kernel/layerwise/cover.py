"""Do the watched layers explain every gradient? Tried on a few samples, because a hook misses functional uses.

``F.linear(x, layer.weight)``, a parametrised weight or the output projection of ``nn.MultiheadAttention`` bypass the
module that owns the parameter. Such parameters are left to ``torch.func`` on the whole model. Whether the others are
explained is seen from the sum ``sum_i e_i phi_i`` with random ``e``, formed twice: by autograd, and from what the
layers recorded. Both are taken in double precision (``trial.py``) where the model can be, and with random vectors
``s``: those of samples of one label are alike, and hide rows that were given to the wrong sample.
"""

import logging
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lpntk.kernel.layerwise.capture import Call, record, tensors_in
from lpntk.kernel.layerwise.coverage import Coverage, Use, signature
from lpntk.kernel.layerwise.coverage import combined as combined_by_layers
from lpntk.kernel.layerwise.forms.any_layer import AnyLayer
from lpntk.kernel.layerwise.forms.dispatch import layer_for
from lpntk.kernel.layerwise.gradients import per_sample_gradients, trainable
from lpntk.kernel.layerwise.layers import Layer
from lpntk.kernel.model.ownership import UnexplainedError, weights_at_random
from lpntk.kernel.model.trial import CHEAP, check_fixed, combined, in_double
from lpntk.machine.device import fetched, ran_out

DEAR = 2**20  # bytes: a pass in double precision of one such sample takes about 10 ms

log = logging.getLogger(__name__)


def cover(model: nn.Module, x: Tensor) -> Coverage:
    """Try a few samples and find for every trainable parameter who forms its gradient.

    Args:
        model: network in evaluation mode on its device.
        x: (n, ...) a few samples; at least two, or a single one is taken twice.

    Raises:
        ValueError: if the model is random or mixes the samples of a batch.
        UnexplainedError: if nothing explains the gradient of some parameter.
    """
    if len(x) == 1:
        x = x.repeat(2, *[1] * (x.ndim - 1))
    owners, calls, found, _, way = _recorded(model, x)
    few = x[[0, -1]] if dear(2 * _bytes_seen(calls) // len(x)) else x  # as many are the gradients
    double, x2, *before = in_double(model, few)
    modules, calls2, tried, s, _ = _recorded(double, x2)
    params, n = trainable(double), len(few)
    e = weights_at_random(n).to(s)
    truth = combined(double, x2, s, e, params, modules)
    saved = truth.saved_bytes // n
    check_fixed(double, x2, truth.logits, truth.tolerance, CHEAP // max(1, saved), before)
    floor = truth.floor * torch.stack([t.norm() for t in truth.gradients.values()]).norm()

    def close(got: Tensor, scale: Tensor, want: Tensor) -> Tensor:
        return (got - want).norm() <= truth.tolerance * scale + floor

    signatures = [signature(call) for call in calls]
    if signatures != [signature(call) for call in calls2]:
        raise UnexplainedError(
            "the model runs other layers in double precision; it must not branch on values or dtypes"
        )
    uses, whole = {name: [] for name in params}, set(truth.outside)
    for i, (layer, attributes) in enumerate(found):
        for attribute, name in attributes.items():
            if layer is not None:
                uses[name].append((i, attribute))
            elif any(signatures[i][1]):
                whole.add(name)  # it is used here, but no rule can tell whose row is whose
    tensors2 = [layer.tensors(call, n) if layer else () for call, (layer, _) in zip(calls2, tried, strict=True)]
    fits, formed = {}, [layer for layer, _ in tried]
    for name in params.keys() - whole:
        want = truth.gradients[name]
        fits[name] = close(*combined_by_layers(formed, tensors2, uses[name], e, want), want)
    whole |= {name for name, fit in zip(fits, fetched(fits.values()), strict=True) if not fit}
    uses = {name: where for name, where in uses.items() if where and name not in whole}  # others have no influence
    whole = [name for name in params if name in whole]
    _report(found, calls, uses, whole)
    for name in whole:
        _check_whole(double, x2, s, e, name, params[name], truth.gradients[name], close)
    used = {i for where in uses.values() for i, _ in where}
    layers = [layer if i in used else None for i, (layer, _) in enumerate(found)]
    tensors = [layer.tensors(call, len(x)) if layer else () for call, layer in zip(calls, layers, strict=True)]
    shapes = [[t.shape[1:] for t in read] for read in tensors]
    return Coverage(owners, signatures, layers, uses, whole, tensors, shapes, len(x), saved, {way})


def dear(passing: int) -> bool:
    """Return whether two samples have to do for a trial, by what a sample's pass hands out in bytes."""
    return passing > DEAR


def _bytes_seen(calls: list[Call]) -> int:
    """Return the bytes of what the watched modules were given."""
    return sum(t.nbytes for call in calls for t in tensors_in((call.args, call.kwargs)))


def _recorded(model: nn.Module, x: Tensor) -> tuple:
    """Return the modules with trainable parameters, their calls, the layers of these, random ``s``, and the way."""
    owners = {name: m for name, m in model.named_modules() if any(p.requires_grad for p in m.parameters(recurse=False))}
    toward = lambda logits: torch.randn(logits.shape, generator=torch.Generator().manual_seed(0), device="cpu").to(
        logits
    )
    calls, s, way = record(model, owners, x, toward)
    return owners, calls, _layers(calls, len(x), trainable(model)), s, way


def _layers(calls: list[Call], n: int, params: dict[str, nn.Parameter]) -> list[tuple[Layer | None, dict[str, str]]]:
    """Return, per call, its layer and its trainable parameters: own name -> name in the model."""
    named = {id(p): name for name, p in params.items()}
    found = []
    for call in calls:
        own = {key: named[id(p)] for key, p in call.module._parameters.items() if id(p) in named}
        flows = any(grad is not None and grad.numel() for grad in call.grads)  # no row: nothing to learn from
        found.append((layer_for(call, n, list(own)) if flows else None, own))
    return found


def _check_whole(
    model: nn.Module,
    x: Tensor,
    s: Tensor,
    e: Tensor,
    name: str,
    param: nn.Parameter,
    want: Tensor,
    close: Callable[[Tensor, Tensor, Tensor], Tensor],
) -> None:
    try:
        rows = per_sample_gradients(model, x, s, {name: param})  # (n, p)
    except Exception as error:
        if ran_out(error):
            raise
        raise UnexplainedError(
            f"no layer explains the gradient of parameter {name!r}, and torch.func cannot differentiate the whole "
            f"model ({error}); call the module that owns it instead of using the parameter directly, or freeze it"
        ) from error
    scale = (e.abs()[:, None] * rows).norm(dim=1).sum()
    if not close((e @ rows).view_as(param), scale, want):
        raise UnexplainedError(
            f"the gradient of parameter {name!r} is not a sum over the samples of the batch; "
            "the model's output is not a fixed function of one sample, or the parameter is random"
        )


def _report(found: list[tuple], calls: list[Call], uses: dict[str, list[Use]], whole: list[str]) -> None:
    used = {i for where in uses.values() for i, _ in where}
    for i in sorted(used):
        if isinstance(found[i][0], AnyLayer):
            log.info(
                "%s (%s): per-sample gradients by torch.func", calls[i].name or "model", calls[i].module._get_name()
            )
    if whole:
        log.info("parameters used outside their module, by torch.func on the whole model: %s", ", ".join(whole))
