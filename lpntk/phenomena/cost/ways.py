"""What does the kernel cost? The same matrix in three ways, timed in turns, and the plan of the fastest as a table."""

import statistics
import time
from collections.abc import Callable
from functools import partial

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
) -> dict[str, dict[str, float]]:
    """Time the ways in turns, so that a slow moment of the machine meets all of them, after one untimed turn.

    Args:
        model: network in evaluation mode.
        x: (n, ...) inputs on the model's device.
        y: (n,) labels.
        repeats: timed turns.
        ways: functions of (model, x, y) by name; the first is the measure of the others.

    Returns:
        By name: ``seconds`` (median), ``least``, ``most``, ``ratio`` of the median to the first way's, and ``error``,
        the relative Frobenius distance to the first way's matrix.
    """
    matrices = {name: way(model, x, y).cpu() for name, way in ways.items()}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            taken[name].append(seconds(partial(way, model, x, y)))
    first = next(iter(ways))
    return {
        name: {
            "seconds": statistics.median(times),
            "least": min(times),
            "most": max(times),
            "ratio": statistics.median(times) / statistics.median(taken[first]),
            "error": float((matrices[name] - matrices[first]).norm() / matrices[first].norm()),
        }
        for name, times in taken.items()
    }


def seconds(call: Callable[[], Tensor]) -> float:
    """Return how long a call takes, until its result has reached the CPU."""
    start = time.perf_counter()
    call().cpu()
    return time.perf_counter() - start


@exact
def plan(model: nn.Module, x: Tensor, y: Tensor, n: int) -> list[dict[str, object]]:
    """Return a row for every layer: parameters, form chosen for n samples, multiplications per pair and per sample."""
    rows: dict[tuple[str, str], dict[str, object]] = {}
    sizes = {name: p.numel() for name, p in trainable(model).items()}
    for row in LayerwiseGram(model, LABEL, x, y, samples=n).plan():
        entry = rows.setdefault(
            (row.layer, row.form),
            {"layer": row.layer, "form": row.form, "parameters": 0, "MACs per pair": 0, "MACs per sample": 0},
        )
        entry["parameters"] += sum(sizes[name] for name in row.parameters)
        entry["MACs per pair"] += row.macs_per_pair
        entry["MACs per sample"] += row.macs_per_sample
    order = {name: i for i, (name, _) in enumerate(model.named_modules())}
    return sorted(rows.values(), key=lambda row: order.get(row["layer"], -1))
