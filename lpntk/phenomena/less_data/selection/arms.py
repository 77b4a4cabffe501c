"""Which samples does each method keep? By name: the paper's ways, the usual ones, and the controls.

All arms keep equally many samples. Those by class keep as many of each class as farthest-point clustering has heads.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from lpntk.phenomena.less_data.farthest import Clusters, clusters, head_count, hierarchical, own_nearest
from lpntk.phenomena.less_data.scores import Scores

Arm = Callable[[Scores, float, torch.Generator], Tensor]


def counts(y: Tensor, share: float) -> dict[int, int]:
    """Return how many samples of each class are kept: at least one."""
    return {int(c): head_count(int(m), share) for c, m in zip(*y.unique(return_counts=True), strict=True)}


def by_class(score: Tensor, y: Tensor, share: float) -> Tensor:
    """Return the samples with the largest scores (n,) of each class; of equals the first."""
    kept = []
    for label, count in counts(y, share).items():
        rows = (y == label).nonzero()[:, 0]
        kept.append(rows[score[rows].argsort(descending=True, stable=True)[:count]])
    return torch.cat(kept)


def overall(score: Tensor, y: Tensor, share: float, draw: torch.Generator) -> Tensor:
    """Return as many samples with the largest scores (n,), whatever their class; of equals random ones."""
    order = torch.randperm(len(y), generator=draw)
    return order[score[order].argsort(descending=True, stable=True)[: sum(counts(y, share).values())]]


def members(found: Clusters, draw: torch.Generator) -> Tensor:
    """Return one random member of each cluster."""
    order = torch.randperm(len(found.of), generator=draw)
    first = torch.full((len(found.heads),), -1)
    first[found.of[order.flip(0)]] = order.flip(0)  # the last one written is the first of the order
    return first


def node(found: Clusters, y: Tensor, draw: torch.Generator) -> Tensor:
    """Return all samples but a random half of the largest cluster of each class."""
    kept = torch.ones(len(y), dtype=torch.bool)
    for label in y.unique():
        of_class = (y[found.heads] == label).nonzero()[:, 0]
        largest = (found.of == of_class[found.sizes[of_class].argmax()]).nonzero()[:, 0]
        kept[largest[torch.randperm(len(largest), generator=draw)[: len(largest) // 2]]] = False
    return kept.nonzero()[:, 0]


def _random(s: Scores, share: float, draw: torch.Generator) -> Tensor:
    return by_class(torch.rand(len(s.y), generator=draw), s.y, share)


def _selfmax(s: Scores, share: float, draw: torch.Generator) -> Tensor:
    """Their own nearest first, in random order; others only if there are too few."""
    return by_class(torch.rand(len(s.y), generator=draw) + own_nearest(s.kernel, s.y), s.y, share)


def _heads(s: Scores, share: float, _: torch.Generator, kernel: str = "kernel", cosine: bool = False) -> Tensor:
    return clusters(getattr(s, kernel), s.y, share, cosine=cosine).heads


def _mean_kernel(s: Scores, share: float, _: torch.Generator, sign: int = 1) -> Tensor:
    same = s.y[:, None] == s.y
    return by_class(sign * (s.kernel * same).sum(dim=1) / same.sum(dim=1), s.y, share)


def _k_center(s: Scores, share: float, _: torch.Generator) -> Tensor:
    """Farthest points in the space of the last layer; of each class the first is the one with the longest features."""
    apart = torch.cdist(s.features, s.features)
    start = by_class(torch.linalg.vector_norm(s.features, dim=1), s.y, 1e-9)
    first = torch.zeros(len(s.y), dtype=torch.bool)
    first[start] = True
    return clusters(-apart, s.y, share, first=first).heads


# name -> (words, group, which samples it keeps)
ARMS: dict[str, tuple[str, str, Arm]] = {
    "heads": ("heads of clusters", "paper", _heads),
    "heads-cosine": ("heads by the cosine", "paper", partial(_heads, cosine=True)),
    "member": ("a random member of each", "paper", lambda s, f, g: members(clusters(s.kernel, s.y, f), g)),
    "selfmax": ("own nearest", "paper", _selfmax),
    "mean-small": ("smallest mean kernel", "paper", partial(_mean_kernel, sign=-1)),
    "mean-large": ("largest mean kernel", "paper", _mean_kernel),
    "tree": ("heads of a tree", "paper", lambda s, f, _: hierarchical(s.kernel, s.y, f).heads),
    "initial": ("heads, at initialisation", "control", partial(_heads, kernel="initial")),
    "pixels": ("heads, by pixels", "control", partial(_heads, kernel="pixels", cosine=True)),
    "blind": ("heads, kernel without labels", "control", partial(_heads, kernel="blind")),
    "balanced": ("random, by class", "random", _random),
    "random": ("random", "random", lambda s, f, g: overall(torch.zeros(len(s.y)), s.y, f, g)),
    "el2n": ("largest EL2N", "usual", lambda s, f, g: overall(s.el2n, s.y, f, g)),
    "grand": ("largest GraNd", "usual", lambda s, f, g: overall(s.grand, s.y, f, g)),
    "forgetting": ("most forgotten", "usual", lambda s, f, g: overall(s.forgetting.float(), s.y, f, g)),
    "k-center": ("k-center on features", "usual", _k_center),
}
