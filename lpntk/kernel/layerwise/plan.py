"""Which form of a layer's share costs least? Counted in multiplications, decided per layer."""

from dataclasses import dataclass
from math import prod
from typing import Literal

from torch import nn

from lpntk.kernel.layerwise.coverage import Coverage, Use
from lpntk.kernel.layerwise.forms.formed import Formed
from lpntk.kernel.layerwise.forms.pairs import Pairs
from lpntk.kernel.layerwise.layers import PatchLayer

Form = Literal["gradient", "formed", "inner", "pixel"]

# Multiplications of a float32 matrix product in the time of one element-wise operation. Measured on a CPU; on CUDA what
# data sheets say, between 75 (A100) and 120 (H100), where an operation moves 12 bytes; tests/kernel/test_cuda.py
# measures it.
ELEMENTWISE = {"cpu": 40, "cuda": 90}

# Numbers from which on a weight's gradients have a matrix to themselves on a CPU, one for each of their pieces: a batch
# of products is fast only into contiguous memory. On CUDA all gradients are joined.
OWN = 2**12


@dataclass(frozen=True)
class Row:
    """What one layer, or one parameter with a form of its own, costs.

    Attributes:
        layer: name of the module.
        parameters: names in the model.
        form: ``gradient``, kept; ``formed``, when blocks meet; ``inner``, ``pixel``, see ``pairs.py``; or ``whole`` for
            ``torch.func`` on the whole model.
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
    """Where the gradient of one parameter lies, and which calls add to it."""

    name: str
    places: list[tuple[int, slice]]  # for each of its pieces which matrix of gradients, and its columns there
    uses: list[Use]  # empty: the whole model


@dataclass
class Plan:
    """How every trainable parameter enters the Gram matrix.

    Attributes:
        pairs: by index of the call, the layers whose gradients are not kept.
        served: by the same, the parameters that they are for.
        columns: the other parameters, whose gradients lie in matrices of ``widths`` columns.
        rows: the same as a table of costs.
    """

    pairs: dict[int, Pairs | Formed]
    served: dict[int, tuple[str, ...]]
    columns: list[Columns]
    widths: list[int]
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
    pairs, rows, taken = {}, [], {}
    for i, served in coverage.patch_layers().items():
        layer = coverage.layers[i]
        chosen = form if form in _forms(layer) else choose(layer, samples)
        if chosen == "gradient":
            continue
        formed = chosen == "formed"
        pairs[i] = Formed(layer) if formed else Pairs(layer, chosen, bias=len(served) == 2)
        taken[i] = tuple(served[:1] if formed else served)  # a bias has few numbers
        stored = sum(t[0].numel() for t in layer.packed(coverage.tensors[i]))
        built = layer.macs("weight") if formed else 0
        per_pair, _ = macs_per_pair(layer, chosen)
        rows.append(Row(coverage.calls[i][0], taken[i], chosen, per_pair, built, stored))
    columns, widths = [], [0]  # the first matrix is what the small ones are joined in
    for name, p in params.items():
        uses = coverage.uses.get(name, [])
        if any(name in names for names in taken.values()) or not (uses or name in coverage.whole):
            continue
        columns.append(Columns(name, _places(coverage, uses, p, widths), uses))
        built = sum(coverage.layers[i].macs(key) for i, key in uses)
        layer = coverage.calls[uses[0][0]][0] if uses else "model"
        rows.append(Row(layer, (name,), "gradient" if uses else "whole", p.numel(), built, p.numel()))
    return Plan(pairs, taken, columns, widths, rows)


def _places(coverage: Coverage, uses: list[Use], p: nn.Parameter, widths: list[int]) -> list[tuple[int, slice]]:
    """Return where the gradient of a parameter lies, and widen the matrices for it."""
    alone = len(uses) == 1 and isinstance(coverage.layers[uses[0][0]], PatchLayer)
    count = coverage.layers[uses[0][0]].pieces(uses[0][1]) if alone else 1
    own, places = alone and p.numel() >= OWN and p.device.type == "cpu", []
    for _ in range(count):
        if own:
            widths.append(0)
        place = len(widths) - 1 if own else 0
        places.append((place, slice(widths[place], widths[place] + p.numel() // count)))
        widths[place] += p.numel() // count
    return places


def macs_per_pair(layer: PatchLayer, form: Form) -> tuple[int, int]:
    """Return (multiplications, element-wise operations) that a weight's share takes per pair of samples."""
    g, t, q, k = layer.groups, layer.t, layer.q, layer.k
    if form in ("gradient", "formed"):
        return layer.module.weight.numel(), 0
    if form == "inner":
        return g * t * t * (q + k), 3 * g * t * t
    kernel = prod(axis.kernel for axis in layer.axes)
    pixels = prod(axis.size for axis in layer.axes)
    return g * (pixels**2 * (q // kernel) + t * t * k), g * t * t * (kernel + 3)


def choose(layer: PatchLayer, samples: int) -> Form:
    """Return the form that costs least, where the layer is, when every gradient meets ``samples / 2`` others.

    A large gradient that is longer than what it is made of is formed when it is needed. On CUDA, where memory is large,
    it is kept.
    """
    elementwise = ELEMENTWISE[layer.module.weight.device.type]

    def cost(form: Form) -> float:
        multiplications, passes = macs_per_pair(layer, form)
        build = layer.macs("weight") if form == "gradient" else 0
        return multiplications + elementwise * passes + 2 * build / max(samples, 1)

    chosen = min((form for form in _forms(layer) if form != "formed"), key=cost)
    weight = layer.module.weight
    large = chosen == "gradient" and weight.numel() >= OWN and weight.device.type == "cpu" and "formed" in _forms(layer)
    return "formed" if large and weight.numel() > layer.numbers_packed() else chosen


def _forms(layer: PatchLayer) -> tuple[Form, ...]:
    formed = ("formed",) if layer.q else ()  # an embedding's gradient is no product
    return ("gradient", *formed, "inner", "pixel") if layer.axes else ("gradient", *formed, "inner")
