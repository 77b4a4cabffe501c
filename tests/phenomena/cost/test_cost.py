import json
import re

import pandas as pd
import pytest
import torch
from cases import CASES, samples
from oracle import oracle_kernel, relative_error
from rows import each_row

from lpntk.phenomena.cost import fidelity
from lpntk.phenomena.cost import figures as cost_plots
from lpntk.phenomena.cost import records as benchmarks
from lpntk.phenomena.cost import ways as cost

CASE = next(case for case in CASES if case.name == "resnet-batchnorm")
RULE = {"rank": 0.99, "neighbours": 0.9, "share": 0.5}
RECORD = {"network": "lenet", "p": 7, "threads": 1, "n": 4, "variant": "ours", "status": "ok", "reason": None}
RECORD |= {
    "seconds": 2.0,
    "seconds_min": 1.5,
    "seconds_max": 3.0,
    "repeats": 3,
    "ratio_to_ours": 1.0,
    "extrapolated_from": None,
}
ENVIRONMENT = {"cpu": "some processor", "cores": 2, "isa": "AVX2", "system": "Linux", "date": "2026-01-01"}


def test_every_way_gives_the_kernel():
    model, (x, y, _, _) = CASE.make(0), samples(CASE)
    for way in cost.WAYS.values():
        assert relative_error(way(model, x, y), oracle_kernel(model, x, y)) < 1e-5


def test_ways_are_compared_with_the_first():
    model, (x, y, _, _) = CASE.make(0), samples(CASE)
    found = cost.compare(model, x, y, repeats=2)
    assert found.ratio["layer by layer"] == 1
    assert (found.least > 0).all()
    assert found.seconds.between(found.least, found.most).all()
    assert (found.error < 1e-5).all()


def test_the_plan_accounts_for_every_parameter():
    model, (x, y, _, _) = CASE.make(0), samples(CASE)
    plan = cost.plan(model, x, y, n=100)
    assert plan.parameters.sum() == sum(p.numel() for p in model.parameters())
    assert plan.layer.tolist()[:2] == ["0", "1"]


def test_fidelity_is_perfect_for_the_same_matrix_and_not_for_another():
    a = torch.randn(30, 50, dtype=torch.float64)
    kappa = a @ a.T
    same, scaled = fidelity.fidelity(kappa, kappa), fidelity.fidelity(2 * kappa, kappa)
    assert list(same.values()) == pytest.approx([0, 0, 1, 1])  # both errors, rank, neighbours
    assert list(scaled.values()) == pytest.approx([1, 1, 1, 1])
    b = torch.randn(30, 50, dtype=torch.float64)
    other = fidelity.fidelity(b @ b.T, kappa)
    assert abs(other["rank"]) < 0.2
    assert other["neighbours"] == pytest.approx(10 / 29, abs=0.15)


def test_a_sweep_has_a_row_for_each_sketch():
    model, (x, y, _, _) = CASE.make(0), samples(CASE)
    exact = cost.by_layers(model, x, y)
    found = fidelity.sweep(model, x, y, exact, ["kronecker", "rademacher"], [8, 64], seeds=2)
    assert len(found) == len(found[["kind", "size", "seed"]].drop_duplicates()) == 8
    assert (found.seconds > 0).all()


@each_row(
    ("spoiled", "exact_seconds", "word", "because"),
    [
        ([], 3.0, "holds", r"from 8 numbers on and then takes 0\.33 .* worth it"),
        ([], 1.5, "holds in part", "not worth it"),
        ([3], 3.0, "holds", "from 32 numbers on"),  # a larger size fails in one seed
        ([5], 3.0, "fails", "none of up to 32 numbers"),
    ],
)
def test_the_verdict_needs_every_larger_size_and_every_seed(spoiled, exact_seconds, word, because):
    rows = [(size, seed, 0.995, 0.95, 1.0) for size in (8, 16, 32) for seed in (0, 1)]
    trials = pd.DataFrame(rows, columns=["size", "seed", "rank", "neighbours", "seconds"])
    trials.loc[spoiled, "neighbours"] = 0.85
    judged = fidelity.verdict(trials, exact_seconds, RULE)
    assert judged.word == word
    assert re.search(because, judged.because)


def test_benchmark_records_are_read_and_marked(tmp_path):
    slow = RECORD | {"variant": "textbook", "seconds": 400.0, "ratio_to_ours": 200.0, "extrapolated_from": "1 of 9"}
    skipped = RECORD | {"variant": "trak", "status": "skipped", "seconds": None, "reason": "not installed"}
    content = {"environment": ENVIRONMENT | {"versions": {"torch": "2"}}, "records": [RECORD, slow, skipped]}
    (tmp_path / "a.json").write_text(json.dumps(content))
    report = benchmarks.read(tmp_path)
    assert set(report.record) == {"a"}
    assert set(report.hardware) == {"some processor, 2 cores, AVX2, Linux, torch 2, 2026-01-01"}
    content["environment"]["device"] = "some card"
    (tmp_path / "b.json").write_text(json.dumps(content))
    both = benchmarks.read(tmp_path).set_index("record").hardware
    assert set(both["b"]) == {f"some card, {both['a'].iloc[0]}"}
    ran, left_out = report[report.seconds.notna()], report[report.seconds.isna()]
    table = benchmarks.ratios(ran)
    assert table["lenet, 1 thread, n = 4"].to_dict() == {"ours": "2 s", "textbook": "~200"}
    assert report[["shortest", "longest", "runs"]].iloc[0].tolist() == [1.5, 3.0, 3]
    assert left_out[["variant", "network", "n", "reason"]].values.tolist() == [["trak", "lenet", 4, "not installed"]]
    (axes,) = cost_plots.benchmark(ran).axes
    assert axes.get_title() == "lenet, 7 parameters, 1 thread"


def test_the_fastest_other_library_is_told():
    timed = lambda variant, seconds, n=8, extrapolated=False: {
        "record": "a", "hardware": "h", "network": "net", "threads": 2, "n": n, "variant": variant, "seconds": seconds,
        "shortest": seconds and seconds / 2, "longest": seconds and 2 * seconds, "runs": 3,
        "ratio": None if seconds is None else seconds / 2, "extrapolated": extrapolated}  # fmt: skip
    rows = [timed("ours", 2.0), timed("trak", 5.0), timed("nngeometry", 4.0), timed("opacus", None),
            timed("backpack", 1.0, extrapolated=True), timed("textbook", 3.0), timed("plain-layerwise", 3.0),
            timed("ours", 2.0, n=9), timed("textbook", 3.0, n=9), timed("trak", 3.0, n=7)]  # fmt: skip
    (row,) = benchmarks.leads(pd.DataFrame(rows)).to_dict("records")
    want = {"n": 8, "seconds": 2.0, "library": "nngeometry", "ratio": 2.0, "plain": 1.5}
    assert {key: row[key] for key in want} == want
    spread = {"ratio_runs": 3, "ratio_least": 0.5, "ratio_most": 8.0, "plain_least": 0.375, "plain_most": 6.0}
    assert {key: row[key] for key in spread} == spread


def test_no_folder_gives_no_report_and_a_wrong_file_an_error(tmp_path):
    assert benchmarks.read(tmp_path / "none").empty
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
    (row,) = benchmarks.whole_mnist(tmp_path).to_dict("records")
    assert row["kernel"] == "per-class"
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
    assert axes.lines[0].get_ydata().tolist() == [4.0]
    assert axes.get_title() == "1 thread"
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"one\.json is no record of bench/stacking"):
        benchmarks.stacking(tmp_path)
