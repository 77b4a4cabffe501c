"""What does one SGD step do to the predictions? The first-order formula (here called equation 1) and the true step.

    q'(x_o) - q(x_o) = eta A(x_o) Theta(x_o, x_u) (e_{y_u} - q(x_u)) + O(eta^2)      A = diag(q) - q q^T

The K x K blocks Theta = J(x_o) J(x_u)^T are never formed: a backward product J(x_u)^T v is the change of the weights,
and one forward product along it gives J(x_o) J(x_u)^T v for all x_o at once.
"""

import copy
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, jvp, vjp, vmap

from lpntk.kernel.checks import check_inputs
from lpntk.kernel.layerwise.gradients import trainable
from lpntk.kernel.signs import errors, residual, sign_vectors
from lpntk.machine.precision import exact

Force = Literal["error", "even", "centred", "label", "ones"]
FORCES: tuple[str, ...] = ("error", "even", "centred", "label", "ones")


def forces(logits: Tensor, y: Tensor, force: Force) -> Tensor:
    """Return what a step is made with, (n, k): the error e_y - q of equation 1, or less and less of it.

    ========= ============================================== =======================================================
    force     vector                                         what is kept of e_y - q
    ========= ============================================== =======================================================
    error     e_y - q                                        everything
    even      (1 - q_y) (e_y - (1 - e_y) / (K - 1))          how wrong; not which classes are wrongly believed
    centred   2 (e_y - 1/K) / sqrt(K)                        the signs minus their mean; not how wrong
    label     (2 e_y - 1) / sqrt(K)                          the signs, as in lpNTK
    ones      1 / sqrt(K)                                    nothing
    ========= ============================================== =======================================================

    ``even`` is a positive multiple of ``centred``, so they differ where several samples are stepped on, not for one.

    Args:
        logits: (n, k) outputs of the network.
        y: (n,) integer labels.
        force: one of the five names.

    Raises:
        ValueError: if the name is unknown.
    """
    if force not in FORCES:
        raise ValueError(f"force must be one of {', '.join(FORCES)}; got {force!r}")
    if force != "even":
        return sign_vectors(logits, y, force)
    k = logits.shape[1]
    wrong = errors(logits, y).gather(1, y[:, None])  # (n, 1)
    onehot = F.one_hot(y, k).to(logits)
    return wrong * (onehot - (1 - onehot) / (k - 1))


@exact
def logit_velocity(model: nn.Module, x: Tensor, y: Tensor, vectors: Tensor, x_test: Tensor) -> Tensor:
    """Return d z(x_o) / d eta at eta = 0 for steps on a batch: ``mean_u Theta(x_o, x_u) v_u``, all x_o at once.

    Args:
        model: maps (n, ...) to logits (n, k); in evaluation mode if it has batch norm or dropout.
        x: (n, ...) the batch that is stepped on.
        y: (n,) its labels, for the checks.
        vectors: (s, n, k) the vectors v_u of s different steps on the batch, see ``forces``.
        x_test: (m, ...) inputs whose logits move.

    Returns:
        (s, m, k) in the dtype of the parameters.

    Raises:
        ValueError: if model and samples do not fit, or ``vectors`` is not (s, n, k).
    """
    check_inputs(model, x, y, None, None)
    params = {name: p.detach() for name, p in trainable(model).items()}
    logits, pull_back = vjp(lambda w: functional_call(model, w, (x,)), params)
    if vectors.ndim != 3 or vectors.shape[1:] != logits.shape:
        raise ValueError(f"vectors must be (s, n, k) = (s, {len(x)}, {logits.shape[1]}); got {tuple(vectors.shape)}")
    weight_changes = vmap(lambda v: pull_back(v)[0])(vectors / len(x))  # name -> (s, *shape of the parameter)

    def push_forward(change: dict[str, Tensor]) -> Tensor:
        return jvp(lambda w: functional_call(model, w, (x_test,)), (params,), (change,))[1]

    return vmap(push_forward)(weight_changes).detach()


def softmax_velocity(q: Tensor, v: Tensor) -> Tensor:
    """Return ``A v``, the change of probabilities q (..., k) when their logits move by v; ``A 1 = 0``.

    So v may be counted from the likeliest class, whose share would cancel otherwise where q is nearly one-hot.
    """
    v = v - v.gather(-1, q.argmax(dim=-1, keepdim=True).expand(*v.shape[:-1], 1))
    return q * (v - (q * v).sum(dim=-1, keepdim=True))


def likelihood_velocity(q: Tensor, v: Tensor, y: Tensor) -> Tensor:
    """Return ``(e_y - q)^T v``, the change (..., m) of log q_y when the logits move by v (..., m, k)."""
    return (residual(q, y) * v).sum(dim=-1)


@exact
@torch.enable_grad()
def sgd_step(model: nn.Module, x: Tensor, y: Tensor, lr: float) -> nn.Module:
    """Return a copy of the model after one true step of ``torch.optim.SGD`` on the mean cross-entropy of a batch."""
    stepped = copy.deepcopy(model)
    optimizer = torch.optim.SGD(trainable(stepped).values(), lr=lr)
    optimizer.zero_grad()
    F.cross_entropy(stepped(x), y).backward()
    optimizer.step()
    return stepped
