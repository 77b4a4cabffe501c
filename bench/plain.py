"""How far does a plain program come that works layer by layer, too? About a hundred lines: no plan, blocks or checks.

Hooks collect what enters each layer and the gradient of what leaves it. A weight used at t positions has the gradient
``sum_t d_t p_t^T``: either that is formed for every sample (patches and a batched product) and one product per layer
adds to the result, or positions are multiplied, ``sum_tt' (p_t . p'_t') (d_t . d'_t')``, whichever takes fewer
multiplications. Gradients by biases and normalisations go into one matrix. Everything is kept for all samples.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from bench.problem import Problem
from bench.variants import CannotComputeError, Computed

BATCH = 64  # samples in a pass
FEW = 4  # samples whose patches are made at a time: they stay in the cache
STRIP = 128  # rows of a product of gradients, which starts at the diagonal; at most eight strips
WEIGHTED, NORMS = (nn.Linear, nn.Conv2d), (nn.BatchNorm2d, nn.LayerNorm)


@dataclass(frozen=True)
class Layer:
    """A weight: ``g`` groups, each with ``t`` positions, ``q`` inputs and ``k`` outputs at a position."""

    module: nn.Module
    g: int
    t: int
    q: int
    k: int

    def pairs(self, n: int) -> bool:
        """Whether positions are multiplied instead of gradients, which take ``t q k`` multiplications to form."""
        return self.g == 1 and self.t**2 * (self.q + self.k) < self.q * self.k * (1 + 2 * self.t / n)

    def flops(self, n: int) -> int:
        """Operations of one triangle."""
        if self.pairs(n):
            return n * (n + 1) * self.t**2 * (self.q + self.k)
        return self.g * self.q * self.k * (n * (n + 1) + 2 * n * self.t)

    def numbers(self, n: int) -> int:
        """Numbers that are kept of a sample."""
        return self.t * (self.q + self.k) if self.pairs(n) else self.g * self.q * self.k


def plain_layerwise(problem: Problem) -> Computed:
    """Passes over all samples, then one product per layer, or products of positions, into the result."""
    layers, n, device = weighted(problem), problem.n, problem.device
    kept = {layer.module: _room(layer, n, device) for layer in layers}
    rest = torch.empty(n, sum(p.numel() for _, _, p in _others(problem.model)), device=device)
    for start in range(0, n, BATCH):
        part, column = slice(start, start + BATCH), 0
        for module, a, d in calls(problem, part):
            if module in kept:
                _keep(module, a, d, [matrix[part] for matrix in kept[module]])
            for gradient in _small(module, a, d):
                rest[part, column : column + gradient.shape[1]] = gradient
                column += gradient.shape[1]
    kappa = torch.zeros(n, n, device=device)
    _add_gradients(kappa, rest)
    for layer in layers:
        matrices = kept.pop(layer.module)
        if layer.pairs(n):
            _add_positions(kappa, *matrices)
        else:
            _add_gradients(kappa, matrices[0])
    return Computed(kappa.triu() + kappa.triu(1).T)


def weighted(problem: Problem) -> list[Layer]:
    """Return the layers with a weight matrix, in the order of their calls."""
    found = []
    for module, a, d in calls(problem, slice(1)):
        if isinstance(module, nn.Linear):
            found.append(Layer(module, 1, a[0, ..., 0].numel(), module.in_features, module.out_features))
        elif isinstance(module, nn.Conv2d):
            q, k = module.weight[0].numel(), module.out_channels // module.groups
            found.append(Layer(module, module.groups, d[0, 0].numel(), q, k))
    return found


def needed_bytes(problem: Problem) -> int:
    """Return what is kept of all samples, and about what a pass holds."""
    try:
        kept = sum(layer.numbers(problem.n) for layer in weighted(problem))
    except CannotComputeError:
        return 0  # it says so when it runs
    passing = sum(2 * (a.numel() + d.numel()) for _, a, d in calls(problem, slice(1)))
    return 4 * (problem.n * kept + BATCH * passing)


def _others(model: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Parameter]]:
    """Yield the parameters that are no weight matrix; refuse what there is no rule for."""
    for name, module in model.named_modules():
        for key, p in module.named_parameters(recurse=False):
            if not isinstance(module, (*WEIGHTED, *NORMS, nn.Embedding)):
                raise CannotComputeError(f"has no rule for {name!r}, a {type(module).__name__}")
            if not (isinstance(module, WEIGHTED) and key == "weight"):
                yield module, key, p


def calls(problem: Problem, part: slice) -> list[tuple[nn.Module, Tensor, Tensor]]:
    """Run a batch and return, for each call of a module with parameters, its input and its output's gradient."""
    seen: list[tuple] = []
    with _watched(problem.model, lambda module, args, output: seen.append((module, args[0].detach(), output))):
        logits = problem.model(problem.x[part])
    if len({module for module, *_ in seen}) < len(seen):
        raise CannotComputeError("has no rule for a layer that is called twice")
    gradients = torch.autograd.grad((logits * problem.s[part]).sum(), [output for *_, output in seen])
    return [(module, a, d) for (module, a, _), d in zip(seen, gradients, strict=True)]


@contextmanager
def _watched(model: nn.Module, hook: Callable) -> Iterator[None]:
    list(_others(model))
    modules = [module for module in model.modules() if list(module.parameters(recurse=False))]
    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _room(layer: Layer, n: int, device: torch.device) -> list[Tensor]:
    if layer.pairs(n):
        return [torch.empty(n, layer.t, size, device=device) for size in (layer.q, layer.k)]
    return [torch.empty(n, layer.g * layer.k * layer.q, device=device)]


def _keep(module: nn.Module, a: Tensor, d: Tensor, rooms: list[Tensor]) -> None:
    """Write the gradients (n, g k q) of a batch, or its patches (n, t, q) and output gradients (n, t, k)."""
    step = FEW if isinstance(module, nn.Conv2d) else len(a)
    for some in (slice(start, start + step) for start in range(0, len(a), step)):
        if isinstance(module, nn.Conv2d):
            p, e = _patches(module, a[some]), d[some].flatten(2)  # (n, g q, t), (n, g k, t)
            p, e = (x.reshape(len(x) * module.groups, -1, x.shape[2]) for x in (p, e))
        else:
            p, e = (x[some].flatten(1, -2) if x.ndim > 2 else x[some].unsqueeze(1) for x in (a, d))
            p, e = p.mT, e.mT
        if len(rooms) == 2:
            rooms[0][some].copy_(p.mT)
            rooms[1][some].copy_(e.mT)
        else:
            torch.bmm(e, p.mT, out=rooms[0][some].view(len(e), e.shape[1], p.shape[1]))


def _patches(conv: nn.Conv2d, a: Tensor) -> Tensor:
    """Return (n, c u v, h w) patches of a kernel (u, v), copied through strides, which is faster than ``unfold``."""
    kernel, stride, dilation = conv.kernel_size, conv.stride, conv.dilation
    x = nn.functional.pad(a, conv._reversed_padding_repeated_twice)
    seen = zip(x.shape[2:], kernel, dilation, stride, strict=True)
    out = [(size - (k - 1) * apart - 1) // step + 1 for size, k, apart, step in seen]
    axes = x.stride()[2:]
    steps = [axis * by for offsets in (dilation, stride) for axis, by in zip(axes, offsets, strict=True)]
    view = x.as_strided((*x.shape[:2], *kernel, *out), (*x.stride()[:2], *steps))
    return view.reshape(len(x), -1, prod(out))


def _small(module: nn.Module, a: Tensor, d: Tensor) -> Iterator[Tensor]:
    """Yield the gradients (n, size) of what is no weight matrix, in the order of the parameters."""
    n = len(d)
    if isinstance(module, nn.BatchNorm2d):
        total, scale = d.sum((2, 3)), (module.running_var + module.eps).rsqrt()
        yield ((d * a).sum((2, 3)) - module.running_mean * total) * scale
        yield total
    elif isinstance(module, nn.LayerNorm):
        normalised = nn.functional.layer_norm(a, module.normalized_shape, eps=module.eps)
        yield (d * normalised).reshape(n, -1, prod(module.normalized_shape)).sum(1)
        yield d.reshape(n, -1, prod(module.normalized_shape)).sum(1)
    elif isinstance(module, nn.Embedding):
        rows = d.new_zeros(n, *module.weight.shape)
        yield rows.scatter_add_(1, a[..., None].expand_as(d), d).flatten(1)
    elif module.bias is not None:
        yield d.sum((2, 3)) if isinstance(module, nn.Conv2d) else d.reshape(n, -1, d.shape[-1]).sum(1)


def _add_gradients(kappa: Tensor, rows: Tensor) -> None:
    n = len(rows)
    step = max(STRIP, -(-n // 8))
    for start in range(0, n, step):
        kappa[start : start + step, start:].addmm_(rows[start : start + step], rows[start:].T)


def _add_positions(kappa: Tensor, p: Tensor, d: Tensor) -> None:
    """Add the products of positions t <= t' of all samples, and those of t > t' as their transposes."""
    p, d = (matrix.transpose(0, 1).contiguous() for matrix in (p, d))  # (t, n, q), (t, n, k)
    t, n, _ = p.shape
    for i in range(t):
        products = (p[i] @ p[i:].flatten(0, 1).T).mul_(d[i] @ d[i:].flatten(0, 1).T).view(n, t - i, n)
        kappa += products[:, 0]
        if i + 1 < t:
            above = products[:, 1:].sum(1)
            kappa += above
            kappa += above.T
