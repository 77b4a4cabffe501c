"""Which samples stand for others? Farthest-point clustering of a kernel, class by class (the paper's FPC).

The first head of a class is the head of its most similar pair, a sample with itself among the pairs. No entry of a Gram
matrix exceeds the largest of its diagonal, so that is the sample with the largest gradient. Then, again and again, the
sample that is least similar to the head of its cluster becomes a head, and every sample that is strictly more similar
to it than to its present head moves to it; heads stay. Of equals the first in order is taken. One row of the kernel is
read for each head, so m heads of n samples cost O(n m), from memory or from a file. By the cosine all samples are
equally similar to themselves; there the first head is the one with the largest mean cosine to its class.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


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


def clusters(
    kappa: Tensor | np.ndarray, y: Tensor, ratio: float, *, cosine: bool = False, first: Tensor | None = None
) -> Clusters:
    """Cluster every class by itself, into ``ratio`` times as many clusters as it has samples (at least one).

    Args:
        kappa: (n, n) symmetric kernel: a tensor, or an array that numpy maps from a file; only rows of heads are read.
        y: (n,) labels.
        ratio: clusters per sample, in (0, 1].
        cosine: cluster by the cosine of two samples instead of the kernel itself.
        first: (n,) bool: these samples become heads before all others, in their order, if they are not more than the
            clusters of their class; as the authors' code does with those of ``own_nearest``.

    Raises:
        ValueError: if the kernel does not fit the labels, is not symmetric or not finite, or the ratio cannot be.
    """
    n = len(y)
    if tuple(kappa.shape) != (n, n):
        raise ValueError(f"kappa must be (n, n) with one row per label, n = {n}; got {tuple(kappa.shape)}")
    if not 0 < ratio <= 1:
        raise ValueError(f"ratio is clusters per sample, above 0 and at most 1; got {ratio}")
    own = _read(kappa.diagonal())
    if cosine and not (own > 0).all():
        bad = int((~(own > 0)).nonzero()[0])
        raise ValueError(f"sample {bad} has kernel {float(own[bad]):g} with itself, and so no cosine; leave it out")
    scale = own.rsqrt() if cosine else torch.ones_like(own)
    heads, of = [], torch.full((n,), -1)
    for label in y.unique().tolist():
        rows = (y == label).nonzero()[:, 0]
        count = head_count(len(rows), ratio)
        given = rows[first[rows]] if first is not None else rows[:0]
        begin = given if 0 < len(given) <= count else _first(kappa, rows, own, scale if cosine else None)[None]
        found, placed = _cluster(kappa, rows, scale, count, begin.tolist())
        of[rows] = placed + sum(map(len, heads))
        heads.append(found)
    return Clusters(torch.cat(heads), of)


def _cluster(
    kappa: Tensor | np.ndarray, rows: Tensor, scale: Tensor, count: int, begin: list[int]
) -> tuple[Tensor, Tensor]:
    """Return the heads (count,) among the samples ``rows``, and the cluster of each of these, 0..count-1.

    Raises:
        ValueError: if a row that is read is not finite, or disagrees with one read before.
    """
    place = {int(row): i for i, row in enumerate(rows)}
    similarity = torch.full((len(rows),), -torch.inf, dtype=scale.dtype)  # of each sample with the head of its cluster
    of = torch.zeros(len(rows), dtype=torch.long)
    is_head = torch.zeros(len(rows), dtype=torch.bool)
    heads: list[int] = []
    while len(heads) < count:
        if len(heads) < len(begin):
            i = place[begin[len(heads)]]
        else:
            i = int(similarity.masked_fill(is_head, torch.inf).argmin())
        new = int(rows[i])
        row = _read(kappa[new])[rows] * scale[new] * scale[rows]
        if not row.isfinite().all():
            raise ValueError(
                f"row {new} of the kernel holds NaN or infinity; compute it anew, or leave such samples out"
            )
        if heads and not torch.isclose(
            row[place[heads[of[i]]]], similarity[i], rtol=1e-3, atol=1e-5 * float(row.abs().max())
        ):
            old = heads[of[i]]
            raise ValueError(
                f"the kernel is not symmetric: entry ({new}, {old}) is {float(kappa[new][old]):g}, ({old}, {new}) is "
                f"{float(kappa[old][new]):g}; was it computed between two sets of samples, or not to its end?"
            )
        moves = (row > similarity) & ~is_head
        moves[i] = True
        similarity, of = torch.where(moves, row, similarity), of.masked_fill(moves, len(heads))
        is_head[i] = True
        heads.append(new)
    return torch.tensor(heads), of


def _first(kappa: Tensor | np.ndarray, rows: Tensor, own: Tensor, scale: Tensor | None, block: int = 512) -> Tensor:
    """Return the first head among ``rows``: the largest of ``own``, or by the cosine the most like all others."""
    if scale is None:
        return rows[own[rows].argmax()]
    means = [(_read(kappa[part.numpy()])[:, rows] * scale[rows]).sum(dim=1) * scale[part] for part in rows.split(block)]
    return rows[torch.cat(means).argmax()]


def own_nearest(kappa: Tensor | np.ndarray, y: Tensor, block: int = 512) -> Tensor:
    """Return (n,) bool: whether no other sample of its class is more similar to a sample than it is to itself.

    Args:
        kappa: (n, n) kernel, read in blocks of rows.
        y: (n,) labels.
        block: rows read at a time.
    """
    parts = []
    for rows in torch.arange(len(y)).split(block):
        part = _read(kappa[int(rows[0]) : int(rows[-1]) + 1])
        same = y[rows][:, None] == y
        own = part[torch.arange(len(rows)), rows]
        parts.append(own >= part.masked_fill(~same, -torch.inf).amax(dim=1))
    return torch.cat(parts)


def hierarchical(kappa: Tensor, y: Tensor, ratio: float) -> Clusters:
    """Cut an average-linkage tree of every class into as many clusters as ``clusters`` makes; scipy does the work.

    The head of a cluster is its member with the largest mean kernel to the others. A class must fit into memory.

    Args:
        kappa: (n, n) symmetric kernel.
        y: (n,) labels.
        ratio: clusters per sample, in (0, 1].
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    heads, of = [], torch.full((len(y),), -1)
    for label in y.unique().tolist():
        rows = (y == label).nonzero()[:, 0]
        block = _read(kappa[rows.numpy()])[:, rows].double()
        apart = (block.max() - block).fill_diagonal_(0)
        count = head_count(len(rows), ratio)
        tree = linkage(squareform(apart.numpy(), checks=False), "average") if len(rows) > 1 else np.empty((0, 4))
        placed = torch.as_tensor(fcluster(tree, count, "maxclust") if len(rows) > 1 else [1]).long() - 1
        for c in range(int(placed.max()) + 1):
            members = (placed == c).nonzero()[:, 0]
            of[rows[members]] = len(heads)
            heads.append(int(rows[members[block[members][:, members].sum(dim=1).argmax()]]))
    return Clusters(torch.tensor(heads), of)


def cosine_of_inputs(x: Tensor) -> Tensor:
    """Return the cosines (n, n) of raw inputs (n, ...): a kernel that knows no network."""
    flat = torch.nn.functional.normalize(x.flatten(1).double())
    return (flat @ flat.T).fill_diagonal_(1)


def _read(part: Tensor | np.ndarray) -> Tensor:
    """Return part of a kernel as a tensor; what numpy maps from a file is copied, as torch cannot hold it."""
    return part if isinstance(part, Tensor) else torch.from_numpy(np.array(part))
