"""Two vectors in the wide limit, against a network for which the limit is exact: one linear layer on fixed features."""

import itertools
import math

import pytest
import torch
from rows import each_row
from torch import nn

from lpntk import kernel_matrix
from lpntk.phenomena.one_step.step import sgd_step
from lpntk.reader.explore import vectors

VALUES = {"classes": (2, 3, 4, 10, 20), "alike": (-0.9, 0.0, 0.7), "learned": (0, 0.6), "step": (0.5, 3)}
CASES = [
    dict(zip(VALUES, values, strict=True)) | {"one": one, "other": other}
    for values in itertools.product(*VALUES.values())
    for one, other in ((0, values[0] - 1), (1, 1))
]


def of_one_layer(choice):
    """A linear layer without bias that predicts what is asked of two unit vectors at the angle that is asked."""
    k, alike = choice["classes"], choice["alike"]
    x = torch.tensor([[1.0, 0.0], [alike, math.sqrt(1 - alike**2)]], dtype=torch.double)
    p = 1 / k + choice["learned"] * (1 - 1 / k)
    z = torch.full((2, k), math.log((1 - p) / (k - 1)), dtype=torch.double)
    z[[0, 1], [choice["one"], choice["other"]]] = math.log(p)
    layer = nn.Linear(2, k, bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(torch.linalg.solve(x, z).T)
    return layer, x, torch.tensor([choice["one"], choice["other"]])


@each_row("choice", CASES)
def test_two_vectors_are_those_of_a_network_that_learns_in_one_linear_layer(choice):
    layer, x, y = of_one_layer(choice)
    state = vectors.of_vectors(choice)
    kappa = kernel_matrix(layer, x, y, device="cpu")
    assert kappa.diagonal().tolist() == pytest.approx([1, 1])
    assert state["cosine"] == pytest.approx(float(kappa[0, 1]), abs=1e-9)
    assert state["angle"] == pytest.approx(math.degrees(math.acos(float(kappa[0, 1]))), abs=1e-6)
    same = choice["one"] == choice["other"]
    assert state["factor"] == pytest.approx(1 if same else 1 - 4 / choice["classes"])
    one, other = state["signs"]
    assert sum(a * b for a, b in zip(one, other, strict=True)) / choice["classes"] == pytest.approx(state["factor"])
    assert [[sign > 0 for sign in row].index(True) for row in (one, other)] == y.tolist()
    stepped = sgd_step(layer, x[:1], y[:1], choice["step"])
    for model, shown in ((layer, state["before"]), (stepped, state["after"])):
        for q, row in zip(model(x).softmax(dim=1).tolist(), shown, strict=True):
            assert row == pytest.approx(q, abs=1e-9)


def test_what_is_said_are_the_numbers():
    said = vectors.of_vectors(vectors.BEGINNING)["said"]
    assert "factor 0.60, the updates stand at 61°" in said
    assert "its label from 10.0% to 23.2%, and that of the second from 10.0% to 8.9%" in said


@each_row(
    ("changed", "words"),
    [
        ({"classes": 1}, "expected classes in 2 to 20; got 1"),
        ({"alike": 1}, "expected alike in -0.95 to 0.95; got 1"),
        ({"classes": 4}, r"expected labels in 0 to 3, as there are 4 classes; got \[3, 5\]"),
        ({"one": -1}, r"expected labels in 0 to 9"),
    ],
)
def test_what_cannot_be_is_refused(changed, words):
    with pytest.raises(ValueError, match=words):
        vectors.of_vectors({**vectors.BEGINNING, **changed})
