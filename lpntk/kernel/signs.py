"""Which direction in logit space? The vector ``s`` that turns K x K blocks of the eNTK into one number.

Every kernel of this package is ``kappa(i, j) = s_i^T Theta(x_i, x_j) s_j`` with ``Theta = J_i J_j^T``; the kernels
differ in ``s`` alone. Because ``s`` is held constant, ``kappa(i, j) = <phi_i, phi_j>`` with the single gradient
``phi_i = grad_w s_i^T z(x_i; w)``.
"""

from typing import Literal

import torch
from torch import Tensor

Signs = Literal["label", "ones", "error", "centred"]
SIGNS: tuple[str, ...] = ("label", "ones", "error", "centred")


def sign_vectors(logits: Tensor, y: Tensor, signs: Signs = "label", *, unit: bool = False) -> Tensor:
    """Return the vectors ``s`` of a batch, scaled so that the kernel is simply ``<phi, phi'>``.

    ========== ============================================== ============================================
    signs      s                                              kernel
    ========== ============================================== ============================================
    label      (2 e_y - 1) / sqrt(K)                          lpNTK (paper, section on the kernel)
    ones       1 / sqrt(K)                                    pNTK (Mohamadi, Bae & Sutherland, ICML 2023)
    centred    2 (e_y - 1/K) / sqrt(K)                        lpNTK with s minus its mean
    error      e_y - softmax(z)                               inner products of loss gradients, sign included
    ========== ============================================== ============================================

    Args:
        logits: (n, k) outputs of the network; only ``error`` reads their values.
        y: (n,) integer labels in 0..k-1.
        signs: one of the four names above.
        unit: scale ``error`` so that its entry of the label is 1: a sample's cosines do not depend on how little is
            left to learn of it, and what is left may be smaller than a float32 can be.

    Returns:
        (n, k) tensor in the dtype of ``logits``, detached from the graph.

    Raises:
        ValueError: if ``signs`` is not one of the four names.
    """
    n, k = logits.shape
    onehot = torch.zeros_like(logits).scatter_(1, y.long().view(n, 1), 1.0).detach()  # (n, k)
    if signs == "label":
        return (2 * onehot - 1) / k**0.5
    if signs == "ones":
        return torch.ones_like(onehot) / k**0.5
    if signs == "centred":
        return 2 * (onehot - 1 / k) / k**0.5
    if signs == "error":
        return _unit_errors(logits.detach(), y) if unit else errors(logits.detach(), y)
    raise ValueError(f"signs must be one of {', '.join(SIGNS)}; got {signs!r}")


def factor(k: int, same: bool = False) -> float:
    """Return s(y) . s(y') / K: 1 for one label, 1 - 4 / K for two."""
    return 1.0 if same else 1 - 4 / k


def errors(logits: Tensor, y: Tensor) -> Tensor:
    """Return ``e_y - softmax(z)`` to the last digit where the sample is learned, and the difference would cancel.

    The entry of the label is the sum of the other probabilities.

    Args:
        logits: (..., k) outputs of the network.
        y: (...) labels in 0..k-1.

    Returns:
        (..., k) tensor in the dtype of ``logits``.
    """
    return residual(logits.softmax(dim=-1), y)


def residual(q: Tensor, y: Tensor) -> Tensor:
    """Return ``e_y - q`` (..., k) of probabilities q (..., k) and labels y (...), see ``errors``."""
    label = y.long().unsqueeze(-1)  # (..., 1)
    others = q.scatter(-1, label, 0.0)
    return (-others).scatter(-1, label, others.sum(dim=-1, keepdim=True))


def _unit_errors(logits: Tensor, y: Tensor) -> Tensor:
    """Return ``errors`` divided by the entry of the label: minus the softmax of the other logits, and 1."""
    label = y.long().unsqueeze(-1)  # (..., 1)
    others = logits.scatter(-1, label, -torch.inf).softmax(dim=-1).nan_to_num(0.0)  # a lone logit has no others
    return (-others).scatter(-1, label, float(logits.shape[-1] > 1))
