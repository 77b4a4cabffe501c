"""Does each step of the proof hold? Those of book/questions/theorem.md, by numbers in float64 and without chance.

Expectations are sums over all values that independent entries take; only the last lemma on the error draws.
"""

import itertools

import numpy as np
import pytest
import torch
from oracle import jacobian, sign_vector
from rows import each_row

from lpntk.kernel.signs import factor
from lpntk.phenomena.width.identity import Moments
from lpntk.phenomena.width.networks import PARAMETRISATIONS, draw, module

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(5)
HEADS = {  # values of one entry, their probabilities, excess kurtosis; mean 0 and variance 1
    "signs": ((-1, 1), (0.5, 0.5), -2.0),
    "skew": ((2, -0.5), (0.2, 0.8), 0.25),
    "heavy": ((-2, 0, 2), (1 / 8, 3 / 4, 1 / 8), 1.0),
    "gaussian": (tuple(NODES), tuple(WEIGHTS / WEIGHTS.sum()), 0.0),  # its moments up to the ninth
}


def every(head, size):
    """All vectors (n, size) whose entries come from a head, and the probability (n,) of each."""
    values, probabilities, _ = HEADS[head]
    grid = lambda one: torch.cartesian_prod(*[torch.tensor(one, dtype=torch.float64)] * size).view(-1, size)
    return grid(values), grid(probabilities).prod(-1)


def matrix(n, seed=0):
    """Not symmetric: two different inputs."""
    return torch.randn(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def moments_of(m, kurtosis=0.0):
    return Moments(m.trace(), m.square().sum(), (m * m.T).sum(), m.diagonal().square().sum(), kurtosis)


def inputs(n, d=5):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def signs(k, label):
    return sign_vector(torch.zeros(k), label, "label") * k**0.5


@each_row("parametrisation", PARAMETRISATIONS)
def test_a_block_is_the_last_layer_s_part_and_a_form_in_its_rows(parametrisation):
    weights, x = draw(5, 7, 2, 4, seed=0, dtype=torch.float64), inputs(3)
    model = module(weights, parametrisation)
    j, body, f = jacobian(model, x), jacobian(model[:-1], x), model[:-1](x)  # (n, k, p), (n, w, p'), (n, w)
    u, square = weights.matrices[-1], 1 / 7 if parametrisation == "ntk" else 1  # alpha^2
    for i, o in ((0, 1), (2, 2)):
        g, m = square * f[i] @ f[o] + 1, body[i] @ body[o].T
        torch.testing.assert_close(j[i] @ j[o].T, g * torch.eye(4, dtype=torch.float64) + u @ m @ u.T)


@each_row("head", HEADS)
def test_a_quadratic_form_has_the_moments_of_its_lemma(head):
    (u, p), s, kurtosis, n, eye = every(head, 3), 0.7, HEADS[head][2], matrix(3), torch.eye(3, dtype=torch.float64)
    u = s * u
    fourth = torch.einsum("n,ni,nj,nk,nl->ijkl", p, u, u, u, u)
    pairs = [torch.einsum(f"{ab},{cd}->ijkl", eye, eye) for ab, cd in (("ij", "kl"), ("ik", "jl"), ("il", "jk"))]
    alike = torch.einsum("ij,jk,kl->ijkl", eye, eye, eye)
    torch.testing.assert_close(fourth, s**4 * (sum(pairs) + kurtosis * alike))
    form = (u @ n * u).sum(-1)
    mean = p @ form
    torch.testing.assert_close(mean, s**2 * n.trace())
    want = n.square().sum() + (n * n.T).sum() + kurtosis * n.diagonal().square().sum()
    torch.testing.assert_close(p @ (form - mean).square(), s**4 * want)


@each_row(("k", "other"), [*itertools.product([2, 3, 4, 7, 10], [0, 1])])
def test_the_kernel_without_its_limit_is_the_block_against_one_matrix(k, other):
    eye, u, m, g = torch.eye(k, dtype=torch.float64), matrix(k + 3)[:k], matrix(k + 3, 1), 0.7
    block = g * eye + u @ m @ u.T
    s, t, a = signs(k, 0), signs(k, other), factor(k, same=other == 0)
    kappa, theta, c = s @ block @ t / k, block.trace() / k, torch.outer(s, t) - a * eye
    torch.testing.assert_close(float(c.trace()), 0.0, atol=1e-12, rtol=0)
    torch.testing.assert_close(kappa - a * theta, (c * (u @ m @ u.T)).sum() / k)
    told = [float(part) for part in (c.square().sum(), (c * c.T).sum(), c.diagonal().square().sum())]
    assert told == pytest.approx([k**2 - a**2 * k, a**2 * k * (k - 1), k * (1 - a**2)], abs=1e-9)
    rest = (block - theta * eye).square().sum()
    torch.testing.assert_close((kappa * eye - a * block).square().sum(), k * (kappa - a * theta) ** 2 + a**2 * rest)


@each_row("head", ["signs", "skew", "heavy"])
def test_numerator_and_denominator_are_bounded_as_in_the_proof(head):
    w, k, g, kurtosis = 2, 3, 0.7, HEADS[head][2]
    rows, p = every(head, w * k)
    eye, more = torch.eye(k, dtype=torch.float64), max(kurtosis, 0)
    for m in (matrix(w), matrix(w, 1), torch.eye(w, dtype=torch.float64)):
        u, square = rows.view(-1, k, w), m.square().sum()
        block = g * eye + u @ m @ u.mT
        theta = block.diagonal(dim1=-2, dim2=-1).mean(-1)
        centre = p @ theta
        torch.testing.assert_close(centre, g + m.trace())
        assert p @ (theta - centre).square() <= (2 + more) / k * square * (1 + 1e-12)
        assert bool((block.flatten(1).norm(dim=-1) >= k**0.5 * theta - 1e-12).all())
        for other in (0, 1):
            a = factor(k, same=other == 0)
            kappa = torch.einsum("i,nij,j->n", signs(k, 0), block, signs(k, other)) / k
            gap = (kappa[:, None, None] * eye - a * block).square().sum((-2, -1))
            assert p @ gap <= (k - 1) * (k + 4 + more) * square * (1 + 1e-12)


@each_row("k", [2, 3, 4, 7, 10])
def test_the_gap_of_two_labels_is_four_over_k_up_to_the_bound(k):
    eye, a = torch.eye(k, dtype=torch.float64), factor(k, same=False)
    assert 1 - a == pytest.approx(4 / k)
    for seed in range(20):
        block = eye + 0.2 * matrix(k, seed)
        kappa, size = signs(k, 0) @ block @ signs(k, 1) / k, block.norm()
        gap, bound = (kappa * eye - block).norm() / size, (kappa * eye - a * block).norm() / size
        assert abs(gap - 4 / k) <= bound + 1e-12


def test_rho_is_share_over_root_of_directions_and_bounds_the_error_from_below():
    w, k, g, eye = 6, 4, 0.7, torch.eye(6, dtype=torch.float64)
    for m in (eye + matrix(w) / 3, eye + matrix(w, 1), -eye / 20, eye):  # a share below zero too; theta stays above
        moments, centre = moments_of(m), g + m.trace()
        tau, rho = moments.trace / centre, moments.spread / centre
        torch.testing.assert_close(rho, tau.abs() / moments.directions**0.5)
        assert moments.directions <= w * (1 + 1e-12)
        least = moments.error_square(k, 1) ** 0.5 / (k**0.5 * centre)
        assert least >= (k - 1) ** 0.5 * rho * (1 - 1e-12)
        assert (k - 1) ** 0.5 * rho >= tau.abs() * ((k - 1) / w) ** 0.5 * (1 - 1e-12)
    torch.testing.assert_close(moments.directions, torch.tensor(float(w), dtype=torch.float64))  # the identity's


def test_the_error_s_entries_are_no_wilder_than_the_lemma_from_below_needs():
    w, k, g = 2, 2, 0.7
    (rows, p), eye = every("gaussian", w * k), torch.eye(k, dtype=torch.float64)
    for m in (matrix(w), matrix(w, 1)):
        u = rows.view(-1, k, w)
        block = g * eye + u @ m @ u.mT
        kappa = torch.einsum("i,nij,j->n", signs(k, 0), block, signs(k, 0)) / k
        gap = kappa[:, None, None] * eye - block
        second, fourth = (torch.einsum("n,nij->ij", p, gap**power) for power in (2, 4))
        assert bool((fourth <= 81 * second**2 * (1 + 1e-12)).all())
        total = gap.square().sum((-2, -1))
        mean = p @ total
        assert p @ total**2 <= 81 * mean**2
        assert p[total >= mean / 2].sum() >= mean**2 / (4 * (p @ total**2))  # Paley and Zygmund


def test_the_error_is_seldom_below_half_the_bound_from_below():
    w, k, n = 200, 3, 2000
    m, eye = torch.eye(w, dtype=torch.float64) / w + matrix(w) / w**1.5, torch.eye(k, dtype=torch.float64)
    u = torch.randn(n, k, w, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    block, centre = eye + u @ m @ u.mT, 1 + m.trace()
    kappa = torch.einsum("i,nij,j->n", signs(k, 0), block, signs(k, 0)) / k
    size = block.flatten(1).norm(dim=-1)
    error = (kappa[:, None, None] * eye - block).flatten(1).norm(dim=-1) / size
    assert float((error >= 0.5 * ((k - 1) / 2) ** 0.5 * m.norm() / centre).double().mean()) >= 1 / 324
    assert float((size > 2 * k**0.5 * centre).double().mean()) < 0.01  # the denominator's part of it


@each_row("parametrisation", PARAMETRISATIONS)
def test_the_body_of_one_more_layer_follows_from_the_last(parametrisation):
    weights, x = draw(5, 7, 3, 4, seed=0, dtype=torch.float64), inputs(2)
    model, ntk, h = module(weights, parametrisation), parametrisation == "ntk", inputs(2)
    body = torch.zeros(5, 5, dtype=torch.float64)  # nothing below the first layer
    for layer, acting in enumerate(weights.matrices[:-1]):
        q = h[0] @ h[1] / (h.shape[1] if ntk else 1) + 1
        slopes = (h @ acting.T > 0).double()
        inner = q * torch.eye(7, dtype=torch.float64) + acting @ body @ acting.T
        body = slopes[0][:, None] * inner * slopes[1]
        features = model[: 3 + 2 * layer]  # to the ReLU of this layer
        literal, h = jacobian(features, x), features(x).detach()
        torch.testing.assert_close(literal[0] @ literal[1].T, body)


@each_row("head", ["signs", "skew", "heavy", "gaussian"])
def test_a_random_layer_keeps_the_body_s_norm_within_the_lemma(head):
    w, sigma, kurtosis, more = 2, 1.3, HEADS[head][2], max(HEADS[head][2], 0)
    rows, p = every(head, w * w)
    weights = sigma * rows.view(-1, w, w)
    for m in (matrix(w), matrix(w, 1), torch.eye(w, dtype=torch.float64)):
        got = p @ (weights @ m @ weights.mT).square().sum((-2, -1))
        inner = m.trace() ** 2 + (m * m.T).sum() + kurtosis * m.diagonal().square().sum()
        torch.testing.assert_close(got, sigma**4 * (w**2 * m.square().sum() + w * inner))
        assert got <= sigma**4 * (3 + more) * w**2 * m.square().sum() * (1 + 1e-12)


@each_row("head", ["signs", "skew", "heavy", "gaussian"])
def test_a_random_layer_keeps_the_features_norm_within_the_lemma(head):
    w, d, sigma, more = 2, 2, 1.3, max(HEADS[head][2], 0)
    rows, p = every(head, w * d)
    for below in inputs(4, d):
        before = sigma * rows.view(-1, w, d) @ below / d**0.5
        limit = (3 + more) * sigma**4 * below.norm() ** 4 / d**2
        assert bool((p @ before**4 <= limit * (1 + 1e-12)).all())
        assert p @ before.relu().norm(dim=-1) ** 4 / w**2 <= limit * (1 + 1e-12)
