import json

import pytest
import torch
from cases import CASES, samples
from oracle import oracle_kernel, relative_error

from lpntk.phenomena.cost import fidelity
from lpntk.phenomena.cost import figures as cost_plots
from lpntk.phenomena.cost import records as benchmarks
from lpntk.phenomena.cost import ways as cost
from lpntk.phenomena.cost.fidelity import Fidelity, Trial

CASE = next(case for case in CASES if case.name == "resnet-batchnorm")
RECORD = {"network": "lenet", "p": 7, "threads": 1, "n": 4, "variant": "ours", "status": "ok", "reason": None}
RECORD |= {"seconds": 2.0, "ratio_to_ours": 1.0, "extrapolated_from": None}
ENVIRONMENT = {"cpu": "some processor", "cores": 2, "isa": "AVX2", "system": "Linux", "date": "2026-01-01"}


def test_every_way_gives_the_kernel():
    model, (x, y, _, _) = CASE.make(0), samples(CASE)
    for way in cost.WAYS.values():
        assert relative_error(way(model, x, y), oracle_kernel(model, x, y)) < 1e-5


def test_ways_are_compared_with_the_first():
    model, (x, y, _, _) = CASE.make(0), samples(CASE)
    found = cost.compare(model, x, y, repeats=2)
    assert found["layer by layer"]["ratio"] == 1
    for measured in found.values():
        assert 0 < measured["least"] <= measured["seconds"] <= measured["most"]
        assert measured["error"] < 1e-5


def test_the_plan_accounts_for_every_parameter():
    model, (x, y, _, _) = CASE.make(0), samples(CASE)
    rows = cost.plan(model, x, y, n=100)
    assert sum(row["parameters"] for row in rows) == sum(p.numel() for p in model.parameters())
    assert [row["layer"] for row in rows[:2]] == ["0", "1"]


def test_fidelity_is_perfect_for_the_same_matrix_and_not_for_another():
    a = torch.randn(30, 50, dtype=torch.float64)
    kappa = a @ a.T
    same, scaled = fidelity.fidelity(kappa, kappa), fidelity.fidelity(2 * kappa, kappa)
    assert (same.whole, same.off_diagonal) == (0, 0)
    assert (scaled.whole, scaled.off_diagonal) == pytest.approx((1, 1))
    for perfect in (same, scaled):
        assert (perfect.rank, perfect.neighbours) == pytest.approx((1, 1))
    b = torch.randn(30, 50, dtype=torch.float64)
    other = fidelity.fidelity(b @ b.T, kappa)
    assert abs(other.rank) < 0.2
    assert other.neighbours == pytest.approx(10 / 29, abs=0.15)


def test_the_verdict_needs_every_larger_size_and_every_seed():
    good, bad = Fidelity(0.1, 0.1, 0.995, 0.95), Fidelity(0.1, 0.1, 0.995, 0.85)
    trials = [Trial("kronecker", size, seed, good, 1.0) for size in (8, 16, 32) for seed in (0, 1)]
    assert fidelity.smallest_faithful(trials, "kronecker") == 8
    trials[3] = Trial("kronecker", 16, 1, bad, 1.0)
    assert fidelity.smallest_faithful(trials, "kronecker") == 32
    assert "not worth it" in fidelity.verdict("net", trials, "kronecker", exact_seconds=1.5)
    assert "is worth it" in fidelity.verdict("net", trials, "kronecker", exact_seconds=3.0)
    assert "no kronecker sketch" in fidelity.verdict("net", trials[2:4], "kronecker", exact_seconds=3.0)


def test_benchmark_records_are_read_and_marked(tmp_path):
    slow = RECORD | {"variant": "textbook", "seconds": 400.0, "ratio_to_ours": 200.0, "extrapolated_from": "1 of 9"}
    skipped = RECORD | {"variant": "trak", "status": "skipped", "seconds": None, "reason": "not installed"}
    content = {"environment": ENVIRONMENT | {"versions": {"torch": "2"}}, "records": [RECORD, slow, skipped]}
    (tmp_path / "a.json").write_text(json.dumps(content))
    (report,) = benchmarks.read(tmp_path)
    assert report.hardware == "some processor, 2 cores, AVX2, Linux, torch 2, 2026-01-01"
    assert benchmarks.ratios(report.timings) == {"lenet, 1 thread, n = 4": {"ours": "2 s", "textbook": "~200"}}
    assert report.left_out == [("trak", "lenet", 4, "not installed")]


def test_no_folder_gives_no_report_and_a_wrong_file_an_error(tmp_path):
    assert benchmarks.read(tmp_path / "none") == []
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(ValueError, match=r"a\.json is no report"):
        benchmarks.read(tmp_path)


def test_records_of_all_of_mnist_are_summed_over_classes(tmp_path):
    (tmp_path / "mnist").mkdir()
    block = {"n": 500, "seconds": 1.0, "flops": 2e9, "share_of_peak": 0.5, "error": 1e-7}
    shared = {"environment": ENVIRONMENT | {"versions": {"torch": "2"}}, "threads": 2, "gemm_peak": 8e9}
    content = {
        **shared,
        "blocks": [block, block | {"n": 700, "error": 2e-7}],
        "seconds": 2.0,
        "peak_resident_bytes": 2**30,
    }
    (tmp_path / "mnist" / "per-class.json").write_text(json.dumps(content))
    (row,) = benchmarks.whole_mnist(tmp_path)
    assert row["samples"] == "2 x 500 to 700"
    assert (row["seconds"], row["GFLOP"], row["share of the GEMM peak"]) == pytest.approx((2.0, 4.0, 0.25))
    assert (row["resident GiB"], row["error"]) == (1.0, 2e-7)
    (tmp_path / "mnist" / "per-class.json").write_text("{}")
    with pytest.raises(ValueError, match=r"per-class\.json is no record"):
        benchmarks.whole_mnist(tmp_path)


def test_records_of_stacks_are_read_and_drawn(tmp_path):
    (tmp_path / "stacking").mkdir()
    path = tmp_path / "stacking" / "one.json"
    row = {"model": "mlp", "batch": 1, "single_ms": 1.0, "stack_ms": 0.5, "chosen_ms": 0.25}
    content = {
        "environment": ENVIRONMENT | {"versions": {"torch": "2"}},
        "threads": 1,
        "rows": [row],
        "bars": {"b": True},
    }
    path.write_text(json.dumps(content))
    runs = benchmarks.stacking(tmp_path)
    (axes,) = cost_plots.crossover(runs).axes
    assert axes.lines[0].get_ydata() == [4.0]
    assert axes.get_title() == "1 thread"
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"one\.json is no record of bench/stacking"):
        benchmarks.stacking(tmp_path)
