"""Which form of a layer's share costs least? Counted in multiplications, decided per layer."""

from dataclasses import dataclass
from math import prod
from typing import Literal

from torch import nn

from lpntk.kernel.layerwise.coverage import Coverage, Use
from lpntk.kernel.layerwise.forms.pairs import Pairs
from lpntk.kernel.layerwise.layers import PatchLayer

Form = Literal["gradient", "inner", "pixel"]

# Multiplications of a float32 matrix product in the time of one element-wise operation. Measured on a CPU; on CUDA what
# data sheets say, between 75 (A100) and 120 (H100), where an operation moves 12 bytes; tests/kernel/test_cuda.py
# measures it.
ELEMENTWISE = {"cpu": 40, "cuda": 90}


@dataclass(frozen=True)
class Row:
    """What one layer, or one parameter with a form of its own, costs.

    Attributes:
        layer: name of the module.
        parameters: names in the model.
        form: ``gradient``, ``inner``, ``pixel``, or ``whole`` for ``torch.func`` on the whole model.
        macs_per_pair: multiplications for one number of the Gram matrix.
        macs_per_sample: multiplications to build what is stored; forward and backward pass not counted.
        numbers_per_sample: numbers stored.
    """

    layer: str
    parameters: tuple[str, ...]
    form: str
    macs_per_pair: int
    macs_per_sample: int
    numbers_per_sample: int


@dataclass(frozen=True)
class Columns:
    """Where the gradient of one parameter lies among the joined gradients, and which calls add to it."""

    name: str
    place: slice
    uses: list[Use]  # empty: the whole model


@dataclass
class Plan:
    """How every trainable parameter enters the Gram matrix.

    Attributes:
        pairs: by index of the call, the layers that are taken pair by pair.
        columns: the other parameters, joined into gradients of ``width`` numbers.
        rows: the same as a table of costs.
    """

    pairs: dict[int, Pairs]
    columns: list[Columns]
    width: int
    rows: list[Row]


def make_plan(coverage: Coverage, params: dict[str, nn.Parameter], samples: int, form: Form | None = None) -> Plan:
    """Choose a form for every parameter.

    A parameter that several calls use needs its summed gradient, because the terms of different calls have inner
    products too.

    Args:
        coverage: which calls form which gradient.
        params: the trainable parameters.
        samples: how many samples each will meet.
        form: taken wherever a layer has it, instead of the cheapest.
    """
    pairs, rows, done = {}, [], set()
    for i, served in coverage.patch_layers().items():
        layer = coverage.layers[i]
        chosen = form if form in _forms(layer) else choose(layer, samples)
        if chosen == "gradient":
            continue
        pairs[i] = Pairs(layer, chosen, bias=len(served) == 2)
        done |= set(served)
        stored = sum(t[0].numel() for t in layer.packed(coverage.tensors[i]))
        rows.append(Row(coverage.calls[i][0], tuple(served), chosen, macs_per_pair(layer, chosen)[0], 0, stored))
    columns, start = [], 0
    for name, p in params.items():
        uses = coverage.uses.get(name, [])
        if name in done or not (uses or name in coverage.whole):
            continue
        columns.append(Columns(name, slice(start, start + p.numel()), uses))
        start += p.numel()
        built = sum(coverage.layers[i].macs(key) for i, key in uses)
        layer = coverage.calls[uses[0][0]][0] if uses else "model"
        rows.append(Row(layer, (name,), "gradient" if uses else "whole", p.numel(), built, p.numel()))
    return Plan(pairs, columns, start, rows)


def macs_per_pair(layer: PatchLayer, form: Form) -> tuple[int, int]:
    """Return (multiplications, element-wise operations) that a weight's share takes per pair of samples."""
    g, t, q, k = layer.groups, layer.t, layer.q, layer.k
    if form == "gradient":
        return layer.module.weight.numel(), 0
    if form == "inner":
        return g * t * t * (q + k), 3 * g * t * t
    kernel = prod(axis.kernel for axis in layer.axes)
    pixels = prod(axis.size for axis in layer.axes)
    return g * (pixels**2 * (q // kernel) + t * t * k), g * t * t * (kernel + 3)


def choose(layer: PatchLayer, samples: int) -> Form:
    """Return the form that costs least, where the layer is, when every gradient meets ``samples / 2`` others."""
    elementwise = ELEMENTWISE[layer.module.weight.device.type]

    def cost(form: Form) -> float:
        multiplications, passes = macs_per_pair(layer, form)
        build = layer.macs("weight") if form == "gradient" else 0
        return multiplications + elementwise * passes + 2 * build / max(samples, 1)

    return min(_forms(layer), key=cost)


def _forms(layer: PatchLayer) -> tuple[Form, ...]:
    return ("gradient", "inner", "pixel") if layer.axes else ("gradient", "inner")
