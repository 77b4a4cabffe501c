"""How much of the kernel survives a sketch? Its entries, and what one reads off them: order and neighbours."""

from dataclasses import dataclass
from functools import partial

import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from lpntk.kernel.matrix import kernel_matrix
from lpntk.kernel.reading import cosine
from lpntk.kernel.sketch import Kind, Sketch
from lpntk.phenomena.cost.ways import seconds

NEIGHBOURS = 10
FAITHFUL_RANK, FAITHFUL_NEIGHBOURS = 0.99, 0.9
WORTH = 0.5  # of the time of the exact kernel


@dataclass(frozen=True)
class Fidelity:
    """How alike an estimated kernel and the exact one are.

    Attributes:
        whole: relative Frobenius error.
        off_diagonal: the same without the diagonal.
        rank: Spearman's correlation of the cosines in a row, the sample itself left out; mean over rows.
        neighbours: share of the ten largest cosines of a row that both have; mean over rows.
    """

    whole: float
    off_diagonal: float
    rank: float
    neighbours: float


def fidelity(estimate: Tensor, exact: Tensor) -> Fidelity:
    """Compare two symmetric kernels (n, n)."""
    apart = ~torch.eye(len(exact), dtype=torch.bool)
    error = estimate - exact
    a, b = (cosine(kappa)[apart].view(len(exact), -1) for kappa in (estimate, exact))  # (n, n - 1)
    ranks = [torch.from_numpy(rankdata(rows.numpy(), axis=1)) for rows in (a, b)]
    ranks = [torch.nn.functional.normalize(r - r.mean(1, keepdim=True)) for r in ranks]
    count = min(NEIGHBOURS, a.shape[1])
    near = [torch.zeros_like(rows).scatter_(1, rows.topk(count).indices, 1) for rows in (a, b)]
    return Fidelity(
        whole=float(error.norm() / exact.norm()),
        off_diagonal=float(error[apart].norm() / exact[apart].norm()),
        rank=float((ranks[0] * ranks[1]).sum(1).mean()),
        neighbours=float((near[0] * near[1]).sum(1).mean() / count),
    )


@dataclass(frozen=True)
class Trial:
    """One sketch of one kernel: how good and how long."""

    kind: Kind
    size: int
    seed: int
    fidelity: Fidelity
    seconds: float


def sweep(
    model: nn.Module, x: Tensor, y: Tensor, exact: Tensor, kinds: list[Kind], sizes: list[int], seeds: int
) -> list[Trial]:
    """Estimate the kernel with every kind, size and seed, and compare each with the exact one.

    Args:
        model: network in evaluation mode.
        x: (n, ...) inputs.
        y: (n,) labels.
        exact: (n, n) exact kernel, on the CPU.
        kinds: see ``Sketch``.
        sizes: numbers per sample.
        seeds: how many of each.
    """
    trials = []
    for seed in range(seeds):
        for size in sizes:
            for kind in kinds:
                found: list[Tensor] = []
                sketch = Sketch(size, kind, seed)
                compute = partial(kernel_matrix, model, x, y, sketch=sketch, device=x.device)
                taken = seconds(lambda: found.append(compute()) or found[0])  # noqa: B023 (called at once)
                trials.append(Trial(kind, size, seed, fidelity(found[0], exact), taken))
    return trials


def smallest_faithful(trials: list[Trial], kind: Kind) -> int | None:
    """Return the least size from which on every seed is faithful; None if there is none."""
    best = None
    for size in sorted({t.size for t in trials}, reverse=True):
        group = [t.fidelity for t in trials if t.kind == kind and t.size == size]
        if any(f.rank < FAITHFUL_RANK or f.neighbours < FAITHFUL_NEIGHBOURS for f in group):
            break
        best = size
    return best


def summaries(trials: list[Trial]) -> list[dict[str, object]]:
    """Return a row for every kind and size: the means over the seeds."""
    groups: dict[tuple[str, int], list[Trial]] = {}
    for trial in sorted(trials, key=lambda t: (t.kind, t.size)):
        groups.setdefault((trial.kind, trial.size), []).append(trial)
    mean = lambda values: sum(values) / len(values)
    return [
        {
            "kind": kind,
            "size": size,
            "error": mean([t.fidelity.whole for t in group]),
            "error off diagonal": mean([t.fidelity.off_diagonal for t in group]),
            "rank": mean([t.fidelity.rank for t in group]),
            "neighbours": mean([t.fidelity.neighbours for t in group]),
            "seconds": mean([t.seconds for t in group]),
        }
        for (kind, size), group in groups.items()
    ]


def verdict(name: str, trials: list[Trial], kind: Kind, exact_seconds: float) -> str:
    """Say whether a kind of sketch is faithful (from which size) and worth it: half the time of the exact kernel."""
    size = smallest_faithful(trials, kind)
    if size is None:
        return f"{name}: no {kind} sketch of up to {max(t.size for t in trials)} numbers is faithful."
    taken = [t.seconds for t in trials if t.kind == kind and t.size == size]
    share = sum(taken) / len(taken) / exact_seconds
    return (
        f"{name}: a {kind} sketch is faithful from {size} numbers on and then takes {share:.2g} times the time of the "
        f"exact kernel, so it is {'worth it' if share < WORTH else 'not worth it'} here."
    )
