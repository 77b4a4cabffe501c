"""Do influence and TracIn order pairs of samples as the kernel does? Rank correlations, on the same pairs."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from torch import Tensor

from lpntk.kernel.reading import cosine
from lpntk.learn.moments import Moments

SCORES = {
    "kernel": "lpNTK",
    "cosine": "its cosine",
    "error": "inner product of loss gradients",
    "tracin": "TracIn",
    "influence": "influence function",
}
PAIRS = {"all": "all pairs", "same": "one label", "different": "two labels"}


def influence(kappa: Tensor, damping: float) -> Tensor:
    """Return how upweighting a sample would lower the loss of another (Koh & Liang, 2017), for all pairs (n, n).

    The Hessian is taken as the mean outer product of loss gradients, plus a multiple of the identity; what it does to
    gradients then follows from their inner products alone (Woodbury).

    Args:
        kappa: (n, n) inner products of loss gradients.
        damping: the multiple, in units of the mean squared length of a gradient.

    Raises:
        ValueError: if the damping is not above 0.
    """
    if not damping > 0:
        raise ValueError(f"damping must be above 0; got {damping}")
    n, kappa = len(kappa), kappa.double()
    scale = damping * float(kappa.diagonal().mean())
    inner = kappa + n * scale * torch.eye(n, dtype=torch.float64)
    return (kappa - kappa @ torch.linalg.solve(inner, kappa)) / scale


def study(runs: Sequence[Moments], x: Tensor, y: Tensor, *, damping: float) -> pd.DataFrame:
    """Compare all scores of pairs of samples, network by network.

    Args:
        runs: networks with their states; TracIn sums over all of them but the first, which is before training (Pruthi
            et al., 2020); a constant learning rate is a common factor.
        x: (n, ...) samples.
        y: (n,) labels.
        damping: see ``influence``.

    Returns:
        A row for each network, kind of ``pairs`` and two scores: ``one``, ``other``, ``rho`` (Spearman).
    """
    upper = torch.triu_indices(len(y), len(y), 1)
    same = (y[upper[0]] == y[upper[1]]).numpy()
    rows = []
    for run in runs:
        end = max(run.epochs)
        kappa, errors = run.kernel(end, x, y).cpu(), run.kernel(end, x, y, "error").cpu()
        tracin = sum(run.kernel(epoch, x, y, "error").cpu() for epoch in run.epochs if epoch > 0)
        found = {"kernel": kappa, "cosine": cosine(kappa), "error": errors, "tracin": tracin,
                 "influence": influence(errors, damping)}  # fmt: skip
        values = np.stack([found[name][upper[0], upper[1]].double().numpy() for name in SCORES])
        for pairs, mask in (("all", slice(None)), ("same", same), ("different", ~same)):
            rho = spearmanr(values[:, mask], axis=1).statistic
            rows += [
                {"seed": run.seed, "pairs": pairs, "one": one, "other": other, "rho": float(rho[i, j])}
                for i, one in enumerate(SCORES)
                for j, other in enumerate(SCORES)
                if i < j
            ]
    return pd.DataFrame(rows)
