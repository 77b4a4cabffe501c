"""Do the watched layers explain every gradient? Tried on a few samples, because a hook misses functional uses.

``F.linear(x, layer.weight)``, a parametrised weight or the output projection of ``nn.MultiheadAttention`` bypass the
module that owns the parameter. Such parameters are left to ``torch.func`` on the whole model. Whether the others are
explained is seen from the sum ``sum_i e_i phi_i`` with random ``e``, formed twice: by autograd, and from what the
layers recorded. Both are taken in double precision (``trial.py``) where the model can be.
"""

import logging
from collections.abc import Callable

import torch
from torch import Tensor, nn

from lpntk.any_layer import AnyLayer
from lpntk.capture import Call, record
from lpntk.coverage import Coverage, Direction, Use, signature
from lpntk.dispatch import layer_for
from lpntk.gradients import per_sample_gradients, trainable
from lpntk.layers import Layer
from lpntk.trial import check_fixed, combined, in_double

log = logging.getLogger(__name__)


def cover(model: nn.Module, direction: Direction, x: Tensor, y: Tensor) -> Coverage:
    """Try a few samples and find for every trainable parameter who forms its gradient.

    Args:
        model: network in evaluation mode on its device.
        direction: maps (logits, y) to the vectors ``s``.
        x: (n, ...) a few samples; at least two, or a single one is taken twice.
        y: (n,) labels.

    Raises:
        ValueError: if the model is random or mixes the samples of a batch, or nothing explains the gradient of some
            parameter.
    """
    if len(x) == 1:
        x, y = x.repeat(2, *[1] * (x.ndim - 1)), y.repeat(2)
    n, toward = len(x), lambda logits: direction(logits, y)
    owners, calls, found, _ = _recorded(model, x, toward)
    double, x2, logits = in_double(model, x)
    modules, calls2, tried, s = _recorded(double, x2, toward)
    params = trainable(double)
    e = torch.randn(n, generator=torch.Generator().manual_seed(0)).to(s)
    truth = combined(double, x2, s, e, params, modules)
    check_fixed(double, x2, logits, truth.logits, truth.tolerance)
    floor = 30 * torch.finfo(s.dtype).eps * torch.stack([t.norm() for t in truth.gradients.values()]).norm()

    def close(got: Tensor, want: Tensor, scale: Tensor) -> bool:
        return bool((got - want).norm() <= truth.tolerance * scale + floor)

    signatures = [signature(call) for call in calls]
    if signatures != [signature(call) for call in calls2]:
        raise ValueError("the model runs other layers in double precision; it must not branch on values or dtypes")
    uses, whole = {name: [] for name in params}, set(truth.outside)
    for i, (layer, attributes) in enumerate(found):
        for attribute, name in attributes.items():
            if layer is not None:
                uses[name].append((i, attribute))
            elif any(signatures[i][1]):
                whole.add(name)  # it is used here, but no rule can tell whose row is whose
    tensors2 = [layer.tensors(call, n) if layer else () for call, (layer, _) in zip(calls2, tried, strict=True)]
    for name in params.keys() - whole:
        got, scale = _combined_by_layers([layer for layer, _ in tried], tensors2, uses[name], e, truth.gradients[name])
        if not close(got, truth.gradients[name], scale):
            whole.add(name)
    uses = {name: where for name, where in uses.items() if where and name not in whole}  # others have no influence
    whole = [name for name in params if name in whole]
    _report(found, calls, uses, whole)
    for name in whole:
        _check_whole(double, x2, s, e, name, params[name], truth.gradients[name], close)
    used = {i for where in uses.values() for i, _ in where}
    layers = [layer if i in used else None for i, (layer, _) in enumerate(found)]
    tensors = [layer.tensors(call, n) if layer else () for call, layer in zip(calls, layers, strict=True)]
    shapes = [[t.shape[1:] for t in read] for read in tensors]
    norm2 = sum(gradient.square().sum() for gradient in truth.gradients.values())
    saved = truth.saved_bytes // n
    return Coverage(owners, signatures, layers, uses, whole, tensors, shapes, e, norm2, saved)


def _recorded(model: nn.Module, x: Tensor, direction: Callable[[Tensor], Tensor]) -> tuple:
    """Return the modules with trainable parameters, their calls, the layers of these, and the vectors ``s``."""
    owners = {name: m for name, m in model.named_modules() if any(p.requires_grad for p in m.parameters(recurse=False))}
    calls, s = record(model, owners, x, direction)
    return owners, calls, _layers(calls, len(x), trainable(model)), s


def _layers(calls: list[Call], n: int, params: dict[str, nn.Parameter]) -> list[tuple[Layer | None, dict[str, str]]]:
    """Return, per call, its layer and its trainable parameters: own name -> name in the model."""
    named = {id(p): name for name, p in params.items()}
    found = []
    for call in calls:
        own = {key: named[id(p)] for key, p in call.module._parameters.items() if id(p) in named}
        flows = any(grad is not None and grad.numel() for grad in call.grads)  # no row: nothing to learn from
        found.append((layer_for(call, n, list(own)) if flows else None, own))
    return found


def _combined_by_layers(
    layers: list[Layer], tensors: list[tuple], uses: list[Use], e: Tensor, like: Tensor
) -> tuple[Tensor, Tensor]:
    """Return sum_i e_i phi_i of one parameter, and the size of its terms: the scale of its rounding error."""
    total, scale = torch.zeros_like(like), like.norm()
    for call, attribute in uses:
        for i, weight in enumerate(e):  # one by one: a gradient per sample may be large
            try:
                sample = tuple(t[i : i + 1] for t in tensors[call])
                phi = layers[call].gradients(sample, [attribute])[attribute][0]
            except RuntimeError as error:
                log.debug("gradient of %r failed: %s", attribute, error)
                return torch.full_like(like, torch.nan), scale
            total.add_(phi, alpha=float(weight))
            scale = scale + weight.abs() * phi.norm()
    return total, scale


def _check_whole(
    model: nn.Module,
    x: Tensor,
    s: Tensor,
    e: Tensor,
    name: str,
    param: nn.Parameter,
    want: Tensor,
    close: Callable[[Tensor, Tensor, Tensor], bool],
) -> None:
    try:
        rows = per_sample_gradients(model, x, s, {name: param})  # (n, p)
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"no layer explains the gradient of parameter {name!r}, and torch.func cannot differentiate the whole "
            f"model ({error}); call the module that owns it instead of using the parameter directly, or freeze it"
        ) from error
    scale = (e.abs()[:, None] * rows).norm(dim=1).sum()
    if not close((e @ rows).view_as(param), want, scale):
        raise ValueError(
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
