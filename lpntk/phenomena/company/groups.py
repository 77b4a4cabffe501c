"""Can a sample's difficulty be changed by choosing its company? The paper's Figure 2, with the controls it lacks.

Targets: in each class the head of the pair with the largest kernel. Company: the samples of the target's class whose
kernel with it is largest (``most``), in the middle (``middle``) or smallest (``least``). Targets of all classes and
their company are learned together, without shuffling, by many networks that differ in their initialisation.
Controls of ours: ``random`` company of the class, ``alone`` (targets only), and ``other``: the samples of one other
label with the smallest kernel. The paper's code unpacks its groups as most, least, middle; we name them by what they
are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from lpntk.keep.cache import Cache
from lpntk.learn.campaign import Network, train_many
from lpntk.learn.history import UNSTABLE

PAPER_GROUPS = ("most", "middle", "least")
GROUPS = (*PAPER_GROUPS, "random", "alone", "other")


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
        seed: of ``random``.

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
    return [_chosen(kappa[t], pool, group, count, seed) for t, pool in zip(heads, pools, strict=True)]


def _chosen(kernel: Tensor, pool: Tensor, group: str, count: int, seed: int) -> Tensor:
    """Return those of a pool that a target with this row of the kernel gets."""
    if group == "random":
        return pool[torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed))[:count]]
    order = pool[kernel[pool].argsort(descending=True, stable=True)]
    if group == "middle":
        return order[(len(order) - count) // 2 :][:count]
    return order[:count] if group == "most" else order[-count:].flip(0)


@dataclass(frozen=True)
class Company:
    """What the targets of one reference network went through in one kind of company.

    Attributes:
        loss: (runs, epochs, k) loss of each target at each presentation, nats; unstable runs are NaN.
        kernel: (k,) mean kernel of each target with its company; NaN if alone.
        diverged: runs, to numbers that are not finite.
        unstable: runs that diverged or gave a sample a loss above 100 nats.
        negative: share of the company whose kernel with its target is below zero; NaN if alone.
    """

    loss: Tensor
    kernel: Tensor
    diverged: int
    unstable: int
    negative: float = float("nan")

    @property
    def difficulty(self) -> Tensor:
        """(runs, k) loss accumulated over the epochs."""
        return self.loss.sum(dim=1)

    @property
    def stable(self) -> bool:
        """Whether at most a tenth of the runs was unstable: those that are left must not be a selection."""
        return self.unstable <= UNSTABLE * len(self.loss)

    @property
    def learned(self) -> bool:
        """Whether the targets were: their mean loss fell to half of what it was, or below."""
        first, last = (float(self.loss[:, epoch].nanmean()) for epoch in (0, -1))
        return last <= first / 2


def keep_company(
    network: Network,
    x: Tensor,
    y: Tensor,
    kappa: Tensor,
    *,
    count: int,
    runs: int,
    seed: int,
    cache: Cache,
    groups: Sequence[str] = GROUPS,
    **training: object,
) -> dict[str, Company]:
    """Learn the targets in every kind of company, ``runs`` times each; the same run starts from the same weights.

    Args:
        network: to build from each seed.
        x: (n, ...) the samples of the kernel.
        y: (n,) labels.
        kappa: (n, n) kernel over them.
        count: company of each target.
        runs: networks per group.
        seed: of the initialisations and of ``random``, which is drawn anew in every run.
        cache: keeps what was trained.
        groups: kinds of company.
        **training: passed to ``lpntk.learn.training.train``: epochs, lr, batch_size, ...
    """
    heads = targets(kappa, y)  # (k,)
    seeds = np.random.SeedSequence([seed, 2]).generate_state(runs).tolist()
    told = {}
    for group in groups:
        each = [company(kappa, y, heads, group, count, seed=s) for s in (seeds if group == "random" else seeds[:1])]
        rows = torch.stack([torch.cat([heads, *parts]) for parts in each]).expand(runs, -1)  # (runs, k + k count)
        history = train_many(
            network, x, y, rows.contiguous(), seeds=seeds, cache=cache, shuffle=False, progress=group, **training
        )
        loss = history.loss[:, :, : len(heads)].masked_fill(history.unstable[:, None, None], torch.nan)
        kernels = torch.stack([kappa[heads[:, None], torch.stack(parts)] for parts in each])  # (1 or runs, k, count)
        told[group] = Company(loss, kernels.mean(dim=2).mean(dim=0), int(history.diverged.sum()),
                              int(history.unstable.sum()), float((kernels < 0).float().mean()))  # fmt: skip
    return told
