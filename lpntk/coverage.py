"""Do the watched layers explain every gradient? Tried on a few samples, because a hook misses functional uses.

``F.linear(x, layer.weight)``, a parametrised weight or the output projection of ``nn.MultiheadAttention`` bypass the
module that owns the parameter. So the sum ``sum_i e_i phi_i`` with random ``e`` is formed twice, by autograd and from
what the layers recorded; a parameter for which the two differ is left to ``torch.func`` on the whole model.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lpntk.any_layer import AnyLayer
from lpntk.capture import Call, record
from lpntk.dispatch import layer_for
from lpntk.gradients import per_sample_gradients, trainable
from lpntk.layers import Layer

log = logging.getLogger(__name__)

Use = tuple[int, str]  # which call, and the parameter's name in its module


@dataclass
class Coverage:
    """Who forms which gradient.

    Attributes:
        modules: the modules to watch, by name.
        calls: names of the modules in the order of their calls, and which of their outputs got a gradient.
        layers: one for each call; None where it contributes nothing that is used.
        uses: for every parameter that layers explain, the calls that used it.
        whole: the parameters left to the whole model.
        tensors: per call, what its layer reads (of the samples tried).
        combination: (n,) the random weights e, and ``norm2`` the squared norm of ``sum_i e_i phi_i``.
    """

    modules: dict[str, nn.Module]
    calls: list[tuple]
    layers: list[Layer | None]
    uses: dict[str, list[Use]]
    whole: list[str]
    tensors: list[tuple[Tensor, ...]]
    combination: Tensor
    norm2: Tensor


def signature(call: Call) -> tuple:
    """Return what must be the same in every batch."""
    return call.name, tuple(grad is not None for grad in call.grads)


def cover(model: nn.Module, direction: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor) -> Coverage:
    """Try a few samples and find for every trainable parameter who forms its gradient.

    Args:
        model: network in evaluation mode on its device.
        direction: maps (logits, y) to the vectors ``s``.
        x: (n, ...) a few samples; at least two, or a single one is taken twice.
        y: (n,) labels.

    Raises:
        ValueError: if the model mixes the samples of a batch, or nothing explains the gradient of some parameter.
    """
    if len(x) == 1:
        x, y = x.repeat(2, *[1] * (x.ndim - 1)), y.repeat(2)
    n, params = len(x), trainable(model)
    _check_samples_apart(model, x)
    owners = {name: m for name, m in model.named_modules() if any(p.requires_grad for p in m.parameters(recurse=False))}
    calls, s = record(model, owners, x, lambda logits: direction(logits, y))
    e = torch.randn(n, generator=torch.Generator().manual_seed(0)).to(s)
    truth = _combined_by_autograd(model, x, s, e, params)
    floor = 30 * torch.finfo(s.dtype).eps * torch.stack([t.norm() for t in truth.values()]).norm()

    found = _layers(calls, n, params)
    uses = {name: [] for name in params}
    for i, (layer, attributes) in enumerate(found):
        for attribute, name in attributes.items() if layer else ():
            uses[name].append((i, attribute))
    tensors = [layer.tensors(call, n) if layer else () for call, (layer, _) in zip(calls, found, strict=True)]
    layers = [layer for layer, _ in found]
    whole = []
    for name, want in truth.items():
        got, scale = _combined_by_layers(layers, tensors, uses[name], e, want)
        if not _close(got, want, scale, floor):
            whole.append(name)
            del uses[name]
    uses = {name: where for name, where in uses.items() if where}  # the rest does not influence the output
    _report(layers, calls, uses, whole)
    _check_whole(model, x, s, e, {name: params[name] for name in whole}, truth, floor)
    norm2 = sum(want.square().sum() for want in truth.values())
    return Coverage(owners, [signature(c) for c in calls], layers, uses, whole, tensors, e, norm2)


def _layers(calls: list[Call], n: int, params: dict[str, nn.Parameter]) -> list[tuple[Layer | None, dict[str, str]]]:
    """Return, per call, its layer and its trainable parameters: own name -> name in the model."""
    named = {id(p): name for name, p in params.items()}
    found = []
    for call in calls:
        own = {key: named[id(p)] for key, p in call.module._parameters.items() if id(p) in named}
        flows = any(grad is not None for grad in call.grads)
        found.append((layer_for(call, n, list(own)) if flows else None, own))
    return found


def _combined_by_autograd(
    model: nn.Module, x: Tensor, s: Tensor, e: Tensor, params: dict[str, nn.Parameter]
) -> dict[str, Tensor]:
    with torch.enable_grad():
        total = (model(x) * s * e[:, None]).sum()
        grads = torch.autograd.grad(total, list(params.values()), allow_unused=True)
    grads = [torch.zeros_like(p) if g is None else g for p, g in zip(params.values(), grads, strict=True)]
    return {name: g.to_dense() for name, g in zip(params, grads, strict=True)}


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
            total += weight * phi
            scale = scale + weight.abs() * phi.norm()
    return total, scale


def _close(got: Tensor, want: Tensor, scale: Tensor, floor: Tensor) -> bool:
    return bool((got - want).norm() <= torch.finfo(want.dtype).eps ** 0.5 * scale + floor)


def _check_samples_apart(model: nn.Module, x: Tensor) -> None:
    with torch.no_grad():
        together = model(x)
        try:
            alone = torch.cat([model(x[i : i + 1]) for i in range(len(x))])
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"the model cannot take one sample alone, so a sample has no gradient: {error}") from error
    difference = (together - alone).abs().max()
    if not difference <= torch.finfo(together.dtype).eps ** 0.5 * together.abs().max():
        raise ValueError(
            f"the model mixes samples: logits of a sample alone and within a batch differ by {float(difference):.2g}; "
            "call model.eval(), and keep operations (normalisation, attention) off the batch axis"
        )


def _check_whole(
    model: nn.Module, x: Tensor, s: Tensor, e: Tensor, params: dict, truth: dict[str, Tensor], floor: Tensor
) -> None:
    for name, param in params.items():
        try:
            rows = per_sample_gradients(model, x, s, {name: param})  # (n, p)
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f"no layer explains the gradient of parameter {name!r}, and torch.func cannot differentiate the whole "
                f"model ({error}); call the module that owns it instead of using the parameter directly, or freeze it"
            ) from error
        scale = (e.abs()[:, None] * rows).norm(dim=1).sum()
        if not _close((e @ rows).view_as(param), truth[name], scale, floor):
            raise ValueError(
                f"the gradient of parameter {name!r} is not a sum over the samples of the batch; "
                "the model's output is not a fixed function of one sample, or the parameter is random"
            )


def _report(layers: list[Layer | None], calls: list[Call], uses: dict[str, list[Use]], whole: list[str]) -> None:
    used = {i for where in uses.values() for i, _ in where}
    for i in sorted(used):
        if isinstance(layers[i], AnyLayer):
            log.info(
                "%s (%s): per-sample gradients by torch.func", calls[i].name or "model", calls[i].module._get_name()
            )
    if whole:
        log.info("parameters used outside their module, by torch.func on the whole model: %s", ", ".join(whole))
