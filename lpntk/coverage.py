"""Who forms which gradient? What a trial (``cover.py``) has found out, for the batches that follow it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lpntk.capture import Call, record
from lpntk.gradients import per_sample_gradients, trainable
from lpntk.layers import Layer, PatchLayer

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
        combination: (n,) the random weights e, and ``norm2`` the squared norm of ``sum_i e_i phi_i``.
        saved_bytes: what autograd keeps of one sample between forward and backward pass, in double precision.
    """

    modules: dict[str, nn.Module]
    calls: list[tuple]
    layers: list[Layer | None]
    uses: dict[str, list[Use]]
    whole: list[str]
    tensors: list[tuple[Tensor, ...]]
    shapes: list[list[torch.Size]]
    combination: Tensor
    norm2: Tensor
    saved_bytes: int

    def run(self, model: nn.Module, direction: Direction, x: Tensor, y: Tensor) -> tuple[list[Call], Tensor]:
        """Return the recorded calls of a batch and its vectors ``s`` (n, k).

        Raises:
            ValueError: if the model takes another path than for the samples first tried.
            RuntimeError: if a layer's input is changed in place after it was read.
        """
        calls, s = record(model, self.modules, x, lambda logits: direction(logits, y))
        if [signature(call) for call in calls] != self.calls:
            raise ValueError(
                "the model runs other layers for these samples than for the first ones; it must not branch"
            )
        return calls, s

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
        """Return about what a sample's pass holds: inputs and output gradients, and autograd as much again, twice."""
        held = sum(t.numel() * t.element_size() for tensors in self.tensors for t in tensors)
        return 3 * held // len(self.combination)

    def read(self, i: int, call: Call, n: int) -> tuple[Tensor, ...]:
        """Return what the layer of call ``i`` reads of a batch of n samples.

        Raises:
            ValueError: if the shapes are not those of the samples first tried, so that rows may belong elsewhere.
        """
        try:
            tensors = self.layers[i].tensors(call, n)
            if [t.shape for t in tensors] == [(n, *shape) for shape in self.shapes[i]]:
                return tensors
            raise ValueError(
                f"{[tuple(t.shape[1:]) for t in tensors]} a sample, not {list(map(tuple, self.shapes[i]))}"
            )
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f"{call.name!r} gets other shapes here than for the first samples ({error}); pad the inputs alike, and "
                "let every sample pass through every layer as often as the others"
            ) from error


def signature(call: Call) -> tuple:
    """Return what must be the same in every batch."""
    return call.name, tuple(grad is not None for grad in call.grads)
