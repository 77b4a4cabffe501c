"""Is the number right? Float64 gradients by plain automatic differentiation, on a subset of every result."""

import copy

import torch
from torch import Tensor

from bench.problem import Problem
from bench.variants import Computed

CHECKED = 8  # rows and columns of a result that are compared


class Reference:
    """Entries of the kernel in float64, one backward pass per sample, remembered for the variants to come."""

    def __init__(self, problem: Problem):
        self.problem, self.model = problem, copy.deepcopy(problem.model).double()
        self._known: dict[tuple, Tensor] = {}

    def error(self, computed: Computed) -> float:
        """Return the relative Frobenius error of entries spread evenly over a result; infinite if not finite."""
        everything = torch.arange(self.problem.n)
        rows = everything if computed.rows is None else computed.rows
        columns = everything if computed.columns is None else computed.columns
        if computed.kappa.shape != (len(rows), len(columns)):
            return float("inf")
        a, b = _spread(len(rows)), _spread(len(columns))
        got = computed.kappa.detach()[a][:, b].cpu().double()
        want = self._entries(rows[a], columns[b]).cpu()
        return float((got - want).norm() / want.norm()) if torch.isfinite(got).all() else float("inf")

    def _entries(self, rows: Tensor, columns: Tensor) -> Tensor:
        key = (*rows.tolist(), None, *columns.tolist())
        if key not in self._known:
            phi = {i: self._gradient(i) for i in {*rows.tolist(), *columns.tolist()}}
            left = torch.stack([phi[i] for i in rows.tolist()])
            self._known[key] = left @ torch.stack([phi[j] for j in columns.tolist()]).T
        return self._known[key]

    def _gradient(self, i: int) -> Tensor:
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        logits = self.model(self.problem.x[i : i + 1].double())[0]
        scalar = (2 * logits[self.problem.y[i]] - logits.sum()) / self.problem.k**0.5
        return torch.cat([g.flatten() for g in torch.autograd.grad(scalar, parameters)])


def _spread(length: int) -> Tensor:
    return torch.linspace(0, length - 1, min(CHECKED, length)).round().long().unique()
