import math

import numpy as np
import pytest
import torch
from scipy import stats

from lpntk.data import dataset as data
from lpntk.data.tasks import part
from lpntk.keep.cache import Cache
from lpntk.kernel.matrix import kernel_matrix
from lpntk.kernel.reading import shared_neighbours
from lpntk.learn.campaign import Network
from lpntk.learn.training import accuracy, train
from lpntk.phenomena.relations import drift
from lpntk.phenomena.relations.moments import train_moments

Y = torch.arange(30) % 3


def kernel(seed, n=30):
    phi = torch.randn(n, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return phi @ phi.T


def agreement(a, b):
    return {row["labels"]: row for row in drift.agreement(a, b, Y)}


def test_agreement_is_the_correlation_over_pairs_of_each_group():
    a, b = kernel(0), kernel(1)
    found = agreement(a, b)
    for name, wanted in (("same", True), ("different", False)):
        chosen = [(i, j) for i in range(30) for j in range(i + 1, 30) if bool(Y[i] == Y[j]) == wanted]
        u, v = (np.array([float(m[i, j]) for i, j in chosen]) for m in (a, b))
        assert found[name]["pearson"] == pytest.approx(stats.pearsonr(u, v).statistic, abs=1e-12)
        assert found[name]["spearman"] == pytest.approx(stats.spearmanr(u, v).statistic, abs=1e-12)


def test_a_factor_keeps_both_correlations_and_a_rising_function_the_ranks():
    a = kernel(0)
    scaled = agreement(a, 7 * a)["different"]
    bent = agreement(a, a**3)["different"]
    assert (scaled["pearson"], scaled["spearman"]) == (pytest.approx(1), pytest.approx(1))
    assert bent["spearman"] == pytest.approx(1)
    assert bent["pearson"] < 0.95


def test_the_label_alone_is_no_agreement():
    same = (Y[:, None] == Y[None, :]).double()
    a, b = (5 * same + m / 10 for m in (kernel(0), kernel(1)))  # nothing in common but the labels
    upper = torch.ones(30, 30, dtype=torch.bool).triu(1)
    assert stats.pearsonr(a[upper].numpy(), b[upper].numpy()).statistic > 0.9
    assert max(abs(row["pearson"]) for row in drift.agreement(a, b, Y)) < 0.3


def test_shared_neighbours_leave_the_sample_itself_out():
    a = torch.tensor([[9.0, 2, 1, 0], [2, 9, 0, 1], [1, 0, 9, 2], [0, 1, 2, 9]])
    b = torch.tensor([[9.0, 2, 1, 0], [2, 9, 0, 1], [1, 0, 9, 0], [0, 1, 2, 9]])  # the third sample's nearest moved
    assert shared_neighbours(a, b, 1) == 0.75
    assert shared_neighbours(a, a, 10) == 1.0  # more than there are


def test_the_effective_rank_of_planted_spectra():
    basis = torch.linalg.qr(torch.randn(20, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).Q
    planted = torch.zeros(20, dtype=torch.float64)
    planted[:5] = 3.0
    shares = drift.spectrum(basis * planted @ basis.T)
    assert shares.tolist() == pytest.approx([0.2] * 5 + [0] * 15, abs=1e-12)
    assert drift.effective_rank(shares) == pytest.approx(5)
    planted[0] = 27.0  # shares 9/13 and four times 1/13
    wanted = math.exp(-9 / 13 * math.log(9 / 13) - 4 / 13 * math.log(1 / 13))
    assert drift.effective_rank(drift.spectrum(basis * planted @ basis.T)) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("least", "moment"),
    [
        ({0: 0.2, 1: 0.95, 2: 0.97, 3: 1.0}, 1),
        ({0: 0.95, 1: 0.2, 2: 0.97, 3: 1.0}, 2),  # it left again
        ({0: 0.9, 1: 0.95, 2: 1.0}, 0),
        ({0: 0.2, 1: 0.89, 2: 1.0}, None),  # the last agrees with itself: no evidence
        ({0: 0.95, 1: float("nan"), 2: 1.0}, None),
    ],
)
def test_frozen_from(least, moment):
    assert drift.frozen_from(least, 0.9) == moment


def test_a_planted_drift_is_told():
    last, noise = kernel(0), kernel(1)
    kernels = {seed: {0: noise, 1: last + 0.01 * noise, 2: 2 * last} for seed in (0, 1)}
    table = drift.to_the_end(kernels, Y)
    assert len(table) == 2 * 3 * 2 * 2
    least = drift.least_correlations(table, "kernel")
    assert least[0] < 0.3
    assert least[2] == pytest.approx(1)
    assert drift.frozen_from(least, 0.9) == 1
    between = drift.between_seeds(kernels, Y)
    assert between.seeds.unique().tolist() == ["0-1"]
    assert between.pearson.tolist() == pytest.approx([1, 1])
    ranks = drift.ranks(drift.spectra(kernels))
    assert (ranks[ranks.epoch == 2]["rank"] <= 8).all()  # eight numbers per sample
    assert len(drift.between_seeds({0: kernels[0]}, Y)) == 0  # one network has nobody to agree with


def test_a_network_is_kept_as_it_was_at_each_moment(tmp_path):
    samples = data.load("digits")
    samples = part(samples, samples.sample(200))
    network = Network("mlp", samples.in_shape, samples.k, {"hidden": [16]})
    arguments = {"seed": 3, "cache": Cache(tmp_path), "device": "cpu", "lr": 0.1, "batch_size": 32}
    run = train_moments(network, samples, moments=[4, 0, 2], **arguments)
    assert run.epochs == [0, 2, 4]
    model = network(3)
    everything = torch.arange(200)[None]
    train([model], samples.x_train, samples.y_train, everything, seeds=[3], epochs=2, lr=0.1, batch_size=32,
          device="cpu")  # fmt: skip
    x, y = samples.x_train[:20], samples.y_train[:20]
    assert torch.allclose(run.kernel(2, x, y), kernel_matrix(model, x, y, device="cpu"), rtol=1e-4)
    assert run.test_accuracy[2] == pytest.approx(accuracy(model, samples.x_test, samples.y_test))
    assert run.train_accuracy[4] > run.train_accuracy[0]
    assert not run.diverged

    again = Cache(tmp_path)
    same = train_moments(network, samples, moments=[0, 2, 4], **{**arguments, "cache": again})
    assert again.hits == 1
    assert torch.equal(same.kernel(4, x, y), run.kernel(4, x, y))


@pytest.mark.filterwarnings("ignore::lpntk.learn.training.DivergenceWarning")
def test_a_diverged_network_is_marked(tmp_path):
    samples = data.load("digits")
    samples = part(samples, samples.sample(64))
    network = Network("mlp", samples.in_shape, samples.k, {"hidden": [16]})
    run = train_moments(network, samples, seed=0, moments=[0, 1, 20], cache=Cache(tmp_path), device="cpu", lr=1e12,
                        batch_size=8)  # fmt: skip
    assert run.diverged
