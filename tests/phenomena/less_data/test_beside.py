"""Are other scores what their authors define, and are they compared on the same pairs?"""

import numpy as np
import pandas as pd
import pytest
import torch

from lpntk.data.dataset import load
from lpntk.keep.cache import Cache
from lpntk.kernel.matrix import kernel_matrix
from lpntk.learn.campaign import Network
from lpntk.learn.moments import train_together
from lpntk.learn.training import train
from lpntk.phenomena.less_data.beside.pairs import influence, study
from lpntk.phenomena.less_data.beside.samples import by_group, data_iq, groups, in_common
from lpntk.phenomena.less_data.beside.samples import study as study_samples

NETWORK, SGD = Network("mlp", (1, 8, 8), 10, {"hidden": [8]}), {"lr": 0.1, "batch_size": 32, "device": "cpu"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    data = load("digits")
    x, y = data.x_train[:80], data.y_train[:80]
    cache = Cache(tmp_path_factory.mktemp("cache"))
    asked = lambda: train_together(NETWORK, x, y, seeds=[3, 4], moments=[0, 1, 4], cache=cache, **SGD)
    return *asked(), *asked(), x, y


def test_networks_trained_together_are_those_trained_alone(trained):
    runs, loss, again, loss_again, x, y = trained
    assert torch.equal(loss, loss_again)
    assert torch.equal(runs[1].kernel(1, x[:5], y[:5]), again[1].kernel(1, x[:5], y[:5]))
    for run, own in zip(runs, loss, strict=True):
        model = NETWORK(run.seed)
        alone = train([model], x, y, torch.arange(80)[None], seeds=[run.seed], epochs=4, **SGD)
        assert torch.allclose(own, alone.loss[0], rtol=1e-3, atol=1e-4)
        assert torch.allclose(run.model(4)(x), model(x), rtol=1e-3, atol=1e-4)
        assert torch.equal(run.model(0)(x), NETWORK(run.seed)(x))


def test_data_iq_is_what_its_definition_says():
    p = torch.tensor([[0.9, 0.5, 0.1], [0.7, 0.5, 0.1]])
    confidence, variability = data_iq(-p.log())
    assert confidence.tolist() == pytest.approx([0.8, 0.5, 0.1])
    assert variability.tolist() == pytest.approx([(0.09 + 0.21) / 2, 0.25, 0.09])
    told = groups(np.array([0.9, 0.1, 0.5, 0.9, 0.1, 0.5]), np.array([0.0, 0.0, 0.0, 0.2, 0.2, 0.2]))
    assert told.tolist() == ["easy", "hard", "ambiguous", "ambiguous", "ambiguous", "ambiguous"]


def test_what_heads_have_in_common_is_found():
    rng = np.random.default_rng(0)
    head = np.arange(400) % 4 == 0
    label = np.arange(400) // 200
    frame = pd.DataFrame({"seed": 0, "label": label, "head": head, "size": np.arange(400) % 7 + 1,
                          "longer": 2.0 * head + 10 * label + rng.normal(0, 1, 400),
                          "larger": np.arange(400) % 7 * -1.0, "group": np.where(head, "hard", "easy")})  # fmt: skip
    found = in_common(frame, {"longer": "", "larger": ""}).set_index("property")
    assert found.loc["longer", "difference"] == pytest.approx(2 / np.sqrt(1 + 4 * 0.25 * 0.75), abs=0.1)
    assert abs(found.loc["longer", "size"]) < 0.1
    assert found.loc["larger", "size"] == pytest.approx(-1)
    told = by_group(frame).set_index("group")
    assert told.loc["hard", ["share", "heads"]].tolist() == [0.25, 1.0]
    assert told.loc["ambiguous", "share"] == 0


def test_influence_is_that_of_the_damped_hessian():
    phi = torch.randn(12, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    kappa = phi @ phi.T
    damped = phi.T @ phi / 12 + 0.3 * kappa.diagonal().mean() * torch.eye(5)
    want = phi @ torch.linalg.inv(damped) @ phi.T
    assert torch.allclose(influence(kappa, 0.3), want)
    with pytest.raises(ValueError, match="damping must be above 0"):
        influence(kappa, 0.0)


def test_scores_of_pairs_are_compared_on_the_same_pairs(trained):
    runs, _, _, _, x, y = trained
    found = study(runs[:1], x[:30], y[:30], damping=0.1)
    assert len(found) == 3 * 10
    kappa = kernel_matrix(runs[0].model(4), x[:30], y[:30], device="cpu")
    tracin = sum(kernel_matrix(runs[0].model(e), x[:30], y[:30], signs="error", device="cpu") for e in (1, 4))
    at = [(i, j) for i in range(30) for j in range(i + 1, 30) if y[i] == y[j]]
    table = pd.DataFrame({"a": [float(kappa[p]) for p in at], "b": [float(tracin[p]) for p in at]})
    told = found[(found["pairs"] == "same") & (found["one"] == "kernel") & (found["other"] == "tracin")]["rho"].item()
    assert told == pytest.approx(table.corr(method="spearman").loc["a", "b"], abs=1e-6)


def test_every_sample_is_told_once_for_each_network(trained):
    runs, loss, _, _, x, y = trained
    frame = study_samples(runs, loss, x, y, ratio=0.2)
    assert (frame.groupby("seed").size() == 80).all()
    assert (frame.groupby("seed")["head"].sum() == frame.groupby("seed")["cluster"].nunique()).all()
    assert (frame.groupby(["seed", "cluster"])["size"].first() == frame.groupby(["seed", "cluster"]).size()).all()
