"""How much of the kernel survives a sketch? Its entries, and what one reads off them: order and neighbours."""

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from lpntk.kernel.matrix import kernel_matrix
from lpntk.kernel.reading import cosine, shared_neighbours
from lpntk.kernel.sketch import Kind, Sketch
from lpntk.phenomena.cost.ways import timed
from lpntk.report.verdict import FAILS, HOLDS, IN_PART, Verdict


def fidelity(estimate: Tensor, exact: Tensor) -> dict[str, float]:
    """Compare two symmetric kernels (n, n).

    Returns:
        ``error``, the relative Frobenius distance, and ``error off diagonal``; ``rank``, Spearman's correlation of the
        cosines in a row, the sample itself left out, and ``neighbours``, the share of the ten largest of them that both
        have: means over rows.
    """
    apart = ~torch.eye(len(exact), dtype=torch.bool)
    error, cosines = estimate - exact, [cosine(kappa) for kappa in (estimate, exact)]
    rows = [matrix[apart].view(len(exact), -1).numpy() for matrix in cosines]  # (n, n - 1)
    ranks = [torch.from_numpy(rankdata(values, axis=1)) for values in rows]
    ranks = [torch.nn.functional.normalize(r - r.mean(1, keepdim=True)) for r in ranks]
    return {
        "error": float(error.norm() / exact.norm()),
        "error off diagonal": float(error[apart].norm() / exact[apart].norm()),
        "rank": float((ranks[0] * ranks[1]).sum(1).mean()),
        "neighbours": shared_neighbours(*cosines),
    }


def sweep(
    model: nn.Module, x: Tensor, y: Tensor, exact: Tensor, kinds: Sequence[Kind], sizes: Sequence[int], seeds: int
) -> pd.DataFrame:
    """Estimate the kernel with every kind, size and seed: a row for each, with its ``fidelity`` and its seconds."""
    rows = []
    for seed in range(seeds):
        for size in sizes:
            for kind in kinds:
                estimate, seconds = timed(kernel_matrix, model, x, y, sketch=Sketch(size, kind, seed), device=x.device)
                told = {"kind": kind, "size": size, "seed": seed}
                rows.append({**told, **fidelity(estimate, exact), "seconds": seconds})
    return pd.DataFrame(rows)


def smallest_faithful(trials: pd.DataFrame, rule: Mapping[str, float]) -> int | None:
    """Return the least size of sketches of one kind from which on every seed is faithful; None if there is none."""
    best = None
    for size, group in sorted(trials.groupby("size"), reverse=True, key=lambda found: found[0]):
        if not (group["rank"].min() >= rule["rank"] and group.neighbours.min() >= rule["neighbours"]):
            break
        best = int(size)
    return best


def verdict(trials: pd.DataFrame, exact_seconds: float, rule: Mapping[str, float]) -> Verdict:
    """Judge sketches of one kind: it holds that they are faithful and worth it, in part that they are faithful alone.

    Args:
        trials: of one network and kind, as ``sweep`` gives them.
        exact_seconds: of the exact kernel.
        rule: ``rank`` and ``neighbours`` at least, ``share`` of the time of the exact kernel less than this.
    """
    size = smallest_faithful(trials, rule)
    if size is None:
        return Verdict(FAILS, f"none of up to {trials['size'].max()} numbers is faithful")
    share = trials[trials["size"] == size].seconds.mean() / exact_seconds
    worth = share < rule["share"]
    told = f"it is faithful from {size} numbers on and then takes {share:.2g} times the time of the exact kernel"
    return Verdict(HOLDS if worth else IN_PART, f"{told}, so it is {'worth it' if worth else 'not worth it'} here")
