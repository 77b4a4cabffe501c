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


def sign_vectors(logits: Tensor, y: Tensor, signs: Signs = "label") -> Tensor:
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
        return onehot - logits.detach().softmax(dim=1)
    raise ValueError(f"signs must be one of {', '.join(SIGNS)}; got {signs!r}")
