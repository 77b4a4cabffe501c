"""Which samples does each method keep? By name: the paper's ways, the usual ones, and the controls.

All arms keep equally many samples. Those by class keep as many of each class as farthest-point clustering has heads.
"""

from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor

from lpntk.phenomena.less_data.farthest import Clusters, head_count, hierarchical, nested, own_nearest
from lpntk.phenomena.less_data.scores import Scores
from lpntk.phenomena.less_data.within import Within


class Asked:
    """Scores, and the clusters that follow from them, each found once for all shares.

    Args:
        scores: of the samples.
        shares: clusters per sample.
    """

    def __init__(self, scores: Scores, shares: Sequence[float]):
        self.scores, self.y, self._shares = scores, scores.y, sorted(set(shares))
        self._all = cache(self._found)

    def clusters(self, kind: str, share: float) -> Clusters:
        """Return the clusters by a kernel of the scores, ``cosine``, ``tree`` or ``features`` at one of the shares."""
        return self._all(kind)[self._shares.index(share)]

    def _found(self, kind: str) -> list[Clusters]:
        if kind == "tree":
            return hierarchical(self.scores.kernel, self.y, self._shares)
        if kind == "features":
            return self._k_center()
        kappa = self.scores.kernel if kind == "cosine" else getattr(self.scores, kind)
        return nested(kappa, self.y, self._shares, cosine=kind in ("cosine", "pixels"))

    def _k_center(self) -> list[Clusters]:
        """Farthest points in the space of the last layer; of each class the first has the longest features."""
        points, rows = self.scores.features, self.scores.kernel.rows
        first = torch.zeros(len(self.y), dtype=torch.bool)
        first[by_class(torch.linalg.vector_norm(points, dim=1), self.y, 1e-9)] = True
        apart = Within(rows, lambda c: -torch.cdist(points[rows[c]], points[rows[c]]))
        return nested(apart, self.y, self._shares, first=first)


Arm = Callable[[Asked, float, torch.Generator], Tensor]


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


def _selfmax(asked: Asked, share: float, draw: torch.Generator) -> Tensor:
    """Their own nearest first, in random order; others only if there are too few."""
    y = asked.y
    return by_class(torch.rand(len(y), generator=draw) + own_nearest(asked.scores.kernel, y), y, share)


def _heads(kind: str) -> Arm:
    return lambda asked, share, _: asked.clusters(kind, share).heads


def _mean_kernel(sign: int) -> Arm:
    def kept(asked: Asked, share: float, _: torch.Generator) -> Tensor:
        mean = torch.empty(len(asked.y))
        for c, rows in enumerate(asked.scores.kernel.rows):
            mean[rows] = asked.scores.kernel.block(c).mean(dim=1)
        return by_class(sign * mean, asked.y, share)

    return kept


def _largest(score: Callable[[Scores], Tensor]) -> Arm:
    return lambda asked, share, draw: overall(score(asked.scores), asked.y, share, draw)


# name -> (words, group, which samples it keeps)
ARMS: dict[str, tuple[str, str, Arm]] = {
    "heads": ("heads of clusters", "paper", _heads("kernel")),
    "heads-cosine": ("heads by the cosine", "paper", _heads("cosine")),
    "member": ("a random member of each", "paper", lambda a, share, g: members(a.clusters("kernel", share), g)),
    "selfmax": ("own nearest", "paper", _selfmax),
    "mean-small": ("smallest mean kernel", "paper", _mean_kernel(-1)),
    "mean-large": ("largest mean kernel", "paper", _mean_kernel(1)),
    "tree": ("heads of a tree", "paper", _heads("tree")),
    "initial": ("heads, at initialisation", "control", _heads("initial")),
    "pixels": ("heads, by pixels", "control", _heads("pixels")),
    "blind": ("heads, kernel without labels", "control", _heads("blind")),
    "balanced": ("random, by class", "random",
                 lambda a, share, g: by_class(torch.rand(len(a.y), generator=g), a.y, share)),
    "random": ("random", "random", _largest(lambda s: torch.zeros(len(s.y)))),
    "el2n": ("largest EL2N", "usual", _largest(lambda s: s.el2n)),
    "grand": ("largest GraNd", "usual", _largest(lambda s: s.grand)),
    "forgetting": ("most forgotten", "usual", _largest(lambda s: s.forgetting.float())),
    "k-center": ("k-center on features", "usual", _heads("features")),
}  # fmt: skip
