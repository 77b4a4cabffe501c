"""Which samples stand for others? Farthest-point clustering of a kernel, class by class (the paper's FPC).

The first head of a class is the head of its most similar pair, a sample with itself among the pairs. No entry of a Gram
matrix exceeds the largest of its diagonal, so that is the sample with the largest gradient. Then, again and again, the
sample that is least similar to the head of its cluster becomes a head, and every sample that is strictly more similar
to it than to its present head moves to it; heads stay. Of equals the first in order is taken. One row of the kernel is
read for each head, so m heads of n samples cost O(n m), from memory or from a file; the heads of a smaller number of
clusters are the first ones of a larger, so one pass gives them all. By the cosine all samples are equally similar to
themselves; there the first head is the one with the largest mean cosine to its class.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lpntk.phenomena.less_data.within import Kernel, Within


@dataclass(frozen=True)
class Clusters:
    """A partition of n samples.

    Attributes:
        heads: (m,) the sample that stands for each cluster, in the order in which they were found.
        of: (n,) cluster of each sample, 0..m-1, or -1 for one that was left out.
    """

    heads: Tensor
    of: Tensor

    @property
    def sizes(self) -> Tensor:
        """(m,) samples of each cluster, its head among them."""
        return torch.bincount(self.of[self.of >= 0], minlength=len(self.heads))


def head_count(size: int, ratio: float) -> int:
    """Return how many clusters a class of this size is cut into: at least one."""
    return max(1, round(ratio * size))


def clusters(kappa: Kernel, y: Tensor, ratio: float, *, cosine: bool = False, first: Tensor | None = None) -> Clusters:
    """Cluster every class by itself, into ``ratio`` times as many clusters as it has samples (at least one).

    Args:
        kappa: symmetric kernel (n, n), a tensor or an array that numpy maps from a file, of which only rows of heads
            are read; or one within classes only (``Within``).
        y: (n,) labels.
        ratio: clusters per sample, in (0, 1].
        cosine: cluster by the cosine of two samples instead of the kernel itself.
        first: (n,) bool: these samples become heads before all others, in their order, if they are not more than the
            clusters of their class; as the authors' code does with those of ``own_nearest``.

    Raises:
        ValueError: if the kernel does not fit the labels, is not symmetric or not finite, or the ratio cannot be.
    """
    return nested(kappa, y, [ratio], cosine=cosine, first=first)[0]


def nested(
    kappa: Kernel, y: Tensor, ratios: Sequence[float], *, cosine: bool = False, first: Tensor | None = None
) -> list[Clusters]:
    """Return the clusters of several ratios, all from one pass; otherwise as ``clusters``.

    Raises:
        ValueError: as ``clusters``.
    """
    if bad := [ratio for ratio in ratios if not 0 < ratio <= 1]:
        raise ValueError(f"ratio is clusters per sample, above 0 and at most 1; got {bad[0]}")
    told = [([], torch.full((len(y),), -1)) for _ in ratios]
    for part in Within.of(kappa, y).classes():
        counts = [head_count(len(part.rows), ratio) for ratio in ratios]
        given = np.flatnonzero(first[part.rows].numpy()) if first is not None else np.empty(0, int)
        scale = part.inverse_norms() if cosine else np.ones_like(part.own)
        begin = [part.most_similar(scale if cosine else None)]
        found = {}
        for fits in (True, False):  # whether the given ones are heads before all others
            if those := [count for count in counts if fits is (0 < len(given) <= count)]:
                found |= _cluster(part.row, part.rows, scale, those, given.tolist() if fits else begin)
        for (heads, of), count in zip(told, counts, strict=True):
            ours, placed = found[count]
            of[part.rows] = placed + sum(map(len, heads))
            heads.append(part.rows[ours])
    return [Clusters(torch.cat(heads), of) for heads, of in told]


def _cluster(
    read: Callable[[int], np.ndarray], names: Tensor, scale: np.ndarray, counts: Sequence[int], begin: Sequence[int]
) -> dict[int, tuple[Tensor, Tensor]]:
    """Return, for each number of clusters, the heads (count,) and the cluster 0..count-1 of each sample of a class.

    Raises:
        ValueError: if a row that is read is not finite, or disagrees with one read before.
    """
    nearest = np.full(len(names), -np.inf, scale.dtype)  # similarity with the head of the own cluster; heads: infinite
    of, heads, found = np.zeros(len(names), int), [], {}
    while len(heads) < max(counts):
        i = begin[len(heads)] if len(heads) < len(begin) else int(nearest.argmin())
        row = read(i) * scale[i] * scale
        if not np.isfinite(row).all():
            raise ValueError(
                f"row {int(names[i])} of the kernel holds NaN or infinity; compute it anew, or leave such samples out"
            )
        if heads and abs(row[heads[of[i]]] - nearest[i]) > 1e-3 * abs(nearest[i]) + 1e-5 * abs(row).max():
            new, old = int(names[i]), int(names[heads[of[i]]])
            raise ValueError(
                f"the kernel is not symmetric: entry ({new}, {old}) is {float(read(i)[heads[of[i]]]):g}, ({old}, "
                f"{new}) is {float(read(heads[of[i]])[i]):g}; was it computed between two sets of samples, or not to "
                "its end?"
            )
        moves = row > nearest
        moves[i] = True
        of[moves] = len(heads)
        np.copyto(nearest, row, where=moves)
        nearest[i] = np.inf
        heads.append(i)
        if len(heads) in counts:
            found[len(heads)] = torch.tensor(heads), torch.from_numpy(of.copy())
    return found


def own_nearest(kappa: Kernel, y: Tensor) -> Tensor:
    """Return (n,) bool: whether no other sample of its class is more similar to a sample than it is to itself.

    Args:
        kappa: (n, n) kernel, or one within classes; read in blocks of rows.
        y: (n,) labels.
    """
    found = torch.empty(len(y), dtype=torch.bool)
    for part in Within.of(kappa, y).classes():
        largest = [rows.max(axis=1) for rows in part.strips()]
        found[part.rows] = torch.from_numpy(part.own >= np.concatenate(largest))
    return found


def hierarchical(kappa: Kernel, y: Tensor, ratios: Sequence[float]) -> list[Clusters]:
    """Cut an average-linkage tree of every class into as many clusters as ``clusters`` makes; scipy does the work.

    The head of a cluster is its member with the largest mean kernel to the others. A class must fit into memory.

    Args:
        kappa: (n, n) symmetric kernel, or one within classes.
        y: (n,) labels.
        ratios: clusters per sample, each in (0, 1].
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    told = [([], torch.full((len(y),), -1)) for _ in ratios]
    for part in Within.of(kappa, y).classes():
        block = np.concatenate(list(part.strips())).astype(float)
        apart = block.max() - block
        np.fill_diagonal(apart, 0)
        tree = linkage(squareform(apart, checks=False), "average") if len(block) > 1 else None
        for (heads, of), ratio in zip(told, ratios, strict=True):
            count = head_count(len(block), ratio)
            placed = fcluster(tree, count, "maxclust") - 1 if tree is not None else np.zeros(1, int)
            for c in range(placed.max() + 1):
                members = np.flatnonzero(placed == c)
                of[part.rows[members]] = len(heads)
                heads.append(int(part.rows[members[block[np.ix_(members, members)].sum(axis=1).argmax()]]))
    return [Clusters(torch.tensor(heads), of) for heads, of in told]
