"""A kernel keeps within its budget, and where memory runs out all the same it begins again with less."""

import weakref

import pytest
import torch
from meter import Meter
from rows import each_row
from torch import nn

from lpntk.kernel import matrix as kernels
from lpntk.kernel.layerwise import gram
from lpntk.kernel.matrix import kernel_matrix
from lpntk.kernel.tiles import memory as room
from lpntk.kernel.tiles import share as distributed
from lpntk.learn.models import build
from lpntk.machine.device import ran_out

MIB, GIB = 2**20, 2**30


def strided():
    """Few positions and wide patches: transposed copies of operands are the largest there can be."""
    return nn.Sequential(nn.Conv2d(3, 64, 8, 8), nn.ReLU(), nn.Conv2d(64, 256, 3), nn.Flatten(), nn.Linear(1024, 10))


WIDE = nn.Sequential(nn.Flatten(), nn.Linear(3072, 64), nn.ReLU(), nn.Linear(64, 10))
LENET = build("lenet5", (3, 32, 32), 10, seed=0)
RESNET = build("resnet18", (3, 32, 32), 10, seed=0, width=8)


@pytest.mark.parametrize(
    ("model", "n", "budget", "precision"),
    [
        (WIDE, 900, 8, None),
        (LENET, 500, 12, None),
        (LENET, 500, 12, "bf16"),
        (RESNET, 24, 24, None),
        (strided(), 200, 16, None),
        (strided(), 200, 16, "bf16"),
    ],
)
def test_the_budget_is_kept(model, n, budget, precision, monkeypatch):
    monkeypatch.setattr(gram, "keep_freed_memory", lambda device: None)  # a block that is never touched
    x = torch.randn(n, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    y = torch.arange(n) % 10
    own = 4 * (sum(p.numel() for p in model.parameters()) + n * n)  # the copy of the model, and the result
    made = kernels._engine

    def engine(*args, **options):
        found = made(*args, **options)
        meter.peak = meter.now  # the trial of a few samples in float64 is over
        return found

    monkeypatch.setattr(kernels, "_engine", engine)
    with Meter([x, y, *model.parameters(), *model.buffers()]) as meter:
        kernel_matrix(model.eval(), x, y, memory_budget=budget * MIB, precision=precision, device="cpu")
    assert budget * MIB / 8 < meter.peak - own <= budget * MIB


@each_row(("processes", "want", "elsewhere"), [(1, 32 * GIB, 0), (2, 16 * GIB, GIB)])
def test_a_cuda_device_lends_a_share_of_what_is_free(monkeypatch, processes, want, elsewhere):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (50 * GIB - elsewhere, 80 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 20 * GIB)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 5 * GIB)
    assert room.default_budget(torch.device("cuda"), processes) == want
    assert room.default_budget(torch.device("cpu"), processes) == 2 * GIB


def test_processes_that_share_a_device_share_its_memory(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for processes, want in (("1", 1), ("2", 1), ("5", 3)):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
        assert distributed.sharing() == want


def test_what_says_that_memory_ran_out():
    with pytest.raises(RuntimeError) as error:
        torch.empty(2**60, dtype=torch.uint8)
    assert ran_out(error.value)
    assert ran_out(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))
    assert ran_out(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
    assert ran_out(MemoryError())
    assert not ran_out(RuntimeError("size mismatch"))
    assert not ran_out(ValueError("the model cannot take x: out of memory"))


X = torch.randn(120, 1, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.arange(120) % 10
NET = build("mlp", (1, 8, 8), 10, seed=0, hidden=(32,)).eval()
BUDGET = 80 * 1024


@pytest.fixture
def full(monkeypatch):
    """Return a function that lets memory run out where more than so many samples are in one row block, or always."""
    features, held = gram.LayerwiseGram.features, []

    def set_to(most, error):
        def tried(self, x, y):
            if held:
                assert held[-1]() is None, "what the failed attempt held is still there"
            if len(x) > most:
                tensor = torch.empty(10)
                held.append(weakref.ref(tensor.untyped_storage()))
                raise error("CUDA out of memory. Tried to allocate 1 GiB.\nmore")
            return features(self, x, y)

        monkeypatch.setattr(gram.LayerwiseGram, "features", tried)

    return set_to


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
def test_smaller_blocks_where_memory_runs_out(full, error, caplog, tmp_path):
    want = kernel_matrix(NET, X, Y, device="cpu")
    full(60, error)
    got = kernel_matrix(NET, X, Y, memory_budget=BUDGET, out=tmp_path / "kappa.npy", device="cpu")
    assert torch.allclose(got, want, rtol=1e-5, atol=1e-6)
    assert f"memory ran out on cpu with memory_budget={BUDGET}" in caplog.text


def test_a_sentence_where_no_block_is_small_enough(full):
    full(0, torch.OutOfMemoryError)
    with pytest.raises(torch.OutOfMemoryError, match=r"at last with memory_budget=\d+: CUDA out of memory.*; end what"):
        kernel_matrix(NET, X, Y, device="cpu")


def test_no_second_attempt_where_processes_share_the_work(full, monkeypatch):
    full(0, torch.OutOfMemoryError)
    monkeypatch.setattr(distributed, "world", lambda: (0, 2))
    calls = []
    halved = room.smaller_when_full(lambda *a, memory_budget, **k: calls.append(memory_budget) or _fail())
    with pytest.raises(torch.OutOfMemoryError, match="memory ran out"):
        halved(memory_budget=100, device="cpu")
    assert calls == [100]


def _fail():
    raise torch.OutOfMemoryError("CUDA out of memory.")


def test_other_errors_are_no_reason_for_smaller_blocks(full, caplog):
    want = kernel_matrix(NET, X, Y, device="cpu")
    full(0, lambda text: RuntimeError("something else"))
    got = kernel_matrix(NET, X, Y, device="cpu")
    assert torch.allclose(got, want, rtol=1e-5, atol=1e-6)
    assert "something else. Each sample is differentiated alone instead" in caplog.text
    assert "memory ran out" not in caplog.text
