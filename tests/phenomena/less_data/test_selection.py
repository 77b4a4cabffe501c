"""Does every method keep what it should, and is what it keeps judged by the rule?"""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from oracle import loss_norm
from rows import each_row

from lpntk.data.dataset import load
from lpntk.keep.cache import Cache
from lpntk.kernel.matrix import kernel_matrix
from lpntk.learn.campaign import Network
from lpntk.learn.moments import train_moments
from lpntk.learn.training import train
from lpntk.phenomena.less_data.farthest import Clusters, clusters
from lpntk.phenomena.less_data.scores import scores
from lpntk.phenomena.less_data.selection import figures
from lpntk.phenomena.less_data.selection.arms import ARMS, Asked, counts, members, node
from lpntk.phenomena.less_data.selection.study import _seeds, study
from lpntk.phenomena.less_data.selection.verdict import (
    against_all,
    credit,
    holm,
    hurts_not,
    paired,
    rivals,
    superior,
    title,
    unjudged,
)
from lpntk.report.plots import GREY
from lpntk.report.verdict import FAILS, HOLDS, UNDECIDED, UNJUDGED, Verdict

RULE = {"margin": 0.01, "level": 0.05, "least": 0.5, "repeats": 5, "test": 0.9}
NETWORK, SGD = Network("mlp", (1, 8, 8), 10, {"hidden": [8]}), {"lr": 0.1, "batch_size": 32, "device": "cpu"}


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    data, rows = load("digits"), load("digits").sample(90, 1)
    cache = Cache(tmp_path_factory.mktemp("cache"))
    x, y = data.x_train[rows], data.y_train[rows]
    return scores(NETWORK, x, y, seeds=[3, 4], epochs=4, early=1, cache=cache, **SGD), data, rows, cache


def whole(within, n=90):
    """The blocks in one matrix, zero elsewhere."""
    kappa = torch.zeros(n, n)
    for c, rows in enumerate(within.rows):
        kappa[rows[:, None], rows] = within.block(c).to(kappa)
    return kappa


def test_scores_are_what_their_definitions_say(asked):
    s, data, rows, cache = asked
    x, y = data.x_train[rows], data.y_train[rows]
    part, same = replace(data, x_train=x, y_train=y), y[:, None] == y
    runs = [train_moments(NETWORK, part, seed=i, moments=[0, 1, 4], cache=cache, **SGD) for i in (3, 4)]
    close = lambda a, b: torch.testing.assert_close(a, b.to(a.dtype), rtol=1e-4, atol=1e-4)
    close(whole(s.kernel), same * sum(kernel_matrix(run.model(4), x, y, device="cpu") for run in runs))
    close(whole(s.initial), same * sum(kernel_matrix(run.model(0), x, y, device="cpu") for run in runs))
    close(whole(s.blind), same * sum(kernel_matrix(run.model(4), x, y, signs="ones", device="cpu") for run in runs))
    errors = [(F.one_hot(y, 10) - run.model(1)(x).softmax(1)).norm(dim=1).detach() for run in runs]
    close(s.el2n, sum(errors))
    own = [[loss_norm(run.model(1), x, y, i) for i in range(5)] for run in runs]
    close(s.grand[:5], torch.tensor(own).sum(dim=0))
    assert s.features.shape == (90, 16)
    assert s.forgetting.min() >= 0


@each_row(("name", "share"), [*itertools.product(ARMS, (0.5, 0.1))])
def test_every_arm_keeps_as_many_samples(asked, name, share):
    s = asked[0]
    kept = ARMS[name][2](Asked(s, [0.1, share]), share, torch.Generator().manual_seed(0))
    assert len(set(kept.tolist())) == len(kept) == sum(counts(s.y, share).values())


def test_a_member_of_each_cluster_and_half_of_the_largest():
    found = Clusters(heads=torch.tensor([0, 4, 6]), of=torch.tensor([0, 0, 0, 0, 1, 1, 2, 2]))
    y, draw = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1]), torch.Generator().manual_seed(0)
    drawn = torch.stack([members(found, draw) for _ in range(60)])
    assert (found.of[drawn] == torch.arange(3)).all()
    assert len(drawn.unique()) == 8  # every sample is drawn at times
    kept = node(found, y, draw)
    assert [int((found.of[kept] == c).sum()) for c in range(3)] == [2, 2, 1]


def test_every_arm_is_trained_at_every_share_by_epochs_and_steps(tmp_path):
    arms = ["heads", "balanced", "el2n", "node"]
    frame = study(NETWORK, load("digits"), n=80, shares=[0.5, 0.25], repeats=2, scorers=1, epochs=3, early=1, ratio=0.2,
                  seed=0, cache=Cache(tmp_path), arms=arms, **SGD)  # fmt: skip
    counted = frame.groupby(["arm", "share", "count"]).size()
    assert (counted == 2).all()
    assert {name for name, *_ in counted.index} == {*arms, "all", "node-random"}
    assert len(counted) == 3 * 2 * 2 + 1 + 2 * 2
    assert (frame["best"] >= frame["last"]).all()
    assert not frame["diverged"].any()
    fewer = study(NETWORK, load("digits"), n=80, shares=[0.5, 0.25], repeats=2, scorers=1, epochs=3, early=1, ratio=0.2,
                  seed=0, cache=Cache(tmp_path), arms=["heads", "balanced"], by_steps=["heads"], fewer=True,
                  **SGD)  # fmt: skip
    assert set(fewer["arm"]) == {"all", "all-fewer", "heads", "balanced"}
    assert set(fewer[fewer["count"] == "steps"]["arm"]) == {"heads"}
    few = fewer[fewer["arm"] == "all-fewer"]  # 3 epochs of 3 steps; a half has 2 steps a pass, a quarter 1
    assert set(zip(few["share"], few["kept"], few["count"], strict=True)) == {(0.5, 80, "epochs"), (0.25, 80, "epochs")}
    data, (repeat,) = load("digits"), few.index[(few["repeat"] == 0) & (few["share"] == 0.5)]
    rows_seed, judged, _ = _seeds(0, 0, 1)
    history = train([NETWORK(judged)], data.x_train, data.y_train, data.sample(80, rows_seed)[None], seeds=[judged],
                    epochs=2, test=(data.x_test, data.y_test), **SGD)  # fmt: skip
    assert fewer.loc[repeat, "last"] == pytest.approx(float(history.test_accuracy[0, -1]), abs=0.004)
    same = ["repeat", "arm", "share", "count", "last"]
    fewer = fewer[fewer["arm"] != "all-fewer"]
    assert not fewer[same].merge(frame[same], how="left", indicator=True)["_merge"].eq("left_only").any()


def planted(differences, whole=0.95, repeats=6, sd=0.001):
    rng = np.random.default_rng(0)
    rows = []
    for r, noise in enumerate(rng.normal(0, 0.01, repeats)):
        rows.append({"repeat": r, "arm": "all", "share": 1.0, "count": "epochs", "kept": 100, "last": whole + noise})
        for (arm, share), d in differences.items():
            rows.append({"repeat": r, "arm": arm, "share": share, "count": "epochs", "kept": 100 * share,
                         "last": whole + noise + d + rng.normal(0, sd)})  # fmt: skip
    return pd.DataFrame(rows).assign(best=lambda f: f["last"], diverged=False)


@each_row(
    ("at", "sd", "word"),
    [
        ({0.7: 0.0, 0.5: -0.005}, 0.001, HOLDS),
        ({0.7: 0.0, 0.5: -0.02}, 0.001, "holds in part"),
        ({0.7: -0.02, 0.5: -0.03}, 0.001, FAILS),
        ({0.7: -0.01, 0.5: -0.01}, 0.01, UNDECIDED),
        ({0.7: 0.0, 0.5: 0.0, 0.1: -0.2}, 0.001, HOLDS),  # smaller shares are not asked
    ],
)
def test_planted_accuracies_are_judged_by_the_rule(at, sd, word):
    frame = planted({("heads", share): d for share, d in at.items()}, sd=sd)
    assert hurts_not(frame, against_all(frame, RULE), RULE, "heads").word == word


def test_a_share_is_compared_with_all_samples_and_with_all_in_as_few_steps():
    frame = planted({("heads", 0.5): -0.02, ("heads", 0.1): -0.2, ("node", 0.0): 0.0,
                     ("all-fewer", 0.5): -0.03, ("all-fewer", 0.1): -0.1})  # fmt: skip
    plain = against_all(frame, RULE).set_index(["arm", "share"])["difference"]
    equal = against_all(frame, RULE, fewer=True).set_index(["arm", "share"])["difference"]
    assert plain["heads", 0.5] == pytest.approx(-0.02, abs=0.002)
    assert equal.to_dict() == pytest.approx({("heads", 0.5): 0.01, ("heads", 0.1): -0.1}, abs=0.002)


def test_nothing_is_judged_of_few_or_bad_networks():
    for frame in (planted({("heads", 0.5): 0.0}, repeats=4), planted({("heads", 0.5): 0.0}, whole=0.7),
                  planted({("heads", 0.5): 0.0}).assign(diverged=True)):  # fmt: skip
        assert hurts_not(frame, against_all(frame, RULE), RULE, "heads").word == UNJUDGED


@each_row(("rival", "word"), [((-0.02, -0.02), HOLDS), ((-0.02, 0.0), UNDECIDED), ((-0.02, 0.02), FAILS)])
def test_the_kernel_is_given_credit_only_against_every_rival(rival, word):
    frame = planted({("heads", 0.5): 0.0, ("balanced", 0.5): rival[0], ("pixels", 0.5): rival[1]})
    assert credit(frame, rivals(frame, "heads", ["balanced", "pixels"], RULE), RULE).word == word


def test_less_data_is_better_only_where_that_is_shown():
    frame = planted({("heads", 0.5): 0.004, ("heads", 0.1): -0.2, ("pixels", 0.5): 0.0, ("all-fewer", 0.5): 0.01})
    found = superior(frame, RULE).set_index(["arm", "share"])
    assert set(found.index) == {
        ("heads", 0.5),
        ("heads", 0.1),
        ("pixels", 0.5),
    }  # all samples in fewer steps are no less
    assert found["word"].to_dict() == {("heads", 0.5): HOLDS, ("heads", 0.1): UNDECIDED, ("pixels", 0.5): UNDECIDED}
    assert found.loc[("heads", 0.5), "difference"] == pytest.approx(0.004, abs=0.002)
    alone = superior(frame[frame["arm"].isin(["all", "heads"]) & (frame["share"] != 0.1)], RULE)
    assert found.loc[("heads", 0.5), "p"] == pytest.approx(3 * float(alone["p"].iloc[0]))  # of three comparisons


@each_row(
    ("hurt", "deserved", "word"),
    [(HOLDS, HOLDS, HOLDS), (HOLDS, UNDECIDED, "holds in part"), ("holds in part", FAILS, "holds in part"),
     (FAILS, HOLDS, FAILS), (UNDECIDED, HOLDS, UNDECIDED), (UNJUDGED, UNJUDGED, UNJUDGED)],
)  # fmt: skip
def test_the_title_asks_for_both(hurt, deserved, word):
    assert title(Verdict(hurt), Verdict(deserved)).word == word


def test_one_difference_tells_nothing_and_rounding_is_none():
    assert np.isnan(paired(np.array([0.3])))
    assert np.isnan(paired(np.array([0.3]), "greater"))
    assert (paired(np.zeros(3)), paired(np.full(3, 0.25))) == (1.0, 0.0)
    assert [paired(np.full(3, gap), "greater") for gap in (0.0, -0.25, 0.25)] == [1.0, 1.0, 0.0]
    rounded = np.array([0.0, 2e-16, 1e-16])
    assert paired(rounded) == paired(rounded, "greater") == 1.0
    frame = planted({("heads", 0.5): 0.0, ("pixels", 0.5): 0.0})
    equal = frame.assign(last=np.where(frame["arm"] == "heads", 0.9 + 1e-16, 0.9))
    assert rivals(equal, "heads", ["pixels"], RULE)["word"].tolist() == [UNDECIDED]
    assert superior(equal, RULE)["word"].tolist() == [UNDECIDED, UNDECIDED]
    once = superior(frame[frame["repeat"] == 0].assign(last=lambda f: f["last"] + (f["arm"] == "heads")), RULE)
    assert once["word"].tolist() == [UNDECIDED, UNDECIDED]
    twice = frame[frame["repeat"] < 2].assign(last=lambda f: 0.9 + (f["arm"] == "heads") / 360)
    assert superior(twice, RULE)["word"].tolist() == [UNDECIDED, UNDECIDED]  # equal gains, p = 0, of two repeats
    assert unjudged(pd.concat([twice] * 3), RULE).startswith("2 repeats are fewer")


def test_a_network_that_diverged_elsewhere_is_counted_too():
    frame = planted({("heads", 0.5): 0.0})
    assert unjudged(frame, RULE, frame) == ""
    assert unjudged(frame, RULE, frame, frame.assign(diverged=True)) == f"{len(frame)} networks diverged."
    other = frame.assign(diverged=True)
    assert hurts_not(frame, against_all(frame, RULE), RULE, "heads", [other]).word == UNJUDGED


def test_holm_multiplies_the_smallest_by_their_number():
    assert holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])


def test_k_center_begins_with_the_longest_features(asked):
    s = asked[0]
    kept = ARMS["k-center"][2](Asked(s, [0.1]), 0.1, torch.Generator())
    longest = [
        int(i) for c in s.y.unique() for i in [(s.y == c).nonzero()[:, 0][s.features[s.y == c].norm(dim=1).argmax()]]
    ]
    assert set(longest) <= set(kept.tolist())
    assert not torch.equal(kept, clusters(s.kernel, s.y, 0.1).heads)


@each_row(
    ("arms", "titles"),
    [
        (["heads", "pixels", "balanced"], ["by lpNTK", "controls"]),  # by chance there is nothing but the grey line
        (["heads", "balanced", "random"], ["by lpNTK", "by chance"]),
    ],
)
def test_random_by_class_is_grey_in_every_panel_and_has_none_of_its_own(arms, titles):
    rows = [{"arm": arm, "count": "epochs", "share": share, "last": share} for arm in arms for share in (0.1, 0.5)]
    rows += [{"arm": "all", "count": "epochs", "share": 1.0, "last": 1.0}]
    drawn = [ax for ax in figures.accuracy(pd.DataFrame(rows)).axes if ax.axison]
    assert [ax.get_title() for ax in drawn] == titles
    for ax in drawn:
        colors = {line.get_label(): line.get_color() for line in ax.lines}
        assert [label for label, color in colors.items() if color == GREY and label[0] != "_"] == ["random, by class"]
