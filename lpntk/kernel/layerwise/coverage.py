"""Who forms which gradient? What a trial (``cover.py``) has found out, for the batches that follow it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from lpntk.kernel.layerwise.capture import Call, record
from lpntk.kernel.layerwise.gradients import combined_gradients, per_sample_gradients, trainable
from lpntk.kernel.layerwise.layers import Layer, PatchLayer
from lpntk.kernel.model.ownership import UnexplainedError, weights_at_random
from lpntk.machine.device import ran_out
from lpntk.machine.precision import tolerance

AT_A_TIME = 2**20  # numbers of gradients: of one sample they may be many

log = logging.getLogger(__name__)

Use = tuple[int, str]  # which call, and the parameter's name in its module
Direction = Callable[[Tensor, Tensor], Tensor]  # (logits, labels) to the vectors s
TRIED = 4  # samples that an engine's constructor looks at


@dataclass
class Coverage:
    """Who forms which gradient.

    Attributes:
        modules: the modules to watch, by name.
        calls: names of the modules in the order of their calls, and which of their outputs got a gradient.
        layers: one for each call; None where it contributes nothing that is used.
        uses: for every parameter that layers explain, the calls that used it.
        whole: the parameters left to the whole model.
        tensors: per call, what its layer reads (of the samples tried).
        shapes: per call, the shapes of these without the axis of samples.
        tried: how many samples that were.
        saved_bytes: what autograd keeps of one sample between forward and backward pass, in double precision.
        ways: the ways through the model (``paths.py``) on which the layers are known to explain the gradients.
    """

    modules: dict[str, nn.Module]
    calls: list[tuple]
    layers: list[Layer | None]
    uses: dict[str, list[Use]]
    whole: list[str]
    tensors: list[tuple[Tensor, ...]]
    shapes: list[list[torch.Size]]
    tried: int
    saved_bytes: int
    ways: set[int]

    def run(self, model: nn.Module, direction: Direction, x: Tensor, y: Tensor) -> tuple[list[Call], Tensor]:
        """Return the recorded calls of a batch and its vectors ``s`` (n, k).

        Raises:
            UnexplainedError: if the model runs other layers than for the samples first tried, or other operations and
                the layers do not explain the gradients any more, or puts some rows elsewhere.
            RuntimeError: if a layer's input is changed in place after it was read.
        """
        calls, s, way = record(model, self.modules, x, lambda z: direction(z, y), partial(self._used, n=len(x)))
        self._check_layers(calls)
        if way not in self.ways:
            self._explain(model, x, calls, s)
            self.ways.add(way)
        return calls, s

    def _check_layers(self, calls: list[Call]) -> None:
        if [signature(call) for call in calls] != self.calls:
            raise UnexplainedError(
                "the model runs other layers for these samples than for the first ones; it must not branch"
            )

    def _used(self, calls: list[Call], n: int) -> list[Call]:
        """Return the calls that gradients are made of, having looked at their shapes."""
        self._check_layers(calls)
        return [call for i, call in enumerate(calls) if self.layers[i] is not None and self.read(i, call, n)]

    def _explain(self, model: nn.Module, x: Tensor, calls: list[Call], s: Tensor) -> None:
        """Compare a random combination of a batch's gradients with autograd's, parameter by parameter.

        Raises:
            UnexplainedError: if they differ.
        """
        params, n = trainable(model), len(x)
        e = weights_at_random(n).to(s)
        want = combined_gradients(model, x, lambda _: s * e[:, None])
        tensors = [self.read(i, c, n) if self.layers[i] else () for i, c in enumerate(calls)]
        whole = self.whole_gradients(model, x, s)
        got, scale = {}, {}
        for name, p in params.items():
            if name in whole:
                got[name] = (e @ whole[name]).view_as(p)
                scale[name] = whole[name].norm(dim=1).sum()
            else:
                got[name], scale[name] = combined(self.layers, tensors, self.uses.get(name, []), e, want[name])
        loose = tolerance(model, x.device)
        floor = loose / 30 * torch.stack([t.norm() for t in want.values()]).norm()
        for name, gradient in want.items():
            if not (got[name] - gradient).norm() <= loose * scale[name] + floor:
                raise UnexplainedError(
                    f"the model takes another way for these {n} samples than for the first ones, and there its layers "
                    f"do not explain the gradient of {name!r}; it must not branch"
                )

    def whole_gradients(self, model: nn.Module, x: Tensor, s: Tensor) -> dict[str, Tensor]:
        """Return the per-sample gradients (n, p), by name, of the parameters that no layer explains."""
        if not self.whole:
            return {}
        params = {name: p for name, p in trainable(model).items() if name in self.whole}
        rows = per_sample_gradients(model, x, s, params).split([p.numel() for p in params.values()], dim=1)
        return dict(zip(params, rows, strict=True))

    def patch_layers(self) -> dict[int, list[str]]:
        """Return, by call, the weight (and bias) that only this call of a layer with positions uses."""
        single = {uses[0]: name for name, uses in self.uses.items() if len(uses) == 1}
        return {
            i: [single[i, key] for key in ("weight", "bias") if (i, key) in single]
            for i, layer in enumerate(self.layers)
            if isinstance(layer, PatchLayer) and (i, "weight") in single
        }

    def bytes_in_passing(self) -> int:
        """Return what a sample's pass hands out: inputs and output gradients of the layers."""
        return sum(t.nbytes for tensors in self.tensors for t in tensors) // self.tried

    def largest_bytes(self) -> int:
        """Return the bytes of the largest of them."""
        return max((t.nbytes for tensors in self.tensors for t in tensors), default=0) // self.tried

    def read(self, i: int, call: Call, n: int) -> tuple[Tensor, ...]:
        """Return what the layer of call ``i`` reads of a batch of n samples.

        Raises:
            UnexplainedError: if the shapes are not those of the samples first tried: rows may belong elsewhere.
            RuntimeError: if memory runs out.
        """  # noqa: DOC501 (ValueError is caught here)
        try:
            tensors = self.layers[i].tensors(call, n)
            if [t.shape for t in tensors] == [(n, *shape) for shape in self.shapes[i]]:
                return tensors
            raise ValueError(
                f"{[tuple(t.shape[1:]) for t in tensors]} a sample, not {list(map(tuple, self.shapes[i]))}"
            )
        except (RuntimeError, ValueError) as error:
            if ran_out(error):
                raise
            raise UnexplainedError(
                f"{call.name!r} gets other shapes here than for the first samples ({error}); pad the inputs alike, and "
                "let every sample pass through every layer as often as the others"
            ) from error


def combined(
    layers: list[Layer | None], tensors: list[tuple], uses: list[Use], e: Tensor, like: Tensor
) -> tuple[Tensor, Tensor]:
    """Return sum_i e_i phi_i of one parameter, and the size of its terms: the scale of its rounding error.

    Args:
        layers: by call.
        tensors: by call, what its layer reads.
        uses: of the parameter.
        e: (n,) weights.
        like: has the shape of the parameter.
    """
    total, scale = torch.zeros_like(like), like.norm()
    step = max(1, AT_A_TIME // max(1, like.numel()))
    for call, attribute in uses:
        for start in range(0, len(e), step):
            some = slice(start, start + step)
            try:
                phi = layers[call].gradients(tuple(t[some] for t in tensors[call]), [attribute])[attribute]
            except Exception as error:
                if ran_out(error):
                    raise
                log.debug("gradient of %r failed: %s", attribute, error)
                return torch.full_like(like, torch.nan), scale
            for weight, own in zip(e[some].tolist(), phi, strict=True):
                total.add_(own, alpha=weight)
                scale = scale + abs(weight) * torch.linalg.vector_norm(own)
    return total, scale


def signature(call: Call) -> tuple:
    """Return what must be the same in every batch."""
    return call.name, tuple(grad is not None for grad in call.grads)
