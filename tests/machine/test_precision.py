"""What claims float32 is float32, whatever the surroundings ask for; and the settings are as they were afterwards."""

import itertools

import pytest
import torch
from networks import HEAD
from rows import each_row
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from lpntk.keep.cache import Cache
from lpntk.kernel.matrix import kernel_matrix
from lpntk.learn.campaign import Network, train_many
from lpntk.learn.models import build
from lpntk.learn.training import accuracy, train
from lpntk.machine.precision import ON_CPU, ON_CUDA, exact, matmul_precision, tolerance
from lpntk.phenomena.cost import ways as cost
from lpntk.phenomena.forgetting.walk import Setting, walk
from lpntk.phenomena.one_step import readings as one_step_readings
from lpntk.phenomena.one_step import step as one_step
from lpntk.phenomena.width import networks as width

PRODUCTS = {"mm", "addmm", "bmm", "baddbmm", "mv", "convolution", "convolution_backward"}
X, Y = torch.randn(12, 1, 6, 6, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3
DIGITS = Network("mlp", (1, 6, 6), 3, {"hidden": (8,)})


class Products(TorchDispatchMode):
    """Notes the settings under which float32 numbers are multiplied, where they would round them, and bfloat16."""

    def __init__(self):
        super().__init__()
        self.seen, self.rounded = 0, set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in PRODUCTS:
            dtypes = {t.dtype for t in args if isinstance(t, torch.Tensor)}
            settings = {backend.fp32_precision for backend in (*ON_CUDA, *ON_CPU)} & {"tf32", "bf16"}
            self.seen += 1
            if torch.bfloat16 in dtypes or (torch.float32 in dtypes and settings):
                self.rounded.add((name, *dtypes, *settings))
        return func(*args, **(kwargs or {}))


@pytest.fixture
def rounding():
    """Surroundings that ask for less than float32, in every way there is."""
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", torch.bfloat16):
            yield
    finally:
        torch.set_float32_matmul_precision("highest")


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), *HEAD(3)).eval()


def trained(**options):
    return train([net(), net()], X, Y, torch.arange(12).repeat(2, 1), seeds=[0, 1], epochs=1, lr=0.1, test=(X, Y),
                 train_accuracy=True, device="cpu", **options)  # fmt: skip


def walked():
    batches = torch.stack([torch.arange(12).view(3, 4)] * 2)
    return walk([net(), net()], X, Y, batches, 5, Setting("all", 0.1, momentum=0.9, weight_decay=1e-3))


def swept(tmp_path):
    everything = torch.arange(12).expand(2, -1)
    train_many(DIGITS, X, Y, everything, seeds=[0, 1], cache=Cache(tmp_path), epochs=200, lr=0.1, device="cpu")


CLAIMS = {
    "kernel": lambda _: kernel_matrix(net(), X, Y, device="cpu"),
    "training": lambda _: trained(),
    "one by one": lambda _: trained(way="single"),
    "many": swept,
    "accuracy": lambda _: accuracy(net(), X, Y),
    "forgetting": lambda _: walked(),
    "by gradients": lambda _: cost.by_gradients(net(), X, Y),
    "by jacobians": lambda _: cost.by_jacobians(net(), X, Y),
    "plan": lambda _: cost.plan(net(), X, Y, 12),
    "readings": lambda _: one_step_readings.readings(net(), X[:2], Y[:2], X, Y, 0.1),
    "curve": lambda _: one_step_readings.errors(net().double(), X[:1].double(), Y[:1], X.double(), [0.1, 0.2, 0.4]),
    "velocity": lambda _: one_step.logit_velocity(net(), X, Y, torch.ones(1, 12, 3), X),
    "step": lambda _: one_step.sgd_step(net(), X, Y, 0.1),
    "width": lambda _: width.layer_grams(width.draw(36, 8, 1, 3, seed=0), X),
}


@each_row("claim", CLAIMS)
def test_float32_is_float32(claim, rounding, tmp_path):
    with Products() as products:
        CLAIMS[claim](tmp_path)
    assert products.seen
    assert not products.rounded


def test_the_watch_sees_what_rounds(rounding):
    with Products() as products:
        net()(X)
    assert products.rounded


def settings():
    older = (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32)
    return [b.fp32_precision for b in (*ON_CUDA, *ON_CPU)], older, torch.get_float32_matmul_precision()


@each_row(("before", "precision"), [*itertools.product(("highest", "high", "medium"), (None, "tf32"))])
def test_settings_old_and_new_agree_inside_and_are_put_back(before, precision):
    torch.set_float32_matmul_precision(before)
    try:
        was = settings()
        with matmul_precision(precision, torch.device("cuda")):
            rounded = precision == "tf32"
            found, older, _ = settings()
            assert found == ["tf32" if rounded else "ieee"] * 3 + ["ieee"] * 3
            assert older == (rounded, rounded)
        assert settings() == was
    finally:
        torch.set_float32_matmul_precision("highest")


def test_a_model_may_read_the_older_settings():
    class Flagged(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = net()

        def forward(self, x):
            with torch.backends.cudnn.flags(enabled=False):
                return self.inner(x)

    got, want = kernel_matrix(Flagged().eval(), X, Y), kernel_matrix(net(), X, Y)
    assert torch.allclose(got, want, rtol=1e-5, atol=1e-5)  # on CUDA another library convolves without cuDNN


def test_an_autocast_inside_multiplies_weights_as_they_are_now():
    """Here amp trained with the weights of its first step: they were kept for as long as the outer autocast lasted."""
    layer, told = nn.Linear(1, 1, bias=False), []

    @exact
    def passes():
        for value in (1.0, 2.0):
            with torch.no_grad():
                layer.weight.fill_(value)
            with torch.autocast("cpu", torch.bfloat16):
                told.append(float(layer(torch.ones(1, 1))))

    passes()
    assert told == [1.0, 2.0]


def test_the_tolerance_knows_that_convolutions_round_by_themselves():
    device, float32, float64 = torch.device("cuda"), build("lenet5", (1, 28, 28), 3, seed=0), nn.Linear(2, 2).double()
    with matmul_precision(None, device):
        exact, wide = tolerance(float32, device), tolerance(float64, device)
        torch.backends.cudnn.conv.fp32_precision = torch.backends.cudnn.rnn.fp32_precision = "tf32"
        assert tolerance(float32, device) == 10 * 2**-5.5 > exact
        assert tolerance(float64, device) == wide  # has no TF32
        assert tolerance(float32, torch.device("cpu")) == exact
