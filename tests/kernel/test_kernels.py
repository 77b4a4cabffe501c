import math

import numpy as np
import pytest
import torch
from cases import CASES, FEW, samples
from oracle import assert_close_to_oracle, oracle_kernel
from rows import each_row
from torch import nn

from lpntk.kernel import matrix as kernels
from lpntk.kernel.matrix import kernel_matrix
from lpntk.kernel.model import layout
from lpntk.kernel.signs import SIGNS
from lpntk.machine.device import recurrent_in_evaluation
from lpntk.machine.precision import matmul_precision

DEVICES = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
named = {"ids": lambda case: getattr(case, "name", case)}
every_case = pytest.mark.parametrize("case", CASES, **named)


def test_an_oracle_that_disagrees_tells_the_three_worst_entries():
    want = torch.ones(3, 4, dtype=torch.float64)
    got = want.float()
    assert_close_to_oracle(got, want)
    got[0, 1], got[1, 2], got[2, 0], got[2, 3] = 1.5, 3.0, 2.0, float("nan")
    with pytest.raises(AssertionError) as told:
        assert_close_to_oracle(got, want, 1e-3)
    assert str(told.value).splitlines() == [
        "relative error nan, must be below 0.001; the worst of 12 entries:",
        "  (2, 3): got nan, the oracle says 1",
        "  (1, 2): got 3, the oracle says 1",
        "  (2, 0): got 2, the oracle says 1",
    ]
    with pytest.raises(AssertionError, match=r"shape \(3, 3\), the oracle's is \(3, 4\)"):
        assert_close_to_oracle(got[:, :3], want)


@pytest.mark.parametrize("device", DEVICES)
@every_case
def test_symmetric_kernel_is_the_oracles(case, device):
    model = case.make(0)
    x, y, _, _ = samples(case)
    # the signs are a vector that multiplies the logits: few networks show that no layer sees which
    for signs in SIGNS if case in FEW else ("label",):
        got = kernel_matrix(model, x, y, signs=signs, device=device)
        assert_close_to_oracle(got, oracle_kernel(model, x, y, signs=signs))
        assert torch.equal(got, got.T)


@every_case
def test_a_rectangle_in_float64_agrees_to_its_own_precision(case):
    model = case.make(3)
    x, y, x2, y2 = samples(case, seed=3)
    double = lambda t: t.double() if t.is_floating_point() else t
    got = kernel_matrix(model.double(), double(x), y, double(x2), y2)
    assert got.dtype == torch.float64
    # torch's CUDA kernel takes the root of the norm in float32 (sqrtf in WeightNorm.cu): the logits are as far off
    single = case.name == "weight-norm" and torch.cuda.is_available()
    assert_close_to_oracle(got, oracle_kernel(model, x, y, x2, y2), 1e-7 if single else 1e-12)


@pytest.mark.parametrize("device", DEVICES)
@each_row("case", FEW)
def test_normalised_kernel_is_the_cosine_of_the_gradients(case, device):
    model = case.make(2)
    x, y, x2, y2 = samples(case, seed=2)
    whole = oracle_kernel(model, torch.cat([x, x2]), torch.cat([y, y2]))
    kappa, norm = whole[: len(x), len(x) :], whole.diagonal().sqrt()
    assert_close_to_oracle(kernel_matrix(model, x, y, x2, y2, device=device), kappa)
    got = kernel_matrix(model, x, y, x2, y2, normalize=True, device=device)
    assert_close_to_oracle(got, kappa / norm[: len(x), None] / norm[len(x) :])
    square = kernel_matrix(model, x, y, normalize=True, device=device)
    assert torch.equal(square, square.T)
    assert torch.allclose(square.diagonal(), torch.ones(len(x), device=square.device), atol=1e-5)


def test_a_linear_model_has_a_kernel_one_can_write_down():
    # z = W x: phi = s x^T / sqrt(K), so kappa = (s . s') (x . x') / K: 1 for one label, 1 - 4/K for two
    model = nn.Linear(3, 4, bias=False)
    x = torch.tensor([[1.0, 2.0, 0.0], [0.0, 1.0, 1.0]])
    kappa = kernel_matrix(model, x, torch.tensor([0, 0]))
    assert torch.allclose(kappa, x @ x.T)
    kappa = kernel_matrix(model, x, torch.tensor([0, 3]))
    assert kappa[0, 1] == pytest.approx((1 - 4 / 4) * 2.0, abs=1e-6)
    assert math.isclose(kappa[0, 0], 5.0, rel_tol=1e-6)


@each_row("dtype", [torch.int16, torch.int32, torch.uint8, torch.uint16, torch.uint32, torch.uint64])
def test_labels_of_any_integer_type(dtype, tmp_path, monkeypatch):
    case, met = CASES[0], set()
    model, (x, y, x2, y2) = case.make(0), samples(case)
    want, into = kernel_matrix(model, x, y, x2, y2), tmp_path / "kappa.npy"

    def placed(t, *args, **options):
        if t.ndim == 1:
            met.add(t.dtype)
        return layout.placed(t, *args, **options)

    monkeypatch.setattr(kernels, "placed", placed)
    assert torch.equal(kernel_matrix(model, x, y.to(dtype), x2, y2.to(dtype), out=into), want)
    assert met == {torch.int64}  # CUDA indexes no unsigned type but uint8
    with pytest.raises(ValueError, match="holds another kernel: y"):  # a file is told of the labels as they were given
        kernel_matrix(model, x, y, x2, y2.to(dtype), out=into)


X, Y = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])


def nan_model():
    model = nn.Linear(3, 3)
    model.weight.data[0, 0] = float("nan")
    return model


def no_statistics():
    return nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3, track_running_stats=False)).eval()


def nan_statistics():
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)).eval()
    model[1].running_var[0] = float("nan")
    return model


@torch.inference_mode()
def in_inference_mode():
    kernel_matrix(nn.Linear(3, 3), X, Y)


@each_row(
    ("call", "words"),
    [
        (lambda: kernel_matrix(nn.Linear(3, 3).requires_grad_(False), X, Y), "no parameter with requires_grad"),
        (lambda: kernel_matrix(nan_model(), X, Y), "'weight' holds NaN"),
        (lambda: kernel_matrix(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)), X, Y), r"'1' \(BatchNorm1d\).*eval"),
        (lambda: kernel_matrix(nn.Sequential(nn.Linear(3, 3), nn.Dropout()), X, Y), r"'1' \(Dropout\).*eval"),
        (lambda: kernel_matrix(nn.Sequential(nn.Linear(3, 4), nn.Unflatten(1, (2, 2))), X, Y), "must map"),
        (lambda: kernel_matrix(nn.Linear(3, 2), X, Y), r"labels in 0\.\.1"),
        (lambda: kernel_matrix(nn.Linear(3, 3), X, Y - 1), r"got -1\.\."),
        (lambda: kernel_matrix(nn.Linear(3, 3), X, Y[:3]), r"one label per sample, shape \(4,\); got \(3,\)"),
        (lambda: kernel_matrix(nn.Linear(3, 3), X, Y.float()), "integer class labels"),
        (lambda: kernel_matrix(nn.Linear(3, 3), X, Y, X), "y2 is missing"),
        (lambda: kernel_matrix(nn.Linear(3, 3), X, Y, torch.randn(2, 4), Y[:2]), "x2 must hold samples of the shape"),
        (lambda: kernel_matrix(nn.Linear(3, 3), X[:0], Y[:0]), "no sample"),
        (lambda: kernel_matrix(nn.Linear(3, 3), X.double(), Y), "dtype"),
        (lambda: kernel_matrix(nn.Linear(3, 3), X * float("inf"), Y), "x holds NaN or infinity"),
        (lambda: kernel_matrix(nn.Linear(3, 3), X, Y, memory_budget=8), "memory_budget"),
        (lambda: kernel_matrix(nn.Linear(3, 3), X, Y, signs="minus"), "signs must be one of"),
        (lambda: kernel_matrix(nn.Linear(3, 3), X, Y, device="gpu"), "device must be"),
        (lambda: kernel_matrix(nn.Linear(3, 3), X, Y, device=None), "device must be"),
        (lambda: kernel_matrix(nn.Linear(3, 3), X.numpy(), Y), "x must be a torch.Tensor.*got ndarray"),
        (lambda: kernel_matrix(nn.Linear(3, 3), torch.tensor(1.0), Y), "x must be a torch.Tensor.*a single number"),
        (lambda: kernel_matrix(nn.Linear(3, 3), X, Y, X.double(), Y), "shape and dtype of x"),
        (lambda: kernel_matrix(nn.Linear(3, 3), X.long(), Y), "the model cannot take x.*int64"),
        (lambda: kernel_matrix(nn.Linear(4, 3), X, Y), r"the model cannot take x, of shape \(4, 3\)"),
        (lambda: kernel_matrix(no_statistics(), X, Y), r"'1' \(BatchNorm1d\) keeps no running statistics"),
        (lambda: kernel_matrix(nan_statistics(), X, Y), r"buffer '1.running_var' of a BatchNorm1d holds NaN"),
        (lambda: kernel_matrix(nn.Linear(3, 3), X, Y, sketch=1.5), "sketch must be a whole number; got 1.5"),
        (lambda: kernel_matrix(nn.Linear(3, 3), X, Y, memory_budget="2GiB"), "memory_budget must be a whole number"),
        (lambda: kernel_matrix(lambda x: x, X, Y), "model must be a torch.nn.Module"),
        (in_inference_mode, "inference_mode"),
    ],
)
def test_bad_input_says_what_and_how_to_mend_it(call, words):
    with pytest.raises(ValueError, match=words):
        call()


class LowBase(nn.Module):
    """A frozen base in bfloat16 below a head in float32."""

    def __init__(self):
        super().__init__()
        self.base = nn.Linear(3, 3).bfloat16().requires_grad_(False)
        self.head = nn.Linear(3, 3)

    def forward(self, x):
        return self.head(self.base(x.to(self.base.weight.dtype)).to(self.head.weight.dtype))


@each_row("dtype", [torch.float32, torch.bfloat16])
def test_the_kernel_has_the_numbers_of_the_trainable_parameters(dtype):
    torch.manual_seed(0)
    model, x = LowBase(), X.to(dtype)
    kappa = kernel_matrix(model, x, Y)
    h = model.base(x.bfloat16()).float()
    signs = 2 * torch.eye(3)[Y] - 1
    assert kappa.dtype == torch.float32
    assert_close_to_oracle(kappa, ((h @ h.T + 1) * (signs @ signs.T) / 3))
    assert kernel_matrix(nn.Linear(3, 3).bfloat16(), X.bfloat16(), Y).dtype == torch.float32


def test_settings_of_either_kind_are_put_back():
    setting = torch.backends.cuda.matmul
    setting.fp32_precision = "tf32"  # makes the older allow_tf32 unreadable
    try:
        with matmul_precision(None, torch.device("cuda")):
            assert setting.fp32_precision == "ieee"
        assert setting.fp32_precision == "tf32"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_recurrent_layers_go_without_cudnn():
    for model, enabled in ((nn.LSTM(2, 2), False), (nn.Linear(2, 2), True)):
        with recurrent_in_evaluation(model, torch.device("cuda")):
            assert torch.backends.cudnn.enabled is enabled
        assert torch.backends.cudnn.enabled


def test_neither_model_nor_samples_are_changed():
    model = nn.Sequential(
        nn.ReLU(inplace=True), nn.Conv2d(2, 3, 3), nn.InstanceNorm2d(3, track_running_stats=True), nn.Flatten()
    )
    model.append(nn.Linear(27, 3))
    x = torch.randn(4, 2, 5, 5)
    before, state = x.clone(), {name: value.clone() for name, value in model.state_dict().items()}
    kernel_matrix(model.eval(), x, Y)
    assert torch.equal(x, before)
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


@each_row("sketch", [None, 4])
def test_mixing_in_larger_batches_is_refused(sketch):
    class Late(nn.Module):
        def __init__(self, most):
            super().__init__()
            self.most = most

        def forward(self, h):
            return h if len(h) <= self.most else h - 0.5 * h.mean(0)

    for most, n in ((4, 9), (600, 1300)):  # seen by the trial, and by the check of every block
        with pytest.raises(ValueError, match=r"mixes samples|must not branch"):
            kernel_matrix(
                nn.Sequential(nn.Linear(3, 3), Late(most)), torch.randn(n, 3), torch.arange(n) % 3, sketch=sketch
            )


def test_numpy_and_round_numbers_count_as_numbers():
    model = nn.Linear(3, 3)
    want = kernel_matrix(model, X, Y, sketch=8)
    assert torch.equal(kernel_matrix(model, X, Y, sketch=np.int64(8), memory_budget=4e9), want)
