"""What a model counts, holds in odd places or computes in other numbers, and what a call must leave as it was."""

import threading
from collections import deque
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from oracle import oracle_kernel
from rows import each_row
from torch import nn

from lpntk import kernel_matrix
from lpntk.machine.precision import ON_CPU


class WarmingUp(nn.Module):
    """Its logits double from some call on."""

    def __init__(self, at):
        super().__init__()
        self.first, self.last, self.calls, self.at = nn.Linear(6, 5), nn.Linear(5, 3), 0, at

    def forward(self, x):
        self.calls += 1
        return self.last(self.first(x).tanh()) * (1 if self.calls < self.at else 2)


@pytest.fixture
def samples():
    torch.manual_seed(0)
    return torch.randn(12, 6), torch.arange(12) % 3


@each_row("at", [2, 3, 5, 8, 12])
def test_a_model_that_counts_its_calls_is_refused(samples, at):
    with pytest.raises(ValueError, match=r"changes as it is called|mixes samples|is random"):
        kernel_matrix(WarmingUp(at), *samples)


class Limited(nn.Module):
    """Clamps its inputs at a number that it finds somewhere."""

    def __init__(self, held, find):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.held, self.find = nn.Linear(6, 5), nn.Linear(5, 3), held, find

    def forward(self, x):
        limit = self.find(self.held)
        return self.last(self.first(x.clamp(-limit, limit)).tanh())


@dataclass(slots=True)
class Slotted:
    limit: float


@each_row(
    ("one", "another", "find"),
    [
        ([[2.0], [9.0]], [[2.0, [9.0]]], lambda held: np.ravel(held[0][-1])[0]),
        ({"a": 2.0, "b": 9.0}, {"b": 9.0, "a": 2.0}, lambda held: next(iter(held.values()))),
        (Slotted(2.0), Slotted(9.0), lambda held: held.limit),
        (deque([2.0]), deque([9.0]), lambda held: held[0]),
    ],
)
def test_a_file_of_what_is_held_elsewhere_is_not_handed_back(tmp_path, samples, one, another, find):
    x, y = samples[0].clamp(-1, 1), samples[1]
    x[6] *= 10  # the only sample over the limit, and none that is computed again
    kernel_matrix(Limited(one, find), x, y, out=tmp_path / "k.npy")
    with pytest.raises(ValueError, match=r"holds another kernel: attributes \(held\)"):
        kernel_matrix(Limited(another, find), x, y, out=tmp_path / "k.npy")


def test_parameters_that_are_not_saved_count_too(tmp_path, samples):
    class Adapter(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.body, self.head = nn.Linear(6, 5).requires_grad_(False), nn.Linear(5, 3)

        def state_dict(self, *args, **options):
            saved = super().state_dict(*args, **options)
            return {name: value for name, value in saved.items() if "body" not in name}

        def forward(self, x):
            return self.head(self.body(x).tanh())

    kernel_matrix(Adapter(), *samples, out=tmp_path / "k.npy")
    other = Adapter()
    other.body.weight[2, 3] += 1e-6
    with pytest.raises(ValueError, match="holds another kernel: model differs"):
        kernel_matrix(other, *samples, out=tmp_path / "k.npy")


def test_what_overflows_or_vanishes_has_no_kernel(samples):
    x, y = samples[0].clone(), samples[1]
    x[3] *= 1e20
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    with pytest.raises(ValueError, match="kernel of samples 3 and 3 is inf"):
        kernel_matrix(net, x, y)
    with pytest.raises(ValueError, match="too large for the square of its norm"):
        kernel_matrix(net, x, y, normalize=True)
    oracle = oracle_kernel(net, x, y)
    norms = oracle.diagonal().sqrt()
    told = kernel_matrix(net, x, y, normalize=True, precision="float64")
    torch.testing.assert_close(told, oracle / norms[:, None] / norms[None, :])
    faint = nn.Sequential(nn.Linear(6, 5, bias=False), nn.Linear(5, 3, bias=False))
    with pytest.raises(ValueError, match="too small for the square of its norm"):
        kernel_matrix(faint, samples[0] * 1e-16, y, normalize=True)


@each_row("cached", [True, False])
def test_an_autocast_of_its_own_is_taken_as_it_rounds(samples, cached):
    class Half(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(6, 5), nn.Linear(5, 3)

        def forward(self, x):
            with torch.autocast("cpu", torch.bfloat16, cache_enabled=cached):
                h = self.first(x)
            return self.last(h.float().tanh())

    model = Half()
    plain = nn.Sequential(model.first, nn.Tanh(), model.last)
    want = oracle_kernel(plain, *samples)
    assert float((kernel_matrix(model, *samples) - want).norm() / want.norm()) < 0.02  # eps of bfloat16 is 0.008


def test_two_threads_leave_precision_as_it_was(samples):
    before = [backend.fp32_precision for backend in ON_CPU], torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        asked = [backend.fp32_precision for backend in ON_CPU]
        many = lambda: [kernel_matrix(nn.Linear(6, 3), *samples) for _ in range(4)]
        threads = [threading.Thread(target=many) for _ in range(2)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert torch.get_float32_matmul_precision() == "medium"
        assert [backend.fp32_precision for backend in ON_CPU] == asked
    finally:
        torch.set_float32_matmul_precision(before[1])
        for backend, value in zip(ON_CPU, before[0], strict=True):
            backend.fp32_precision = value


def test_a_tensor_that_the_model_finds_elsewhere_gets_no_gradient(samples):
    scale = torch.ones(6, requires_grad=True)

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(6, 3)

        def forward(self, x):
            return self.last(x * SCALE.to(x))

    global SCALE
    SCALE = scale
    kernel_matrix(Scaled(), *samples)
    assert scale.grad is None


@each_row(
    ("given", "says"),
    [
        ({"normalize": "no"}, "normalize must be True or False; got 'no'"),
        ({"memory_budget": -1}, "memory_budget is a number of bytes, at least 1; got -1"),
        ({"y": (torch.arange(12) % 3).to_sparse()}, "y must be a plain tensor; got one that is torch.sparse_coo"),
    ],
)
def test_what_is_asked_for_wrongly_is_named(samples, given, says):
    x, y = samples
    given = {"y": y, **given}
    with pytest.raises(ValueError, match=says):
        kernel_matrix(nn.Linear(6, 3), x, given.pop("y"), **given)


def test_logits_that_are_no_numbers_are_called_so(samples):
    class Logarithm(nn.Module):
        def __init__(self):
            super().__init__()
            self.last = nn.Linear(6, 3)

        def forward(self, x):
            return self.last(x).log()

    with pytest.raises(ValueError, match="logits that are NaN or infinite"):
        kernel_matrix(Logarithm(), *samples)


def test_inputs_that_are_parameters_are_inputs(samples):
    x, y = samples
    net = nn.Linear(6, 3)
    torch.testing.assert_close(kernel_matrix(net, nn.Parameter(x), y), kernel_matrix(net, x, y))
