"""Does each way keep what it says, and is a toy that is too easy found out?"""

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from rows import each_row

from lpntk.learn.models import build
from lpntk.phenomena.less_data.gaussians import figures
from lpntk.phenomena.less_data.gaussians.study import HEADS, MEANS, ONE, WAYS, WHOLE, clouds, kept, study, train_points
from lpntk.phenomena.less_data.gaussians.verdict import compared, verdict

RULE = {"margin": 0.01, "level": 0.05, "repeats": 20, "test": 0.8}
TRAINING = {"epochs": 6, "lr": 0.1, "every": 2}


def network(seed):
    return build("mlp", (2,), 3, seed=seed, hidden=(8,))


def apart(x, y):
    return (x - MEANS[y]).norm(dim=1)


def test_points_lie_around_their_means():
    x, y = clouds(3000, 0.5, 0)
    for c, mean in enumerate(MEANS):
        assert (y == c).sum() == 1000
        assert torch.allclose(x[y == c].mean(dim=0), mean, atol=0.06)
        assert torch.allclose(x[y == c].std(dim=0), torch.tensor(0.5), atol=0.04)


def test_each_way_keeps_its_half():
    x, y = clouds(90, 0.5, 1)
    scoring = network(0)
    parts = {way: kept(way, x, y, 0.5, 7, scoring) for way in (*WAYS, HEADS)}
    for part in parts.values():
        assert [int((y[part] == c).sum()) for c in range(3)] == [15, 15, 15]
        assert len(part.unique()) == 45
    for near, far, value in (("near", "far", -apart(x, y)), ("cosine", "cosine-far", F.cosine_similarity(x, MEANS[y]))):
        assert not set(parts[near].tolist()) & set(parts[far].tolist())
        for c in range(3):
            nearer, farther = (value[parts[way]][y[parts[way]] == c] for way in (near, far))
            assert nearer.min() >= farther.max()
    assert len(kept(ONE, x, y, 0.5, 7, scoring)) == 3
    assert len(kept(WHOLE, x, y, 0.5, 7, scoring)) == 90


def test_unlikely_points_are_kept_more_often():
    x, y = clouds(300, 0.5, 2)
    often = torch.zeros(300)
    for seed in range(40):
        often[kept("unlikely", x, y, 0.3, seed, None)] += 1
    outer = apart(x, y) > apart(x, y).median()
    assert often[outer].mean() > 1.3 * often[~outer].mean()
    assert often[~outer].max() > 0  # rather, not only


def test_points_are_learned_as_torch_does_it():
    x, y = clouds(30, 0.5, 3)
    models = [network(i) for i in range(2)]
    want = [network(i) for i in range(2)]
    train_points(models, x.expand(2, -1, -1), y.expand(2, -1), **TRAINING)
    for model, got in zip(want, models, strict=True):
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        falls = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.7)
        for _ in range(6):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            falls.step()
        assert torch.allclose(got(x), model(x), rtol=1e-3, atol=1e-4)


def test_all_ways_start_alike_and_are_told_seed_by_seed():
    ways = [WHOLE, "near", ONE]
    frame, shown = study(ways, n=30, n_test=60, noises=[0.1, 0.5], share=0.5, seeds=[4, 5], hidden=8, **TRAINING)
    assert (frame.groupby(["noise", "repeat", "arm"]).size() == 6).all()
    assert set(shown) == {(noise, way) for noise in (0.1, 0.5) for way in ways}
    sizes = {ax.get_title(): ax.lines[0].get_markersize() for ax in figures.regions(shown, 0.5).axes if ax.lines}
    assert sizes["one point of each"] > 2 * sizes["all points"]  # three points must be seen
    alone, _ = study(ways, n=30, n_test=60, noises=[0.5], share=0.5, seeds=[5], hidden=8, **TRAINING)
    both = frame.merge(alone, on=["noise", "repeat", "arm", "epoch"], suffixes=("", "_alone"))
    assert len(both) == len(alone)
    assert np.allclose(both["test"], both["test_alone"], atol=0.04)


@each_row(
    ("losses", "repeats", "whole", "word"),
    [
        ({"near": 0.0, "far": 0.0, ONE: 0.1}, 30, 0.9, "holds"),
        ({"near": 0.0, "far": 0.05, ONE: 0.1}, 30, 0.9, "holds in part"),
        ({"near": 0.05, "far": 0.05, ONE: 0.1}, 30, 0.9, "fails"),
        ({"near": 0.01, "far": 0.01, ONE: 0.1}, 30, 0.9, "is undecided"),
        ({"near": 0.0, "far": 0.0, ONE: 0.0}, 30, 0.9, "cannot be judged"),  # too easy
        ({"near": 0.0, "far": 0.0, ONE: 0.1}, 5, 0.9, "cannot be judged"),
        ({"near": 0.0, "far": 0.0, ONE: 0.1}, 30, 0.6, "cannot be judged"),
    ],
)
def test_the_toy_is_judged_by_its_rule(losses, repeats, whole, word):
    rng, rows = np.random.default_rng(0), []
    for r in range(repeats):
        for arm, loss in {WHOLE: 0.0, **losses}.items():
            noise = 0 if arm == WHOLE else rng.normal(0, 0.004)
            rows += [{"noise": 0.7, "repeat": r, "arm": arm, "epoch": e, "kept": 3, "test": whole - loss + noise}
                     for e in (1, 2)]  # fmt: skip
    frame = pd.DataFrame(rows)
    assert verdict(frame, compared(frame, RULE), 0.7, RULE).word == word
