"""May the kernel be frozen? How like the final kernel an earlier one is, and how many directions it has.

The empirical kernel of a network of finite width changes while it learns (Fort et al., NeurIPS 2020). Whoever computes
it at one checkpoint and uses it for the whole training assumes that it had stopped changing.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from lpntk.kernel.reading import cosine, pairs
from lpntk.phenomena.relations.tables import Kernels

FROZEN = 0.9  # both correlations, of pairs of one label and of two: the rule of the verdict
NEIGHBOURS = 10


@dataclass(frozen=True)
class Agreement:
    """How like two matrices are over some pairs of samples.

    Attributes:
        pearson: correlation of the values; a common factor does not matter.
        spearman: correlation of their ranks; no rising function matters.
    """

    pearson: float
    spearman: float


def agreement(a: Tensor, b: Tensor, y: Tensor) -> dict[str, Agreement]:
    """Compare two symmetric matrices (n, n) over the pairs of one label (``same``) and of two (``different``).

    The groups are kept apart because the label alone makes their means differ: taken together, two kernels that know
    nothing but the labels would agree.
    """
    first, second = pairs(a, y), pairs(b, y)
    both = {name: (getattr(first, name), getattr(second, name)) for name in ("same", "different")}
    return {name: _correlations(*values) for name, values in both.items()}


def shared_neighbours(a: Tensor, b: Tensor, count: int = NEIGHBOURS) -> float:
    """Return the share of the ``count`` largest entries of a row, itself left out, that two matrices have in common."""
    count = min(count, len(a) - 1)
    near = []
    for matrix in (a, b):
        others = matrix.clone().fill_diagonal_(float("-inf"))
        near.append(torch.zeros_like(matrix).scatter_(1, others.topk(count).indices, 1))
    return float((near[0] * near[1]).sum(1).mean() / count)


def spectrum(kappa: Tensor) -> Tensor:
    """Return the eigenvalues (n,) of a symmetric positive semi-definite kernel as shares of its trace, falling."""
    values = torch.linalg.eigvalsh(kappa.double()).flip(0).clamp_min(0)  # rounding makes the smallest negative
    return values / values.sum()


def effective_rank(shares: Tensor) -> float:
    """Return exp(entropy) of a spectrum (n,) that sums to one (Roy & Vetterli, EUSIPCO 2007).

    m if m eigenvalues are equal and the others zero; closer to 1 the more one of them dominates.
    """
    return float(torch.special.entr(shares).sum().exp())


def frozen_from(least: Mapping[int, float], threshold: float = FROZEN) -> int | None:
    """Return the first moment from which on an agreement stays at the threshold or above.

    Args:
        least: moment -> the smallest of the correlations with the final kernel.
        threshold: that counts as the same kernel.

    Returns:
        A moment before the last, at which a kernel agrees with itself; None if there is none.
    """
    *earlier, _ = sorted(least)
    found = None
    for moment in reversed(earlier):
        if not least[moment] >= threshold:  # NaN is no agreement
            break
        found = moment
    return found


def _correlations(a: Tensor, b: Tensor) -> Agreement:
    both = pd.DataFrame({"a": a.double().numpy(), "b": b.double().numpy()})
    return Agreement(*(float(both.corr(method).loc["a", "b"]) for method in ("pearson", "spearman")))


def drift_table(kernels: Kernels, y: Tensor, of: Sequence[str] = ("kernel", "cosine")) -> pd.DataFrame:
    """Return how like its own final kernel each kernel is, by seed, epoch, ``of`` (kernel or cosine) and labels."""
    forms = {"kernel": lambda kappa: kappa, "cosine": cosine}
    rows = []
    for seed, by_epoch in kernels.items():
        for name in of:
            form = forms[name]
            last = form(by_epoch[max(by_epoch)])
            for epoch, kappa in by_epoch.items():
                now = form(kappa)
                near = shared_neighbours(now, last)
                for labels, found in agreement(now, last, y).items():
                    rows.append({"seed": seed, "epoch": epoch, "of": name, "labels": labels, "neighbours": near,
                                 **vars(found)})  # fmt: skip
    return pd.DataFrame(rows)


def least_correlations(table: pd.DataFrame, of: str = "cosine") -> dict[int, float]:
    """Return by epoch the smaller of both correlations, mean over seeds, of the worse group; for ``frozen_from``."""
    mean = table[table.of == of].groupby(["epoch", "labels"])[["pearson", "spearman"]].mean()
    return mean.min(axis=1).groupby("epoch").min().to_dict()


def between_seeds(kernels: Kernels, y: Tensor) -> pd.DataFrame:
    """Return how like the final cosines of two networks are that differ by their seed alone, by labels."""
    rows = []
    for a, b in itertools.combinations(kernels, 2):
        first, second = (cosine(kernels[seed][max(kernels[seed])]) for seed in (a, b))
        near = shared_neighbours(first, second)
        for labels, found in agreement(first, second, y).items():
            rows.append({"seeds": f"{a}-{b}", "labels": labels, "neighbours": near, **vars(found)})
    return pd.DataFrame(rows, columns=["seeds", "labels", "neighbours", "pearson", "spearman"])


def spectra(kernels: Kernels) -> dict[int, dict[int, Tensor]]:
    """Return seed -> epoch -> the spectrum (n,) of the kernel."""
    return {seed: {epoch: spectrum(kappa) for epoch, kappa in by.items()} for seed, by in kernels.items()}


def rank_table(found: dict[int, dict[int, Tensor]]) -> pd.DataFrame:
    """Return effective rank and share of the largest eigenvalue of spectra, by seed and epoch."""
    return pd.DataFrame(
        {"seed": seed, "epoch": epoch, "rank": effective_rank(shares), "top": float(shares[0])}
        for seed, by_epoch in found.items()
        for epoch, shares in by_epoch.items()
    )
