"""How well does equation 1 tell a step, and what is left of it without the size of the error? Numbers of one step."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lpntk.kernel.checks import check_inputs
from lpntk.machine.precision import exact
from lpntk.phenomena.one_step.kinks import local_slopes, switched, switches
from lpntk.phenomena.one_step.step import (
    FORCES,
    forces,
    likelihood_velocity,
    logit_velocity,
    sgd_step,
    softmax_velocity,
)

UNREADABLE = 1e-10  # norm of a change of all probabilities below which rounding could turn it


@exact
@torch.no_grad()
def readings(model: nn.Module, x: Tensor, y: Tensor, x_test: Tensor, y_test: Tensor, lr: float) -> dict[str, Tensor]:
    """Make one true step and compare the changes of the test predictions with what each force predicts.

    Args:
        model: float64, in evaluation mode.
        x: (n, ...) samples of the step.
        y: (n,) their labels.
        x_test: (m, ...) inputs whose predictions change.
        y_test: (m,) their labels.
        lr: of the step.

    Returns:
        For each force, in the order of ``FORCES``, (forces,): ``cosine`` of the predicted with the true change of all
        m K probabilities, and Spearman's correlation over test samples of the change of log q_y, ``rank``.

        Numbers of the step: ``relative``, the norm of what equation 1 misses over that of the true change;
        ``relative_logits``, the same if the softmax is not linearised; ``common``, the norm of what the mean of the
        signs adds to their prediction over that of the rest; ``vectors``, the mean cosine of e_y - q with the centred
        signs; ``size``, the mean norm of e_y - q; ``active``, the effective share of the samples that make the step,
        (sum w)^2 / (n sum w^2) for w = 1 - q_y: 1 if all are equally wrong, 1 / n if one alone is wrong. A step that
        changed less than rounding could is NaN in all but the last three.
    """
    check_inputs(model, x, y, x_test, y_test)
    k, z, z_step = model(x).shape[1], model(x_test), sgd_step(model, x, y, lr)(x_test)
    pushes = torch.stack([forces(model(x), y, force) for force in FORCES])  # (forces, n, k)
    v = logit_velocity(model, x, y, pushes, x_test)  # (forces, m, k)
    q = z.softmax(dim=1)
    change, told = z_step.softmax(dim=1) - q, softmax_velocity(q, v)
    own = F.logsigmoid(log_odds(z_step, y_test)) - F.logsigmoid(log_odds(z, y_test))  # of log q_y
    norm, norms = change.norm(), torch.linalg.vector_norm(told, dim=(1, 2))
    of = dict(zip(FORCES, range(len(FORCES)), strict=True))
    error, centred = pushes[of["error"]], pushes[of["centred"]]
    found = {
        "cosine": (told * change).sum(dim=(1, 2)) / (norms * norm),
        "rank": rank_correlations(likelihood_velocity(q, v, y_test), own),
        "relative": (lr * told[of["error"]] - change).norm() / norm,
        "relative_logits": ((z + lr * v[of["error"]]).softmax(dim=1) - q - change).norm() / norm,
        "common": (k - 2) / k * norms[of["ones"]] / norms[of["centred"]],  # s = centred - (k - 2) / k ones
    }
    if norm < UNREADABLE:
        found = {name: torch.full_like(value, torch.nan) for name, value in found.items()}
    cosines = (error * centred).sum(1) / (error.norm(dim=1) * centred.norm(dim=1))
    wrong = pushes[of["even"]].gather(1, y[:, None])  # (n, 1), 1 - q_y
    wrong = wrong / wrong.max()  # their squares could underflow
    active = wrong.sum() ** 2 / (len(wrong) * wrong.square().sum())
    return found | {"vectors": cosines.mean(), "size": error.norm(dim=1).mean(), "active": active}


def log_odds(z: Tensor, y: Tensor) -> Tensor:
    """Return log q_y / (1 - q_y), (m,), from logits (m, k): exact where q_y is nearly one, unlike its logarithm."""
    own = F.one_hot(y, z.shape[1]).bool()
    return z[own] - z.masked_fill(own, -torch.inf).logsumexp(dim=1)


def rank_correlations(told: Tensor, true: Tensor) -> Tensor:
    """Return Spearman's correlation of each row of (s, m) with (m,); ties share their mean rank."""
    from scipy.stats import rankdata  # slow to import

    ranks = torch.from_numpy(rankdata(torch.cat([told, true[None]]).cpu().numpy(), axis=1))
    return torch.corrcoef(ranks)[-1, :-1]


@exact
@torch.no_grad()
def errors(model: nn.Module, x: Tensor, y: Tensor, x_test: Tensor, lrs: Sequence[float]) -> dict[str, Tensor]:
    """Return the error of equation 1 for several learning rates, of a model in float64, and the same in float32.

    Returns:
        Each (lrs,), over test samples: ``error``, the mean norm of the error; ``rms``, the root of its mean square;
        ``logits``, the mean norm if the softmax is not linearised; ``change``, that of the true change; ``float32``,
        that of the error if all is computed in single precision; ``kinked``, the share of samples that met a kink. And
        ``smooth``, (lrs - 1,): the slope of the error between neighbouring learning rates over samples without a kink,
        see ``kinks.local_slopes``.
    """
    found, rates = changes(model, x, y, x_test, lrs), torch.tensor(lrs, dtype=torch.float64, device=x.device)
    single = changes(copy.deepcopy(model).float(), x.float(), y, x_test.float(), lrs)
    missed = _norms(found.true - rates[:, None, None] * found.rate)  # (l, m)
    return {
        "error": missed.mean(dim=1),
        "rms": missed.square().mean(dim=1).sqrt(),
        "logits": _norms(found.true - found.bent).mean(dim=1),
        "change": _norms(found.true).mean(dim=1),
        "smooth": local_slopes(missed.cpu(), rates.cpu(), found.kinked),
        "kinked": found.kinked.double().mean(dim=1),
        "float32": _norms(single.true - rates.float()[:, None, None] * single.rate).mean(dim=1).double(),
    }


def _norms(change: Tensor) -> Tensor:
    return torch.linalg.vector_norm(change, dim=-1)


@dataclass(frozen=True)
class Changes:
    """How the probabilities of m test samples change by one step, for l learning rates.

    Attributes:
        rate: (m, k) change per learning rate that equation 1 predicts.
        bent: (l, m, k) change predicted if the logits are linearised and the softmax is not.
        true: (l, m, k) change by a true step.
        kinked: (l, m) whether a ReLU or a max-pooling switched for the sample.
    """

    rate: Tensor
    bent: Tensor
    true: Tensor
    kinked: Tensor


@exact
@torch.no_grad()
def changes(model: nn.Module, x: Tensor, y: Tensor, x_test: Tensor, lrs: Sequence[float]) -> Changes:
    """Predict the change by a step on (x, y) and make the step, from the same weights, for each learning rate."""
    check_inputs(model, x, y, None, None)
    z, before = switches(model, x_test)
    v = logit_velocity(model, x, y, forces(model(x), y, "error")[None], x_test)[0]  # (m, k)
    q = z.softmax(dim=1)
    bent = torch.stack([(z + lr * v).softmax(dim=1) - q for lr in lrs])
    true, kinked = [], []
    for lr in lrs:
        z_step, after = switches(sgd_step(model, x, y, lr), x_test)  # shares nothing with v
        true.append(z_step.softmax(dim=1) - q)
        kinked.append(switched(before, after, len(x_test)))
    return Changes(softmax_velocity(q, v), bent, torch.stack(true), torch.stack(kinked))
