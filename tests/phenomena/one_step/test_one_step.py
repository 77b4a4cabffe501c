import pytest
import torch
from cases import CASES, samples
from oracle import jacobian
from rows import each_row

from lpntk.phenomena.one_step.step import (
    FORCES,
    forces,
    likelihood_velocity,
    logit_velocity,
    sgd_step,
    softmax_velocity,
)

LOGITS = torch.log(torch.tensor([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]], dtype=torch.float64))
LABELS = torch.tensor([0, 2])


@each_row(
    ("force", "expected"),
    [
        ("error", [[0.3, -0.2, -0.1], [-0.25, -0.25, 0.5]]),
        ("even", [[0.3, -0.15, -0.15], [-0.25, -0.25, 0.5]]),
        ("centred", [[4 / 3, -2 / 3, -2 / 3], [-2 / 3, -2 / 3, 4 / 3]]),  # over sqrt(3), as the two below
        ("label", [[1, -1, -1], [-1, -1, 1]]),
        ("ones", [[1, 1, 1], [1, 1, 1]]),
    ],
)
def test_forces_by_hand(force, expected):
    scale = 1 if force in ("error", "even") else 3**-0.5
    want = scale * torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(forces(LOGITS, LABELS, force), want)


def test_two_classes_leave_the_magnitude_nothing_to_say():
    logits = torch.randn(5, 2, dtype=torch.float64)
    y = torch.tensor([0, 1, 1, 0, 1])
    error, label = forces(logits, y, "error"), forces(logits, y, "label")
    torch.testing.assert_close(torch.cosine_similarity(error, label), torch.ones(5, dtype=torch.float64))


def explicit(model, x, y, x_test, force):
    """A(x_o) mean_u Theta(x_o, x_u) v_u from full Jacobians and K x K blocks, pair by pair."""
    v = forces(model(x).detach(), y, force)
    j, j_test = jacobian(model, x), jacobian(model, x_test)
    q = model(x_test).detach().softmax(1)
    rows = []
    for o in range(len(x_test)):
        a = torch.diag(q[o]) - torch.outer(q[o], q[o])
        rows.append(a @ sum(j_test[o] @ j[u].T @ v[u] for u in range(len(x))) / len(x))
    return torch.stack(rows)


NAMES = ("mlp", "mlp-two-classes", "lenet5", "resnet-batchnorm", "frozen-weights")


@pytest.mark.parametrize("case", [c for c in CASES if c.name in NAMES], ids=lambda c: c.name)
def test_forward_products_are_the_explicit_blocks(case):
    model = case.make(0).double()
    x, y, x_test, _ = samples(case)
    x, x_test = x.double(), x_test.double()
    with torch.no_grad():
        vectors = torch.stack([forces(model(x), y, force) for force in FORCES])
        q = model(x_test).softmax(1)
    got = softmax_velocity(q, logit_velocity(model, x, y, vectors, x_test))
    for change, force in zip(got, FORCES, strict=True):
        torch.testing.assert_close(change, explicit(model, x, y, x_test, force), rtol=1e-9, atol=1e-12)


def smooth(seed=0):
    """A network without kinks, so that the second order holds at every learning rate small enough."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = torch.nn.Sequential(torch.nn.Linear(6, 12), torch.nn.Tanh(), torch.nn.Linear(12, 4)).double()
        return net, *(torch.randn(n, 6, dtype=torch.float64) for n in (3, 7)), torch.tensor([0, 3, 1])


def predicted_and_real(net, x, y, x_test, lr):
    with torch.no_grad():
        z = net(x_test)
        vectors = forces(net(x), y, "error")[None]
        change = sgd_step(net, x, y, lr)(x_test).softmax(1) - z.softmax(1)
    return lr * softmax_velocity(z.softmax(1), logit_velocity(net, x, y, vectors, x_test)[0]), change


def test_the_formula_is_the_derivative_of_the_true_step():
    net, x, x_test, y = smooth()
    lr = 1e-4
    first, real = predicted_and_real(net, x, y, x_test, lr)
    half = predicted_and_real(net, x, y, x_test, lr / 2)[1]
    difference = 4 * half - real  # a finite difference whose error is of third order
    torch.testing.assert_close(first, difference.detach(), rtol=1e-6, atol=1e-13)


def test_the_error_of_the_formula_is_of_second_order():
    net, x, x_test, y = smooth()
    lrs = torch.logspace(-5, -2, 7, dtype=torch.float64)
    errors = []
    for lr in lrs.tolist():
        first, real = predicted_and_real(net, x, y, x_test, lr)
        errors.append((first - real).norm())
    slopes = torch.stack(errors).log().diff() / lrs.log().diff()
    torch.testing.assert_close(slopes, torch.full_like(slopes, 2.0), rtol=0, atol=0.01)


def test_the_change_of_the_log_likelihood():
    z = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    y = torch.tensor([0, 1, 2, 3, 0])
    v = torch.randn(2, 5, 4, dtype=torch.float64)
    (grad,) = torch.autograd.grad(z.log_softmax(1)[torch.arange(5), y].sum(), z)
    got = likelihood_velocity(z.detach().softmax(1), v, y)
    torch.testing.assert_close(got, (grad * v).sum(-1))


def test_what_does_not_fit_is_refused():
    net, x, x_test, y = smooth()
    with pytest.raises(ValueError, match="force must be one of error, even, centred, label, ones; got 'sign'"):
        forces(net(x), y, "sign")
    with pytest.raises(ValueError, match=r"vectors must be \(s, n, k\) = \(s, 3, 4\); got \(3, 4\)"):
        logit_velocity(net, x, y, torch.zeros(3, 4, dtype=torch.float64), x_test)


def test_a_confident_sample_is_still_a_little_wrong():
    z = torch.tensor([[20.0, 0.0, 0.0], [0.0, 25.0, 1.0]])
    y = torch.tensor([0, 1])
    got, want = forces(z, y, "even"), forces(z.double(), y, "even")
    assert want.abs().min() > 0
    assert torch.allclose(got.double(), want, rtol=1e-5, atol=0)  # 1 - q_y would be 0 in float32


# The page book/questions/one-step.md derives more; each of its formulas here against the plain thing.


def split(q, y):
    """Which wrong classes: r of equation eq-step-split."""
    r = q.clone()
    r[y] = 0
    return r / (1 - q[y])


def test_the_angle_between_error_and_centred_signs_depends_on_the_rivals_alone():
    q = torch.tensor([0.1, 0.6, 0.05, 0.25], dtype=torch.float64)
    for y in range(4):
        e = forces(q.log()[None], torch.tensor([y]), "error")[0]
        s = forces(q.log()[None], torch.tensor([y]), "centred")[0]
        r = split(q, y)
        torch.testing.assert_close(e, (1 - q[y]) * (torch.eye(4, dtype=torch.float64)[y] - r))
        want = 1 / ((1 - 1 / 4) * (1 + r @ r)) ** 0.5
        torch.testing.assert_close(torch.cosine_similarity(e, s, dim=0), want)
        assert (4 / 6) ** 0.5 <= want <= 1


def test_two_samples_mistaken_for_a_third_class_help_each_other():
    unit = torch.eye(3, dtype=torch.float64)
    for q_o, q_u in (([0.1, 0.1, 0.8], [0.1, 0.1, 0.8]), ([0.2, 0.7, 0.1], [0.6, 0.3, 0.1])):
        q_o, q_u = (torch.tensor(q, dtype=torch.float64) for q in (q_o, q_u))
        rate = likelihood_velocity(q_o[None], (unit[1] - q_u)[None], torch.tensor([0]))[0]  # y = 0, y_u = 1, Theta = I
        page = -(1 - q_o[0]) * q_u[0] - q_o[1] * (1 - q_u[1]) + q_o[2] * q_u[2]
        torch.testing.assert_close(rate, page)
        assert (rate > 0) == (q_o[2] > 0.5)
        signs = likelihood_velocity(q_o[None], (2 * unit[1] - 1)[None], torch.tensor([0]))[0]
        torch.testing.assert_close(signs, -2 * q_o[1])


def test_kinks_leave_the_order_of_the_mean_and_not_of_the_root_mean_square():
    kinks = torch.rand(400_000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))  # density 1
    lrs = torch.logspace(-3, -1, 5, dtype=torch.float64)
    missed = torch.stack([(lr - kinks).clamp_min(0) for lr in lrs])
    order = lambda error: (error.log().diff() / lrs.log().diff()).mean()
    assert float(order(missed.mean(1))) == pytest.approx(2, abs=0.05)
    assert float(order(missed.square().mean(1).sqrt())) == pytest.approx(1.5, abs=0.05)


def test_both_parts_bend_the_probabilities_as_the_page_says():
    z, v, bend = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    line = lambda t: (z + t * v + t**2 / 2 * bend).softmax(0)  # logits with a second derivative of their own
    q, h = z.softmax(0), 1e-4
    deviation = (v - q @ v).square()
    want = q * (deviation - q @ deviation) + (q.diag() - q.outer(q)) @ bend
    torch.testing.assert_close((line(h) - 2 * q + line(-h)) / h**2, want, rtol=1e-5, atol=1e-7)


@each_row("k", [2, 3, 4, 10])
def test_centred_signs_are_an_evenly_spread_error(k):
    y, unit, one = 1, torch.eye(k, dtype=torch.float64)[1], torch.ones(k, dtype=torch.float64)
    centred = forces(torch.zeros(1, k, dtype=torch.float64), torch.tensor([y]), "centred")[0] * k**0.5
    torch.testing.assert_close(centred, (2 * unit - one) - (2 - k) / k * one)
    torch.testing.assert_close(centred, 2 * (k - 1) / k * (unit - (one - unit) / (k - 1)))


def test_the_mean_of_the_signs_counts_where_the_block_is_no_multiple_of_the_identity():
    k, y, generator = 4, torch.tensor([2]), torch.Generator().manual_seed(0)
    q = torch.randn(k, dtype=torch.float64, generator=generator).softmax(0)
    a, one = q.diag() - q.outer(q), torch.ones(k, dtype=torch.float64)
    label, centred = (forces(q.log()[None], y, force)[0] * k**0.5 for force in ("label", "centred"))
    block = torch.randn(k, k, dtype=torch.float64, generator=generator)
    torch.testing.assert_close(a @ block @ (label - centred), (2 - k) / k * a @ block @ one)
    assert float((a @ block @ one).norm()) > 0.1
    block -= block.mean(1).diag() @ torch.ones(k, k, dtype=torch.float64) - 1  # rows of one sum
    torch.testing.assert_close(a @ block @ label, a @ block @ centred)
