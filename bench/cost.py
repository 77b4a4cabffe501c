"""How much arithmetic is it, and how fast could the machine do it? FLOPs of each method and the peak of a GEMM."""

import time
from dataclasses import asdict
from functools import partial

import torch
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from bench.problem import Problem
from bench.variants import jacobian_block
from lpntk.kernel.signs import sign_vectors
from lpntk.machine.precision import exact


def gemm_peak(size: int = 4096, repeats: int = 4, device: torch.device | str = "cpu") -> float:
    """Return FLOP/s of a square float32 matrix product with the threads set now, the best of several."""
    a, b, out = (torch.rand(size, size, device=device) for _ in range(3))
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        torch.mm(a, b, out=out)
        if out.is_cuda:
            torch.cuda.synchronize(out.device)
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


def passes(problem: Problem) -> tuple[float, float]:
    """Return the FLOPs of a forward and of a backward pass of one sample."""
    x = problem.x[:2]
    with _counter() as counter:
        out = problem.model(x)
        forward = counter.get_total_flops()
        out.sum().backward()
    problem.model.zero_grad(set_to_none=True)
    return forward / len(x), (counter.get_total_flops() - forward) / len(x)


def _counter() -> FlopCounterMode:
    return FlopCounterMode(display=False, custom_mapping={torch.ops.aten.convolution_backward: _of_convolution})


def _of_convolution(grad: torch.Size, x: torch.Size, weight: torch.Size, *others: object, **_: object) -> int:
    """Input and weight take as many operations as the forward pass; torch's own count takes groups for one."""
    _, _, _, _, transposed, _, _, wanted = others
    return conv_flop_count(x, weight, grad, transposed) * sum(wanted[:2])


def flops(problem: Problem, work: str | None) -> float | None:
    """Return the FLOPs that a method needs for the whole kernel; None if no formula is known.

    Args:
        problem: network and samples.
        work: a key of ``WORK``.
    """
    return None if work is None else float(WORK[work](problem, *passes(problem)))


def _rows(problem: Problem, forward: float, backward: float) -> float:
    """One backward pass per sample and the product of all gradients."""
    return problem.n * (forward + backward) + 2 * problem.n**2 * problem.p


def _textbook(problem: Problem, forward: float, backward: float) -> float:
    """Two Jacobians and one K x K block for each pair."""
    pair = 2 * (forward + problem.k * backward) + 2 * problem.k**2 * problem.p
    return problem.n * (problem.n + 1) / 2 * pair


def _jacobians(problem: Problem, forward: float, backward: float) -> float:
    """A Jacobian of each sample for each pair of blocks, a K x K block for each pair."""
    blocks = -(-problem.n // jacobian_block(problem))
    passed = problem.n * (blocks + 1) / 2
    pairs = problem.n * (problem.n + 1) / 2
    return passed * (forward + problem.k * backward) + pairs * 2 * problem.k**2 * problem.p


def _nngeometry(problem: Problem, forward: float, backward: float) -> float:
    """A pass for each batch and each pair of batches; linear layers by their factors, the others by n x p_layer."""
    from bench.peers import nngeometry_batch

    batches = -(-problem.n // nngeometry_batch(problem))
    pair = 0
    for module in problem.model.modules():
        if isinstance(module, torch.nn.Linear):
            pair += 2 * (module.in_features + module.out_features)
        elif not list(module.children()):
            pair += 2 * sum(p.numel() for p in module.parameters())
    return problem.n * (1 + (batches + 1) / 2) * (forward + backward) + problem.n**2 * (1 + 1 / batches) / 2 * pair


def plan(problem: Problem) -> list[dict] | None:
    """Return the rows of the engine's plan, a layer each; None where there is no layer-wise engine."""
    engine = _engine(problem)
    return None if engine is None else [asdict(row) for row in engine.plan()]


def _engine(problem: Problem) -> object | None:
    try:
        from lpntk.kernel.layerwise.gram import LayerwiseGram
    except ImportError:
        return None
    direction = partial(sign_vectors, signs="label")
    return exact(LayerwiseGram)(problem.model, direction, problem.x, problem.y, samples=problem.n)


def _ours(problem: Problem, forward: float, backward: float) -> float:
    """What the engine says of itself; one pass per sample and one triangle of n x p where there is no such engine."""
    engine = _engine(problem)
    if engine is None:
        return problem.n * (forward + backward) + problem.n * (problem.n + 1) * problem.p
    return engine.flops(problem.n)


def _plain(problem: Problem, forward: float, backward: float) -> float:
    """One pass per sample without the gradients of weights, and each layer's cheaper form."""
    from bench.plain import calls, weighted

    with _counter() as counter:
        calls(problem, slice(1))
    return problem.n * counter.get_total_flops() + sum(layer.flops(problem.n) for layer in weighted(problem))


WORK = {
    "rows": _rows,
    "textbook": _textbook,
    "jacobians": _jacobians,
    "nngeometry": _nngeometry,
    "plain": _plain,
    "ours": _ours,
}
