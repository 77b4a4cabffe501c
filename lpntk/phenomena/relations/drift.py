"""May the kernel be frozen? How like the final kernel an earlier one is, and how many directions it has.

The empirical kernel of a network of finite width changes while it learns (Fort et al., NeurIPS 2020). Whoever computes
it at one checkpoint and uses it for the whole training assumes that it had stopped changing.
"""

import itertools
from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor

from lpntk.kernel.reading import cosine, pairs, shared_neighbours
from lpntk.phenomena.relations.study import Kernels

MEASURES = ["pearson", "spearman", "neighbours"]


def agreement(a: Tensor, b: Tensor, y: Tensor) -> list[dict[str, object]]:
    """Compare two symmetric matrices (n, n): a row for the pairs of one label (``same``), and one for ``different``.

    The groups are kept apart because the label alone makes their means differ: taken together, two kernels that know
    nothing but the labels would agree. ``pearson`` is the correlation of the values, to which a common factor does not
    matter, ``spearman`` that of their ranks; ``neighbours`` the share of the ten nearest that the whole matrices share.
    """
    rows, near = [], shared_neighbours(a, b)
    for labels in ("same", "different"):
        values = (getattr(pairs(matrix, y), labels).double().numpy() for matrix in (a, b))
        both = pd.DataFrame(dict(zip("ab", values, strict=True)))
        found = {method: float(both.corr(method).loc["a", "b"]) for method in ("pearson", "spearman")}
        rows.append({"labels": labels, "neighbours": near, **found})
    return rows


def to_the_end(kernels: Kernels, y: Tensor, of: Sequence[str] = ("kernel", "cosine")) -> pd.DataFrame:
    """Return how like its own final kernel each kernel is, by seed, epoch, ``of`` (kernel or cosine) and labels."""
    forms = {"kernel": lambda kappa: kappa, "cosine": cosine}
    return pd.DataFrame(
        {"seed": seed, "epoch": epoch, "of": name, **row}
        for seed, by_epoch in kernels.items()
        for name in of
        for epoch, kappa in by_epoch.items()
        for row in agreement(forms[name](kappa), forms[name](by_epoch[max(by_epoch)]), y)
    )


def between_seeds(kernels: Kernels, y: Tensor) -> pd.DataFrame:
    """Return how like the final cosines of two networks are that differ by their seed alone, by labels."""
    last = {seed: cosine(by_epoch[max(by_epoch)]) for seed, by_epoch in kernels.items()}
    rows = [
        {"seeds": f"{a}-{b}", **row}
        for a, b in itertools.combinations(last, 2)
        for row in agreement(last[a], last[b], y)
    ]
    return pd.DataFrame(rows, columns=["seeds", "labels", *MEASURES])


def least_correlations(table: pd.DataFrame, of: str = "cosine") -> dict[int, float]:
    """Return by epoch the smaller of both correlations, mean over seeds, of the worse group; for ``frozen_from``."""
    mean = table[table.of == of].groupby(["epoch", "labels"])[["pearson", "spearman"]].mean()
    return mean.min(axis=1).groupby("epoch").min().to_dict()


def frozen_from(least: Mapping[int, float], threshold: float) -> int | None:
    """Return the first moment from which on an agreement stays at the threshold or above.

    Args:
        least: moment -> the smallest of the correlations with the final kernel.
        threshold: that counts as the same kernel.

    Returns:
        A moment before the last, at which a kernel agrees with itself; None if there is none.
    """
    *earlier, _ = sorted(least)
    agreed = itertools.takewhile(lambda moment: least[moment] >= threshold, reversed(earlier))  # NaN is no agreement
    return min(agreed, default=None)


def spectrum(kappa: Tensor) -> Tensor:
    """Return the eigenvalues (n,) of a symmetric positive semi-definite kernel as shares of its trace, falling."""
    values = torch.linalg.eigvalsh(kappa.double()).flip(0).clamp_min(0)  # rounding makes the smallest negative
    return values / values.sum()


def spectra(kernels: Kernels) -> Kernels:
    """Return the spectrum (n,) of every kernel."""
    return {seed: {epoch: spectrum(kappa) for epoch, kappa in by.items()} for seed, by in kernels.items()}


def effective_rank(shares: Tensor) -> float:
    """Return exp(entropy) of a spectrum (n,) that sums to one (Roy & Vetterli, EUSIPCO 2007).

    m if m eigenvalues are equal and the others zero; closer to 1 the more one of them dominates.
    """
    return float(torch.special.entr(shares).sum().exp())


def ranks(found: Kernels) -> pd.DataFrame:
    """Return effective rank and share of the largest eigenvalue of ``spectra``, by seed and epoch."""
    return pd.DataFrame(
        {"seed": seed, "epoch": epoch, "rank": effective_rank(shares), "top": float(shares[0])}
        for seed, by_epoch in found.items()
        for epoch, shares in by_epoch.items()
    )
