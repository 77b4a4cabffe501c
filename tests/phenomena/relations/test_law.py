import pytest
import torch
from oracle import jacobian, oracle_kernel, sign_vector

from lpntk.data import dataset as data
from lpntk.data.tasks import flip, part, random_classes, restrict
from lpntk.kernel.matrix import kernel_matrix
from lpntk.kernel.reading import Pairs, pairs
from lpntk.kernel.signs import factor
from lpntk.learn.models import build
from lpntk.phenomena.relations.law import as_one_label, measured_factor, predicted_contradiction


def small(k, n=6):
    generator = torch.Generator().manual_seed(0)
    model = build("mlp", (1, 2, 3), k, seed=0, hidden=(7,)).double().eval()
    x = torch.randn(n, 1, 2, 3, generator=generator, dtype=torch.float64)
    return model, x, torch.arange(n) % k


@pytest.mark.parametrize("k", [2, 3, 4, 7, 10])
def test_the_factors_are_products_of_sign_vectors(k):
    logits = torch.zeros(k, dtype=torch.float64)
    s, t = (sign_vector(logits, label, "label") for label in (0, 1))
    assert float(s @ t / (s @ s)) == pytest.approx(factor(k))
    s, t = (sign_vector(logits, label, "centred") for label in (0, 1))
    assert float(s @ t / (s @ s)) == pytest.approx(-1 / (k - 1))
    assert float(s @ s) == pytest.approx(4 * (k - 1) / k**2)
    assert float(s @ t) == pytest.approx(-4 / k**2)


def test_the_kernel_under_one_label_against_the_definition():
    model, x, y = small(3)
    got = as_one_label(model, x, y, device="cpu")
    for i in range(6):
        for j in range(6):
            under = [oracle_kernel(model, x[[i]], y[[c]], x[[j]], y[[c]]) for c in (i, j)]
            assert float(got[i, j]) == pytest.approx(float(sum(under)) / 2, rel=1e-9)
    same = y[:, None] == y[None, :]
    assert torch.allclose(got[same], kernel_matrix(model, x, y, device="cpu")[same])


@pytest.mark.parametrize("k", [2, 3, 4, 10])
def test_a_wide_network_follows_the_law(k):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(30, 1, 4, 4, generator=generator) + 0.5, torch.arange(30) % k

    def found(width):
        model = build("mlp", (1, 4, 4), k, seed=0, hidden=(width,)).eval()
        kappa, one = kernel_matrix(model, x, y, device="cpu"), as_one_label(model, x, y, device="cpu")
        return measured_factor(pairs(kappa, y), pairs(one, y))

    assert found(4096) == pytest.approx(factor(k), abs=0.02)
    if k > 2:  # with two classes it is an identity at any width
        assert abs(found(4) - factor(k)) > 0.03


def test_the_measured_factor_is_a_least_squares_slope():
    none = torch.empty(0)
    one, kappa = torch.tensor([1.0, 2.0, -1.0]), torch.tensor([0.5, 1.1, -0.4])
    slope = measured_factor(Pairs(none, kappa), Pairs(none, one))
    assert slope == pytest.approx((0.5 + 2.2 + 0.4) / 6)


def test_what_the_law_predicts_of_contradiction():
    cosines = Pairs(torch.empty(0), torch.tensor([0.9, 0.35, 0.25, 0.05, -0.2]))
    share = lambda k: pytest.approx(predicted_contradiction(cosines, k))
    assert share(2) == 3 / 5  # cosines of at least 0.1
    assert share(3) == 2 / 5  # of at least 0.3
    assert share(4) == 0
    assert share(10) == 1 / 5  # of at most -1/6


def test_what_a_flipped_label_does_to_the_kernel():
    """The derivation of book/relations: kappa changes by (2/K) (e_new - e_old)^T Theta s(y')."""
    k = 4
    model, x, y = small(k)
    flipped = y.clone()
    flipped[0] = 3
    theta = jacobian(model, x[:1])[0] @ jacobian(model, x[1:2])[0].T  # (k, k)
    change = torch.zeros(k, dtype=torch.float64)
    change[3], change[int(y[0])] = 1, -1
    s = sign_vector(torch.zeros(k, dtype=torch.float64), int(y[1]), "label") * k**0.5
    before, after = (kernel_matrix(model, x, labels, device="cpu")[0, 1] for labels in (y, flipped))
    assert float(after - before) == pytest.approx(float(2 / k * change @ theta @ s), rel=1e-9)


def test_the_mean_of_the_signs_is_what_centring_takes_out():
    """The decomposition of book/relations: s = s_c + m 1, so kappa = centred + two cross terms + m^2 ones."""
    k = 5
    model, x, y = small(k)
    kappa = {signs: oracle_kernel(model, x, y, signs=signs) for signs in ("label", "ones", "centred")}
    j, m = jacobian(model, x), (2 - k) / k
    centred = torch.stack([sign_vector(torch.zeros(k).double(), int(c), "centred") for c in y])  # (n, k)
    ones = torch.ones(k, dtype=torch.float64) / k**0.5
    cross = torch.einsum("ik,ikp,jlp,l->ij", centred, j, j, ones)
    assert torch.allclose(kappa["label"], kappa["centred"] + m * (cross + cross.T) + m**2 * kappa["ones"])
    assert float(centred @ ones @ torch.ones(1).double().expand(6)) == pytest.approx(0, abs=1e-12)


def test_restricting_classes_renumbers_and_drops():
    digits = data.load("digits")
    task = restrict(digits, [3, 7])
    assert task.k == 2
    assert task.classes == ("3", "7")
    assert len(task.y_train) == int(((digits.y_train == 3) | (digits.y_train == 7)).sum())
    sevens = digits.x_test[digits.y_test == 7]
    assert torch.equal(task.x_test[task.y_test == 1], sevens)
    assert task.digest != digits.digest
    with pytest.raises(ValueError, match=r"classes must be different numbers in 0\.\.9; got \[3, 3\]"):
        restrict(digits, [3, 3])
    with pytest.raises(ValueError, match=r"got \[1, 10\]"):
        restrict(digits, [1, 10])


def test_random_classes():
    assert random_classes(10, 10, 0) == list(range(10))
    chosen = [tuple(random_classes(10, 3, seed)) for seed in range(20)]
    assert all(len(set(c)) == 3 and list(c) == sorted(c) for c in chosen)
    assert len(set(chosen)) > 10
    with pytest.raises(ValueError, match="a task needs 2 to 10 of the 10 classes; got 1"):
        random_classes(10, 1, 0)


def test_flipping_changes_exactly_the_share_and_always_the_label():
    y = torch.arange(1000) % 10
    flipped = flip(y, 0.3, 10, seed=4)
    changed = flipped != y
    assert int(changed.sum()) == 300
    assert flipped.min() >= 0
    assert flipped.max() <= 9
    moves = torch.bincount((flipped - y)[changed] % 10, minlength=10)
    assert moves[0] == 0
    assert moves[1:].min() > 10  # about 33 of each
    assert torch.equal(flip(y, 0.3, 10, seed=4), flipped)
    assert not torch.equal(flip(y, 0.3, 10, seed=5), flipped)
    assert torch.equal(flip(y, 0.0, 10, seed=4), y)
    with pytest.raises(ValueError, match=r"must lie in 0\.\.1; got 30"):
        flip(y, 30, 10, seed=0)


def test_samples_drawn_with_the_same_seed_are_flipped_no_more_often():
    digits = data.load("digits")
    share = [
        float((flip(digits.y_train, 0.3, 10, seed) != digits.y_train)[digits.sample(400, seed)].double().mean())
        for seed in range(5)
    ]
    assert share == pytest.approx([0.3] * 5, abs=0.09)  # four standard deviations


def test_a_part_keeps_the_test_set():
    digits = data.load("digits")
    few = part(digits, torch.tensor([5, 2]))
    assert torch.equal(few.y_train, digits.y_train[[5, 2]])
    assert torch.equal(few.x_test, digits.x_test)
    assert few.digest != digits.digest
