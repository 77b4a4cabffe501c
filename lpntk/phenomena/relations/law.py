"""How much of the kernel is the label? In the wide limit a factor of the number of classes alone; and what is measured.

    kappa((x,y), (x',y')) -> theta(x, x') s(y)^T s(y') / K,      s(y)^T s(y') / K = 1 (y = y'),  1 - 4/K (otherwise)

The counterpart of theta in a network of finite width is the kernel that the same two inputs would have under one label.
"""

import torch
from torch import Tensor, nn

from lpntk.kernel.matrix import kernel_matrix
from lpntk.kernel.reading import UNRELATED, Pairs
from lpntk.kernel.signs import factor


def centred_factor(k: int) -> float:
    """Return ``identity.factor`` for centred signs, relative to a pair of one label: -1/(K - 1) (book/relations)."""
    return -1 / (k - 1)


def as_one_label(model: nn.Module, x: Tensor, y: Tensor, **options: object) -> Tensor:
    """Return the kernel (n, n) that each pair would have if both samples carried one label.

    Entry (i, j) is the mean of the kernels with the label of i on both and with the label of j on both; for a pair of
    one label it is the kernel itself. As many kernels are computed as there are labels in ``y``.

    Args:
        model: as in ``kernel_matrix``.
        x: (n, ...) inputs.
        y: (n,) labels.
        **options: passed to ``kernel_matrix``.
    """
    total = torch.zeros(len(y), len(y), dtype=next(model.parameters()).dtype)
    for label in y.unique():
        kappa = kernel_matrix(model, x, torch.full_like(y, int(label)), **options)
        own = (y == label).to(kappa.dtype)
        total += kappa * (own[:, None] + own[None, :]) / 2
    return total


def measured_factor(kappa: Pairs, one_label: Pairs) -> float:
    """Return the factor that takes the kernel under one label to the kernel: least squares over different labels."""
    a, b = one_label.different.double(), kappa.different.double()
    return float(a @ b / (a @ a))


def predicted_contradiction(one_label: Pairs, k: int, threshold: float = UNRELATED) -> float:
    """Return the share of pairs of different labels that the law makes contradictory.

    Args:
        one_label: cosines that the pairs would have under one label.
        k: classes.
        threshold: a pair is contradictory if its cosine is at most minus this.
    """
    return float((factor(k) * one_label.different <= -threshold).float().mean())
