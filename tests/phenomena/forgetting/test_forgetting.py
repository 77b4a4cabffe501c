import copy
import functools

import numpy as np
import pytest
import torch
from oracle import jacobian, sign_vector
from rows import each_row
from torch import nn

from lpntk.keep.cache import Cache
from lpntk.learn.campaign import Network
from lpntk.learn.models import build
from lpntk.learn.stacks import Stack
from lpntk.learn.steps import step
from lpntk.phenomena.forgetting import study as study_module
from lpntk.phenomena.forgetting.events import counts_at_presentations, events, follow, margin
from lpntk.phenomena.forgetting.forgotten import both_counts, learned
from lpntk.phenomena.forgetting.judge import beginning
from lpntk.phenomena.forgetting.predict import (
    FREE,
    PREDICTORS,
    changes,
    inverse_scale,
    moment,
    on_probabilities,
    pushes,
    scores,
)
from lpntk.phenomena.forgetting.study import by_part, by_rate, study, with_dropout
from lpntk.phenomena.forgetting.walk import Setting, Track, _held, draw_batches, walk

# --- counting ---


def histories(*rows):
    """One string per sample, + correct and - wrong, to (t + 1, n)."""
    return torch.tensor([[c == "+" for c in row] for row in rows]).T


def test_events_of_sequences_written_by_hand():
    told = follow(histories("+++++", "-----", "--+++", "-+-+-", "+-+-+", "++++-"))
    assert told.counts.tolist() == [0, 0, 0, 2, 2, 1]
    assert told.first_learned.tolist() == [0, -1, 2, 1, 0, 0]
    assert told.never_learned.tolist() == [False, True, False, False, False, False]
    assert told.never_forgotten.tolist() == [True, False, True, False, False, False]
    stacked = torch.stack([histories("+-", "--"), histories("++", "-+")])  # two runs
    assert events(stacked).tolist() == [[[True, False]], [[False, False]]]


def test_presentations_see_only_what_happens_at_them():
    correct = histories("+-+-+", "++--+", "+-+-+")
    batches = torch.tensor([[0, 1], [2, 1], [0, 1], [0, 2]])  # sample 0 at 0, 2, 3; 1 at 0, 1, 2; 2 at 1 and 3
    counts = counts_at_presentations(correct[None], batches[None])
    assert counts.tolist() == [[1, 1, 0]]
    assert (counts[0] <= follow(correct).counts).all()
    assert counts_at_presentations(correct[None, :, :2], batches[None]).tolist() == [[1, 1]]  # not all are followed


def test_margin():
    values = torch.tensor([[1.0, 3.0, 2.0], [1.0, 3.0, 2.0], [2.0, 2.0, 0.0]])
    assert margin(values, torch.tensor([1, 0, 0])).tolist() == [1.0, -2.0, 0.0]


def test_the_first_update_that_learned_is_told():
    correct = histories("--+++", "-+-+-", "++++-", "-----")  # at 2, 1, 0, never
    track = Track(correct[None], *[torch.zeros(1, 4, 2)] * 3, {}, torch.zeros(1, dtype=torch.bool))
    (row,) = learned({Setting("all", 0.1): track}).to_dict("records")
    assert row["first learned: update, median (quartiles)"] == "1 (0 to 2)"
    assert (row["never learned"], row["correct at the end"], row["runs"]) == (0.25, 0.25, 1)


# --- predictors ---


def double_stack(m=2, name="mlp", shape=(1, 4, 4), k=4, **options):
    models = [build(name, shape, k, seed=s, **options).double().eval() for s in range(m)]
    return models, Stack([copy.deepcopy(model) for model in models])


def drawn(*shape, k=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    m, b = shape[:2]
    return torch.randn(*shape, generator=generator).double(), torch.randint(k, (m, b), generator=generator)


@pytest.mark.parametrize(("m", "name", "shape"), [(2, "mlp", (1, 4, 4)), (1, "lenet", (1, 8, 8))])
def test_the_products_are_those_of_explicit_blocks(m, name, shape):
    options = {"hidden": (8, 6)} if name == "mlp" else {}
    models, stack = double_stack(m, name, shape, **options)
    x, y = drawn(m, 5, *shape)
    x_o, y_o = drawn(m, 3, *shape, seed=1)
    params, run = moment(stack)
    found = changes(run, params, x_o, pushes(stack, x, y))
    z = run(params, x_o)
    told = scores(z, y_o, found | {"step": found["error"]}, lr=0.3, momentum=0.0, weight_decay=0.0)
    for i, model in enumerate(models):
        j, j_o, logits = jacobian(model, x[i]), jacobian(model, x_o[i]), model(x[i]).detach()
        for signs, change in found.items():
            blocks = torch.einsum("okp,ulp->oukl", j_o, j)  # every K x K block Theta(x_o, x_u)
            s = torch.stack([sign_vector(a, b, signs) for a, b in zip(logits, y[i], strict=True)])
            torch.testing.assert_close(change[i], torch.einsum("oukl,ul->ok", blocks, s) / len(s))
            if signs == "error":  # the paper's expression, taken literally
                q = z[i].softmax(1)
                a = torch.diag_embed(q) - q[:, :, None] * q[:, None, :]
                expected = q + 0.3 * torch.einsum("okl,oulm,um->ok", a, blocks, s) / len(s)
                torch.testing.assert_close(told["kernel"][i], -margin(expected, y_o[i]))
            else:
                s_o = torch.stack([sign_vector(a, b, signs) for a, b in zip(z[i], y_o[i], strict=True)])
                kappa = torch.einsum("ok,oukl,ul->ou", s_o, blocks, s).mean(1)
                lead = margin(z[i], y_o[i])
                expected = torch.where(lead > 0, -kappa / lead, 0.0).clamp_min(0)
                suffix = "" if signs == "label" else "-centred"
                torch.testing.assert_close(told["kappa" + suffix][i], expected)
                torch.testing.assert_close(told["signs" + suffix][i], inverse_scale(z[i], y_o[i], change[i]))


def test_every_score_but_random_is_told_and_all_free_ones_agree_without_a_step():
    _, stack = double_stack(hidden=(8,))
    x, y = drawn(2, 5, 1, 4, 4)
    params, run = moment(stack)
    z = run(params, x)
    still = {name: torch.zeros_like(z) for name in ("error", "label", "centred", "step")}
    told = scores(z, y, still, lr=1.0, momentum=0.9, weight_decay=0.1)
    assert set(told) == set(PREDICTORS) - {"random"}
    for name in FREE:
        values = z.softmax(-1) if name in ("kernel", "step-probabilities") else z
        torch.testing.assert_close(told[name], -margin(values, y))
    assert not told["signs"].any()


def test_probabilities_are_expanded_to_first_order():
    z, d = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0)).double()
    torch.testing.assert_close(on_probabilities(z, torch.zeros_like(d)), z.softmax(-1))
    errors = [(on_probabilities(z, h * d) - (z + h * d).softmax(-1)).norm() for h in (1e-2, 1e-3)]
    assert 80 < errors[0] / errors[1] < 120  # an error of second order


def test_the_inverse_scale_is_where_the_answer_changes():
    z, d = torch.randn(2, 50, 4, generator=torch.Generator().manual_seed(1)).double()
    y = z.argmax(1)
    inverse = inverse_scale(z, y, d)
    assert (inverse > 0).any()
    assert (inverse == 0).any()
    for a, b, label, value in zip(z, d, y, inverse, strict=True):
        if value > 0:
            assert margin(a + 0.999 / value * b, label) > 0
            assert margin(a + 1.001 / value * b, label) < 0
        else:
            assert margin(a + 1e6 * b, label) > 0


def one_step(lr, momentum, weight_decay, dropout=False, steps=3, seed=0):
    """Return the true change of the logits in the last of a few steps, and what the predictors saw."""
    models, _ = double_stack(hidden=(8, 6))
    stack = Stack([with_dropout(model, 0.5) for model in models] if dropout else models)
    setting = Setting("all", lr, momentum, weight_decay, dropout)
    optimizer = torch.optim.SGD(stack.params.values(), lr=lr, momentum=momentum, weight_decay=weight_decay)
    torch.manual_seed(seed)
    for i in range(steps):
        x, y = drawn(2, 6, 1, 4, 4, seed=i)
        directions = pushes(stack, x, y) | _held(stack, optimizer, setting)
        params, run = moment(stack)
        step(stack, optimizer, x, y, dropout=dropout, amp=False)
    directions["step"] = {name: p.detach() - params[name] for name, p in stack.params.items()}
    x_o, _ = drawn(2, 4, 1, 4, 4, seed=99)
    with torch.no_grad():
        return changes(run, params, x_o, directions), stack.logits(x_o) - run(params, x_o)


@each_row("dropout", [False, True])
def test_the_true_step_is_exact_as_steps_become_small(dropout):
    errors = []
    for lr in (1e-3, 1e-4):
        change, truth = one_step(lr, 0.9, 1e-2, dropout)
        errors.append(float((change["step"] - truth).norm() / truth.norm()))
    assert errors[0] < 0.02
    assert 5 < errors[0] / errors[1] < 20  # of first order in the step


@each_row(("name", "momentum", "weight_decay"), [("momentum", 0.9, 0.0), ("decay", 0.0, 0.02)])
def test_each_term_is_the_one_that_its_optimizer_adds(name, momentum, weight_decay):
    change, _ = one_step(0.05, momentum, weight_decay)
    logits, y = torch.zeros_like(change["step"]), torch.tensor([[0, 1, 2, 3]] * 2)
    told = scores(logits, y, change, lr=0.05, momentum=momentum, weight_decay=weight_decay)
    torch.testing.assert_close(told[name], told["step"])
    assert not torch.allclose(told["kernel-logits"], told["step"], rtol=0.01)


def test_gradient_velocity_and_weights_make_up_the_step():
    lr, mu, decay = 0.05, 0.9, 0.02
    change, _ = one_step(lr, mu, decay)
    parts = change["error"] - mu * change["velocity"] - decay * change["weights"]
    torch.testing.assert_close(change["step"], lr * parts)
    plain, _ = one_step(lr, 0.0, 0.0)
    assert not {"velocity", "weights"} & set(plain)
    torch.testing.assert_close(plain["step"], lr * plain["error"])
    dropped, _ = one_step(lr, 0.0, 0.0, dropout=True)
    assert (dropped["step"] - lr * dropped["error"]).norm() > 0.1 * dropped["step"].norm()


# --- the study ---


def test_batches_are_epochs_without_the_last_part():
    rows = draw_batches(10, 4, 5, seed=0)
    assert rows.shape == (5, 4)
    assert len(set(rows[:2].flatten().tolist())) == 8
    assert not torch.equal(rows, draw_batches(10, 4, 5, seed=1))
    with pytest.raises(ValueError, match=r"batch_size must lie in 2\.\.10, the number of training samples; got 11"):
        draw_batches(10, 11, 5, seed=0)


def test_settings_add_one_part_at_a_time():
    rates, parts = by_rate([0.001, 0.1], 0.9, 5e-4, True), by_part(0.1, 0.9, 5e-4, True)
    assert [s.key for s in rates] == ["plain-lr0_001", "all-lr0_001", "plain-lr0_1", "all-lr0_1"]
    assert [s.key for s in parts] == [
        "plain-lr0_1", "momentum-lr0_1", "weight_decay-lr0_1", "dropout-lr0_1", "all-lr0_1",
    ]  # fmt: skip
    assert parts[0] == rates[2]
    assert parts[-1] == rates[3] == Setting("all", 0.1, 0.9, 5e-4, True)
    assert [(s.momentum, s.weight_decay, s.dropout) for s in parts[1:4]] == [
        (0.9, 0, False),
        (0, 5e-4, False),
        (0, 0, True),
    ]
    assert [s.recipe for s in by_part(0.1, 0.9, 5e-4, False)] == ["plain", "momentum", "weight decay", "all"]
    assert rates[3].words == "whole recipe, lr 0.1"


def test_dropout_is_put_after_hidden_layers_only():
    model = with_dropout(build("mlp", (1, 4, 4), 3, seed=0, hidden=(5, 6)), 0.3)
    assert [type(layer).__name__ for layer in model] == [
        "Flatten", "Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear",
    ]  # fmt: skip
    lenet = build("lenet", (1, 8, 8), 3, seed=0)
    assert with_dropout(lenet, 0.3) is lenet
    with pytest.raises(ValueError, match="no hidden linear layer"):
        with_dropout(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), 0.3)


def small(n=48):
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(3, 1, 2, 4, generator=generator)
    y = torch.arange(n) % 3
    return centres[y] + 1.2 * torch.randn(n, 1, 2, 4, generator=generator), y


SMALL = {"seeds": 4, "seed": 0, "steps": 25, "batch_size": 12, "followed": 30, "dropout": 0.5, "device": "cpu"}
NETWORK = Network("mlp", (1, 2, 4), 3, {"hidden": [8]})


def test_a_walk_is_an_ordinary_training_and_tells_what_happened():
    x, y = small()
    batches = draw_batches(48, 12, 10, seed=3)
    model = NETWORK(0)
    track = walk([model], x, y, batches[None], 48, Setting("all", 0.2, 0.9, 1e-3))
    plain = NETWORK(0)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.2, momentum=0.9, weight_decay=1e-3)
    for i, rows in enumerate(batches):
        before = margin(plain(x), y).detach()
        assert torch.equal(track.correct[0, i], before > 0)
        optimizer.zero_grad()
        nn.functional.cross_entropy(plain(x[rows]), y[rows]).backward()
        optimizer.step()
        if i:
            previous = batches[i - 1]
            torch.testing.assert_close(track.before[0, i - 1], before[previous])
            torch.testing.assert_close(track.after[0, i - 1], margin(plain(x), y).detach()[previous])
    torch.testing.assert_close(model[1].weight, plain[1].weight)
    assert not track.diverged.any()


def test_the_beginning_of_a_run_is_a_shorter_run():
    x, y = small()
    batches, setting = draw_batches(48, 12, 9, seed=1), Setting("all", 0.2, 0.9, 1e-3)
    cut = beginning(walk([NETWORK(0)], x, y, batches[None], 30, setting), 5).tensors()
    short = walk([NETWORK(0)], x, y, batches[None, :5], 30, setting).tensors()
    assert cut.keys() == short.keys()
    for name, value in short.items():
        torch.testing.assert_close(cut[name], value, msg=name)


def test_stacks_tell_what_single_runs_tell():
    x, y = small()
    batches = torch.stack([draw_batches(48, 12, 8, seed=s) for s in (0, 1)])
    setting = Setting("all", 0.1, 0.9, 1e-3)
    both = walk([NETWORK(0), NETWORK(1)], x, y, batches, 20, setting)
    each = [walk([NETWORK(s)], x, y, batches[s : s + 1], 20, setting).tensors() for s in (0, 1)]
    joined = Track.join(each)
    torch.testing.assert_close(both.after, joined.after, atol=1e-4, rtol=1e-4)
    for name in FREE:
        torch.testing.assert_close(both.scores[name], joined.scores[name], atol=1e-4, rtol=1e-4)


def test_a_moment_stays_as_it_was_batch_norm_included():
    x = torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    y = torch.arange(16) % 3
    model = build("resnet18", (3, 8, 8), 3, seed=0, width=2, blocks=(1, 1, 1, 1))
    stack = Stack([copy.deepcopy(model)])
    params, run = moment(stack)
    before = run(params, x[None])
    torch.testing.assert_close(before, model.eval()(x)[None])
    step(stack, torch.optim.SGD(stack.params.values(), lr=0.1), x[None], y[None], dropout=True, amp=False)
    torch.testing.assert_close(run(params, x[None]), before)
    today = {name: p.detach() for name, p in stack.params.items()}
    assert not torch.allclose(run(today, x[None]), stack.logits(x[None]), atol=1e-4)  # the statistics moved too
    track = walk([model], x, y, draw_batches(16, 8, 4, 0)[None], 4, Setting("all", 0.01, 0.9))
    assert not track.diverged.any()
    assert track.scores["step"].isfinite().all()


def test_a_killed_study_resumes_with_the_same_numbers(tmp_path, monkeypatch):
    x, y = small()
    chosen = [Setting("plain", 0.1), Setting("all", 0.1, 0.9, 1e-3, True)]
    unbroken = study(NETWORK, x, y, chosen, width=2, cache=Cache(tmp_path / "a"), **SMALL)
    calls, original = [], study_module.walk

    @functools.wraps(original)  # the key of an artefact asks for the code of this name
    def dies(*args, **options):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*args, **options)

    monkeypatch.setattr(study_module, "walk", dies)
    with pytest.raises(KeyboardInterrupt):
        study(NETWORK, x, y, chosen, width=2, cache=Cache(tmp_path / "b"), **SMALL)
    cache = Cache(tmp_path / "b")
    torch.manual_seed(123)  # dropout has a seed of its own
    resumed = study(NETWORK, x, y, chosen, width=2, cache=cache, **SMALL)
    assert cache.hits == 2
    assert len(calls) == 5  # two finished, one killed, two that were missing
    for setting in chosen:
        for name, value in unbroken[setting].tensors().items():
            assert torch.equal(value, resumed[setting].tensors()[name]), name
    study(NETWORK, x, y, chosen, width=2, cache=cache, **SMALL | {"steps": 24})
    assert cache.hits == 2  # other steps are another artefact


def test_a_study_refuses_what_it_cannot_do(tmp_path):
    x, y = small()
    with pytest.raises(ValueError, match=r"y must hold labels in 0\.\.\d+, one per logit; got .*renumber"):
        study(NETWORK, x, y + 10, [], width=2, cache=Cache(tmp_path), **SMALL)
    with pytest.raises(ValueError, match=r"expected steps >= 2, followed in 1\.\.48, .* got 25, 49, 4 and 2"):
        study(NETWORK, x, y, [Setting("all", 0.1)], width=2, cache=Cache(tmp_path), **SMALL | {"followed": 49})


def test_a_run_that_diverges_is_known_and_enters_no_count():
    x, y = small()
    batches = torch.stack([draw_batches(48, 12, 8, seed=s) for s in (0, 1)])
    setting = Setting("plain", 0.1)
    fine = walk([NETWORK(0), NETWORK(1)], x, y, batches, 20, setting)
    wild = walk([NETWORK(0), NETWORK(1)], x, y, batches, 20, Setting("plain", 1e20))
    assert wild.diverged.all()
    both = Track.join([fine.tensors(), wild.tensors()])
    assert learned({setting: both}).equals(learned({setting: fine}))
    for name, value in both_counts(both).items():
        assert torch.equal(value, both_counts(fine)[name])
    assert np.isnan(learned({setting: wild})["never learned"][0])
