import copy
import itertools

import pytest
import torch
import torch.nn.functional as F
from rows import each_row
from torch import nn

from lpntk.data.augment import CropFlip
from lpntk.learn import widths
from lpntk.learn.chains import chain
from lpntk.learn.models import build
from lpntk.learn.schedules import rate
from lpntk.learn.stacks import Stack
from lpntk.learn.steps import step
from lpntk.learn.training import DivergenceWarning, accuracy, train


def toy(n=24, k=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 1, 2, 4, generator=generator)
    return x, torch.randint(k, (n,), generator=generator)


def net(seed):
    return build("mlp", (1, 2, 4), 3, seed=seed, hidden=(16,))


SGD = {"epochs": 4, "lr": 0.2, "batch_size": 4, "momentum": 0.9, "weight_decay": 0.01, "device": "cpu"}


def by_hand(model, x, y, rows, seed):
    """The same training written as anybody would."""
    optimizer = torch.optim.SGD(
        model.parameters(), lr=SGD["lr"], momentum=SGD["momentum"], weight_decay=SGD["weight_decay"]
    )
    generator = torch.Generator().manual_seed(seed)
    losses = torch.zeros(SGD["epochs"], len(rows))
    for epoch in range(SGD["epochs"]):
        for batch in torch.randperm(len(rows), generator=generator).split(SGD["batch_size"]):
            loss = F.cross_entropy(model(x[rows[batch]]), y[rows[batch]], reduction="none")
            losses[epoch, batch] = loss.detach()
            optimizer.zero_grad()
            loss.mean().backward()
            optimizer.step()
    return losses


@each_row("m", [1, 3])
def test_a_stack_learns_what_single_models_learn(m):
    x, y = toy()
    subsets = torch.randperm(24)[: m * 7].view(m, 7)  # 7 samples: a last batch of 3
    models, plain = [net(i) for i in range(m)], [net(i) for i in range(m)]
    history = train(models, x, y, subsets, seeds=list(range(10, 10 + m)), **SGD)
    for i in range(m):
        losses = by_hand(plain[i], x, y, subsets[i], 10 + i)
        assert torch.allclose(history.loss[i], losses, atol=1e-5)
        for got, want in zip(models[i].parameters(), plain[i].parameters(), strict=True):
            assert torch.allclose(got, want, atol=1e-5)
        assert not models[i].training


def test_history_of_one_presentation():
    x, y = toy(n=6)
    model = net(0)
    with torch.no_grad():
        q = model(x).softmax(1)
    history = train([model], x, y, torch.arange(6)[None], seeds=[0], epochs=1, lr=0.0, batch_size=6, device="cpu")
    assert torch.allclose(history.loss[0, 0], -q[torch.arange(6), y].log(), atol=1e-6)
    assert torch.allclose(history.distance[0, 0], (q - F.one_hot(y, 3)).norm(dim=1), atol=1e-6)
    assert torch.equal(history.correct[0, 0], q.argmax(1) == y)


def test_a_diverged_model_is_reported():
    x, y = toy()
    with pytest.raises(FloatingPointError, match=r"diverged in epoch .*lower lr"):
        train([net(0)], x * 1e10, y, torch.arange(24)[None], seeds=[0], epochs=6, lr=1e12, device="cpu")


def test_batch_norm_trains_alone_but_not_in_a_stack():
    x, y = toy()

    def normed():
        return nn.Sequential(nn.Flatten(), nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))

    model = normed()
    train([model], x, y, torch.arange(24)[None], seeds=[0], epochs=2, lr=0.1, device="cpu")
    assert model[2].running_mean.abs().sum() > 0
    pairs = torch.arange(24).view(2, 12)
    with pytest.raises(ValueError, match="without buffers such as"):
        train([normed(), normed()], x, y, pairs, seeds=[0, 1], epochs=1, lr=0.1, device="cpu", way="stack")
    history = train([normed(), normed()], x, y, pairs, seeds=[0, 1], epochs=1, lr=0.1, device="cpu")
    assert history.loss.shape == (2, 1, 12)  # one by one


def test_accuracy_counts():
    model = nn.Linear(2, 2, bias=False)
    model.weight.data = torch.eye(2)
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    assert accuracy(model, x, torch.tensor([0, 1, 1, 1]), batch_size=3) == 0.75


def trained(way, architecture="lenet5", **options):
    in_shape = (1, 28, 28) if architecture == "lenet5" else (1, 2, 4)
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(20, *in_shape, generator=generator), torch.randint(3, (20,), generator=generator)
    models = [build(architecture, in_shape, 3, seed=i) for i in range(5)]
    settings = {"epochs": 3, "lr": 0.05, "batch_size": 3, "momentum": 0.9, "weight_decay": 1e-3, "device": "cpu"}
    subsets = torch.arange(20).view(5, 4)
    return train(models, x, y, subsets, seeds=range(5), way=way, **{**settings, **options}), models


@pytest.mark.parametrize("architecture", ["mlp", "lenet5", "lenet"])
def test_a_stack_in_double_precision_is_single_training_to_rounding(architecture):
    """Layouts in memory change the order of sums and nothing else."""
    x = torch.randn(9, 2, 28, 28, generator=torch.Generator().manual_seed(0)).double()
    y, subsets = torch.arange(9) % 3, torch.arange(9).view(3, 3)
    ends = []
    for way in ("single", "stack"):
        models = [build(architecture, (2, 28, 28), 3, seed=i).double() for i in range(3)]
        train(models, x, y, subsets, seeds=[4, 5, 6], epochs=2, lr=0.05, batch_size=2, momentum=0.9,
              weight_decay=0.01, dropout=False, way=way, device="cpu")  # fmt: skip
        ends.append([p for model in models for p in model.parameters()])
    for one, other in zip(*ends, strict=True):
        assert torch.allclose(one, other, rtol=1e-9, atol=1e-11)


@each_row("count", [1, 3])
def test_a_step_in_bfloat16_stays_near_that_in_full_precision(count):
    """Autocast as CUDA training uses it; the CPU knows it too."""
    x = torch.randn(count, 4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    y = torch.arange(4 * count).view(count, 4) % 10
    found = []
    for amp in (False, True):
        stack = Stack([build("lenet5", (1, 28, 28), 10, seed=i) for i in range(count)], channels_last=True)
        before = {name: p.detach().clone() for name, p in stack.params.items()}
        logits = step(stack, torch.optim.SGD(stack.params.values(), lr=0.1), x, y, dropout=True, amp=amp)
        assert logits.dtype == torch.float32
        moved = torch.cat([(p.detach() - before[name]).flatten() for name, p in stack.params.items()])
        found.append((logits, moved))
    (logits, moved), (rounded, moved_rounded) = found
    assert 0 < (rounded - logits).abs().max() < 0.02
    assert 0 < (moved_rounded - moved).norm() < 0.05 * moved.norm()


@each_row("way", ["single", "stack"])
def test_models_and_checkpoints_keep_their_layout(way):
    """In training, memory may be laid out as is fastest; what comes back is as it was built."""
    history, models = trained(way, checkpoints=(1,))
    plain = build("lenet5", (1, 28, 28), 3, seed=0)
    for model, state in zip(models, history.checkpoints[1], strict=True):
        assert {k: v.stride() for k, v in model.state_dict().items()} == {
            k: v.stride() for k, v in plain.state_dict().items()
        }
        assert {k: v.shape for k, v in state.items()} == {k: v.shape for k, v in plain.state_dict().items()}
        assert all(v.is_contiguous() for v in state.values())


@each_row(("architecture", "schedule"), [("mlp", "step"), ("lenet5", "cosine")])
def test_every_way_gives_the_same_losses_and_weights(architecture, schedule):
    alone, plain = trained("single", architecture, schedule=schedule)
    for way in ("stack", 2, "auto"):  # 2: stacks of 2, 2 and 1
        together, models = trained(way, architecture, schedule=schedule)
        assert torch.allclose(alone.loss, together.loss, atol=1e-4), way
        assert torch.allclose(alone.distance, together.distance, atol=1e-4), way
        for one, other in zip(plain, models, strict=True):
            for p, q in zip(one.parameters(), other.parameters(), strict=True):
                assert torch.allclose(p, q, atol=1e-4), way


def repeated():
    layer = nn.Linear(8, 8)
    return nn.Sequential(nn.Flatten(), layer, nn.ReLU(), layer, nn.Linear(8, 3))


def tied():
    model = untied()
    model[3].weight = model[1].weight
    return model


class Doubled(nn.Sequential):
    """A Sequential by name only."""

    def forward(self, x):
        return 2 * super().forward(x)


def doubled():
    return Doubled(nn.Flatten(), nn.Linear(8, 3))


def hooked():
    model = nn.Sequential(nn.Flatten(), nn.Linear(8, 3))
    model[1].register_forward_hook(lambda _m, _i, out: 3 * out)
    return model


def slowed():
    """A hook on a parameter's gradient."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(8, 3))
    model[1].weight.register_hook(lambda grad: 0 * grad)
    return model


def overridden():
    """A layer whose forward pass is its object's own."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(8, 3))
    model[1].forward = lambda x: 2 * x[:, :3]
    return model


def parametrized():
    return nn.Sequential(nn.Flatten(), nn.utils.parametrizations.weight_norm(nn.Linear(8, 8)), nn.Linear(8, 3))


def rows_first():
    """A linear layer over the last axis of images."""
    return nn.Sequential(nn.Linear(4, 5, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(10, 3))


def images_last():
    return nn.Sequential(nn.Conv2d(1, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Unflatten(1, (3, 1)), nn.Flatten())


def frozen():
    model = nn.Sequential(nn.Flatten(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    model[1].weight.requires_grad_(False)
    return model


def spare():
    model = doubled()
    model.register_parameter("unused", nn.Parameter(torch.ones(2)))
    return model


LOOKS_LIKE_A_CHAIN = [repeated, tied, doubled, parametrized, images_last, spare, hooked, slowed, overridden]


@each_row(("make", "plain"), [*((make, 0) for make in LOOKS_LIKE_A_CHAIN), (tied, 1), (hooked, 1)])
def test_what_only_looks_like_a_chain_is_trained_one_by_one(make, plain):
    """A stack would train another network, not see a hook, or take one object's for all."""
    x, y = toy()
    models = [untied() if i < plain else make() for i in range(2)]
    rows, gentle = torch.arange(24).view(2, 12), {**SGD, "lr": 0.05}
    with pytest.raises(ValueError, match="train these models one by one"):
        train(models, x, y, rows, seeds=[0, 1], way="stack", **gentle)
    assert widths.choose_width(make(), x, 4) == 1


def test_a_chain_that_would_mix_the_axes_of_its_inputs_is_trained_one_by_one():
    x, y = toy()
    rows = torch.arange(24).view(2, 12)
    assert chain(rows_first()) is not None
    with pytest.raises(ValueError, match="take inputs of 2 axes, the batch's among them; got 4"):
        train([rows_first(), rows_first()], x, y, rows, seeds=[0, 1], way="stack", **SGD)
    train([rows_first(), rows_first()], x, y, rows, seeds=[0, 1], **SGD)


def test_frozen_parameters_stay_one_by_one_and_together():
    x, y = toy()
    models, copies = [frozen() for _ in range(3)], [frozen() for _ in range(3)]
    for a, b in zip(models, copies, strict=True):
        b.load_state_dict(a.state_dict())
    still = [model[1].weight.clone() for model in models]
    rows, gentle = torch.arange(24).view(3, 8), {**SGD, "lr": 0.05}
    one = train(models, x, y, rows, seeds=[0, 1, 2], way="single", **gentle)
    many = train(copies, x, y, rows, seeds=[0, 1, 2], way="stack", **gentle)
    assert torch.allclose(one.loss, many.loss, atol=1e-4)
    for was, a, b in zip(still, models, copies, strict=True):
        assert torch.equal(was, a[1].weight)
        assert torch.equal(was, b[1].weight)
        assert torch.allclose(a[3].weight, b[3].weight, atol=1e-4)


def test_three_dimensional_filters_train():
    x, y = torch.randn(12, 1, 3, 4, 4, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3
    model = nn.Sequential(nn.Conv3d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3))
    history = train([model], x, y, torch.arange(12)[None], seeds=[0], epochs=10, lr=0.05, device="cpu")
    assert history.loss[0, -1].mean() < 0.9 * history.loss[0, 0].mean()


def untied():
    return nn.Sequential(nn.Flatten(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, 3))


def leaky(slope):
    return nn.Sequential(nn.Flatten(), nn.Linear(8, 4), nn.LeakyReLU(slope), nn.Linear(4, 3))


@each_row("models", [[net(0), build("mlp", (1, 2, 4), 3, seed=0, hidden=(4,))], [leaky(0.1), leaky(0.2)]])
def test_models_of_two_kinds_are_refused(models):
    x, y = toy()
    with pytest.raises(ValueError, match=r"must differ in their parameters' values only; use way='single'"):
        train(models, x, y, torch.arange(24).view(2, 12), seeds=[0, 1], way="stack", **SGD)


def test_a_hook_is_heard_where_models_train_one_by_one():
    x, y = toy()
    slow = [slowed(), slowed()]
    before = slow[1][1].weight.detach().clone()
    train(slow, x, y, torch.arange(24).view(2, 12), seeds=[0, 1], **{**SGD, "weight_decay": 0.0})
    assert torch.equal(before, slow[1][1].weight)


@each_row("make", [tied, repeated])
def test_checkpoints_of_shared_layers_can_be_loaded(make):
    x, y = toy()
    models = [make() for _ in range(2)]
    history = train(models, x, y, torch.arange(24).view(2, 12), seeds=[0, 1], checkpoints=(4,), **SGD)
    again = make()
    again.load_state_dict(history.checkpoints[4][1])
    assert torch.equal(again(x), models[1](x))


class Restless(nn.Module):
    """Dropout that is no layer."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 3)

    def forward(self, x):
        return self.linear(F.dropout(x.flatten(1), 0.5, training=self.training))


def asleep():
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(8, 3))
    model[1].eval()
    return model


@each_row("way", ["single", "stack"])
def test_modes_mean_the_same_one_by_one_and_together(way):
    x, y = toy()

    def losses(make, dropout):
        models = [make() for _ in range(2)]
        for model in models:
            for p in model.parameters():
                p.data.normal_(0, 0.3, generator=torch.Generator().manual_seed(0))
        rows = torch.arange(24).view(2, 12)
        return train(models, x, y, rows, seeds=[0, 1], way=way, dropout=dropout, **SGD).loss

    plain = losses(asleep, False)
    assert not torch.allclose(losses(asleep, True), plain, atol=0.01)  # training wakes the layer
    if way == "single":
        assert not torch.allclose(losses(Restless, False), plain, atol=0.01)  # only layers can be switched off


def dropping(in_shape):
    """Dropout of vectors, before and after a layer, and of images."""
    body = nn.Sequential(nn.Conv2d(1, 4, 2), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Dropout(0.1))
    return nn.Sequential(*body, nn.Linear(12, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 3))


def test_dropout_does_not_tell_who_stood_beside():
    """What each model drops follows from its own seed: one by one, in stacks of any width, in any order."""
    x, y = toy(n=12)

    def run(way, dropout=True, order=(0, 1, 2)):
        models = [dropping(x.shape[1:]) for _ in order]
        for i, model in zip(order, models, strict=True):
            for p in model.parameters():
                p.data.normal_(0, 0.3, generator=torch.Generator().manual_seed(i))
        rows = torch.arange(12).view(3, 4)[list(order)]
        return train(models, x, y, rows, seeds=list(order), way=way, dropout=dropout, **SGD).loss

    alone = run("single")
    for way in ("stack", 2):
        assert torch.allclose(run(way), alone, atol=1e-4), way
    assert torch.allclose(run("stack", order=(2, 0, 1)), alone[[2, 0, 1]], atol=1e-4)
    assert (alone - run("single", dropout=False)).abs().max() > 0.01
    assert (run("stack") - run("stack", dropout=False)).abs().max() > 0.01


def test_a_layer_that_drops_everything_drops_everything():
    x, y = toy(n=12)
    models = [nn.Sequential(nn.Flatten(), nn.Dropout(1.0), nn.Linear(8, 3)) for _ in range(2)]
    weights = [model[2].weight.clone() for model in models]
    train(models, x, y, torch.arange(12).view(2, 6), seeds=[0, 1], way="stack", **{**SGD, "weight_decay": 0.0})
    assert all(torch.equal(was, model[2].weight) for was, model in zip(weights, models, strict=True))


def test_accuracies_and_checkpoints_on_request():
    for way in ("single", "stack"):
        history, models = trained(way, "mlp", checkpoints=(0, 3), train_accuracy=True, epochs=3, test=(
            torch.randn(7, 1, 2, 4, generator=torch.Generator().manual_seed(1)), torch.arange(7) % 3))  # fmt: skip
        assert sorted(history.checkpoints) == [0, 3]
        for model, start, end in zip(models, history.checkpoints[0], history.checkpoints[3], strict=True):
            assert all(torch.equal(end[name], p) for name, p in model.state_dict().items())
            assert not all(torch.equal(start[name], p) for name, p in model.state_dict().items())
        assert history.train_accuracy.shape == history.test_accuracy.shape == (5, 3)
        x = torch.randn(7, 1, 2, 4, generator=torch.Generator().manual_seed(1))
        for i, model in enumerate(models):
            assert history.test_accuracy[i, -1] == pytest.approx(accuracy(model, x, torch.arange(7) % 3))


def test_the_accuracy_at_the_end_alone():
    whole, _ = trained("stack", "mlp", train_accuracy=True)
    last, _ = trained("stack", "mlp", train_accuracy="last")
    assert last.train_accuracy[:, :-1].isnan().all()
    assert torch.equal(last.train_accuracy[:, -1], whole.train_accuracy[:, -1])


def test_without_shuffling_the_order_is_that_of_the_subset():
    x, y = toy(n=4)
    model = net(0)
    first = F.cross_entropy(model(x[:1]), y[:1]).item()
    history = train(
        [model], x, y, torch.arange(4)[None], seeds=[0], epochs=1, lr=0.1, batch_size=1, shuffle=False, device="cpu"
    )
    assert history.loss[0, 0, 0] == pytest.approx(first)  # only the first presentation sees the untouched network
    with torch.no_grad():
        assert history.loss[0, 0, 1] != pytest.approx(F.cross_entropy(net(0)(x[1:2]), y[1:2]).item())


@each_row("way", ["single", "stack"])
def test_one_diverged_model_among_others_is_marked_and_counted(way):
    x, y = toy()
    x[8:16] *= 1e12
    models = [net(i) for i in range(3)]
    with pytest.warns(DivergenceWarning, match=r"1 of 3 models diverged .* first in model 1"):
        history = train(models, x, y, torch.arange(24).view(3, 8), seeds=[0, 1, 2], epochs=5, lr=1.0, batch_size=4,
                        way=way, device="cpu")  # fmt: skip
    assert history.diverged.tolist() == [False, True, False]
    assert history.difficulty()[1].isnan().all()
    assert history.difficulty()[[0, 2]].isfinite().all()
    x[:] = x[8:9]
    with pytest.warns(DivergenceWarning, match="3 of 3"):
        train([net(i) for i in range(3)], x, y, torch.arange(24).view(3, 8), seeds=[0, 1, 2], epochs=5, lr=1e20,
              way=way, on_divergence="mark", device="cpu")  # fmt: skip


@each_row(("way", "lost"), [*itertools.product(("single", 2), (0, 2))])
def test_checkpoints_stay_with_their_models_when_some_diverge(way, lost):
    x, y = toy()
    x[8 * lost : 8 * lost + 8] *= 1e25
    models = [net(i) for i in range(3)]
    with pytest.warns(DivergenceWarning, match=f"1 of 3 models diverged .* first in model {lost}"):
        history = train(models, x, y, torch.arange(24).view(3, 8), seeds=[0, 1, 2], epochs=4, lr=0.1, batch_size=4,
                        way=way, checkpoints=(0, 2, 4), device="cpu")  # fmt: skip
    assert {epoch: len(states) for epoch, states in history.checkpoints.items()} == {0: 3, 2: 3, 4: 3}
    for i, (model, state) in enumerate(zip(models, history.checkpoints[4], strict=True)):
        assert i == lost or all(torch.equal(state[name], p) for name, p in model.state_dict().items())


def test_schedules():
    assert [rate("step", 1.0, e, 6) for e in range(6)] == pytest.approx([1, 1, 0.7, 0.7, 0.49, 0.49])
    assert [rate("cosine", 2.0, e, 4) for e in (0, 2)] == pytest.approx([2, 1])
    with pytest.raises(ValueError, match="schedule must be one of constant, step, cosine; got 'linear'"):
        rate("linear", 0.1, 0, 1)


def test_the_width_follows_from_the_model_alone():
    """As many as stay near the processor in a step; a budget and the number of models cut it."""
    x, model = torch.zeros(3, 1, 8, 8), build("mlp", (1, 8, 8), 10, seed=0, hidden=(128,))
    numbers = 64 + 64 + 128 + 128 + 10  # the input and what each of four layers hands on
    assert widths.sizes(model, x[:1]) == [64, 64, 128, 128, 10]
    p = 65 * 128 + 129 * 10
    last = (2**24 // 64 - 2 * p) // numbers  # samples of the largest batch for which 64 models are near
    for batch, width in ((1, 64), (last, 64), (last + 1, 16), (2**24, 1)):
        assert widths.choose_width(model, x, batch, memory_budget=2**60) == width
    per_model = 4 * (4 * p + 3 * numbers)
    for budget, width in ((3 * per_model, 3), (3 * per_model - 1, 2), (1, 1)):
        assert widths.choose_width(model, x, 1, memory_budget=budget) == width
        assert widths.choose_width(model, x, 1, way="stack", memory_budget=budget) == width
    assert widths.choose_width(model, x, 1, way=5) == 5
    assert widths.choose_width(model, x, 1, way="single") == 1
    with pytest.raises(ValueError, match=r"way must be 'auto'.*got 'both'"):
        widths.choose_width(model, x, 1, way="both")


def test_options_that_cannot_be_are_refused():
    x, y = toy()
    rows = torch.arange(24)[None]
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="amp=True needs a CUDA device; the device is cpu"):
            train([net(0)], x, y, rows, seeds=[0], epochs=1, lr=0.1, amp=True)
    good = {"seeds": [0], "epochs": 2, "lr": 0.1, "device": "cpu"}
    for wrong, words in (
        ({"on_divergence": "ignore"}, "on_divergence must be 'raise' or 'mark'; got 'ignore'"),
        ({"epochs": 0}, "epochs must be at least 1; got 0"),
        ({"epochs": 2.5}, "epochs must be a whole number; got 2.5"),
        ({"batch_size": 4.0}, "batch_size must be a whole number; got 4.0"),
        ({"batch_size": 0}, "batch_size must be at least 1; got 0"),
        ({"checkpoints": (0, 3)}, r"numbers of finished epochs, 0\.\.2; got 3"),
        ({"test": (x, y[:5])}, "every input needs its label; got 24 inputs and 5 labels"),
        ({"train_accuracy": 1}, "train_accuracy must be True, False or 'last'; got 1"),
        ({"train_accuracy": "first"}, "train_accuracy must be True, False or 'last'; got 'first'"),
        ({"seeds": [0, 1]}, "must be as many; got 1, 1 and 2"),
    ):
        with pytest.raises(ValueError, match=words):
            train([net(0)], x, y, rows, **{**good, **wrong})
    with pytest.raises(ValueError, match="every input needs its label; got 24 inputs and 23 labels"):
        train([net(0)], x, y[1:], rows, **good)
    one = net(0)
    with pytest.raises(ValueError, match="every subset needs a model of its own"):
        train([one, one], x, y, rows.view(2, 12), **{**good, "seeds": [0, 1]})
    for subset, found in ((rows + 1, 24), (rows - 1, -1)):
        with pytest.raises(ValueError, match=rf"subsets must name samples 0\.\.23; got {found}"):
            train([net(0)], x, y, subset, **good)
    for subset in (torch.ones(1, 24, dtype=torch.bool), rows.float()):
        with pytest.raises(ValueError, match="subsets must hold numbers of samples, not torch"):
            train([net(0)], x, y, subset, **good)
    with pytest.raises(ValueError, match=r"x must be a torch\.Tensor; got ndarray: use torch.as_tensor"):
        train([net(0)], x.numpy(), y, rows, **good)
    with pytest.raises(FloatingPointError, match="x holds NaN or infinity: clean the data"):
        train([net(0)], x / 0, y, rows, **good)
    with pytest.raises(ValueError, match=r"one row of samples per model; got \(24,\)"):
        train([net(0)], x, y, rows[0], **good)


def test_a_last_batch_of_one_sample_and_batch_norm_say_what_to_do():
    x, y = toy(25)
    normed = nn.Sequential(nn.Flatten(), nn.Linear(8, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    with pytest.raises(ValueError, match="25 samples in batches of 8 leave one in the last; give another batch_size"):
        train([normed], x, y, torch.arange(25)[None], seeds=[0], epochs=1, lr=0.1, batch_size=8, device="cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_amp_on_cuda_stays_near_full_precision():
    full, half = (trained("stack", device="cuda", amp=amp)[0].loss for amp in (False, True))
    assert torch.allclose(full, half, rtol=4 * torch.finfo(torch.bfloat16).eps)
    assert all((loss[:, -1].mean(dim=1) < loss[:, 0].mean(dim=1)).all() for loss in (full, half))


@each_row("dtype", [torch.bfloat16, torch.float16])
def test_networks_of_half_precision_learn(dtype):
    x, y = torch.randn(32, 64, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 4
    losses = []
    for kind in (dtype, torch.float32):
        torch.manual_seed(0)
        model = nn.Linear(64, 4).to(kind)
        history = train([model], x.to(kind), y, torch.arange(32)[None], seeds=[0], epochs=3, lr=0.5, device="cpu")
        losses.append(history.loss.mean(dim=2))
    assert torch.allclose(*losses, rtol=0.02)


@each_row("wrong", [-100, 3])  # cross_entropy would leave the one out, a CUDA device stop at the other
def test_labels_without_a_logit_are_refused_before_anything_is_moved(wrong, monkeypatch):
    x, y = toy()
    y[5] = wrong
    moved = []
    monkeypatch.setattr(nn.Module, "to", lambda *args, **options: moved.append(args))
    with pytest.raises(ValueError, match=r"y must hold labels in 0\.\.2, one per logit; got .*renumber the classes"):
        train([net(0)], x, y, torch.arange(24)[None], seeds=[0], epochs=1, lr=0.1, device="cpu")
    assert not moved
    monkeypatch.undo()
    train([net(0)], x, y, torch.arange(6, 24)[None], seeds=[0], epochs=1, lr=0.1, device="cpu")  # not among these


@each_row("lr", [0.05, 1e38])
def test_without_presentations_the_same_is_learned_and_divergence_is_seen(lr):
    x, y = torch.randn(2, 30, 4, generator=torch.Generator().manual_seed(0))[0], torch.arange(30) % 3
    told = {}
    for kept in (True, False):
        models = [nn.Sequential(nn.Linear(4, 3)) for _ in range(2)]
        for i, model in enumerate(models):
            nn.init.constant_(model[0].weight, 0.1 * i)
            nn.init.zeros_(model[0].bias)
        told[kept] = train(models, x, y, torch.arange(30).expand(2, -1), seeds=[0, 1], epochs=3, lr=lr, batch_size=8,
                           test=(x, y), presentations=kept, on_divergence="mark", device="cpu")  # fmt: skip
    assert torch.equal(told[True].test_accuracy, told[False].test_accuracy)
    assert torch.equal(told[True].diverged, told[False].diverged)
    assert told[True].diverged.any() == (lr > 1)
    assert told[False].loss is None
    with pytest.raises(ValueError, match="presentations were not kept"):
        told[False].difficulty()


def test_images_are_presented_shifted_and_mirrored_from_a_stream_of_each_model():
    x = torch.arange(2 * 2 * 6 * 6.0).view(2, 2, 6, 6) + 1
    varied, rows = CropFlip(x, [3, 4]), torch.tensor([[0, 1, 0, 1] * 50, [0, 1, 0, 1] * 50])
    varied.epoch(200)
    seen = varied(rows, slice(0, 200))
    assert seen.shape == (2, 200, 2, 6, 6)
    padded, found = nn.functional.pad(x, [4] * 4), set()
    for image, row in zip(seen[0], rows[0], strict=True):
        ways = [
            (top, left, side)
            for top in range(9)
            for left in range(9)
            for side in (1, -1)
            if torch.equal(image, padded[row, :, top : top + 6, left : left + 6][..., ::1].flip(-1) if side < 0
                           else padded[row, :, top : top + 6, left : left + 6])
        ]  # fmt: skip
        assert ways
        found |= set(ways)
    assert len(found) > 100  # of 162
    assert not torch.equal(seen[0], seen[1])
    alone = CropFlip(x, [4])
    alone.epoch(200)
    assert torch.equal(alone(rows[:1], slice(0, 200))[0], seen[1])


@each_row("way", ["single", 2])
def test_a_long_gradient_is_shortened_model_by_model(way):
    x, y = torch.randn(20, 1, 12, 12, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 10
    before = [build("lenet", (1, 12, 12), 10, seed=i) for i in range(2)]
    moved = {}
    for clip in (None, 0.1):
        models = [copy.deepcopy(model) for model in before]
        train(models, x, y, torch.arange(20).expand(2, -1), seeds=[0, 1], epochs=1, lr=1.0, batch_size=20,
              dropout=False, clip=clip, way=way, device="cpu")  # fmt: skip
        moved[clip] = [
            torch.cat([(p - q).detach().flatten() for p, q in zip(a.parameters(), b.parameters(), strict=True)])
            for a, b in zip(models, before, strict=True)
        ]
    for free, held in zip(moved[None], moved[0.1], strict=True):
        assert held.norm().item() == pytest.approx(0.1, rel=1e-4)
        assert torch.cosine_similarity(free, held, dim=0).item() == pytest.approx(1, abs=1e-4)
        assert free.norm() > 0.2
