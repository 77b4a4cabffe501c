import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr

from lpntk.data.dataset import load
from lpntk.keep.cache import Cache
from lpntk.learn.campaign import Network
from lpntk.learn.models import build
from lpntk.phenomena.one_step import figures as one_step_plots
from lpntk.phenomena.one_step import readings as told
from lpntk.phenomena.one_step.kinks import local_slopes, switched, switches
from lpntk.phenomena.one_step.numbers import at_moments, numbers, rows, slope_numbers, verdicts
from lpntk.phenomena.one_step.step import FORCES, forces, logit_velocity, sgd_step, softmax_velocity
from lpntk.phenomena.one_step.study import Kind, Study
from lpntk.phenomena.one_step.summary import Along, Sweep, follow, learned, overall, seed_spread, spread, sweep


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
    odds = lambda p: (p[pick] / (1 - p[pick])).log()
    for i, force in enumerate(FORCES):
        v = logit_velocity(net, x, y, forces(net(x), y, force)[None], x_test)[0]
        predicted = softmax_velocity(q, v)
        cosine = torch.cosine_similarity(predicted.flatten(), change.flatten(), dim=0)
        assert float(found["cosine"][i]) == pytest.approx(float(cosine), rel=1e-9)
        own = predicted[pick] / q[pick]
        assert float(found["rank"][i]) == pytest.approx(spearmanr(own, gain).statistic, abs=1e-12)
        own_odds = own / (1 - q[pick])
        rank = spearmanr(own_odds, odds(after.softmax(1)) - odds(q)).statistic
        assert float(found["rank_odds"][i]) == pytest.approx(rank, abs=1e-12)
        assert float(found["agree"][i]) == pytest.approx(float(((own > 0) == (gain > 0)).double().mean()))
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


def test_a_planted_slope_is_found_through_the_fitted_points_alone():
    lrs = torch.logspace(-6, 0, 13, dtype=torch.float64)
    change, error = 2 * lrs, 3 * lrs**2
    error[-3:] = 1.0  # not small
    error[0] = 1e-16  # rounding
    fitted = told.small_enough(error, change)
    assert fitted.tolist() == [False] + [3 * lr < 0.2 for lr in lrs[1:10].tolist()] + [False] * 3
    assert told.slope(lrs, error, fitted) == pytest.approx(2, abs=1e-9)
    assert np.isnan(told.slope(lrs, error, torch.arange(13) < 2))


@pytest.mark.parametrize(("order", "verdict"), [(2.0, "holds"), (1.5, "fails")])
def test_the_verdict_of_a_planted_order(order, verdict):
    lrs = torch.logspace(-6, 0, 13, dtype=torch.float64)
    missed = 1e-3 * lrs[:, None] ** order * torch.linspace(1, 2, 20, dtype=torch.float64)  # (l, m)
    kinked = torch.zeros(13, 20, dtype=torch.bool)
    kinked[3:, 15:] = True
    missed[3:, 15:] *= 100  # what kinks add
    values = {"error": missed.mean(1), "change": lrs, "smooth": local_slopes(missed, lrs, kinked)}
    found = Sweep(lrs, (0, 1, 2), {name: value.expand(3, 4, -1) for name, value in values.items()})
    assert found.verdict == verdict
    torch.testing.assert_close(found.smooth_slopes(), torch.full((3, 4), order, dtype=torch.float64))
    assert local_slopes(missed, lrs, kinked, least=16).isnan().sum() == 10  # too few are left


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("steps", [1, 3])
def test_one_step_has_no_spread_and_no_warning(steps):
    lrs = torch.logspace(-6, -1, 11, dtype=torch.float64)
    values = dict.fromkeys(("error", "rms", "logits", "float32", "kinked"), 1e-3 * lrs**2)
    values |= {"change": lrs, "smooth": torch.full((10,), 2.0, dtype=torch.float64)}
    found = Sweep(lrs, (0, 5, 9), {name: value.expand(3, steps, -1) for name, value in values.items()})
    told_of = dict(slope_numbers(found))
    assert told_of["slope.error.first"] == pytest.approx(2)
    assert told_of["slope.error.first.sd"] == pytest.approx(torch.nan if steps == 1 else 0, abs=1e-9, nan_ok=True)
    figure = one_step_plots.errors(found)
    assert figure.axes[0].get_title() == f"epoch 0: slope 2.00 ± {'nan' if steps == 1 else '0.00'}"


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


@pytest.mark.parametrize(
    "relu", [torch.nn.ReLU(), torch.nn.ReLU(inplace=True), F.relu, torch.relu, torch.Tensor.relu, torch.relu_]
)
@pytest.mark.parametrize("pool", [torch.nn.MaxPool2d(2), lambda x: F.max_pool2d(x, 2)])
@pytest.mark.parametrize("grad", [False, True])
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


@pytest.mark.parametrize("kinked", [torch.nn.LeakyReLU(), torch.nn.ReLU6(), torch.abs, torch.nn.AdaptiveMaxPool2d(1)])
def test_a_kink_that_is_not_watched_is_an_error(kinked):
    class Net(torch.nn.Module):
        def forward(self, x):
            return kinked(x).flatten(1)

    with torch.no_grad(), pytest.raises(NotImplementedError, match="kinks that are not watched; expected ReLUs"):
        switches(Net(), torch.randn(2, 1, 3, 3))


@pytest.mark.parametrize(
    ("cosine", "rank", "verdict"),
    [(0.95, 0.92, "no"), (0.95, 0.6, "in part"), (0.3, 0.95, "yes"), (0.95, float("nan"), "cannot be judged")],
)
def test_the_verdict_looks_at_the_worst_epoch(cosine, rank, verdict):
    shape = (3, 2, 5, len(FORCES))  # epochs, seeds, steps, forces
    values = {"cosine": torch.ones(shape), "rank": torch.ones(shape), "size": torch.ones(shape[:3])}
    i = FORCES.index("label")
    values["cosine"][1, ..., i], values["rank"][2, ..., i] = cosine, rank
    along = Along(Kind("batch", 8, 0.1), (0, 1, 2), values)
    assert along.verdict("label") == verdict
    assert along.verdict("centred") == "no"


def test_means_and_spreads_leave_unreadable_steps_out():
    values = torch.tensor([[[1.0, 3.0], [float("nan"), 5.0]]])  # one epoch, two seeds, two steps
    assert float(overall(values)) == pytest.approx(3)
    assert float(spread(values)) == pytest.approx(2)
    assert float(seed_spread(values)) == pytest.approx(np.std([2, 5], ddof=1))


@pytest.fixture
def study(tmp_path):
    digits = load("digits")
    small = dataclasses.replace(digits, x_train=digits.x_train[:120], y_train=digits.y_train[:120])
    training = {"epochs": 2, "lr": 0.1, "batch_size": 32, "checkpoints": [0, 2]}
    network = Network("mlp", small.in_shape, small.k, {"hidden": [8]})
    return Study(network, small, 25, Cache(tmp_path), "cpu", training)


def test_the_study_follows_the_same_steps_along_training_and_is_kept(study):
    kinds = [Kind("single", 1, 0.01), Kind("batch", 16, 0.1)]
    assert learned(study, [0, 1]) == [0, 1]
    first = follow(study, [0, 1], kinds, 3)
    assert first[0].told["cosine"].shape == (2, 2, 3, len(FORCES))
    assert first[1].of("relative").shape == (2, 2, 3)
    model = study.model(1, 2)
    (x, y), *_ = study.batches(1, 16, 3)
    again = told.readings(model, x, y, *study.test_samples(1), 0.1)
    assert torch.equal(again["cosine"], first[1].told["cosine"][1, 1, 0])
    assert not torch.equal(study.batches(0, 16, 3)[0][0], x)  # every seed has steps of its own
    assert len(study.test_samples(0)[1]) == study.followed == 25
    before = study.cache.hits
    assert torch.equal(follow(study, [0, 1], kinds, 3)[0].told["rank"], first[0].told["rank"])
    assert study.cache.hits == before + 8
    keys = [key for key, _ in numbers(first[0])]
    assert len(keys) == len(set(keys))
    told_ = dict(numbers(first[1]))
    (row,) = at_moments(told_, {"signs": "batch.cosine.label"}, ".3f")
    mean, sd, seeds = (float(f(first[1].of("cosine", "label"))[-1]) for f in (overall, spread, seed_spread))
    assert row["last epoch"] == f"{mean:.3f} ± {sd:.3f} ({seeds:.3f})"
    assert rows(first[1], "cosine")[-1]["label"] == f"{mean:.2f} ± {sd:.2f} ({seeds:.2f})"
    assert [r["what it leaves away is needed"] for r in verdicts(first[1:])] == [
        first[1].verdict(force) for force in FORCES[1:]
    ]


def test_the_error_of_a_real_network_is_of_second_order(study):
    found = sweep(dataclasses.replace(study, n_test=360), [0], 8, [-6, -1])
    assert found.epochs == (0, 2, 2)
    want = torch.full((3, 8), 2.0, dtype=torch.float64)
    torch.testing.assert_close(found.smooth_slopes(), want, rtol=0, atol=0.02)
    assert 0 < found.told["kinked"].mean() < 1


def test_diverged_networks_are_left_out(study):
    lost = dataclasses.replace(study, training={**study.training, "lr": 1e30})
    with pytest.warns(RuntimeWarning, match="diverged"), pytest.raises(FloatingPointError, match="all 1 networks"):
        learned(lost, [0])


@pytest.mark.parametrize("wrong", ["step", "test"])
def test_labels_without_a_logit_are_refused_by_name(wrong):
    net, x = build("mlp", (1, 2, 2), 3, seed=0, hidden=(4,)).double().eval(), torch.randn(4, 1, 2, 2).double()
    y = {name: torch.full((4,), 3 if name == wrong else 1) for name in ("step", "test")}
    with pytest.raises(ValueError, match=r"y2? must hold labels in 0\.\.2, one per logit"):
        told.readings(net, x, y["step"], x, y["test"], 0.1)
    if wrong == "step":
        with pytest.raises(ValueError, match=r"y must hold labels in 0\.\.2, one per logit"):
            told.changes(net, x, y["step"], x, [0.1])
