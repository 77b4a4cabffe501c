"""Does a CUDA device compute what a CPU does? For whoever has one; in this order, the cheap first:

    python -m pytest -n 0 -x -s tests/kernel/test_cuda.py
    python -m pytest -n 0 tests/kernel/test_kernels.py tests/kernel/tiles/test_store.py tests/kernel/test_sketch.py \
        tests/learn/test_training.py tests/kernel/tiles/test_distributed.py

The second line runs what takes any device: every network of ``cases.py`` against the oracle, amp, and torchrun with a
process that dies and a run that goes on.
"""

import copy
import json
import sys
import time
from functools import partial

import pytest
import torch
from cases import FEW, samples
from oracle import assert_close_to_oracle, oracle_kernel, relative_error
from torch import nn

from bench import mnist
from lpntk.data import dataset as data
from lpntk.kernel.layerwise.gradients import per_sample_gradients
from lpntk.kernel.layerwise.gram import LayerwiseGram
from lpntk.kernel.layerwise.plan import ELEMENTWISE
from lpntk.kernel.matrix import kernel_matrix
from lpntk.kernel.model.outflow import Outflow
from lpntk.kernel.signs import sign_vectors
from lpntk.kernel.sketch import Sketch
from lpntk.learn.models import build
from lpntk.learn.training import train
from lpntk.machine.precision import matmul_precision
from lpntk.machine.products import product
from lpntk.phenomena.forgetting.walk import Setting, walk
from lpntk.phenomena.one_step import readings as one_step_readings

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

MIB, GIB = 2**20, 2**30
CUDA = torch.device("cuda")
LENET = ("lenet5", (1, 28, 28), 10)


def drawn(n, shape=(1, 28, 28), k=10, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, *shape, generator=generator), torch.randint(k, (n,), generator=generator)


def test_what_there_is(capsys):
    free, total = torch.cuda.mem_get_info(CUDA)
    with capsys.disabled():
        print(
            f"\n{torch.cuda.get_device_name(CUDA)}, torch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN "
            f"{torch.backends.cudnn.version()}, {free / GIB:.1f} of {total / GIB:.1f} GiB free"
        )
    assert torch.backends.cudnn.is_available()
    assert free > total / 2, "something else holds the device; timings and the default budget would be of what is left"


@pytest.mark.parametrize("case", FEW, ids=lambda case: case.name)
def test_kernel_in_a_file(case, tmp_path):
    model, (x, y, x2, y2) = case.make(0), samples(case)
    got = kernel_matrix(model, x, y, x2, y2, device=CUDA, out=tmp_path / "kappa.npy")
    assert_close_to_oracle(got, oracle_kernel(model, x, y, x2, y2))
    again = kernel_matrix(model, x, y, x2, y2, device=CUDA, out=tmp_path / "kappa.npy")
    assert torch.equal(got, again)


@pytest.mark.parametrize("kind", ["gaussian", "rademacher", "kronecker"])
def test_sketches_come_as_near_as_on_a_cpu(kind):
    model, (x, y) = build(*LENET, seed=0).eval(), drawn(32)
    exact = kernel_matrix(model, x, y, device="cpu")
    errors = {
        device: sum(relative_error(kernel_matrix(model, x, y, sketch=Sketch(512, kind, seed), device=device), exact)
                    for seed in range(8))
        for device in ("cpu", "cuda")
    }  # fmt: skip
    assert 0.7 < errors["cuda"] / errors["cpu"] < 1.4


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize(("m", "way"), [(1, "single"), (4, "single"), (4, 4)])
def test_training_in_float32_whatever_the_surroundings_ask_for(m, way, momentum):
    (x, y), rows, losses = drawn(96), torch.arange(96).expand(m, -1), {}
    torch.set_float32_matmul_precision("high")
    try:
        for device in ("cpu", "cuda"):
            models = [build(*LENET, seed=i) for i in range(m)]
            history = train(models, x, y, rows, seeds=list(range(m)), epochs=3, lr=0.02, batch_size=32, device=device,
                            momentum=momentum, weight_decay=5e-4, way=way)  # fmt: skip
            losses[device] = history.loss
    finally:
        torch.set_float32_matmul_precision("highest")
    assert torch.allclose(losses["cuda"], losses["cpu"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["lenet5", "resnet18"])
def test_the_walk(name):
    """In double: in single precision two devices drift apart as they train."""
    (x, y), batches, tracks = drawn(32, (3, 32, 32)), torch.arange(32).view(1, 4, 8), {}
    for device in ("cpu", "cuda"):
        model = build(name, (3, 32, 32), 10, seed=0, **({"width": 8} if name == "resnet18" else {})).double()
        setting = Setting("all", 0.02, momentum=0.9, weight_decay=1e-3)
        on = [t.to(device) for t in (x.double(), y, batches)]
        tracks[device] = walk([model.to(device)], *on, 16, setting).tensors()
    for key, want in tracks["cpu"].items():
        # a score may be kept in single precision
        assert torch.allclose(tracks["cuda"][key].double(), want.double(), rtol=1e-6, atol=1e-6), key


def test_a_tensor_that_does_not_move_with_the_model():
    class Left(nn.Module):
        def __init__(self, kept):
            super().__init__()
            self.fc, self.scale = nn.Linear(6, 3), torch.ones(6)
            if kept:
                del self.scale
                self.register_buffer("scale", torch.ones(6))

        def forward(self, x):
            return self.fc(x * self.scale)

    x, y = torch.randn(8, 6), torch.arange(8) % 3
    with pytest.raises(ValueError, match=r"does not move with it: register it as a buffer.*device='cpu'"):
        kernel_matrix(Left(kept=False), x, y, device=CUDA)
    assert kernel_matrix(Left(kept=True), x, y, device=CUDA).isfinite().all()


def test_one_step_in_double_and_its_curve_in_single():
    model, (x, y) = build(*LENET, seed=0).double().eval(), drawn(20)
    told = {}
    for device in ("cpu", "cuda"):
        on = [t.to(device) for t in (x.double(), y)]
        net = model.to(device)
        told[device] = one_step_readings.readings(net, on[0][:4], on[1][:4], *on, 0.01)
        told[device] |= one_step_readings.errors(net, on[0][:1], on[1][:1], on[0], [1e-3, 3e-3, 1e-2])
    single = {device: found.pop("float32").cpu() for device, found in told.items()}
    for key, want in told["cpu"].items():
        assert torch.allclose(told["cuda"][key].cpu(), want, rtol=1e-6, atol=1e-9, equal_nan=True), key
    assert (single["cuda"] < 3 * single["cpu"]).all()  # rounding itself; in TF32 a thousand times as large


def in_double(model, x, y, rows, columns):
    """Entries of the kernel, (rows, columns), from gradients in double precision, one sample after the other."""
    double, found = copy.deepcopy(model).to(CUDA).double().eval(), {}
    for i in sorted({*rows, *columns}):
        inputs, label = x[i : i + 1].to(CUDA, torch.float64), y[i : i + 1].to(CUDA)
        with torch.no_grad():
            s = sign_vectors(double(inputs), label, "label")
        found[i] = per_sample_gradients(double, inputs, s)[0]
    right = torch.stack([found[j] for j in columns])
    return torch.stack([right @ found[i] for i in rows]).cpu()


@pytest.fixture(scope="module")
def lenet():
    x, y = drawn(256)
    model = build("lenet", (1, 28, 28), 10, seed=0)
    train([model], x, y, torch.arange(256)[None], seeds=[0], epochs=8, lr=0.02, momentum=0.9, device=CUDA)
    return model.eval(), x, y, in_double(model, x, y, range(0, 256, 4), range(256))


@pytest.mark.parametrize("budget", [GIB // 2, 16 * GIB])
def test_a_trained_lenet_with_any_budget(lenet, budget):
    model, x, y, want = lenet
    assert_close_to_oracle(kernel_matrix(model, x, y, memory_budget=budget, device=CUDA)[::4], want)


@pytest.mark.parametrize("form", ["gradient", "inner", "pixel"])
def test_a_trained_lenet_in_any_form(lenet, form):
    model, x, y, want = lenet
    on = model.to(CUDA), partial(sign_vectors, signs="label"), x.to(CUDA), y.to(CUDA)
    with matmul_precision(None, CUDA):
        engine = LayerwiseGram(*on, form=form)
        features = engine.features(*on[2:])
        assert_close_to_oracle(engine.gram(features, features)[::4].cpu(), want)


@pytest.mark.parametrize("width", [16, 64])
def test_a_trained_resnet_against_gradients_in_double(width):
    x, y = drawn(512, (3, 32, 32))
    model = build("resnet18", (3, 32, 32), 10, seed=0, width=width)
    train([model], x, y, torch.arange(512)[None], seeds=[0], epochs=2, lr=0.02, momentum=0.9, device=CUDA)
    got = kernel_matrix(model.eval(), x, y, device=CUDA)
    rows, columns = [0, 100, 307, 511], [0, 1, 100, 222, 307, 308, 444, 511]
    assert_close_to_oracle(got[rows][:, columns], in_double(model, x, y, rows, columns))


@pytest.mark.parametrize("shape", [(512, 512, 2**20), (64, 2048, 2**20 + 77), (2048, 2048, 2**18)])
def test_long_sums_of_small_terms(shape):
    """As gradients have them: most terms too small to move a sum that large ones have made."""
    n, m, length = shape
    generator = torch.Generator(CUDA).manual_seed(0)
    a, b = (torch.rand(k, length, device=CUDA, generator=generator).pow_(12) for k in (n, m))
    want = torch.zeros(n, m, dtype=torch.float64, device=CUDA)
    for start in range(0, length, 2**16):  # all of it would not fit in double
        part = slice(start, start + 2**16)
        want += a[:, part].double() @ b[:, part].double().T
    with matmul_precision(None, CUDA):
        assert relative_error(product(a, b.T), want) < 2e-6


def test_the_budget_is_kept():
    model, (x, y) = build("resnet18", (3, 32, 32), 10, seed=0, width=16).eval(), drawn(300, (3, 32, 32))
    for precision in (None, "bf16"):
        torch.cuda.reset_peak_memory_stats(CUDA)
        held = torch.cuda.memory_allocated(CUDA)
        kernel_matrix(model, x, y, memory_budget=GIB, precision=precision, device=CUDA)
        own = 4 * sum(p.numel() for p in model.parameters())
        assert torch.cuda.max_memory_allocated(CUDA) - held < GIB + 4 * own + 64 * MIB  # copies, and cuBLAS's own


def test_it_begins_again_with_less_where_memory_runs_out(caplog):
    model, (x, y) = build("resnet18", (3, 32, 32), 10, seed=0, width=16).eval(), drawn(600, (3, 32, 32))
    want = kernel_matrix(model, x, y, memory_budget=GIB, device=CUDA)
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(3 * GIB / torch.cuda.mem_get_info(CUDA)[1], torch.cuda.current_device())
    try:
        got = kernel_matrix(model, x, y, memory_budget=8 * GIB, device=CUDA)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, torch.cuda.current_device())
    assert "memory ran out on cuda" in caplog.text
    assert torch.allclose(got, want, rtol=1e-4, atol=1e-4 * float(want.abs().max()))


def test_labels_are_refused_before_the_device_sees_them():
    x, y = drawn(8)
    with pytest.raises(ValueError, match="renumber the classes"):
        train([build(*LENET, seed=0)], x, y + 10, torch.arange(8)[None], seeds=[0], epochs=1, lr=0.1, device=CUDA)
    assert torch.ones(3, device=CUDA).sum() == 3  # an assertion on the device would end all that follows


def test_dropout_does_not_follow_the_last_network_that_was_built():
    torch.cuda.manual_seed(5)
    want = nn.functional.dropout(torch.ones(100, device=CUDA))
    torch.cuda.manual_seed(5)
    build(*LENET, seed=1)
    assert torch.equal(nn.functional.dropout(torch.ones(100, device=CUDA)), want)


def test_blocks_arrive_whole():
    a, found = torch.randn(2048, 2048, device=CUDA), {}
    with Outflow(lambda place, block: found.setdefault(place, block.clone())) as out:
        for i in range(40):
            out.put(i, a @ a + i)  # its memory is used again at once
    want = a @ a
    assert all(torch.equal(block.to(CUDA), want + i) for i, block in found.items())
    assert len(found) == 40


def test_what_an_elementwise_operation_costs_beside_a_product(capsys):
    a, b, c = (torch.rand(4096, 4096, device=CUDA) for _ in range(3))

    def seconds(call):
        call()
        torch.cuda.synchronize(CUDA)
        started = time.perf_counter()
        for _ in range(10):
            call()
        torch.cuda.synchronize(CUDA)
        return time.perf_counter() - started

    with matmul_precision(None, CUDA):
        found = seconds(lambda: torch.mul(a, b, out=c)) / (seconds(lambda: torch.mm(a, b, out=c)) / 4096)
    with capsys.disabled():
        print(f"\none element-wise operation takes the time of {found:.0f} multiplications")
    assert ELEMENTWISE["cuda"] / 3 < found < 3 * ELEMENTWISE["cuda"]


@pytest.mark.parametrize("budget", [2, 48])
def test_mnist_class_by_class(budget, tmp_path, monkeypatch):
    if torch.cuda.mem_get_info(CUDA)[0] < 1.2 * budget * GIB:
        pytest.skip(f"needs {1.2 * budget:.0f} GiB of free memory")
    try:
        data.load("mnist")
    except (OSError, ValueError, RuntimeError) as error:
        pytest.skip(f"needs MNIST: {error}")
    out = tmp_path / "per-class.json"
    told = ["per-class", "--out", out, "--work", tmp_path, "--budget", budget, "--epochs", 1, "--device", "cuda"]
    monkeypatch.setattr(sys, "argv", ["bench.mnist", *map(str, told)])
    mnist.main()
    blocks = json.loads(out.read_text())["blocks"]
    assert len(blocks) == 10
    assert max(block["error"] for block in blocks) < 1e-5
