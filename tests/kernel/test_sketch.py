import math
from dataclasses import replace
from functools import cache, partial

import pytest
import torch
from cases import BY_NAME, samples
from oracle import oracle_kernel
from rows import each_row
from torch import nn

from lpntk.kernel import sketch
from lpntk.kernel.layerwise.capture import record
from lpntk.kernel.layerwise.forms.rules import Linear
from lpntk.kernel.matrix import kernel_matrix
from lpntk.kernel.projections import Kronecker, shares
from lpntk.kernel.signs import sign_vectors
from lpntk.kernel.sketch import Sketch, SketchedGram
from lpntk.learn.models import build

LABEL = partial(sign_vectors, signs="label")
# one network a rule of a layer
RULES = ["mlp", "lenet5", "conv-strided-dilated", "conv-grouped", "conv-same", "conv-circular",
         "conv-1d", "conv-3d", "norms", "transformer-tied-padding", "embedding-sequence", "shared", "frozen-weights",
         "frozen-biases", "transposed", "functional", "bilinear-rows"]  # fmt: skip


@pytest.fixture
def tried_once(monkeypatch):
    """Try each model once instead of once per seed."""
    find, norms, known = cache(sketch.cover), SketchedGram._square_norms, {}

    def square_norms(engine, x, y):
        if engine.model not in known:
            known[engine.model] = norms(engine, x, y)
        return known[engine.model]

    monkeypatch.setattr(sketch, "cover", lambda *given: replace(find(*given)))
    monkeypatch.setattr(SketchedGram, "_square_norms", square_norms)


def estimates(model, x, y, size, kind, seeds):
    """(seeds, n, n): one estimate of the kernel per seed."""
    engines = (SketchedGram(model, LABEL, x, y, sketch=Sketch(size, kind, seed)) for seed in range(seeds))
    blocks = (engine.features(x, y) for engine in engines)
    return torch.stack([block @ block.T for block in blocks])


def check_unbiased(found, exact):
    """Neither the scale nor any entry is further from the mean over seeds than chance explains."""
    slopes = (found * exact).sum((1, 2)) / exact.square().sum()
    rounding = 1e-9
    error = slopes.std() / math.sqrt(len(slopes))
    assert error < 0.1, "too few seeds to notice a wrong scale"
    assert (slopes.mean() - 1).abs() <= 4 * error + rounding
    errors = found.std(0) / math.sqrt(len(found))
    assert ((found.mean(0) - exact).abs() <= 6 * errors + rounding * exact.abs().max()).all()


@pytest.mark.parametrize("name", RULES)
def test_a_kronecker_sketch_is_unbiased_or_exact(name, tried_once, monkeypatch):
    case = BY_NAME[name]
    monkeypatch.setattr(Kronecker, "pays", lambda layer, size: True)
    model = case.make(0).double()
    x, y, _, _ = samples(case)
    x = x.double() if x.is_floating_point() else x
    check_unbiased(estimates(model, x, y, 40, "kronecker", 36), oracle_kernel(model, x, y))


GAUSSIAN = [(name, "gaussian") for name in ("mlp", "conv-grouped", "functional", "transformer-tied-padding")]


@pytest.mark.parametrize(("name", "kind"), [("mlp", "kronecker"), ("mlp", "rademacher"), *GAUSSIAN])
def test_every_kind_is_unbiased(name, kind, tried_once):
    model = BY_NAME[name].make(1).double()
    x, y, _, _ = samples(BY_NAME[name], seed=1)
    x = x.double() if x.is_floating_point() else x
    check_unbiased(estimates(model, x, y, 40, kind, 36), oracle_kernel(model, x, y))


@each_row("kind", ["kronecker", "gaussian", "rademacher"])
def test_the_error_falls_like_one_over_the_root_of_the_size(kind, tried_once):
    model = build("mlp", (1, 8, 8), 10, seed=0, hidden=(64, 64)).eval()
    x, y = torch.randn(12, 1, 8, 8), torch.arange(12) % 10
    exact, sizes = kernel_matrix(model, x, y), (32, 512)
    few, many = ((estimates(model, x, y, m, kind, 24) - exact).square().mean().sqrt() for m in sizes)
    slope = (many / few).log() / math.log(sizes[1] / sizes[0])
    assert -0.65 < slope < -0.4


@each_row(("positions", "constant"), [(1, 8.0), (3, 4.0), (30, 2.2)])
def test_the_variance_of_a_kronecker_number_is_the_documented_one(positions, constant):
    module, m = nn.Linear(64, 48, bias=False), 100_000
    calls, _, _ = record(module, {"": module}, torch.randn(1, positions, 64), torch.ones_like)
    generator = torch.Generator().manual_seed(0)
    p, d = (torch.linalg.qr(torch.randn(c, positions, generator=generator)).Q.T[None] for c in (64, 48))
    numbers = torch.zeros(1, m)
    Kronecker(Linear(calls[0], 1), False, m, p, (0,)).add(numbers, (p, d))
    squares = m * numbers.double().square() / positions  # of a gradient with the square norm ``positions``
    assert squares.mean() == pytest.approx(1, abs=0.05)
    assert squares.var() == pytest.approx(constant, rel=0.2)


KRONECKER = [(name, "kronecker") for name in ("lenet5", "resnet-batchnorm", "transformer", "functional")]


@each_row(("name", "kind"), [*KRONECKER, ("lenet5", "rademacher"), ("functional", "gaussian")])
def test_features_do_not_depend_on_blocks_or_memory(name, kind):
    model = BY_NAME[name].make(2)
    x, y, _, _ = samples(BY_NAME[name], seed=2)
    make = partial(SketchedGram, model, LABEL, x, y, sketch=Sketch(48, kind, seed=3))
    engine = make()
    whole = engine.features(x, y)
    assert whole.shape == (len(x), engine.width)
    halves = torch.cat([engine.features(x[:2], y[:2]), engine.features(x[2:], y[2:])])
    for other in (halves, make(memory=1).features(x, y)):
        torch.testing.assert_close(other, whole, rtol=1e-4, atol=1e-5 * float(whole.abs().max()))


def test_seeds_give_different_numbers_and_one_seed_the_same():
    case = BY_NAME["mlp"]
    model, (x, y, x2, y2) = case.make(0), samples(case)
    first, again, other = (kernel_matrix(model, x, y, x2, y2, sketch=Sketch(64, seed=seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, rtol=1e-3)


def test_a_large_sketch_is_the_exact_kernel():
    case = BY_NAME["transformer"]
    model, (x, y, _, _) = case.make(0), samples(case)
    exact = kernel_matrix(model, x, y, normalize=True)
    for kind in ("kronecker", "gaussian"):
        got = kernel_matrix(model, x, y, normalize=True, sketch=Sketch(100_000, kind))
        torch.testing.assert_close(got, exact, rtol=1e-4, atol=1e-5)


def test_a_small_budget_cuts_the_kernel_into_blocks_of_one_sketch():
    case = BY_NAME["mlp"]
    model, (x, y, _, _) = case.make(0), samples(case)
    torch.testing.assert_close(
        kernel_matrix(model, x, y, sketch=64, memory_budget=3000), kernel_matrix(model, x, y, sketch=64)
    )


def test_the_size_goes_where_the_gradient_is_and_short_gradients_stay_whole():
    assert shares(100, [1000, 1000], [3.0, 1.0]) == [69, 31]
    assert shares(100, [5, 1000, 1000], [1.0, 1.0, 1.0]) == [5, 48, 48]
    assert shares(100, [5, 1000, 1000], [0.0, 0.0, 1.0]) == [5, 12, 83]
    assert shares(1, [10, 10], [1.0, 1.0]) == [1, 1]
    assert shares(10, [3, 4], [1.0, 9.0]) == [3, 4]


@each_row(
    ("wrong", "message"),
    [
        ({"size": 0}, "at least one number"),
        ({"size": 8, "kind": "fourier"}, "kronecker, gaussian, rademacher"),
        ({"size": 8, "seed": -1}, "must not be negative"),
    ],
)
def test_a_wrong_sketch_says_what_is_wrong(wrong, message):
    with pytest.raises(ValueError, match=message):
        Sketch(**wrong)
