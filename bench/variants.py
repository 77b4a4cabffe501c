"""In how many ways can torch alone compute this kernel? From the definition down to the package's own engine.

A variant maps a ``Problem`` to a ``Computed``. One that would take hours computes a rectangle of the matrix and says
what share of the work that was; its time is then extrapolated and marked so.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.func import functional_call, grad, jacrev, vmap

from bench.problem import Problem
from lpntk.kernel.layerwise.gradients import trainable
from lpntk.kernel.matrix import kernel_matrix

# samples per backward pass that fills an (n, p) matrix, and bytes of their gradients: on a CPU larger ones were slower
CHUNK, CHUNK_BYTES = 64, {"cpu": 192 * 2**20, "cuda": 2**29}
JACOBIAN_BYTES = 2 * 2**30  # row block and column block of full Jacobians
SKETCH = 4096


class CannotComputeError(Exception):
    """The variant cannot compute this problem; the message says why."""


@dataclass(frozen=True)
class Computed:
    """The kernel, or a rectangle of it.

    Args:
        kappa: (r, c) entries.
        rows: (r,) indices; all samples by default.
        columns: (c,) indices.
        done: units of work done.
        of: units of work that the whole kernel takes.
        unit: what a unit is.
    """

    kappa: Tensor
    rows: Tensor | None = None
    columns: Tensor | None = None
    done: int = 1
    of: int = 1
    unit: str = ""

    @property
    def extrapolated_from(self) -> str | None:
        """Say from how much work the time is extrapolated; None where all of it was done."""
        return None if self.done == self.of else f"{self.done} of {self.of} {self.unit}"


@dataclass(frozen=True)
class Variant:
    """One way to compute the kernel.

    Args:
        name: how tables call it.
        compute: the computation, timed as a whole.
        needs: bytes it will hold, predicted; see ``n_by_p``.
        holds: what takes them.
        package: distribution that must be installed, for peers.
        module: what that distribution is imported as.
        tolerance: relative error above which the result counts as wrong.
        work: name of its FLOP formula in ``cost.py``; none if unknown.
    """

    name: str
    compute: Callable[[Problem], Computed]
    needs: Callable[[Problem], int] = lambda problem: 0
    holds: str = "n x P"
    package: str | None = None
    module: str | None = None
    tolerance: float = 1e-4
    work: str | None = None


def n_by_p(problem: Problem) -> int:
    """Return the bytes of all gradients and of the chunk that is being computed."""
    return 4 * problem.p * (problem.n + 2 * chunk(problem))


def chunk(problem: Problem) -> int:
    """Return how many samples' gradients are computed at a time."""
    return max(1, min(CHUNK, problem.n, CHUNK_BYTES[problem.device.type] // (4 * problem.p)))


def gram_of_rows(problem: Problem, gradients: Callable[[slice], Iterable[Tensor]]) -> Computed:
    """Fill the (n, p) matrix of gradients chunk by chunk, each number copied once, and multiply it by its transpose.

    Args:
        problem: network and samples.
        gradients: returns those of some samples, (n, *shape) for each parameter.
    """
    phi = torch.empty(problem.n, problem.p, device=problem.device)
    for start in range(0, problem.n, chunk(problem)):
        part, column = slice(start, start + chunk(problem)), 0
        for gradient in gradients(part):
            gradient = gradient.detach().flatten(1)
            phi[part, column : column + gradient.shape[1]] = gradient
            column += gradient.shape[1]
    return Computed(phi @ phi.T)


def textbook(problem: Problem) -> Computed:
    """Both K-row Jacobians anew for every pair, their K x K block, then the signs: n (n + 1) K backward passes."""
    rows = torch.tensor([0, problem.n - 1]).unique()
    columns = torch.tensor([0, problem.n // 2]).unique()
    kappa = torch.empty(len(rows), len(columns), device=problem.device)
    for a, i in enumerate(rows.tolist()):
        for b, j in enumerate(columns.tolist()):
            theta = _jacobian(problem, problem.x[i]) @ _jacobian(problem, problem.x[j]).T  # (k, k)
            kappa[a, b] = problem.s[i] @ theta @ problem.s[j]
    return Computed(kappa, rows, columns, kappa.numel(), problem.n * (problem.n + 1) // 2, "pairs")


def jacobians(problem: Problem) -> Computed:
    """Full Jacobians in blocks, once per pair of blocks; K x K blocks by GEMM, then the signs."""
    size = jacobian_block(problem)
    starts = range(0, problem.n, size)
    pairs = len(starts) * (len(starts) + 1) // 2
    rows, columns = torch.arange(problem.n)[:size], torch.arange(problem.n)[: 2 * size]
    left, kappa = None, torch.empty(len(rows), len(columns), device=problem.device)
    for start in range(0, len(columns), size):
        right = _jacobian_block(problem, slice(start, start + size))
        left = right if left is None else left
        theta = (left.flatten(0, 1) @ right.flatten(0, 1).T).view(len(left), problem.k, len(right), problem.k)
        s = problem.s[start : start + size]
        kappa[:, start : start + size] = torch.einsum("ak,akbl,bl->ab", problem.s[:size], theta, s)
    return Computed(kappa, rows, columns, min(2, len(starts)), pairs, "pairs of blocks")


def jacobian_block(problem: Problem) -> int:
    """Return how many samples' Jacobians are held in a block."""
    return max(1, min(problem.n, JACOBIAN_BYTES // (2 * 4 * problem.k * problem.p)))


def _jacobian(problem: Problem, x_i: Tensor) -> Tensor:
    params = {name: p.detach() for name, p in trainable(problem.model).items()}
    blocks = jacrev(lambda w: functional_call(problem.model, w, (x_i[None],))[0])(params)
    return torch.cat([blocks[name].flatten(1) for name in params], dim=1)  # (k, p)


def _jacobian_block(problem: Problem, part: slice) -> Tensor:
    x, step = problem.x[part], 4  # jacrev holds the k copies of a few samples twice
    block = torch.empty(len(x), problem.k, problem.p, device=problem.device)
    for start in range(0, len(x), step):
        block[start : start + step] = vmap(partial(_jacobian, problem))(x[start : start + step])
    return block


def vmap_grad(problem: Problem) -> Computed:
    """One gradient per sample by ``vmap(grad)``, all of them held, one GEMM."""
    params = {name: p.detach() for name, p in trainable(problem.model).items()}

    def scalar(params: dict[str, Tensor], x_i: Tensor, s_i: Tensor) -> Tensor:
        return (functional_call(problem.model, params, (x_i[None],))[0] * s_i).sum()

    per_sample = vmap(grad(scalar), in_dims=(None, 0, 0))
    return gram_of_rows(problem, lambda part: per_sample(params, problem.x[part], problem.s[part]).values())


def ours(problem: Problem) -> Computed:
    """The package's function as a user calls it."""
    return Computed(_kernel(problem))


def ours_in(precision: str) -> Callable[[Problem], Computed]:
    """The same in another precision."""
    return lambda problem: Computed(_kernel(problem, precision=precision).float())


def ours_tf32(problem: Problem) -> Computed:
    """The same on tensor cores, of operands rounded to 11 bits."""
    if problem.device.type != "cuda":
        raise CannotComputeError("needs a CUDA device")
    return Computed(_kernel(problem, precision="tf32"))


def ours_sketched(problem: Problem) -> Computed:
    """The package's function with random projections: approximate by design."""
    return Computed(_kernel(problem, sketch=SKETCH))


def _kernel(problem: Problem, **options: object) -> Tensor:
    if problem.budget is not None:
        options["memory_budget"] = problem.budget
    return kernel_matrix(problem.model, problem.x, problem.y, device=problem.device, **options)


OWN = [
    Variant("ours", ours, work="ours"),
    Variant("ours-float64", ours_in("float64"), work="ours"),
    Variant("ours-bf16", ours_in("bf16"), tolerance=0.02, work="ours"),
    Variant("ours-tf32", ours_tf32, tolerance=0.01, work="ours"),
    Variant("ours-sketched", ours_sketched, tolerance=0.2),
    Variant("vmap-grad", vmap_grad, needs=n_by_p, work="rows"),
    Variant(
        "jacobians",
        jacobians,
        needs=lambda problem: 3 * 4 * jacobian_block(problem) * problem.k * problem.p,
        holds="K x P",
        work="jacobians",
    ),
    Variant("textbook", textbook, needs=lambda problem: 4 * 4 * problem.k * problem.p, holds="K x P", work="textbook"),
]
