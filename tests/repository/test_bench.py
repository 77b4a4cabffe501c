import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import bench.profile
from bench import mnist, plain, stacking
from bench.cli import main
from bench.cost import passes
from bench.measure import Record, measure
from bench.peers import PEERS
from bench.problem import NETWORKS, QUICK, problem, samples
from bench.profile import PROBES, Clock, _family, listing, watched
from bench.reference import Reference
from bench.registry import PLAIN, VARIANTS, missing
from bench.report import SET, environment
from bench.variants import OWN, CannotComputeError, Computed, Variant, jacobians, ours, vmap_grad
from lpntk.data.dataset import load

LIMITS = {"threads": 1, "repeats": 1, "limit": 60.0, "peak": 1e11}


NO_CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture(scope="module", params=["cpu", pytest.param("cuda", marks=NO_CUDA)])
def report(request, tmp_path_factory):
    threads, out = torch.get_num_threads(), tmp_path_factory.mktemp("bench") / "report.json"
    main(["--quick", "--no-memory", "--quiet", "--device", request.param, "--out", str(out)])
    torch.set_num_threads(threads)
    return json.loads(out.read_text())


def lines(report, **wanted):
    return [r for r in report["records"] if all(r[key] == value for key, value in wanted.items())]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_every_variant_computes_the_same_kernel_or_says_why_not(report, variant):
    found = lines(report, variant=variant.name)
    assert len(found) == 8  # four networks, two sizes
    for record in found:
        if record["status"] == "skipped":
            assert record["reason"]
            assert record["seconds"] is None
        else:
            assert record["status"] == "ok", record["reason"]
            assert record["error"] < variant.tolerance
            assert record["seconds_min"] <= record["seconds"] <= record["seconds_max"]
            assert record["ratio_to_ours"] > 0


def test_variants_that_need_torch_alone_are_never_skipped(report):
    for variant in (*OWN, PLAIN):
        if variant.name not in ("ours-sketched", "ours-bf16", "ours-tf32"):
            assert len(lines(report, variant=variant.name, status="ok")) == 8


def test_the_report_says_where_the_numbers_come_from(report):
    assert set(report["environment"]) >= {"cpu", "cores", "system", "python", "versions", "date"}
    assert report["environment"]["versions"]["torch"] == torch.__version__
    assert report["data"] == dict.fromkeys(QUICK, "synthetic")
    assert report["peaks"]["1"] > 0
    assert report["settings"]["quick"] is True
    assert "asdl" in report["not_run"]
    on_device = report["settings"]["device"] == "cuda"
    assert ("device" in report["environment"]) == on_device
    assert all((r["memory_bytes"] is not None) == on_device for r in lines(report, variant="ours"))
    assert {r["status"] for r in lines(report, variant="ours-tf32")} == {"ok" if on_device else "skipped"}


@NO_CUDA
def test_a_device_is_waited_for_and_its_memory_counted():
    def products(posed):
        a = torch.rand(8192, 8192, device=posed.device)
        for _ in range(20):
            a = a @ a / 8192
        return Computed(ours(posed).kappa)

    found = measure(problem("tiny-lenet", 6, device="cuda"), [Variant("ours", products)], **LIMITS)[0]
    assert found.status == "ok"
    assert found.seconds > 20 * 2 * 8192**3 / 1e15  # no device is as fast
    assert found.memory_bytes > 2 * 4 * 8192**2


def test_a_device_that_is_not_there_is_said(capsys):
    with pytest.raises(SystemExit):
        main(["--quick", "--device", "tpu"])
    assert "'auto', 'cpu' or 'cuda[:i]'" in capsys.readouterr().err


def test_extrapolated_times_are_marked(report):
    assert all(r["extrapolated_from"] == "4 of 78 pairs" for r in lines(report, variant="textbook", n=12))
    assert all(r["extrapolated_from"] is None for r in lines(report, variant="ours"))


def test_flops_of_known_methods_are_reported(report):
    for name in ("ours", "plain-layerwise", "vmap-grad", "jacobians", "textbook"):
        assert all(r["flops"] > 0 and r["share_of_peak"] > 0 for r in lines(report, variant=name))


def test_a_cap_on_the_instructions_is_told(monkeypatch):
    for name in SET:
        monkeypatch.delenv(name, raising=False)
    assert environment()["isa_set"] == {}
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")
    assert environment()["isa_set"] == {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}


def test_the_report_says_where_our_time_goes(report):
    assert [(p["network"], p["n"]) for p in report["profiles"]] == [(name, n) for name in QUICK for n in (6, 12)]
    for found in report["profiles"]:
        totals = {row["work"]: row for row in found["rows"] if row["layer"] is None}
        assert sum(row["seconds"] for row in totals.values()) == pytest.approx(found["seconds"])
        assert set(totals) >= {"trial", "passes", "gradients", "copies", "joined product", "checks", "rest"}
        ours = lines(report, variant="ours", network=found["network"], n=found["n"])[0]
        assert sum(row["flops"] or 0 for row in totals.values()) == ours["flops"]
        for work in ("gradients", "formed", "pairs"):
            layers = [row for row in found["rows"] if row["work"] == work and row["layer"] is not None]
            assert sum(row["seconds"] for row in layers) == pytest.approx(totals[work]["seconds"] if layers else 0)
            assert sum(row["flops"] or 0 for row in layers) == ((totals[work]["flops"] or 0) if layers else 0)
    layers = {row["layer"] for row in report["profiles"][0]["rows"]}
    assert layers >= {"0", "2", "7", "10"}  # the tiny LeNet's convolutions and linear layers


def test_every_method_that_a_profile_watches_is_there_and_left_as_it_was():
    methods = lambda: [vars(owner).get(p.method) for p in PROBES for owner in sorted(_family(p.owner), key=str)]
    before = methods()
    with watched(Clock(torch.device("cpu"))):
        assert all(new is not old for new, old in zip(methods(), before, strict=True) if old is not None)
    assert methods() == before
    assert all(any(p.method in vars(owner) for owner in _family(p.owner)) for p in PROBES)


def test_a_moment_belongs_to_the_innermost_work_or_to_what_absorbs_it(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(bench.profile, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    clock = Clock(torch.device("cpu"))

    def work(seconds, key, absorbs=False, inside=lambda: None):
        with clock.running(key, absorbs):
            now[0] += seconds
            inside()
            now[0] += seconds

    work(1, ("a", None), inside=lambda: work(10, ("b", "layer")))
    work(100, ("c", None), absorbs=True, inside=lambda: work(1000, ("b", "layer")))
    assert clock.seconds == {("a", None): 2, ("b", "layer"): 20, ("c", None): 2200}


def test_a_profile_is_listed_with_its_layers_or_without():
    row = {"seconds": 1.0, "flops": 2e9, "share_of_peak": 0.5}
    rows = [{**row, "work": "pairs", "layer": None}, {**row, "work": "pairs", "layer": "fc"},
            {**row, "work": "rest", "layer": None, "flops": None, "share_of_peak": None}]  # fmt: skip
    found = {"network": "lenet", "n": 6, "threads": 1, "seconds": 4.0, "rows": rows}
    told = listing(found).splitlines()
    assert told[0].startswith("ours on lenet, n = 6, 1 threads: 4 s")
    assert [line.split() for line in told[1:]] == [
        ["pairs", "1", "25%", "2", "50%"],
        ["fc", "1", "25%", "2", "50%"],
        ["rest", "1", "25%", "-", "-"],
    ]
    assert len(listing(found, layers=False).splitlines()) == 3


def test_a_backward_pass_through_groups_takes_twice_the_forward_pass_but_for_the_first_layer():
    conv = lambda c, k, groups: nn.Conv2d(c, k, 3, padding=1, groups=groups, bias=False)
    posed = replace(problem("tiny-resnet", 2), model=nn.Sequential(conv(3, 8, 1), conv(8, 8, 8), nn.Flatten()))
    first, second = 2 * 64 * 8 * 27, 2 * 64 * 8 * 9
    assert passes(posed) == (first + second, first + 2 * second)


def test_the_networks_of_the_benchmark_are_those_they_are_called():
    sizes = {"vit-tiny": 5_362_378, "mobilenet": 811_850, "resnet18-8": 176_402, "resnet18-64-nobn": 11_168_266}
    for name, p in sizes.items():
        model = NETWORKS[name].make()
        assert sum(w.numel() for w in model.parameters()) == p
        assert not model.training
    norms = [m for m in NETWORKS["resnet18-64-nobn"].make().modules() if isinstance(m, nn.BatchNorm2d)]
    assert not norms


@pytest.mark.parametrize("network", QUICK)
def test_the_plain_way_is_right_in_either_form_and_over_several_batches(network, monkeypatch):
    posed = problem(network, 12)
    for module in posed.model.modules():
        if isinstance(module, nn.BatchNorm2d):  # as after training
            module.running_mean.uniform_(-1, 1), module.running_var.uniform_(0.5, 2)
    monkeypatch.setattr(plain, "BATCH", 5)
    monkeypatch.setattr(plain, "STRIP", 4)
    for chosen in (True, False):
        monkeypatch.setattr(plain.Layer, "pairs", lambda layer, n, chosen=chosen: chosen and layer.g == 1)
        assert Reference(posed).error(plain.plain_layerwise(posed)) < 1e-6


def test_the_plain_way_counts_what_it_multiplies():
    layer = plain.Layer(nn.Linear(20, 30), 1, 1, 20, 30)
    assert layer.pairs(10)
    assert layer.flops(10) == 10 * 11 * (20 + 30)
    assert layer.numbers(10) == 20 + 30
    layer = replace(layer, t=8)
    assert not layer.pairs(10)
    assert layer.flops(10) == 10 * 11 * 600 + 10 * 2 * 8 * 600
    posed = problem("tiny-resnet", 12)
    assert [layer.t for layer in plain.weighted(posed)] == [64, 64, 64, 16, 16, 16, 1]


def test_the_plain_way_refuses_what_it_has_no_rule_for():
    posed = problem("tiny-lenet", 4)
    shared = nn.Linear(100, 100)
    for model, message in (
        (nn.Sequential(nn.Flatten(), nn.Linear(100, 10), nn.PReLU()), "has no rule for '2', a PReLU"),
        (nn.Sequential(nn.Flatten(), shared, shared, nn.Linear(100, 10)), "a layer that is called twice"),
    ):
        found = measure(replace(posed, model=model), [PLAIN], **LIMITS)[0]
        assert found.status == "skipped"
        assert message in found.reason


def test_a_wrong_variant_is_reported_as_wrong():
    transposed_signs = lambda posed: vmap_grad(replace(posed, y=(posed.y + 1) % posed.k))
    cut_short = lambda posed: Computed(ours(posed).kappa[:-1])
    not_finite = lambda posed: Computed(ours(posed).kappa * float("nan"))
    last_row = lambda posed: Computed(
        ours(posed).kappa * torch.ones(posed.n, 1).index_fill(0, torch.tensor([posed.n - 1]), 2)
    )
    wrong = {"labels": transposed_signs, "shape": cut_short, "nan": not_finite, "last row": last_row}
    found = measure(problem("tiny-lenet", 12), [Variant(k, v) for k, v in wrong.items()], **LIMITS)
    assert [r.status for r in found] == ["wrong"] * 4
    assert all("relative error" in r.reason for r in found)


def test_a_variant_that_fails_does_not_stop_the_others():
    def fails(posed):
        raise RuntimeError("cannot open /some/folder/of/mine")

    def declines(posed):
        raise CannotComputeError("only for linear layers")

    variants = [Variant("fails", fails), Variant("declines", declines), Variant("ours", ours)]
    found = {r.variant: r for r in measure(problem("tiny-lenet", 6), variants, **LIMITS)}
    assert (found["fails"].status, found["fails"].reason) == ("failed", "RuntimeError: cannot open <path>")
    assert (found["declines"].status, found["declines"].reason) == ("skipped", "only for linear layers")
    assert found["ours"].status == "ok"


def test_what_would_not_fit_or_take_too_long_is_skipped():
    large = Variant("large", ours, needs=lambda posed: 2**60)
    slow = Variant("slow", ours)
    earlier = [Record("tiny-lenet", 1, 6, 1, "slow", spent=50.0, seconds=50.0)]
    found = measure(problem("tiny-lenet", 12), [large, slow], **LIMITS, before=earlier)
    assert [r.status for r in found] == ["skipped", "skipped"]
    assert "GiB available" in found[0].reason
    assert found[1].reason == "predicted 200 s for a run, limit 60 s"


def test_missing_libraries_are_named():
    absent = Variant("absent", ours, package="a-library", module="no_such_module_anywhere")
    assert missing(absent) == "a-library is not installed"
    assert all(variant.package and variant.module for variant in PEERS)


def test_jacobians_in_several_blocks_are_a_rectangle_of_the_kernel(monkeypatch):
    posed = problem("tiny-lenet", 12)
    monkeypatch.setattr("bench.variants.JACOBIAN_BYTES", 2 * 4 * posed.k * posed.p * 3)
    computed = jacobians(posed)
    assert computed.extrapolated_from == "2 of 10 pairs of blocks"
    assert computed.kappa.shape == (3, 6)
    assert torch.allclose(computed.kappa, ours(posed).kappa[:3, :6], rtol=1e-4)


def test_more_samples_begin_with_the_fewer():
    x, y, source = samples("tiny-lenet", 6)
    longer, labels, _ = samples("tiny-lenet", 12)
    assert torch.equal(longer[:6], x)
    assert torch.equal(labels[:6], y)
    assert source == "synthetic"


def test_memory_is_measured_in_a_process_of_its_own():
    from bench.memory import peak_bytes, probe

    if peak_bytes() is None:
        pytest.skip("this system does not report a peak")
    ballast = torch.ones(2**26)  # 256 MiB that the probe must not see
    found = probe("vmap-grad", "tiny-lenet", 12, 1, None, 120)
    assert 0 <= found["bytes"] < 4 * ballast.numel()


def test_stacks_are_timed_and_give_the_losses_of_single_models():
    row = stacking.compare("mlp-digits", 2, m=8, repeats=1, device="cpu")
    assert row["loss_difference"] < 1e-5
    assert row["width"] == 8
    assert min(row[f"{way}_ms"] for way in ("single", "stack", "chosen")) > 0


def test_a_row_of_the_stacking_benchmark_is_the_median_of_its_runs(monkeypatch):
    now, runs = [0.0], {1: iter([5.0, 1.0, 90.0]), 4: iter([2.0, 3.0, 4.0]), 8: iter([2.0, 1.0, 7.0])}

    def trained(models, *_, way, epochs, **_o):
        now[0] += next(runs[way]) * len(models) * 8 * epochs / 1e3  # milliseconds per model and step
        return SimpleNamespace(loss=torch.full((len(models), epochs, 8), 0.25 * way))

    monkeypatch.setattr(stacking, "train", trained)
    monkeypatch.setattr(stacking, "choose_width", lambda *_, way, **_o: {"auto": 4, "stack": 64}[way])
    monkeypatch.setattr(stacking, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(stacking, "SECONDS", 0.0)
    row = stacking.compare("mlp-digits", 16, m=8, repeats=3, device="cpu")
    assert (row["single_ms"], row["stack_ms"], row["chosen_ms"]) == (5.0, 2.0, 3.0)
    assert (row["faster_than_single"], row["chosen_slower_than_better"]) == (1.67, 0.5)
    assert (row["width"], row["loss_difference"]) == (4, 1.75)


def test_the_network_of_mnist_is_trained_where_asked_and_comes_back(tmp_path, monkeypatch):
    """Training leaves it on the device; the samples are on the CPU, where work is counted and entries are checked."""
    told, digits = [], load("digits")
    samples = replace(digits, x_train=torch.zeros(20, 1, 28, 28), y_train=torch.arange(20) % 10,
                      x_test=torch.zeros(5, 1, 28, 28), y_test=torch.arange(5))  # fmt: skip

    def trains(models, *args, device, **options):
        monkeypatch.setattr(models[0], "cpu", lambda: told.append("back"), raising=False)
        told.append(device)

    monkeypatch.setattr(mnist, "train", trains)
    for _ in range(2):  # the second finds the first
        mnist.trained(samples, 1, tmp_path, torch.device("cuda:1"))
    assert told == [torch.device("cuda:1"), "back"]
