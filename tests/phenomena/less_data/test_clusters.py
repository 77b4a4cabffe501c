"""Are clusters of networks counted, compared and judged as the page says?"""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from rows import each_row

from lpntk.data.dataset import load
from lpntk.keep.cache import Cache
from lpntk.learn.campaign import Network
from lpntk.phenomena.less_data.clusters import figures
from lpntk.phenomena.less_data.clusters.power_law import power_law
from lpntk.phenomena.less_data.clusters.study import KINDS, agreement, by_cluster, gini, shape, study
from lpntk.phenomena.less_data.clusters.verdict import verdict

RULE = {"gini": 0.5, "top": 0.5, "networks": 3, "test": 0.9, "power_law": 0.1}


def test_every_network_is_clustered_at_every_moment(tmp_path):
    data, network = load("digits"), Network("mlp", (1, 8, 8), 10, {"hidden": [8]})
    samples, networks = study(network, data, n=80, ratio=0.25, seeds=[0, 1], moments=[0, 2], cache=Cache(tmp_path),
                              device="cpu", lr=0.1, batch_size=64)  # fmt: skip
    assert len(samples) == 80 * (2 * 2 * 4 + 1)
    assert set(samples["kind"]) == set(KINDS)
    assert len(networks) == 4
    found = by_cluster(samples)
    assert (found.groupby(["seed", "epoch", "kind"])["size"].sum() == 80).all()
    assert np.allclose(found.groupby(["seed", "epoch", "kind", "label"])["share"].sum(), 1)
    at = samples[(samples["kind"] == "kernel") & (samples["seed"] == 1) & (samples["epoch"] == 2)]
    heads = at[at["sample"] == at["head"]]
    assert torch.allclose(torch.tensor(heads["own"].values), torch.tensor(heads["alike"].values))
    assert (at["label"].values == data.y_train.numpy()[at["head"]]).all()
    one = shape(found).query("kind == 'kernel' and seed == 1 and epoch == 2").iloc[0]
    assert one["clusters"] == at["head"].nunique()
    assert one["singletons"] == pytest.approx((at["head"].value_counts() == 1).mean())
    assert shape(found).set_index("kind")["norm"].isna().groupby("kind").all()["pixels"]  # all equally long
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures.heads(samples, data)


@each_row(("sizes", "want"), [([3, 3, 3], 0), ([0, 0, 0, 8], 0.75), ([1, 3], 0.25)])
def test_the_gini_coefficient(sizes, want):
    assert gini(np.array(sizes)) == pytest.approx(want)


def test_agreement_is_within_classes():
    """Two clusterings that agree on nothing but the classes agree by chance."""
    rng = np.random.default_rng(0)
    parts = [
        pd.DataFrame({"seed": seed, "epoch": 0, "kind": "kernel", "sample": range(400), "label": np.arange(400) // 200,
                      "cluster": rng.integers(5, size=400) + 5 * (np.arange(400) // 200)})
        for seed in (0, 1)
    ]  # fmt: skip
    frame = pd.concat(parts)
    assert abs(agreement(frame, "seed")["ari"].item()) < 0.05
    again = pd.concat([parts[0], parts[0].assign(seed=1, cluster=9 - parts[0]["cluster"])])
    assert agreement(again, "seed")["ari"].item() == 1  # names of clusters do not matter


def test_a_power_law_is_found_where_it_is_and_ruled_out_where_not():
    rng = np.random.default_rng(0)
    found = [power_law(rng.zipf(2.2, 300), draws=30) for _ in range(20)]
    assert all(alpha == pytest.approx(2.2, abs=0.3) for alpha, _ in found)
    assert 0.3 < np.mean([p for _, p in found]) < 0.7  # uniform where the law is true
    assert power_law(1 + rng.poisson(6, 300), draws=50)[1] == 0


def planted(ginis, tops, accuracy=0.95):
    shapes = pd.DataFrame({"seed": range(len(ginis)), "epoch": 9, "kind": "kernel", "gini": ginis, "top": tops})
    pixels = pd.DataFrame({"seed": [-1], "epoch": [-1], "kind": ["pixels"], "gini": [0.4], "top": [0.3]})
    networks = pd.DataFrame({"seed": range(len(ginis)), "epoch": 9, "test": accuracy})
    laws = pd.DataFrame({"kind": "kernel", "p": [0.5] * len(ginis)})
    return pd.concat([shapes, pixels]), networks, laws


@each_row(
    ("ginis", "tops", "accuracy", "word"),
    [
        ([0.5, 0.8, 0.7], [0.5, 0.6, 0.7], 0.95, "holds"),
        ([0.49, 0.8, 0.7], [0.5, 0.6, 0.7], 0.95, "holds in part"),
        ([0.4, 0.4, 0.4], [0.3, 0.3, 0.6], 0.95, "holds in part"),
        ([0.4, 0.4, 0.4], [0.3, 0.3, 0.3], 0.95, "fails"),
        ([0.5, 0.8], [0.5, 0.6], 0.95, "cannot be judged"),
        ([0.5, 0.8, 0.7], [0.5, 0.6, 0.7], 0.89, "cannot be judged"),
    ],
)
def test_the_verdict_is_that_of_the_rule(ginis, tops, accuracy, word):
    assert verdict(*planted(ginis, tops, accuracy), RULE).word == word
