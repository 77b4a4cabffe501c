import json

import numpy as np
import pytest
import torch
from cases import CASES, samples
from oracle import oracle_kernel, relative_error

from lpntk import distributed, kernels
from lpntk.blocks import cut
from lpntk.kernels import kernel_matrix
from lpntk.models import build
from lpntk.store import KernelFile

MODEL = build("mlp", (1, 4, 4), 3, seed=0, hidden=(8,))
X = torch.randn(23, 1, 4, 4, generator=torch.Generator().manual_seed(0))
Y = torch.randint(3, (23,), generator=torch.Generator().manual_seed(1))
BYTES = 4 * sum(p.numel() for p in MODEL.parameters())  # so small that every layer keeps its gradients
SMALL = 8 * BYTES * 4 // 3 + 8  # eight samples' features


class Killed(Exception):
    pass


@pytest.mark.parametrize(("n", "n2", "symmetric"), [(23, 23, True), (23, 9, False), (1, 1, True), (5, 40, False)])
@pytest.mark.parametrize("fits", [2, 3, 8, 17, 100])
@pytest.mark.parametrize("parts", [1, 3])
def test_tiles_cover_each_pair_once_and_fit(n, n2, symmetric, fits, parts):
    plan = cut(n, n2, symmetric, 10, 10 * fits, parts=parts)
    count = np.zeros((n, n2), int)
    for top, bottom, left, right in plan.tiles():
        count[top:bottom, left:right] += 1
        diagonal = symmetric and (top, bottom) == (left, right)
        assert (bottom - top) + (0 if diagonal else right - left) <= max(fits, 1)
        if symmetric and not diagonal:
            count[left:right, top:bottom] += 1
    assert (count == 1).all()


def test_the_shares_of_all_ranks_are_the_whole_and_balanced():
    tiles = cut(1000, 1000, True, 1, 200, parts=4).tiles()
    shares = [distributed.share(tiles, rank, 4) for rank in range(4)]
    assert sorted(tile for share in shares for tile in share) == sorted(tiles)
    work = [sum((b - t) * (r - x) for t, b, x, r in share) for share in shares]
    assert max(work) < 1.3 * min(work)


@pytest.mark.parametrize("normalize", [False, True])
def test_a_file_holds_what_memory_holds(tmp_path, normalize):
    path = tmp_path / "kappa.npy"
    want = kernel_matrix(MODEL, X, Y, normalize=normalize)
    got = kernel_matrix(MODEL, X, Y, normalize=normalize, memory_budget=SMALL, out=path)
    assert torch.allclose(got, want, rtol=1e-5, atol=1e-6)
    assert np.array_equal(np.load(path), got.numpy())
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["kappa.json", "kappa.npy"]
    again = kernel_matrix(MODEL, X, Y, normalize=normalize, out=path)  # read, not computed
    assert torch.equal(again, got)


def test_a_killed_run_goes_on_at_its_last_finished_tile(tmp_path, monkeypatch):
    path = tmp_path / "kappa.npy"
    computed = []
    finished = KernelFile.finished

    def dies_after_four(store, tile):
        finished(store, tile)
        computed.append(tile)
        if len(computed) == 4:
            raise Killed

    monkeypatch.setattr(KernelFile, "finished", dies_after_four)
    with pytest.raises(Killed):
        kernel_matrix(MODEL, X, Y, memory_budget=SMALL, out=path)
    assert not path.exists()
    log = tmp_path / "kappa.partial.0.tiles"
    log.write_text(log.read_text() + "14 20 1")  # a line cut short by the kill
    total = len(cut(23, 23, True, BYTES, SMALL - SMALL // 4).tiles())
    assert total > 8

    monkeypatch.setattr(KernelFile, "finished", lambda store, tile: (computed.append(tile), finished(store, tile)))
    got = kernel_matrix(MODEL, X, Y, memory_budget=SMALL, out=path)
    assert len(computed) == total  # none twice
    assert relative_error(got, oracle_kernel(MODEL, X, Y)) < 1e-5


def test_a_result_resumes_under_another_budget(tmp_path, monkeypatch):
    path, finished, seen = tmp_path / "kappa.npy", KernelFile.finished, []

    def dies_late(store, tile):
        finished(store, tile)
        seen.append(tile)
        if len(seen) == 7:
            raise Killed

    monkeypatch.setattr(KernelFile, "finished", dies_late)
    with pytest.raises(Killed):
        kernel_matrix(MODEL, X, Y, memory_budget=SMALL, out=path)
    monkeypatch.setattr(KernelFile, "finished", finished)
    assert relative_error(kernel_matrix(MODEL, X, Y, out=path), oracle_kernel(MODEL, X, Y)) < 1e-5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": X + 1}, r"kappa\.npy holds another kernel: x differs; delete it or give another out"),
        ({"y": (Y + 1) % 3}, "y differs"),
        ({"model": build("mlp", (1, 4, 4), 3, seed=1, hidden=(8,))}, "model differs"),
        ({"signs": "ones"}, "signs differs"),
        ({"normalize": True}, "normalize differs"),
        ({"x": X[:7], "y": Y[:7]}, "shape, x, y differ"),
    ],
)
def test_a_file_of_another_kernel_is_refused(tmp_path, change, words):
    path = tmp_path / "kappa.npy"
    kernel_matrix(MODEL, X, Y, out=path)
    before = path.read_bytes()
    call = {"model": MODEL, "x": X, "y": Y, **change}
    with pytest.raises(ValueError, match=words):
        kernel_matrix(call.pop("model"), call.pop("x"), call.pop("y"), out=path, **call)
    assert path.read_bytes() == before


def test_an_unknown_file_is_not_overwritten(tmp_path):
    path = tmp_path / "kappa.npy"
    np.save(path, np.zeros(3))
    with pytest.raises(ValueError, match="holds another kernel"):
        kernel_matrix(MODEL, X, Y, out=path)
    with pytest.raises(ValueError, match=r"out must name an \.npy file; got 'kappa\.csv'"):
        kernel_matrix(MODEL, X, Y, out=tmp_path / "kappa.csv")


def test_the_manifest_tells_what_it_is(tmp_path):
    kernel_matrix(MODEL, X, Y, signs="ones", out=tmp_path / "kappa.npy")
    told = json.loads((tmp_path / "kappa.json").read_text())
    assert told["shape"] == [23, 23]
    assert told["signs"] == "ones"


def test_progress_counts_pairs(tmp_path, capsys):
    kernel_matrix(MODEL, X, Y, progress=True)
    shown = capsys.readouterr().err
    assert "kernel: 100%" in shown
    assert "pair/s" in shown
    kernel_matrix(MODEL, X, Y)
    assert capsys.readouterr().err == ""


def test_precision_casts_model_and_inputs():
    got = kernel_matrix(MODEL, X, Y, precision="float64")
    assert got.dtype == torch.float64
    assert relative_error(got, oracle_kernel(MODEL, X, Y)) < 1e-12
    assert next(MODEL.parameters()).dtype == torch.float32
    with pytest.raises(ValueError, match="precision must be one of"):
        kernel_matrix(MODEL, X, Y, precision="half")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="'tf32' needs a CUDA device"):
            kernel_matrix(MODEL, X, Y, precision="tf32")


ROUNDED = [("float32", 1e-5), ("bf16", 1e-2)] + ([("tf32", 5e-3)] if torch.cuda.is_available() else [])


@pytest.mark.parametrize(("precision", "bound"), ROUNDED)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_rounded_products_are_summed_in_float32(case, precision, bound):
    model, (x, y, _, _) = case.make(0), samples(case)
    got = kernel_matrix(model, x, y, precision=precision)
    assert got.dtype == torch.float32
    error = relative_error(got, oracle_kernel(model, x, y))
    assert error < bound
    if precision != "float32":
        assert error > 1e-6  # it did round


def test_several_processes_need_a_file(monkeypatch):
    monkeypatch.setattr(kernels.distributed, "world", lambda: (0, 2))
    with pytest.raises(ValueError, match="2 processes share this kernel through a file: give out"):
        kernel_matrix(MODEL, X, Y)
