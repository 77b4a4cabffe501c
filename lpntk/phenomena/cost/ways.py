"""What does the kernel cost? The same matrix in three ways, timed in turns, and the plan of the fastest as a table."""

import time
from collections.abc import Callable
from functools import partial

import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from lpntk.kernel.layerwise.gradients import PerSampleGradients, trainable
from lpntk.kernel.layerwise.gram import LayerwiseGram
from lpntk.kernel.matrix import kernel_matrix
from lpntk.kernel.signs import sign_vectors
from lpntk.machine.precision import exact

LABEL = partial(sign_vectors, signs="label")


def by_layers(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return the kernel as a user gets it: layer by layer, in the cheapest form of each."""
    return kernel_matrix(model, x, y, device=x.device)


@exact
def by_gradients(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return the kernel from one signed gradient per sample, all n * P numbers held at once."""
    engine = PerSampleGradients(model, LABEL)
    rows = engine.features(x, y)
    return engine.gram(rows, rows)


@exact
@torch.no_grad()
def by_jacobians(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return the kernel by its definition: n Jacobians of K rows, n^2 blocks of K x K numbers, then the signs."""
    params = {name: p.detach() for name, p in trainable(model).items()}
    jacobian = jacrev(lambda w, x_i: functional_call(model, w, (x_i[None],))[0])
    blocks = vmap(jacobian, in_dims=(None, 0))(params, x)
    rows = torch.cat([blocks[name].flatten(2) for name in params], dim=2)  # (n, k, p)
    s = LABEL(model(x), y)
    theta = (rows.flatten(0, 1) @ rows.flatten(0, 1).T).view(*s.shape, *s.shape)  # (n, k, n, k)
    return torch.einsum("ik,ikjl,jl->ij", s, theta, s)


WAYS = {"layer by layer": by_layers, "one gradient per sample": by_gradients, "full Jacobians": by_jacobians}


def compare(
    model: nn.Module, x: Tensor, y: Tensor, repeats: int, ways: dict[str, Callable[..., Tensor]] = WAYS
) -> pd.DataFrame:
    """Time the ways in turns, so that a slow moment of the machine meets all of them, after one untimed turn.

    Args:
        model: network in evaluation mode.
        x: (n, ...) inputs on the model's device.
        y: (n,) labels.
        repeats: timed turns.
        ways: functions of (model, x, y) by name; the first is the measure of the others.

    Returns:
        A row for each way: ``seconds`` (median), ``least``, ``most``, ``ratio`` of the median to the first way's, and
        ``error``, the relative Frobenius distance to the first way's matrix.
    """
    matrices = {name: way(model, x, y).cpu() for name, way in ways.items()}
    turns = pd.DataFrame({name: timed(way, model, x, y)[1] for name, way in ways.items()} for _ in range(repeats))
    told = turns.agg(["median", "min", "max"]).T.set_axis(["seconds", "least", "most"], axis=1)
    first = matrices[next(iter(ways))]
    error = {name: float((matrix - first).norm() / first.norm()) for name, matrix in matrices.items()}
    return told.assign(ratio=told.seconds / told.seconds.iloc[0], error=pd.Series(error))


def timed(way: Callable[..., Tensor], *args: object, **options: object) -> tuple[Tensor, float]:
    """Return what a call returns, and the seconds until it had reached the CPU."""
    start = time.perf_counter()
    found = way(*args, **options).cpu()
    return found, time.perf_counter() - start


@exact
def plan(model: nn.Module, x: Tensor, y: Tensor, n: int) -> pd.DataFrame:
    """Return a row for every layer: parameters, form chosen for n samples, multiplications per pair and per sample."""
    sizes = {name: p.numel() for name, p in trainable(model).items()}
    rows = [
        (row.layer, row.form, sum(sizes[name] for name in row.parameters), row.macs_per_pair, row.macs_per_sample)
        for row in LayerwiseGram(model, LABEL, x, y, samples=n).plan()
    ]
    table = pd.DataFrame(rows, columns=["layer", "form", "parameters", "MACs per pair", "MACs per sample"])
    table = table.groupby(["layer", "form"], sort=False, as_index=False).sum()
    order = {name: i for i, (name, _) in enumerate(model.named_modules())}
    return table.sort_values("layer", key=lambda layers: layers.map(order).fillna(-1), kind="stable")
