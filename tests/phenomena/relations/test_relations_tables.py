import math

import pandas as pd
import pytest
import torch

from lpntk.data import dataset as data
from lpntk.data.tasks import part
from lpntk.keep.cache import Cache
from lpntk.kernel.signs import factor
from lpntk.phenomena.relations import authors as relations_authors
from lpntk.phenomena.relations import study as relations_study
from lpntk.phenomena.relations import tables
from lpntk.phenomena.relations import verdicts as relations_verdicts
from lpntk.phenomena.relations.study import Study
from lpntk.report import spread

Y = torch.tensor([0, 0, 1, 1])
# alike, at a right angle, opposed: of the six pairs (0, 1) is interchangeable, (2, 3) unrelated, (0, 3) contradictory
PHI = torch.tensor([[1.0, 0.0], [0.96, 0.28], [0.0, 1.0], [-2.0, 0.0]])


def test_the_shares_of_planted_kernels():
    table = tables.relations_table({5: {0: PHI @ PHI.T, 3: torch.ones(4, 4)}}, Y)
    row = table.set_index(["epoch", "labels"]).loc[(0, "different")]
    assert row.seed == 5
    assert row.pairs == 4  # cosines 0, -1, 0.28, -0.96
    assert (row.negative, row.positive, row.contradictory, row.unrelated, row.weak) == (0.5, 0.25, 0.5, 0.25, 0.25)
    assert row["mean"] == pytest.approx((0 - 1 + 0.28 - 0.96) / 4)
    everything = table.set_index(["epoch", "labels"]).loc[(0, "all")]
    assert everything.pairs == 6
    assert everything.interchangeable == pytest.approx(1 / 6)
    assert (table[table.epoch == 3].interchangeable == 1).all()


def test_the_groups_of_pairs_that_flips_make():
    truth = torch.tensor([0, 0, 0, 1, 1, 2])
    given = torch.tensor([0, 0, 1, 1, 2, 2])  # the third and the fifth were flipped
    groups = tables.pair_groups(given, truth)
    found = {name: [tuple(pair) for pair in mask.nonzero().tolist()] for name, mask in groups.items()}
    assert found["one_label"] == [(0, 1)]
    assert found["two_labels"] == [(0, 3), (0, 5), (1, 3), (1, 5), (3, 5)]
    assert found["true_class"] == [(0, 2), (1, 2), (3, 4)]
    assert found["given_class"] == [(2, 3), (4, 5)]
    assert len(found["all"]) == 15


def test_self_similarity_falls_with_rivals():
    phi = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.1, 3.0]])
    table = tables.self_similarity_table({0: {0: torch.eye(4), 9: phi @ phi.T}}, [1, 4], seed=0)
    assert table.set_index("n").share.to_dict() == {1: 1.0, 4: 0.5}
    assert table.set_index("n").ratio.to_dict() == {1: math.inf, 4: 1.0}
    assert tables.halved(600) == [75, 150, 300, 600]
    assert tables.halved(60) == [60]


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
    found = relations_verdicts.law(law_frame(**changed))
    assert (found["word"], found["failed"]) == (word, failed)
    assert (found["after.classes"], found["after.contradictory"]) == (10, 0.0)  # the widest gap
    assert found["after.predicted"] == pytest.approx(-0.1)


@pytest.mark.parametrize(
    ("clean", "wrong", "everything", "learned", "word", "common"),
    [
        ([0.01, 0.02], [0.02, 0.05], 0.03, [0.95, 1.0], "yes", "rare"),
        ([0.01, 0.02], [0.02, 0.05], 0.03, [0.94, 1.0], "cannot be judged", "rare"),  # one network is enough
        ([0.01, 0.02], [0.019, 0.9], 0.2, [1.0, 1.0], "no", "neither"),
        ([0.0, 0.0], [0.0, 0.5], 0.6, [1.0, 1.0], "no", "common"),  # 0/0 is no ratio
    ],
)
def test_the_rule_of_the_flips(clean, wrong, everything, learned, word, common):
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
    found = relations_verdicts.flips(pd.DataFrame(rows))
    assert (found["word"], found["common"], found["percent"]) == (word, common, 30)
    assert found["opposed"] == pytest.approx(0.3)
    assert found["opposed_without"] == pytest.approx(0.28)
    assert (found["opposed_before"], found["epochs_before"], found["epochs"]) == (pytest.approx(0.2), 5, 9)
    assert found["learned"] == pytest.approx(sum(learned) / 2)
    assert found["true_class_mean"] == pytest.approx(sum(wrong) / 4)


def test_the_rule_of_centring():
    def frame(centred, label):
        shares = {"centred": centred, "label": label}
        return pd.DataFrame(
            {"signs": s, "epoch": e, "labels": "different", "negative": v if e == 0 else 0.5}
            for s, v in shares.items()
            for e in (0, 7)
        )

    assert relations_verdicts.centring(frame(0.9, 0.1))["word"] == "does"
    assert relations_verdicts.centring(frame(0.4, 0.1))["word"] == "does not"
    assert relations_verdicts.centring(frame(0.9, 0.6))["word"] == "does not"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    cache = Cache(tmp_path_factory.mktemp("cache"))
    return Study("mlp", {"hidden": [16]}, 50, (0, 1), (0, 3), cache, "cpu", {"lr": 0.1, "batch_size": 32})


def test_the_study_end_to_end(study):
    digits = data.load("digits")
    digits = relations_study.first_samples(digits, 300, 0)
    assert len(digits.y_train) == 300
    whole, few = study.plain(digits), study.few_classes(digits, [3])
    assert [t.run.seed for t in whole] == [0, 1]
    assert all(t.data.k == 3 and t.run.network.k == 3 for t in few)
    assert torch.equal(whole[0].rows, whole[1].rows)  # one set of pairs for all networks
    hits = study.cache.hits
    noisy = study.flipped(digits, [0.0, 0.5])
    assert study.cache.hits == hits + 2  # nothing flipped is the plain network
    assert study.trained_with(schedule="step").training == {**study.training, "schedule": "step"}
    assert int((noisy[2].data.y_train != digits.y_train).sum()) == 150
    assert relations_study.diverged(whole, few, noisy) == 0

    law = tables.law_table([*few, *whole])
    assert sorted(law.classes.unique()) == [3, 10]
    assert set(law.moment) == {"initial", "trained"}
    flips = tables.flips_table(noisy)
    none = flips[(flips.percent == 0) & (flips.group == "true_class")]
    assert none.contradictory.isna().all()  # no flipped sample, no share
    ends = {signs: tables.kernels_over_training(whole, signs, ends=True) for signs in ("label", "centred")}
    signs = tables.signs_table(ends, whole[0].y)
    assert signs.separation.between(0, 1).all()
    kernels = tables.kernels_over_training(whole)
    ours = relations_authors.ours(study, whole, tables.self_similarity_table(kernels, [50], 0))
    assert (ours["lr"], ours["epochs"], ours["n_train"]) == (0.1, 3, 300)
    assert ours["parameters"] == 64 * 16 + 16 + 16 * 10 + 10
    assert ours["test"] == pytest.approx(sum(t.run.test_accuracy[3] for t in whole) / 2)
    beside = relations_authors.beside_authors(
        tables.relations_table(kernels, whole[0].y),
        ours,
        "mlp",
        {"positive": 0.5, "negative": 0.25, "own_nearest": 1.5},
    )
    assert beside.iloc[:3, 0].tolist() == ["99.74%", "0.257%", "0.883"]
    assert beside.iloc[:3, 2].tolist() == ["50.00%", "25.000%", "1.500"]
    assert beside.loc[["lr", "momentum", "epochs", "training samples"]].iloc[:, 1].tolist() == ["0.1", "-", "3", "300"]
    assert list(beside.index[3:]) == list(relations_authors.SETTINGS)


def test_diverged_networks_are_counted_and_left_out(study):
    digits = data.load("digits")
    wild = Study("mlp", {"hidden": [16]}, 20, (0,), (0, 20), study.cache, "cpu", {"lr": 1e12, "batch_size": 8})
    with pytest.warns(RuntimeWarning, match="diverged"):
        lost = wild.plain(part(digits, digits.sample(64)))
    kept = study.plain(part(digits, digits.sample(64)))
    assert relations_study.diverged(lost, kept) == 1
    assert set(tables.kernels_over_training([*lost, kept[1]])) == {1}
    with pytest.raises(FloatingPointError, match="all 1 networks diverged"):
        tables.kernels_over_training(lost)
