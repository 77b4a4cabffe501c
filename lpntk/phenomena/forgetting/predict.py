"""Which samples will the next update make forgotten? Scores from first-order changes of the prediction.

All of them need only products ``J(x_o) d`` of the Jacobian of a sample with a direction d in parameter space, which
forward-mode differentiation gives without any K x K block of the kernel:

    mean_u Theta(x_o, x_u) s_u = J(x_o) [ mean_u J(x_u)^T s_u ]         (the bracket is one backward pass)

A score is larger the more likely the sample is to be forgotten. Guo et al., ICLR 2024, predict with ``kernel``.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.func import functional_call, jvp, vmap

from lpntk.kernel.signs import sign_vectors
from lpntk.learn.stacks import Stack, set_mode
from lpntk.phenomena.forgetting.events import margin

Direction = dict[str, Tensor]  # name of a parameter -> (m, ...), as Stack.params
SIGNS = ("error", "label", "centred")

# score -> what a reader calls it; the first six predict where the score is not negative, the others need a threshold
PREDICTORS = {
    "kernel": "kernel, on probabilities",
    "kernel-logits": "kernel, on logits",
    "decay": "kernel + weight decay",
    "momentum": "kernel + momentum",
    "step": "true step, on logits",
    "step-probabilities": "true step, on probabilities",
    "signs": "lpNTK signs",
    "signs-centred": "centred lpNTK signs",
    "kappa": "lpNTK, scalar",
    "kappa-centred": "centred lpNTK, scalar",
    "margin": "margin alone",
    "random": "random",
}
FREE = tuple(PREDICTORS)[:6]


def moment(stack: Stack) -> tuple[Direction, Callable[[Direction, Tensor], Tensor]]:
    """Return a copy of the stack's parameters now, and its logits in evaluation mode as a function of parameters.

    The function maps (parameters, (m, b, ...) inputs) to (m, b, k) and keeps today's buffers (running statistics).
    """
    params = {name: p.detach().clone() for name, p in stack.params.items()}
    if not stack.single:
        return params, stack.run
    model = stack.models[0]
    buffers = {name: b.detach().clone() for name, b in model.named_buffers()}

    def run(p: Direction, x: Tensor) -> Tensor:
        set_mode(model, False, False)
        return functional_call(model, {**buffers, **p}, (x[0],))[None]

    return params, run


def pushes(stack: Stack, x: Tensor, y: Tensor) -> dict[str, Direction]:
    """Return the directions ``mean_u J(x_u)^T s_u`` of a batch for each choice of s in ``SIGNS``.

    ``error`` is the negative gradient of the mean loss (in evaluation mode), ``label`` and ``centred`` keep its
    signs alone, see ``lpntk.kernel.signs``.

    Args:
        stack: m networks.
        x: (m, b, ...) inputs.
        y: (m, b) labels.
    """
    logits = stack.logits(x)  # (m, b, k)
    params = list(stack.params.values())
    found = {}
    for signs in SIGNS:
        s = sign_vectors(logits.flatten(0, 1), y.flatten(), signs).view_as(logits)
        grads = torch.autograd.grad(logits, params, s / y.shape[1], retain_graph=signs != SIGNS[-1])
        found[signs] = dict(zip(stack.params, grads, strict=True))
    return found


def changes(
    run: Callable[[Direction, Tensor], Tensor], params: Direction, x: Tensor, directions: Mapping[str, Direction]
) -> dict[str, Tensor]:
    """Return ``J(x) d`` for every direction d, by forward-mode differentiation.

    Args:
        run: maps (parameters, inputs) to (m, b, k) logits.
        params: where the Jacobian is taken.
        x: (m, b, ...) inputs.
        directions: name -> direction.

    Returns:
        Name -> (m, b, k) first-order changes of the logits.
    """
    stacked = {name: torch.stack([d[name] for d in directions.values()]) for name in params}
    along = lambda d: jvp(lambda p: run(p, x), (params,), (d,))[1]
    return dict(zip(directions, vmap(along)(stacked), strict=True))  # one walk for all directions


def on_probabilities(logits: Tensor, change: Tensor) -> Tensor:
    """Return ``q + A(x) change`` (..., k): the softmax expanded to first order as well, as in the paper's equation."""
    q = logits.softmax(dim=-1)
    return q + q * (change - (q * change).sum(dim=-1, keepdim=True))  # A v = q v - q (q^T v)


def inverse_scale(logits: Tensor, y: Tensor, change: Tensor) -> Tensor:
    """Return 1 / c of the smallest c > 0 for which ``logits + c change`` no longer answers y; 0 if there is none.

    A direction of unknown length forgets first the samples for which this is largest. Only where y is the answer.
    """
    lead = logits.gather(-1, y[..., None]) - logits  # (..., k), 0 at y
    gain = change - change.gather(-1, y[..., None])
    return torch.where(lead > 0, gain / lead, 0.0).amax(dim=-1).clamp_min(0)


def scores(
    logits: Tensor, y: Tensor, change: Mapping[str, Tensor], *, lr: float, momentum: float, weight_decay: float
) -> dict[str, Tensor]:
    """Return every score of ``PREDICTORS`` but ``random``, from the changes along the directions of one step.

    Args:
        logits: (m, b, k) of the samples before the step.
        y: (m, b) labels.
        change: direction -> (m, b, k): ``SIGNS`` of the batch, the optimizer's ``velocity``, the ``weights``
            themselves, and the true ``step``. The velocity and the weights may be missing where the optimizer does not
            use them.
        lr: eta; SGD takes the step -eta (g + lambda w + mu v).
        momentum: mu.
        weight_decay: lambda.

    Returns:
        Name -> (m, b). In units of the logits (or probabilities) minus the predicted margin after the step for those
        in ``FREE`` and minus the margin before it for ``margin``; else 1 / c of the scale c that would forget.
    """
    none = torch.zeros_like(logits)
    kernel = lr * change["error"]
    after = {
        "kernel": on_probabilities(logits, kernel),
        "kernel-logits": logits + kernel,
        "decay": logits + kernel - lr * weight_decay * change.get("weights", none),
        "momentum": logits + kernel - lr * momentum * change.get("velocity", none),
        "step": logits + change["step"],
        "step-probabilities": on_probabilities(logits, change["step"]),
    }
    told = {name: -margin(values, y) for name, values in after.items()}
    before = margin(logits, y)
    for suffix, signs in (("", "label"), ("-centred", "centred")):
        told["signs" + suffix] = inverse_scale(logits, y, change[signs])
        s = sign_vectors(logits.flatten(0, 1), y.flatten(), signs).view_as(logits)
        kappa = (s * change[signs]).sum(dim=-1)  # mean over the batch of kappa(o, u)
        told["kappa" + suffix] = torch.where(before > 0, -kappa / before, 0.0).clamp_min(0)
    return told | {"margin": -before}
