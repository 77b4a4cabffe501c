import itertools

import numpy as np
import pytest
import torch
from oracle import jacobian, oracle_kernel
from rows import each_row

from lpntk.kernel.signs import factor
from lpntk.phenomena.width.identity import Moments, moments_from_fresh_rows, read
from lpntk.phenomena.width.networks import PARAMETRISATIONS, draw, fresh_head, layer_grams, module, weights_of
from lpntk.report.slopes import mean_interval, slope


def samples(n, d, k, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 1, 1, d, generator=generator, dtype=torch.float64), torch.arange(n) % k


def network(d=5, width=7, depth=2, k=4, seed=0):
    """Biases that are not zero, as after training."""
    weights = draw(d, width, depth, k, seed=seed, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    biases = tuple(torch.randn(len(b), generator=generator, dtype=torch.float64) for b in weights.biases)
    return type(weights)(weights.matrices, biases)


# ---- the exact blocks


@each_row(("depth", "parametrisation"), [*itertools.product([1, 2, 3], PARAMETRISATIONS)])
def test_layerwise_blocks_are_those_of_the_literal_jacobians(depth, parametrisation):
    weights, (x, _) = network(depth=depth), samples(5, 5, 4)
    j = jacobian(module(weights, parametrisation), x)  # (n, k, p) in float64
    want = torch.einsum("icp,jdp->ijcd", j, j)
    grams = layer_grams(weights, x)
    assert torch.allclose(grams.blocks(parametrisation), want, rtol=1e-10, atol=1e-10)
    identity = grams.head(parametrisation)[..., None, None] * torch.eye(4, dtype=torch.float64)
    assert torch.allclose(grams.body(parametrisation) + identity, want, rtol=1e-10, atol=1e-10)


def test_both_parametrisations_are_one_function_and_weights_come_back():
    weights, (x, _) = network(), samples(5, 5, 4)
    ntk, standard = (module(weights, p) for p in PARAMETRISATIONS)
    assert torch.allclose(ntk(x), standard(x), atol=1e-12)
    assert not torch.allclose(ntk[1].weight, standard[1].weight)
    for model in (ntk, standard):
        back = weights_of(model)
        for a, b in zip((*weights.matrices, *weights.biases), (*back.matrices, *back.biases), strict=True):
            assert torch.allclose(a, b, atol=1e-12)
    with pytest.raises(ValueError, match="must be one of ntk, standard; got 'mup'"):
        module(weights, "mup")


def test_readings_are_the_kernels_and_norms_by_their_definitions():
    weights, (x, y) = network(), samples(6, 5, 4)
    model, blocks = module(weights, "ntk"), layer_grams(weights, x).blocks("ntk")
    told = read(blocks, y)
    assert torch.allclose(told.kappa, oracle_kernel(model, x, y), rtol=1e-9)
    assert torch.allclose(told.pntk, oracle_kernel(model, x, y, signs="ones"), rtol=1e-9)
    i, j, eye = 1, 4, torch.eye(4, dtype=torch.float64)
    for kernel, multiple in (("kappa", 1.0), ("kappa", 0.3), ("pntk", 1.0)):
        value = getattr(told, kernel)[i, j]
        literal = (value * eye - multiple * blocks[i, j]).norm() / blocks[i, j].norm()
        assert float(told.error(kernel, multiple)[i, j]) == pytest.approx(float(literal), rel=1e-9)
    with pytest.raises(ValueError, match="labels must be below the 2 rows"):
        read(blocks[..., :2, :2], y)


def test_a_fresh_head_is_independent_of_the_draw_and_has_its_variance():
    weights = draw(5, 4000, 1, 3, seed=0)
    fresh = fresh_head(weights, 3, seed=[0, 1])
    assert float(fresh.var() * 4000) == pytest.approx(1, abs=0.05)
    assert abs(float((fresh * weights.matrices[-1]).sum() * 4000 / fresh.numel())) < 0.05
    assert torch.equal(weights.with_head(fresh).matrices[-1], fresh)


# ---- the factor


@each_row("k", range(2, 11))
def test_two_labels_keep_one_minus_four_over_k(k):
    y = torch.arange(k)
    told = read(3.0 * torch.eye(k, dtype=torch.float64).expand(k, k, k, k), y)  # blocks that are the limit exactly
    for a, b in itertools.product(range(k), repeat=2):
        assert float(told.kappa[a, b]) == pytest.approx(3 * factor(k, same=a == b), abs=1e-12)
    assert torch.allclose(told.pntk, torch.full_like(told.pntk, 3.0))

    weights = draw(6, 4096, 1, k, seed=k, dtype=torch.float64)  # and a random linear last layer
    x, y = samples(2 * k, 6, k, seed=k)
    told, same = read(layer_grams(weights, x).blocks("ntk"), y), y[:, None] == y[None, :]
    assert float(told.theta.min()) > 0
    assert float(told.kappa[~same].sum() / told.theta[~same].sum()) == pytest.approx(1 - 4 / k, abs=0.06)
    assert float(told.kappa[same].sum() / told.theta[same].sum()) == pytest.approx(1, abs=0.06)


# ---- the second moments, by exact enumeration


def expectation(values, probabilities, w, k, of):
    """E over all V (k, w) whose entries take these values independently."""
    total = 0.0
    for pick in itertools.product(range(len(values)), repeat=w * k):
        p = np.prod([probabilities[i] for i in pick])
        total = total + p * of(torch.tensor([values[i] for i in pick], dtype=torch.float64).view(k, w))
    return total


# the second has the first five moments of a Gaussian (Gauss-Hermite), so that its second moments are the Gaussian's
HEADS = {"signs": ((-1, 1), (0.5, 0.5), -2.0), "gaussian": ((-(3**0.5), 0, 3**0.5), (1 / 6, 2 / 3, 1 / 6), 0.0)}


@each_row(("head", "w", "k"), [("signs", 3, 3), ("signs", 2, 5), ("gaussian", 2, 3), ("gaussian", 3, 2)])
def test_second_moments_are_exact(head, w, k):
    values, probabilities, kurtosis = HEADS[head]
    generator = torch.Generator().manual_seed(1)
    m = torch.randn(w, w, generator=generator, dtype=torch.float64)  # not symmetric: two different inputs
    first = torch.tensor(0.7, dtype=torch.float64)  # the head's own part of the block
    scale = [(m**2).sum(), (m * m.T).sum(), (m.diagonal() ** 2).sum()]
    moments = Moments(m.trace(), *scale, kurtosis)
    coefficient = torch.randn(k, k, generator=generator, dtype=torch.float64)
    block = lambda v: first * torch.eye(k, dtype=torch.float64) + v @ m @ v.T

    got = expectation(values, probabilities, w, k, lambda v: (coefficient * (v @ m @ v.T)).sum())
    assert float(got) == pytest.approx(float(coefficient.trace() * m.trace()))
    square = expectation(values, probabilities, w, k, lambda v: ((coefficient * (v @ m @ v.T)).sum() - got) ** 2)
    assert float(square) == pytest.approx(float(moments.variance(coefficient)))

    for labels, kernel in (((0, 0), "kappa"), ((0, 1), "kappa"), ((0, 1), "pntk")):
        same = labels[0] == labels[1] or kernel == "pntk"

        def gap(v, labels=labels, kernel=kernel, same=same):
            told = read(block(v).expand(2, 2, k, k), torch.tensor(labels))
            return (getattr(told, kernel)[0, 1] * torch.eye(k) - factor(k, same) * block(v)).square().sum()

        got = expectation(values, probabilities, w, k, gap)
        assert float(got) == pytest.approx(float(moments.error_square(k, factor(k, same))))
        most = (k - 1) * (k + 4 + max(kurtosis, 0)) * float(moments.square)  # as used in the theorem's proof
        assert float(got) <= most * (1 + 1e-12)


def test_fresh_rows_estimate_the_moments():
    generator = torch.Generator().manual_seed(0)
    m = torch.randn(30, 30, generator=generator, dtype=torch.float64) + torch.eye(30)
    v = torch.randn(400, 12, 30, generator=generator, dtype=torch.float64)
    got = moments_from_fresh_rows(v @ m @ v.mT)
    for estimate, want in ((got.trace, m.trace()), (got.square, (m**2).sum()), (got.twice, (m * m.T).sum())):
        deviation = float((estimate.mean() - want) / (estimate.std() / 400**0.5))
        assert abs(deviation) < 4


def bound(k, rho, delta):
    """Theorem thm-w for a Gaussian last layer; infinite where it says nothing."""
    a, b = (2 * (k - 1) * (k + 4) / (k * delta)) ** 0.5, (4 / (k * delta)) ** 0.5
    return a * rho / (1 - b * rho) if b * rho < 1 else float("inf")


def test_the_bound_of_the_theorem_is_kept():
    k, delta, y = 5, 0.1, torch.tensor([0, 0, 1])
    kept, finite = [], []
    for seed in range(200):
        weights, (x, _) = draw(6, 512, 1, k, seed=[seed, 1], dtype=torch.float64), samples(3, 6, 1, seed)
        exact = layer_grams(weights, x)
        d = [(x.flatten(1) @ weights.matrices[0].T)[i] > 0 for i in range(3)]
        told = read(exact.blocks("ntk"), y)
        for i, j in ((0, 1), (0, 2)):
            both = (d[i] & d[j]).double()  # M is diagonal with one hidden layer
            size = float(exact.inputs[0][i, j] / 6 + 1) / 512
            centre = float(exact.head("ntk")[i, j] + size * both.sum())
            limit = bound(k, size * float(both.sum()) ** 0.5 / centre, delta)
            finite.append(limit < 1)
            kept.append(float(told.error(multiple=factor(k, bool(y[i] == y[j])))[i, j]) <= limit)
    assert np.mean(kept) >= 1 - delta
    assert np.mean(finite) > 0.9  # and it says something


# ---- the rate


@each_row(
    ("depth", "parametrisation", "rate"),
    [(1, "ntk", -0.5), (2, "ntk", -0.5), (2, "standard", -0.5), (1, "standard", -1.5)],
)
def test_the_rate_on_a_small_case(depth, parametrisation, rate):
    widths, (x, y) = [64, 128, 256, 512], samples(12, 3, 3)
    x = x.abs()  # no pair of nearly opposite inputs, whose features hardly overlap: theta stays away from zero
    same = (y[:, None] == y[None, :]) & ~torch.eye(12, dtype=torch.bool)
    errors = np.array([
        [float(read(layer_grams(draw(3, w, depth, 3, seed=[seed, w]), x).blocks(parametrisation), y)
               .error()[same].square().mean().sqrt()) for w in widths] for seed in range(12)
    ])  # fmt: skip
    value, low, high = slope(widths, errors)
    assert value == pytest.approx(rate, abs=0.15)
    assert low - 0.05 <= rate <= high + 0.05


def test_a_planted_slope_is_recovered_and_its_interval_covers():
    widths, generator = 2 ** np.arange(5, 12), np.random.default_rng(0)
    assert slope(widths, 3 * widths**-0.5 * np.ones((3, 1))) == pytest.approx((-0.5, -0.5, -0.5))
    hits = {0.95: [], 0.5: []}
    for _ in range(400):
        noise = np.exp(0.2 * generator.standard_normal((10, len(widths))))
        for level, found in hits.items():
            _, low, high = slope(widths, 3 * widths**-0.7 * noise, level)
            found.append(low <= -0.7 <= high)
    assert 0.91 < np.mean(hits[0.95]) < 0.985  # four standard errors
    assert 0.4 < np.mean(hits[0.5]) < 0.6


def test_a_slope_that_cannot_be_fitted_is_refused():
    with pytest.raises(ValueError, match="two widths and positive values"):
        slope([8, 8], np.ones((2, 2)))
    with pytest.raises(ValueError, match="an interval over seeds needs two of them"):
        slope([8, 16], np.ones((1, 2)))


def test_an_interval_of_one_seed_has_no_ends():
    assert np.isnan(mean_interval(np.array([1.0]))[1])
    mean, low, high = mean_interval(np.arange(10.0))
    assert (mean, low, high) == pytest.approx((4.5, 4.5 - 2.166, 4.5 + 2.166), abs=0.002)
