import math

import pandas as pd
import pytest
import torch

from lpntk.data import dataset as data
from lpntk.data.tasks import part
from lpntk.keep.cache import Cache
from lpntk.kernel.signs import factor
from lpntk.learn.training import DivergenceWarning
from lpntk.phenomena.relations import authors, readings, verdicts
from lpntk.phenomena.relations import study as relations_study
from lpntk.phenomena.relations.law import by_classes, widest_gap
from lpntk.report import spread

Y = torch.tensor([0, 0, 1, 1])
# alike, at a right angle, opposed: of the six pairs (0, 1) is interchangeable, (2, 3) unrelated, (0, 3) contradictory
PHI = torch.tensor([[1.0, 0.0], [0.96, 0.28], [0.0, 1.0], [-2.0, 0.0]])
RULE = {"rare": 0.05, "common": 0.5, "close": 0.1, "times": 2, "learned": 0.95, "frozen": 0.9, "accuracy": 0.7}


def test_the_shares_of_planted_kernels():
    table = readings.over_training({5: {0: PHI @ PHI.T, 3: torch.ones(4, 4)}}, Y)
    row = table.set_index(["epoch", "labels"]).loc[(0, "different")]
    assert row.seed == 5
    assert row.pairs == 4  # cosines 0, -1, 0.28, -0.96
    assert (row.negative, row.positive, row.contradictory, row.unrelated, row.weak) == (0.5, 0.25, 0.5, 0.25, 0.25)
    assert row["mean"] == pytest.approx((0 - 1 + 0.28 - 0.96) / 4)
    assert row.separation == pytest.approx(6.5 / 8)  # 0.96 is above all four, 0 above two and equal to one
    everything = table.set_index(["epoch", "labels"]).loc[(0, "all")]
    assert everything.pairs == 6
    assert everything.interchangeable == pytest.approx(1 / 6)
    assert (table[table.epoch == 3].interchangeable == 1).all()


def test_what_no_pair_says_is_no_number():
    none = readings.read(torch.empty(0))
    assert none.pop("pairs") == 0
    assert all(map(math.isnan, none.values()))


def test_the_groups_of_pairs_that_flips_make():
    truth = torch.tensor([0, 0, 0, 1, 1, 2])
    given = torch.tensor([0, 0, 1, 1, 2, 2])  # the third and the fifth were flipped
    groups = readings.pair_groups(given, truth)
    found = {name: [tuple(pair) for pair in mask.nonzero().tolist()] for name, mask in groups.items()}
    assert found["one_label"] == [(0, 1)]
    assert found["two_labels"] == [(0, 3), (0, 5), (1, 3), (1, 5), (3, 5)]
    assert found["true_class"] == [(0, 2), (1, 2), (3, 4)]
    assert found["given_class"] == [(2, 3), (4, 5)]
    assert len(found["all"]) == 15


def test_self_similarity_falls_with_rivals():
    phi = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.1, 3.0]])
    kernels = {0: {0: torch.eye(4), 9: phi @ phi.T}}
    table = readings.of_themselves(kernels, seed=0, smallest=1).set_index("n")
    assert table.share.drop(2).to_dict() == {1: 1.0, 4: 0.5}
    assert table.ratio.drop(2).to_dict() == {1: math.inf, 4: 1.0}
    sizes = lambda n: readings.of_themselves({0: {0: torch.eye(n)}}, seed=0).n.tolist()
    assert sizes(600) == [75, 150, 300, 600]
    assert sizes(40) == [40]


def test_mean_and_spread_over_seeds():
    frame = pd.DataFrame({"group": ["b", "b", "a"], "k": [0.5, 0.5, 0.5], "v": [1.0, 3.0, 2.0]})
    told = spread.numbers(frame, ["group", "k"], ["v"])
    assert told["b.0_5.v.mean"] == 2
    assert told["b.0_5.v.sd"] == pytest.approx(2**0.5)
    assert math.isnan(told["a.0_5.v.sd"])
    assert spread.words(frame, ["group"], ["v"], "{:.1f}").v.tolist() == ["2.0 ± 1.4", "2.0"]
    frame["w"] = [0.001, 0.003, math.nan]
    told = spread.words(frame, ["group"], ["v", "w"], {"v": "{:.0f}"})
    assert told.v.tolist() == ["2 ± 1", "2"]
    assert told.w.tolist() == ["0.2% ± 0.1%", "-"]  # no seed has a value: no mean


def law_frame(**changed):
    shares = {2: 0.9, 3: 0.8, 4: 0.3, 10: 0.0}
    rows = [
        {"moment": moment, "classes": k, "factor": factor(k) + 0.01, "law": factor(k), "contradictory": c,
         "predicted": c - k / 100}
        for k, c in shares.items()
        for moment in ("initial", "trained")
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    for column, by_k in changed.items():
        for k, value in by_k.items():
            frame.loc[(frame.classes == k) & (frame.moment == "initial"), column] = value
    frame.loc[frame.moment == "trained", "factor"] = 5  # of no account
    return frame


@pytest.mark.parametrize(
    ("changed", "word", "failed"),
    [
        ({}, "holds", "none"),
        ({"factor": {4: 0.2}}, "fails", "4"),
        ({"contradictory": {10: 0.06}}, "fails", "10"),
        ({"contradictory": {2: 0.4}, "factor": {3: 0.5}}, "fails", "2 and 3"),
        ({"contradictory": {4: 0.9}}, "holds", "none"),  # at four classes there is no rule for the share
    ],
)
def test_the_rule_of_the_law(changed, word, failed):
    found = verdicts.law(law_frame(**changed), RULE)
    assert (found.word, found.because) == (word, failed)


def test_where_the_law_is_farthest_off_after_training():
    assert widest_gap(law_frame()) == {"classes": 10, "contradictory": 0.0, "predicted": pytest.approx(-0.1)}


def flips_frame(clean, wrong, everything, learned):
    rows = []
    for percent in (0, 30):
        for epoch in (0, 5, 9):
            for seed in (0, 1):
                last = percent == 30 and epoch == 9
                shares = {"two_labels": clean[seed], "true_class": wrong[seed], "all": everything}
                rows += [
                    {"percent": percent, "epoch": epoch, "seed": seed, "group": group,
                     "learned": learned[seed] if last else 0.5, "contradictory": share if last else 0.1,
                     "negative": 0.3 if last else 0.1 + epoch / 50, "mean": share / 2}
                    for group, share in shares.items()
                ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("clean", "wrong", "everything", "learned", "word", "common"),
    [
        ([0.01, 0.02], [0.02, 0.05], 0.03, [0.95, 1.0], "holds", "rare"),
        ([0.01, 0.02], [0.02, 0.05], 0.03, [0.94, 1.0], "cannot be judged", "rare"),  # one network is enough
        ([0.01, 0.02], [0.019, 0.9], 0.2, [1.0, 1.0], "fails", "neither"),
        ([0.0, 0.0], [0.0, 0.5], 0.6, [1.0, 1.0], "fails", "common"),  # 0/0 is no ratio
    ],
)
def test_the_rule_of_the_flips(clean, wrong, everything, learned, word, common):
    table = flips_frame(clean, wrong, everything, learned)
    assert verdicts.flips(table, RULE).word == word
    assert verdicts.how_common(verdicts.flips_at_end(table)["all"], RULE) == common


def test_what_is_told_of_flips():
    found = verdicts.flips_at_end(flips_frame([0.01, 0.02], [0.02, 0.05], 0.03, [0.95, 1.0]))
    assert (found["percent"], found["epochs_before"], found["epochs"]) == (30, 5, 9)
    places = ("opposed", "opposed_without", "opposed_before", "true_class_opposed")
    assert [found[name] for name in places] == pytest.approx([0.3, 0.28, 0.2, 0.3])
    assert (found["ratio"], found["learned"], found["learned_least"]) == pytest.approx((2, 0.975, 0.95))
    assert (found["true_class"], found["two_labels"], found["all"]) == pytest.approx((0.035, 0.015, 0.03))
    assert found["true_class_mean"] == pytest.approx(0.0175)


@pytest.mark.parametrize(("centred", "label", "word"), [(0.9, 0.1, "holds"), (0.4, 0.1, "fails"), (0.9, 0.6, "fails")])
def test_the_rule_of_centring(centred, label, word):
    frame = pd.DataFrame(
        {"signs": s, "epoch": e, "labels": "different", "negative": v if e == 0 else 0.5}
        for s, v in {"centred": centred, "label": label}.items()
        for e in (0, 7)
    )
    assert verdicts.centring(frame, RULE).word == word
    assert verdicts.beyond(frame)["centred.trained"] == 0.5


@pytest.mark.parametrize(
    ("least", "test", "word", "because", "moment", "network"),
    [
        ([0.2, 0.95, 1.0], [0.9, 0.7], "holds", "from epoch 4 of 9 on", 4, 0.89),
        ([0.95, 0.2, 1.0], [0.9, 0.7], "fails", "at no moment looked at before epoch 9", "never", 0.14),
        ([0.2, 0.95, 1.0], [0.9, 0.69], "cannot be judged", "a network is right on 69.0% of the test part",
         "cannot be judged", 0.89),
    ],
)  # fmt: skip
def test_the_rule_of_freezing(least, test, word, because, moment, network):
    found = {"epoch": [0, 4, 9], "of": "cosine", "labels": "same", "spearman": 1.0}
    frame = pd.concat(pd.DataFrame({**found, "pearson": [v + d for v in least]}) for d in (0.06, -0.06))
    accuracy = pd.DataFrame({"epoch": [0, 0, 9, 9], "test": [0.1, 0.1, *test]})
    judged = verdicts.freezing(frame, accuracy, RULE)
    assert (judged.word, judged.because) == (word, because)
    told = {"cosine": moment, "first": 0, "last_but_one": 4, "end": 9, "cosine.0": least[0], "cosine.4": least[1]}
    assert verdicts.frozen(frame, judged, RULE) == pytest.approx(told | {"network": network})


@pytest.fixture(scope="module")
def how(tmp_path_factory):
    cache = Cache(tmp_path_factory.mktemp("cache"))
    return {"model": "mlp", "options": {"hidden": [16]}, "n": 50, "drawn_by": 0, "moments": (0, 3), "cache": cache,
            "device": "cpu", "lr": 0.1, "batch_size": 32}  # fmt: skip


@pytest.fixture(scope="module")
def digits():
    return relations_study.first_samples(data.load("digits"), 300, 0)


@pytest.fixture(scope="module")
def whole(digits, how):
    return relations_study.plain(digits, [0, 1], **how)


def test_networks_share_their_samples(digits, whole):
    assert len(digits.y_train) == 300
    assert [t.run.seed for t in whole] == [0, 1]
    assert torch.equal(whole[0].rows, whole[1].rows)  # one set of pairs for all networks


def test_fewer_classes_are_a_task_of_their_own(digits, whole, how):
    few = relations_study.few_classes(digits, [3], [0, 1], **how)
    assert all(t.data.k == 3 and t.run.network.k == 3 for t in few)
    table = by_classes([*few, *whole])
    assert sorted(table.classes.unique()) == [3, 10]
    assert set(table.moment) == {"initial", "trained"}


def test_flips_are_told_apart_from_what_is_clean(digits, whole, how):
    hits = how["cache"].hits
    noisy = relations_study.with_flips(digits, [0.0, 0.5], [0, 1], **how)
    assert how["cache"].hits == hits + 2  # nothing flipped is the plain network
    assert int((noisy[2].data.y_train != digits.y_train).sum()) == 150
    table = readings.by_flips(noisy)
    none = table[(table.percent == 0) & (table.group == "true_class")]
    assert none.contradictory.isna().all()  # no flipped sample, no share
    assert sorted(table.percent.unique()) == [0, 50]


def test_signs_are_read_apart(whole):
    ends = {signs: relations_study.kernels_of(whole, signs, ends=True) for signs in ("label", "centred")}
    table = readings.by_signs(ends, whole[0].y)
    assert len(table) == 2 * 2 * 2 * 2  # signs, seeds, moments, labels
    assert table.separation.between(0, 1).all()


def test_our_numbers_beside_the_authors(whole):
    kernels = relations_study.kernels_of(whole)
    accuracy = relations_study.accuracies(whole)
    assert accuracy.test.tolist() == [t.run.test_accuracy[e] for t in whole for e in (0, 3)]
    beside = authors.beside_authors(
        readings.over_training(kernels, whole[0].y),
        readings.of_themselves(kernels, 0),
        accuracy,
        {"lr": 0.1, "training samples": "300"},
        "mlp",
        {"positive": 0.5, "negative": 0.25, "own_nearest": 1.5},
    )
    assert beside.iloc[:3, 0].tolist() == ["99.74%", "0.257%", "0.883"]
    assert beside.iloc[:3, 2].tolist() == ["50.00%", "25.000%", "1.500"]
    assert beside.iloc[0, 1].count("±") == 1
    assert beside.loc[["lr", "momentum", "epochs", "training samples"]].iloc[:, 1].tolist() == ["0.1", "-", "3", "300"]
    last = accuracy[accuracy.epoch == 3].test
    assert beside.loc["test accuracy"].tolist() == ["-", f"{last.mean():.1%} ± {last.std():.1%}", "-"]
    assert list(beside.index[3:]) == list(authors.SETTINGS)


def test_diverged_networks_are_left_out(how):
    digits = data.load("digits")
    task = part(digits, digits.sample(64))
    with pytest.warns(DivergenceWarning, match="diverged"):
        lost = relations_study.plain(task, [0], **how | {"moments": (0, 20), "lr": 1e12, "batch_size": 8})
    assert lost[0].run.diverged
    kept = relations_study.plain(task, [1], **how)
    assert set(relations_study.kernels_of([*lost, *kept])) == {1}
    with pytest.raises(FloatingPointError, match="all 1 networks diverged"):
        relations_study.kernels_of(lost)
