"""Interchangeable, unrelated, contradictory: what a kernel says of its pairs of samples (the paper's Figure 3).

Each labelled sample is an update direction phi; the cosine of the angle between two of them, the kernel divided by both
norms, tells whether learning one helps the other (near 1), leaves it alone (near 0) or undoes it (below 0).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

INTERCHANGEABLE, UNRELATED = 0.5, 0.1  # cosines; ours, the paper defines the relations by the angle in words


def cosine(kappa: Tensor) -> Tensor:
    """Return the cosines (n, n) of a symmetric kernel: kappa_ij / sqrt(kappa_ii kappa_jj); 0 where a norm is 0."""
    norm = kappa.diagonal().clamp_min(torch.finfo(kappa.dtype).tiny).sqrt()
    return kappa / norm[:, None] / norm[None, :]


@dataclass(frozen=True)
class Pairs:
    """The values of a symmetric matrix over its unordered pairs of different samples.

    Attributes:
        same: values of pairs that share their label.
        different: values of pairs that do not.
    """

    same: Tensor
    different: Tensor


def pairs(matrix: Tensor, y: Tensor) -> Pairs:
    """Split the upper triangle of an (n, n) matrix by whether the (n,) labels agree; the diagonal is left out."""
    upper = torch.ones_like(matrix, dtype=torch.bool).triu(1)
    same = y[:, None] == y[None, :]
    return Pairs(same=matrix[upper & same], different=matrix[upper & ~same])


def shares(cosines: Tensor, interchangeable: float = INTERCHANGEABLE, unrelated: float = UNRELATED) -> dict[str, float]:
    """Return which share of some cosines falls under each relation; the rest is ``weak``: related, not alike.

    Args:
        cosines: any shape.
        interchangeable: cosines of at least this (an angle of 60 degrees at 0.5).
        unrelated: absolute cosines below this (within about 6 degrees of a right angle at 0.1).

    Returns:
        Shares of ``interchangeable``, ``weak``, ``unrelated`` and ``contradictory`` (cosine <= -unrelated), summing
        to one. The thresholds are this book's: the paper defines the relations by the angle in words.
    """
    n = max(cosines.numel(), 1)
    count = {
        "interchangeable": (cosines >= interchangeable).sum(),
        "weak": ((cosines >= unrelated) & (cosines < interchangeable)).sum(),
        "unrelated": (cosines.abs() < unrelated).sum(),
        "contradictory": (cosines <= -unrelated).sum(),
    }
    return {relation: int(c) / n for relation, c in count.items()}


def relation(cosine: float) -> str:
    """Return the name of the relation of one pair: that which ``shares`` counts."""
    found = shares(torch.tensor([cosine]))
    return max(found, key=found.get)


def same_label_share(matrix: Tensor, y: Tensor, *, most: bool = True) -> float:
    """Return the share of samples whose nearest (or farthest) other sample has their label."""
    found = torch.stack([neighbours(matrix, i, 1, most=most)[0] for i in range(len(matrix))])
    return float((y[found] == y).float().mean())


def neighbours(matrix: Tensor, index: int, count: int, *, most: bool = True) -> Tensor:
    """Return the indices (count,) of the other samples with the largest (or smallest) entries in a row."""
    row = matrix[index].clone()
    row[index] = float("-inf") if most else float("inf")
    return row.topk(count, largest=most).indices


def shared_neighbours(a: Tensor, b: Tensor, count: int = 10) -> float:
    """Return the share of the ``count`` largest entries of a row, itself left out, that two matrices have in common."""
    count = min(count, len(a) - 1)
    near = []
    for matrix in (a, b):
        others = matrix.clone().fill_diagonal_(float("-inf"))
        near.append(torch.zeros_like(matrix).scatter_(1, others.topk(count).indices, 1))
    return float((near[0] * near[1]).sum(1).mean() / count)


def separation(values: Pairs) -> float:
    """Return the probability that a pair of one label has the larger value than a pair of two labels (ties half).

    The area under the ROC curve: 0.5 where the kernel does not see the label, 1 where it separates all pairs.
    """
    from sklearn.metrics import roc_auc_score  # takes a second to import

    labels = torch.cat([torch.ones(len(values.same)), torch.zeros(len(values.different))])
    return float(roc_auc_score(labels.numpy(), torch.cat([values.same, values.different]).numpy()))


def one_of_each(y: Tensor, count: int) -> list[int]:
    """Return the first sample of each of the first ``count`` classes that occur in ``y``."""
    return [int((y == label).nonzero()[0]) for label in y.unique()[:count]]


def own_nearest(matrix: Tensor) -> float:
    """Return the share of samples whose largest entry in their row is the one with themselves."""
    return float((matrix.argmax(dim=1) == torch.arange(len(matrix))).float().mean())


def self_similarity(matrix: Tensor) -> float:
    """Return how many samples are most similar to themselves, over how many are not; infinite if all are.

    The ratio in the authors' public notebook. It can be below infinity for the kernel, where a long gradient attracts
    shorter ones; a cosine with oneself is never exceeded.
    """
    share = own_nearest(matrix)
    return share / (1 - share) if share < 1 else float("inf")


def trio(cosines: Tensor, anchor: int) -> dict[str, int]:
    """Return the samples whose updates are most like an anchor's, nearest to a right angle, and most against it."""
    row = cosines[anchor].clone()
    row[anchor] = float("nan")
    score = {"alike": row, "at a right angle": -row.abs(), "opposed": -row}
    return {name: int(values.nan_to_num(nan=float("-inf")).argmax()) for name, values in score.items()}


def most_opposed(cosines: Tensor, count: int) -> list[int]:
    """Return the ``count`` samples that have the smallest cosine with any other, the most opposed first."""
    return cosines.amin(dim=1).argsort(stable=True)[:count].tolist()


def by_class(y: Tensor, matrix: Tensor) -> Tensor:
    """Return the order (n,) that sorts samples by class and, inside a class, by their mean entry with it."""
    same = (y[:, None] == y[None, :]).to(matrix.dtype)
    affinity = (matrix * same).sum(1) / same.sum(1)  # (n,)
    first = torch.argsort(affinity, descending=True, stable=True)
    return first[torch.argsort(y[first], stable=True)]
