"""Which targets, and in which company? The paper's Figure 2, with the controls it lacks.

Company of the target's own class is its ``most``, ``middle`` or ``least`` interchangeable samples by the kernel. Ours:
the same by the cosine of the kernel, which does not see the size of gradients; ``random`` company; ``alone``; and the
samples of one ``other`` label with the smallest kernel. The paper's code unpacks its groups as most, least, middle;
here each is named by what it is.
"""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from lpntk.kernel.reading import cosine

PAPER_GROUPS = ("most", "middle", "least")
COSINE_GROUPS = tuple(f"cosine-{group}" for group in PAPER_GROUPS)
GROUPS = (*PAPER_GROUPS, *COSINE_GROUPS, "random", "alone", "other")


def targets(kappa: Tensor, y: Tensor) -> Tensor:
    """Return one target per class, (k,) indices: the first of the two samples with the class's largest kernel.

    Args:
        kappa: (n, n) symmetric kernel.
        y: (n,) labels, every class 0..k-1 with at least two samples.

    Raises:
        ValueError: if a class has fewer than two samples.
    """
    chosen = []
    for label in range(int(y.max()) + 1):
        rows = (y == label).nonzero()[:, 0]
        if len(rows) < 2:
            raise ValueError(
                f"class {label} has {len(rows)} samples in the kernel; a pair needs two: choose a larger n"
            )
        block = kappa[rows][:, rows].clone().fill_diagonal_(float("-inf"))
        chosen.append(int(rows[int(block.argmax()) // len(rows)]))
    return torch.tensor(chosen)


def matched(kappa: Tensor, y: Tensor) -> Tensor:
    """Return one target per class, (k,) indices: that with a kernel with itself nearest the median over all samples.

    The kernel of a sample with itself is the square of its gradient's norm: so all targets have gradients of one size,
    and a usual one, where those of ``targets`` have large ones.
    """
    apart = (kappa.diagonal() - kappa.diagonal().median()).abs()
    rows = [(y == label).nonzero()[:, 0] for label in range(int(y.max()) + 1)]
    return torch.stack([of[apart[of].argmin()] for of in rows])


CHOICES = {"head": targets, "matched": matched}


def size_of_targets(kappa: Tensor, y: Tensor, heads: Tensor) -> float:
    """Return the mean share of a class with a smaller kernel with itself, the size of gradients, than its target."""
    own = kappa.diagonal()
    return float(torch.stack([(own[y == y[t]] < own[t]).float().mean() for t in heads]).mean())


def company(kappa: Tensor, y: Tensor, heads: Tensor, group: str, count: int, *, seed: int = 0) -> list[Tensor]:
    """Return the company of every target, (count,) indices each, best fitting first; (0,) for ``alone``.

    In every group but ``alone`` each label occurs ``count`` times, targets aside, or difficulty would tell how many
    samples of its own label a target meets. So in ``other`` each class is the company of one target, not its own,
    assigned such that the kernels are smallest in sum.

    Args:
        kappa: (n, n) symmetric kernel.
        y: (n,) labels.
        heads: (k,) the targets, one per class in the order of classes; none is in any company.
        group: one of ``GROUPS``.
        count: samples of company.
        seed: of what is drawn.

    Raises:
        ValueError: if the group is unknown or there are too few samples.
    """
    if group not in GROUPS:
        raise ValueError(f"group must be one of {', '.join(GROUPS)}; got {group!r}")
    if group == "alone":
        return [heads[:0] for _ in heads]
    free = torch.ones(len(y), dtype=torch.bool)
    free[heads] = False
    pools = [((y == y[t]) & free).nonzero()[:, 0] for t in heads]
    if len(least := min(pools, key=len)) < count:
        raise ValueError(f"{count} samples of company were asked for, but only {len(least)} can be; choose a larger n")
    if group == "other":
        cost = np.array([[float(kappa[t, pool].sort().values[:count].mean()) for pool in pools] for t in heads])
        np.fill_diagonal(cost, np.abs(cost).sum() + 1)  # no class is its own target's company
        pools = [pools[label] for label in linear_sum_assignment(cost)[1]]
    values = cosine(kappa) if group in COSINE_GROUPS else kappa
    return [_chosen(values[t], pool, group, count, seed) for t, pool in zip(heads, pools, strict=True)]


def _chosen(kernel: Tensor, pool: Tensor, group: str, count: int, seed: int) -> Tensor:
    """Return those of a pool that a target with this row of the kernel gets."""
    if group == "random":
        return pool[torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))[:count]]
    order = pool[kernel[pool].argsort(descending=True, stable=True)]
    if group.endswith("middle"):
        return order[(len(order) - count) // 2 :][:count]
    return order[:count] if group.endswith("most") else order[-count:].flip(0)
