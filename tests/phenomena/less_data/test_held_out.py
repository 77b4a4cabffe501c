"""Is nobody judged by a network that has learned it, and is cleanlab asked what it is said to be asked?"""

import numpy as np
import pytest
import torch
from rows import each_row
from sklearn.model_selection import StratifiedKFold

from lpntk.data.dataset import load
from lpntk.learn.campaign import Network
from lpntk.learn.training import train
from lpntk.phenomena.less_data import held_out
from lpntk.phenomena.less_data.held_out import FOLDS, label_issues, label_quality, logits, out_of_sample

DIGITS, N = load("digits"), 203
X, Y = DIGITS.x_train[:N], DIGITS.y_train[:N]
NETWORK, SGD = Network("mlp", (1, 8, 8), 10, {"hidden": [8]}), {"lr": 0.1, "batch_size": 32, "device": "cpu"}


def test_nobody_is_judged_by_a_network_that_learned_it(monkeypatch):
    learned, asked, true = [], [], held_out.train

    def noted(networks, x, y, subsets, **options):
        learned.extend(subsets)
        return true(networks, x, y, subsets, **options)

    def flat(network, x, device):
        asked.append([int((one == X).flatten(1).all(dim=1).nonzero()[0]) for one in x])
        return torch.zeros(len(x), 10)

    monkeypatch.setattr(held_out, "train", noted)
    monkeypatch.setattr(held_out, "logits", flat)
    chances = out_of_sample(NETWORK, X, Y, 10, seed=5, epochs=1, **SGD)
    assert torch.allclose(chances, torch.full((N, 10), 0.1))
    assert sorted(i for part in asked for i in part) == list(range(N))
    assert len(learned) == len(asked) == FOLDS
    for rows, rest in zip(learned, asked, strict=True):
        assert not set(rows.tolist()) & set(rest)
        assert len(set(rows.tolist())) == len(rows) >= 0.75 * N


def test_probabilities_are_those_of_networks_trained_one_by_one():
    """Also where a rest is longer than another and loses its last samples."""
    told = out_of_sample(NETWORK, X, Y, 10, seed=5, epochs=3, **SGD)
    seeds, draw = np.random.SeedSequence(5).generate_state(FOLDS).tolist(), torch.Generator().manual_seed(5)
    parts = list(StratifiedKFold(FOLDS, shuffle=True, random_state=5).split(np.zeros(N), Y.numpy()))
    size = min(len(learned) for learned, _ in parts)
    for seed, (learned, rest) in zip(seeds, parts, strict=True):
        rows = torch.from_numpy(learned)[torch.randperm(len(learned), generator=draw)[:size]]
        model = NETWORK(seed)
        train([model], X, Y, rows[None], seeds=[seed], epochs=3, **SGD)
        plain = model(X[torch.from_numpy(rest)]).softmax(dim=1).detach()
        torch.testing.assert_close(told[torch.from_numpy(rest)], plain, rtol=1e-3, atol=1e-4)


def test_logits_do_not_depend_on_batches():
    model = NETWORK(0)
    assert torch.allclose(logits(model, X.repeat(3, 1, 1, 1), "cpu")[2 * N :], model(X), atol=1e-6)


@each_row(("ask", "module"), [(label_quality, "cleanlab.rank"), (label_issues, "cleanlab.filter")])
def test_without_cleanlab_a_sentence_says_how_to_get_it(ask, module, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install .\[book\]"):
        ask(np.array([0, 1]), np.full((2, 2), 0.5))


def test_quality_is_the_probability_of_the_label_and_issues_are_confident_contradictions():
    y = np.arange(60) % 3
    chances = np.full((60, 3), 0.1)
    chances[range(60), y] = 0.8
    chances[[7, 20]] = [[0.97, 0.015, 0.015], [0.9, 0.05, 0.05]]  # of labels 1 and 2
    assert label_quality(y, chances) == pytest.approx(chances[range(60), y])
    assert label_issues(y, chances).tolist() == [7, 20]
