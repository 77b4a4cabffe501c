import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from rows import each_row
from scipy.stats import spearmanr, t

from lpntk.data.dataset import load
from lpntk.keep.cache import Cache
from lpntk.learn.campaign import Network
from lpntk.learn.models import build
from lpntk.phenomena.one_step import figures, labels, verdicts
from lpntk.phenomena.one_step import readings as told
from lpntk.phenomena.one_step.kinks import local_slopes, switched, switches
from lpntk.phenomena.one_step.step import FORCES, forces, logit_velocity, sgd_step, softmax_velocity
from lpntk.phenomena.one_step.study import (
    Kind,
    Study,
    by_wrongness,
    equally_wrong,
    follow,
    moments,
    restored,
    shown,
    sweep,
)

RULE = {"order": 2, "tolerance": 0.1, "small": 0.1, "roundings": 100, "kept": 0.9, "part": 0.5}


@pytest.fixture(scope="module")
def case():
    """A small network with ReLUs, a batch and test samples, float64."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        net = torch.nn.Sequential(torch.nn.Linear(6, 20), torch.nn.ReLU(), torch.nn.Linear(20, 4)).double()
        x, x_test = torch.randn(5, 6, dtype=torch.float64), torch.randn(30, 6, dtype=torch.float64)
    return net, x, torch.tensor([0, 3, 1, 2, 2]), x_test, torch.arange(30) % 4


@torch.no_grad()
def test_readings_are_what_plain_formulas_give(case):
    net, x, y, x_test, y_test = case
    lr = 0.05
    found = told.readings(*case, lr)
    z, after = net(x_test), sgd_step(net, x, y, lr)(x_test)
    q, change = z.softmax(1), after.softmax(1) - z.softmax(1)
    pick = torch.arange(30), y_test
    gain = (after.softmax(1)[pick] / q[pick]).log()
    for i, force in enumerate(FORCES):
        v = logit_velocity(net, x, y, forces(net(x), y, force)[None], x_test)[0]
        predicted = softmax_velocity(q, v)
        cosine = torch.cosine_similarity(predicted.flatten(), change.flatten(), dim=0)
        assert float(found["cosine"][i]) == pytest.approx(float(cosine), rel=1e-9)
        own = predicted[pick] / q[pick]
        assert float(found["rank"][i]) == pytest.approx(spearmanr(own, gain).statistic, abs=1e-12)
    by = {force: logit_velocity(net, x, y, forces(net(x), y, force)[None], x_test)[0] for force in FORCES}
    missed = change - lr * softmax_velocity(q, by["error"])
    assert float(found["relative"]) == pytest.approx(float(missed.norm() / change.norm()))
    missed = change - ((z + lr * by["error"]).softmax(1) - q)
    assert float(found["relative_logits"]) == pytest.approx(float(missed.norm() / change.norm()))
    mean_push = softmax_velocity(q, by["label"] - by["centred"])  # what the mean of the signs adds
    ratio = mean_push.norm() / softmax_velocity(q, by["centred"]).norm()
    assert float(found["common"]) == pytest.approx(float(ratio))
    e = forces(net(x), y, "error")
    assert float(found["size"]) == pytest.approx(float(e.square().sum(1).sqrt().mean()))
    wrong = 1 - net(x).softmax(1)[torch.arange(5), y]
    assert float(found["active"]) == pytest.approx(float(wrong.sum() ** 2 / (5 * wrong.square().sum())))


def test_the_share_that_makes_a_step_goes_from_one_sample_to_all(case):
    _, x, _, x_test, y_test = case
    sure = torch.nn.Linear(6, 4).double()
    with torch.no_grad():
        sure.weight.zero_()
        sure.bias.copy_(torch.tensor([600.0, 0, 0, 0]))  # label 0 is learned up to 1e-261
    active = lambda labels: float(told.readings(sure, x, torch.tensor(labels), x_test, y_test, 0.1)["active"])
    assert active([0, 0, 0, 0, 1]) == pytest.approx(1 / 5)
    assert active([1, 2, 3, 1, 1]) == pytest.approx(1)
    assert active([0] * 5) == pytest.approx(1)  # equally little wrong


def test_a_step_that_rounding_could_turn_is_not_read(case):
    found = told.readings(*case, 1e-12)
    assert found["cosine"].isnan().all()
    assert found["relative"].isnan()
    assert found["size"] > 0


def test_log_odds_survive_where_the_probability_rounds_to_one():
    z = torch.tensor([[50.0, 0.0, 0.0], [1.0, 2.0, 3.0]], dtype=torch.float64)
    got = told.log_odds(z, torch.tensor([0, 2]))
    rest = np.log(np.exp(1.0) + np.exp(2.0))
    torch.testing.assert_close(got, torch.tensor([50 - np.log(2), 3 - rest], dtype=torch.float64))


def test_errors_by_learning_rate(case):
    net, x, y, x_test, _ = case
    lrs = [1e-6, 1e-3]
    found = told.errors(net, x, y, x_test, lrs)
    for i, lr in enumerate(lrs):
        step = told.changes(net, x, y, x_test, [lr])
        norms = (step.true[0] - lr * step.rate).square().sum(1).sqrt()
        assert float(found["error"][i]) == pytest.approx(float(norms.mean()))
        assert float(found["rms"][i]) == pytest.approx(float(norms.square().mean().sqrt()))
    assert found["error"][0] < 1e-10  # float64 sees the second order; float32 sees its own rounding
    assert found["float32"][0] > 1e-9
    assert (found["logits"] < found["error"] * 10).all()


def planted(order=2.0, steps=4, kinks=True):
    """The errors of single-sample steps as ``sweep`` gives them, at three moments."""
    lrs = torch.logspace(-6, 0, 13, dtype=torch.float64)
    missed = 1e-3 * lrs[:, None] ** order * torch.linspace(1, 2, 20, dtype=torch.float64)  # (l, m)
    kinked = torch.zeros(13, 20, dtype=torch.bool)
    if kinks:
        kinked[3:, 15:] = True
        missed[3:, 15:] *= 100  # what kinks add
    table = {"lr": lrs, "error": missed.mean(1), "rms": missed.mean(1), "change": lrs, "logits": 1e-3 * lrs**2}
    table |= {"float32": lrs, "smooth": torch.cat([local_slopes(missed, lrs, kinked), torch.tensor([torch.nan])])}
    return pd.concat(
        [
            pd.DataFrame({"moment": moment, "epoch": epoch, "seed": 0, "step": step, **table})
            for moment, epoch in moments([0, 5, 9]).items()
            for step in range(steps)
        ],
        ignore_index=True,
    )


def test_a_slope_is_fitted_where_the_step_is_small_and_the_error_no_rounding():
    lrs = np.logspace(-6, 0, 13)
    swept = pd.DataFrame({"lr": lrs, "error": 3 * lrs**2, "change": 2 * lrs, "rms": lrs, "smooth": 2.0})
    swept = swept.assign(moment="first", epoch=0, seed=0, step=0)
    swept.loc[10:, "error"] = 1.0  # not small
    swept.loc[0, "error"] = 1e-16  # rounding
    fitted = verdicts.small(swept, RULE)
    assert fitted.tolist() == [False] + [3 * lr < 0.2 for lr in lrs[1:10]] + [False] * 3
    found = verdicts.slopes(swept, fitted)
    assert found[["error", "rms", "smooth"]].to_numpy() == pytest.approx(np.array([[2, 1, 2]]), abs=1e-9)
    assert verdicts.slopes(swept, swept.index < 2)["error"].isna().all()


@each_row(("order", "word"), [(2.0, "holds"), (1.5, "fails"), (float("nan"), "cannot be judged")])
def test_the_verdict_of_a_planted_order(order, word):
    swept = planted(2.0 if np.isnan(order) else order)
    if np.isnan(order):
        swept.loc[swept["moment"] == "middle", "smooth"] = np.nan
    fitted = verdicts.small(swept, RULE)
    found = verdicts.slopes(swept, fitted)
    assert str(verdicts.order(found, RULE)) == word
    at_first = found[found["moment"] == "first"]["smooth"]
    np.testing.assert_allclose(at_first, 2.0 if np.isnan(order) else order)


def test_a_slope_without_kinks_needs_samples():
    missed, lrs = torch.ones(13, 20, dtype=torch.float64), torch.logspace(-6, 0, 13, dtype=torch.float64)
    kinked = torch.zeros(13, 20, dtype=torch.bool)
    kinked[3:, 15:] = True
    assert local_slopes(missed, lrs, kinked, least=16).isnan().sum() == 10


@pytest.mark.filterwarnings("error")
@each_row(("steps", "title"), [(1, "epoch 0: slope 2.00"), (3, "epoch 0: slope 2.00 ± 0.00")])
def test_one_step_has_no_spread_and_no_warning(steps, title):
    swept = planted(steps=steps, kinks=False)
    figure = figures.errors(swept, verdicts.small(swept, RULE))
    assert figure.axes[0].get_title() == title
    assert len(figure.axes) == 3
    assert len(figure.legends[0].get_texts()) == 4


def test_switches_are_seen():
    net = torch.nn.Sequential(torch.nn.MaxPool2d(2), torch.nn.Flatten(), torch.nn.Linear(4, 3), torch.nn.ReLU())
    x = torch.arange(16.0).view(1, 1, 4, 4).repeat(3, 1, 1, 1)
    with torch.no_grad():
        net[2].weight.copy_(torch.tensor([[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, 1, 0]]))
        net[2].bias.zero_()
    z, before = switches(net, x)
    torch.testing.assert_close(z, torch.tensor([[5.0, 0, 13]]).expand(3, 3))
    other = x.clone()
    other[1, 0, 0, 0] = 5.5  # another largest pixel
    other[2] *= 2  # everything moves and nothing switches
    assert switched(before, switches(net, other)[1], 3).tolist() == [False, True, False]
    with torch.no_grad():
        net[2].bias[1] = 8  # the second unit becomes positive everywhere
    assert switched(before, switches(net, x)[1], 3).all()


RELUS = (torch.nn.ReLU(), torch.nn.ReLU(inplace=True), F.relu, torch.relu, torch.Tensor.relu, torch.relu_)
POOLS = (torch.nn.MaxPool2d(2), lambda x: F.max_pool2d(x, 2))


@each_row(("relu", "pool", "grad"), [*itertools.product(RELUS, POOLS, (False, True))])
def test_switches_are_seen_however_they_are_called(relu, pool, grad):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = torch.nn.Conv2d(1, 2, 3, padding=1), torch.nn.Linear(8, 3)

        def forward(self, x):
            return self.last(pool(relu(self.first(x))).flatten(1))

    net, x = Net(), torch.randn(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.set_grad_enabled(grad):
        z, (positive, largest) = switches(net, x)
        torch.testing.assert_close(z, net(x))
        before = net.first(x)
    assert torch.equal(positive, (before > 0).flatten(1))
    assert torch.equal(largest, F.max_pool2d(before.relu(), 2, return_indices=True)[1].flatten(1))


def test_the_functional_relus_of_a_resnet_are_seen():
    net = build("resnet18", (1, 8, 8), 10, seed=0, width=4).eval()
    x = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        z, before = switches(net, x)
        torch.testing.assert_close(z, net(x))
        assert [s.shape[0] for s in before] == [3] * 17  # one ReLU at the start and two in each of 8 blocks
        net[3].bn1.bias[0] = 1e3  # a block whose ReLUs are functions: its first map becomes positive everywhere
        after = switches(net, x)[1]
    changed = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if (a != b).any()]
    assert changed[0] == 1
    assert after[1].view(3, 4, 64)[:, 0].all()
    assert switched(before, after, 3).all()


@each_row("kinked", [torch.nn.LeakyReLU(), torch.nn.ReLU6(), torch.abs, torch.nn.AdaptiveMaxPool2d(1)])
def test_a_kink_that_is_not_watched_is_an_error(kinked):
    class Net(torch.nn.Module):
        def forward(self, x):
            return kinked(x).flatten(1)

    with torch.no_grad(), pytest.raises(NotImplementedError, match="kinks that are not watched; expected ReLUs"):
        switches(Net(), torch.randn(2, 1, 3, 3))


@each_row(
    ("cosine", "rank", "word"),
    [
        (0.95, 0.92, "fails"),
        (0.95, 0.6, "holds in part"),
        (0.3, 0.95, "holds"),
        (0.95, float("nan"), "cannot be judged"),
    ],
)
def test_the_verdict_looks_at_the_worst_epoch(cosine, rank, word):
    steps = pd.DataFrame({"kind": "batch", "epoch": np.repeat([0, 1, 2], 10)})
    steps[[f"{reading}.{force}" for reading in ("cosine", "rank") for force in FORCES]] = 1.0
    steps.loc[steps["epoch"] == 1, "cosine.label"] = cosine
    steps.loc[steps["epoch"] == 2, "rank.label"] = rank
    kept = verdicts.kept(steps, [Kind("batch", 8, 0.1)])
    words = dict(zip(kept["force"], verdicts.needed(kept, RULE), strict=True))
    assert words == {"even": "fails", "centred": "fails", "label": word, "ones": "fails"}
    least = kept.set_index("force").loc["label"]
    assert [least["cosine"], least["rank"]] == pytest.approx([cosine, rank], nan_ok=True)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    digits = load("digits")
    small = dataclasses.replace(digits, x_train=digits.x_train[:120], y_train=digits.y_train[:120])
    training = {"epochs": 2, "lr": 0.1, "batch_size": 32, "checkpoints": [0, 2]}
    network = Network("mlp", small.in_shape, small.k, {"hidden": [8]})
    return Study(network, small, 25, Cache(tmp_path_factory.mktemp("cache")), "cpu", training)


KINDS = [Kind("single", 1, 0.01), Kind("batch", 16, 0.1)]


def by_hand(study, seed, step, size):
    """The samples of a step, and those that its seed follows."""
    rows = np.random.default_rng([seed, step]).permutation(120)[:size]
    seen = np.random.default_rng(seed).permutation(len(study.data.y_test))[: study.n_test]
    x, x_test = study.data.x_train[rows].double(), study.data.x_test[seen].double()
    return x, study.data.y_train[rows], x_test, study.data.y_test[seen]


def test_the_study_follows_the_same_steps_along_training(study):
    assert study.learned([0, 1]) == [0, 1]
    steps = follow(study, [0, 1], KINDS, 3)
    assert len(steps) == 2 * 2 * 2 * 3  # kinds, epochs, seeds, steps
    (row,) = steps.query("kind == 'batch' and epoch == 2 and seed == 1 and step == 2").to_dict("records")
    model, of = restored(study.network(1), study.states(1), 2), by_hand(study, 1, 2, 16)
    again = told.readings(model, *of, 0.1)
    assert [row[f"rank.{force}"] for force in FORCES] == again["rank"].tolist()
    assert row["cosine.label"] == float(again["cosine"][FORCES.index("label")])
    assert row["relative"] == float(again["relative"])
    predicted, true = shown(study, 1, 2, KINDS[1])
    change = told.changes(model, *by_hand(study, 1, 0, 16)[:3], [0.1])
    torch.testing.assert_close(predicted, 0.1 * change.rate)
    torch.testing.assert_close(true, change.true[0])


def test_pushes_at_right_angles_have_the_root_of_the_share_as_cosine():
    rng = np.random.default_rng(0)
    pushes = np.linalg.qr(rng.normal(size=(30, 30)))[0][:12]  # of length one, at right angles
    w = rng.exponential(size=12) ** 2
    weighed, alike = w @ pushes, pushes.sum(0)
    cosine = weighed @ alike / (np.linalg.norm(weighed) * np.linalg.norm(alike))
    assert cosine == pytest.approx(np.sqrt(w.sum() ** 2 / (12 * (w**2).sum())))


def test_equally_wrong_samples_are_near_in_rank_and_of_all_classes(study):
    model, y = restored(study.network(0), study.states(0), 2), study.data.y_train
    ranks = by_wrongness(model, study.data.x_train, y)
    with torch.no_grad():
        wrong = 1 - model(study.data.x_train.double()).softmax(1)[torch.arange(120), y]
    assert sorted(ranks.tolist()) == list(range(120))
    assert wrong[ranks.argsort()].diff().min() >= -1e-15
    centres = set()
    for i in range(20):
        rows = equally_wrong(ranks, y, [0, i], 24)
        assert len(set(rows.tolist())) == 24
        assert sorted(y[rows].bincount(minlength=10).tolist()) == [2] * 6 + [3] * 4
        centre = ranks[int(np.random.default_rng([0, i]).integers(120))]
        centres.add(int(centre))
        for label in range(10):  # no sample of the class lies nearer than those that were taken
            far = (ranks - centre).abs()
            taken, left = [r for r in rows if y[r] == label], [r for r in range(120) if y[r] == label and r not in rows]
            assert max(far[r] for r in taken) <= min(far[r] for r in left)
    assert len(centres) > 10
    few = torch.tensor([0, 0, 0, 1])
    assert sorted(equally_wrong(torch.arange(4), few, [0], 4).tolist()) in ([0, 1, 3], [1, 2, 3])
    alike = Kind("alike", 16, 0.1, alike=True)
    steps = follow(study, [0], [KINDS[1], alike], 5)
    (row,) = steps.query("kind == 'alike' and epoch == 2 and step == 3").to_dict("records")
    rows, (*_, x_test, y_test) = equally_wrong(ranks, y, [0, 3], 16), by_hand(study, 0, 3, 16)
    again = told.readings(model, study.data.x_train[rows].double(), y[rows], x_test, y_test, 0.1)
    assert row["active"] == float(again["active"])


def gained(gain, spread=0.01, seeds=6):
    """Steps in which signs tell this much more than ones, by kind and epoch."""
    rows = [
        {"kind": kind, "epoch": epoch, "seed": seed, "step": step, "cosine.ones": 0.1,
         "cosine.label": 0.1 + value + spread * (seed - (seeds - 1) / 2)}
        for (kind, epoch), value in gain.items() for seed in range(seeds) for step in range(2)
    ]  # fmt: skip
    return pd.DataFrame(rows)


@each_row(
    ("late", "spread", "seeds", "word"),
    [
        (0.5, 0.01, 6, "holds"),
        (-0.5, 0.01, 6, "holds in part"),
        (0.02, 0.05, 6, "holds in part"),
        (0.5, 0.01, 1, "cannot be judged"),
    ],
)
def test_planted_gains_are_judged_by_the_rule(late, spread, seeds, word):
    cells = {(kind, epoch): 0.5 for kind in ("single", "batch") for epoch in (0, 2)} | {("batch", 2): late}
    found = labels.gains(gained(cells, spread, seeds), KINDS, {"level": 0.05})
    assert str(labels.verdict(found)) == word
    (row,) = found.query("kind == 'batch' and epoch == 2").to_dict("records")
    assert row["gain"] == pytest.approx(late)
    if seeds > 1:
        half = t.ppf(1 - 0.05 / 4 / 2, seeds - 1) * spread * np.std(range(seeds), ddof=1) / np.sqrt(seeds)
        assert [row["low"], row["high"]] == pytest.approx([late - half, late + half])


@each_row(("late", "word"), [(-0.5, "fails"), (0.0, "is undecided")])
def test_labels_that_nowhere_help(late, word):
    cells = {(kind, epoch): late for kind in ("single", "batch") for epoch in (0, 2)}
    assert str(labels.verdict(labels.gains(gained(cells), KINDS, {"level": 0.05}))) == word


@each_row(("gap", "word"), [(0.3, "holds"), (-0.3, "fails"), (0.0, "is undecided")])
def test_cosines_are_compared_network_by_network(gap, word):
    rng, kinds = np.random.default_rng(0), (KINDS[1], Kind("alike", 16, 0.1, alike=True))
    steps = pd.DataFrame(
        {"kind": kind.name, "epoch": epoch, "seed": seed, "step": range(9), "active": rng.permutation(9) / 9}
        for kind in kinds for epoch in (0, 2) for seed in range(5)
    ).explode(["step", "active"], ignore_index=True)  # fmt: skip
    steps["active"] = steps["active"].astype(float)
    own = steps["seed"] + 0.01 * (steps["seed"] - 2) * steps["kind"].eq("alike")  # networks differ by more than gaps
    steps["cosine.centred"] = own + gap * steps["kind"].eq("alike") * steps["epoch"].eq(2) + 1e-6 * steps["active"]
    steps["cosine.even"] = steps["cosine.centred"] + 2 * gap + 0.01 * (steps["seed"] - 2)
    rule = {"level": 0.05}
    half = t.ppf(0.975, 4) * 0.01 * np.std(range(5), ddof=1) / np.sqrt(5)
    for more, less, want in (
        ((kinds[1], "centred"), (kinds[0], "centred"), gap),
        ((kinds[0], "even"), (kinds[0], "centred"), 2 * gap),
    ):
        judged, numbers = labels.paired(steps, more, less, rule)
        assert str(judged) == word
        told_of = [numbers["difference"], numbers["low"], numbers["high"]]
        assert told_of == pytest.approx([want, want - half, want + half], abs=1e-5)
    np.testing.assert_allclose(labels.concentration(steps, kinds[0]), 1)
    steps.loc[steps["epoch"] == 2, "cosine.centred"] *= -1
    np.testing.assert_allclose(labels.concentration(steps, kinds[0]), -1)


def test_what_was_measured_is_not_measured_again(study):
    first = follow(study, [0, 1], KINDS, 3)
    before = study.cache.hits
    pd.testing.assert_frame_equal(follow(study, [0, 1], KINDS, 3), first)
    assert study.cache.hits == before + 8
    other = follow(study, [0], [Kind("batch", 16, 0.2)], 3)  # another learning rate is another step
    assert not np.allclose(other["relative"], first.query("kind == 'batch' and seed == 0")["relative"])


def test_a_sweep_has_a_row_for_every_learning_rate(study):
    swept = sweep(study, [0, 1], 2, [-2, -1])
    assert len(swept) == 3 * 2 * 2 * 3  # moments, seeds, steps, learning rates
    one = swept.query("moment == 'last' and seed == 1 and step == 1").set_index("lr")
    model, (x, y, x_test, _) = restored(study.network(1), study.states(1), 2), by_hand(study, 1, 1, 1)
    want = told.errors(model, x, y, x_test, list(one.index))
    np.testing.assert_array_equal(one["error"], want["error"])
    np.testing.assert_array_equal(one["smooth"].iloc[:2], want["smooth"])
    assert np.isnan(one["smooth"].iloc[2])


def test_the_error_of_a_real_network_is_of_second_order(study):
    swept = sweep(dataclasses.replace(study, n_test=360), [0], 8, [-6, -1])
    found = verdicts.slopes(swept, verdicts.small(swept, RULE))
    np.testing.assert_allclose(found["smooth"], 2, atol=0.02)
    assert len(found) == 24
    assert 0 < swept["kinked"].mean() < 1


def test_figures_of_steps(study):
    steps = follow(study, [0, 1], KINDS, 2)
    figure = figures.survival(steps, KINDS)
    assert [ax.get_title() for ax in figure.axes[::2]] == ["one sample: direction", "batch of 16: direction"]
    assert len(figure.legends[0].get_texts()) == len(FORCES)
    found, alike = labels.gains(steps, KINDS, {"level": 0.05}), dataclasses.replace(KINDS[1], alike=True)
    left, right = figures.labels(found, steps, KINDS[1], alike).axes
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["1 sample", "16 samples"]
    assert right.get_legend().get_texts()[1].get_text() == "batch of 16, equally wrong"
    panels = [("one", *shown(study, 0, 2, KINDS[0]))] * 3
    assert [ax.get_title() for ax in figures.predicted_and_true(panels, columns=3).axes] == ["one"] * 3


def test_diverged_networks_are_left_out(study):
    lost = dataclasses.replace(study, training={**study.training, "lr": 1e30})
    with pytest.warns(RuntimeWarning, match="diverged"), pytest.raises(FloatingPointError, match="all 1 networks"):
        lost.learned([0])


@each_row("wrong", ["step", "test"])
def test_labels_without_a_logit_are_refused_by_name(wrong):
    net, x = build("mlp", (1, 2, 2), 3, seed=0, hidden=(4,)).double().eval(), torch.randn(4, 1, 2, 2).double()
    y = {name: torch.full((4,), 3 if name == wrong else 1) for name in ("step", "test")}
    with pytest.raises(ValueError, match=r"y2? must hold labels in 0\.\.2, one per logit"):
        told.readings(net, x, y["step"], x, y["test"], 0.1)
    if wrong == "step":
        with pytest.raises(ValueError, match=r"y must hold labels in 0\.\.2, one per logit"):
            told.changes(net, x, y["step"], x, [0.1])
