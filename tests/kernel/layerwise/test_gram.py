import logging
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from cases import BY_NAME, CASES, samples
from hypothesis import given, note, settings
from hypothesis import strategies as st
from networks import Functional, Opaque, Transformer
from oracle import assert_close_to_oracle, oracle_kernel
from torch import nn

from lpntk.kernel.layerwise.forms.pairs import Pairs
from lpntk.kernel.layerwise.gradients import PerSampleGradients
from lpntk.kernel.layerwise.gram import LayerwiseGram
from lpntk.kernel.layerwise.plan import choose
from lpntk.kernel.model.ownership import UnexplainedError
from lpntk.kernel.signs import sign_vectors
from lpntk.learn.models import build

FORMS = ["gradient", "formed", "inner", "pixel"]
CONVOLUTIONS = ["conv-strided-dilated", "conv-runs", "conv-grouped", "conv-same", "conv-circular", "conv-1d", "conv-3d"]
ROWS = ["transformer", "transformer-tied-padding", "embedding-sequence", "shared", "functional", "bilinear-rows"]
FROZEN = ["frozen-weights", "frozen-biases"]
# every network as the plan has it, and a form where another layer has it than the plan takes it for
FORMED = [
    *((name, None) for name in BY_NAME),
    *((name, "gradient") for name in ("mlp", "lenet5")),
    *((name, "formed") for name in ("mlp", "lenet5", "resnet-batchnorm", *CONVOLUTIONS, "transformer", *FROZEN)),
    *((name, "inner") for name in ("lenet5", "resnet-batchnorm", *CONVOLUTIONS, *ROWS, *FROZEN)),
    *((name, "pixel") for name in ("lenet5", "resnet-batchnorm", *CONVOLUTIONS, "frozen-biases")),
]


ATTENTION = {"attention.out_proj.weight", "attention.out_proj.bias"}
WHOLE = {  # what is read past its module; a rule that is wrong elsewhere would be left to the whole model, too, unseen
    "transformer": ATTENTION,
    "transformer-tied-padding": ATTENTION,
    "functional": {"both.weight", "past.weight", "past.bias"},
    "weight-norm": {f"0.parametrizations.weight.original{i}" for i in (0, 1)},
    "lstm-hidden": {f"lstm.{name}_l0" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")},
}


def engines(model, x, y, **options):
    return LayerwiseGram(model, sign_vectors, x, y, **options), PerSampleGradients(model, sign_vectors)


def assert_same_kernel(model, x, y, x2, y2, tolerance=1e-5, **options):
    layerwise, plain = engines(model, x, y, **options)
    assert options.get("form") in (None, *(row.form for row in layerwise.plan()))
    a, b, want_a, want_b = (e.features(*data) for e in (layerwise, plain) for data in ((x, y), (x2, y2)))
    assert_close_to_oracle(layerwise.gram(a, b), plain.gram(want_a, want_b), tolerance)
    assert_close_to_oracle(layerwise.gram(a, a), plain.gram(want_a, want_a), tolerance)
    assert_close_to_oracle(layerwise.diagonal(a), plain.diagonal(want_a), tolerance)
    return {name for row in layerwise.plan() if row.form == "whole" for name in row.parameters}


def assert_oracles(model, x, y):
    engine = LayerwiseGram(model, sign_vectors, x, y)
    a = engine.features(x, y)
    assert_close_to_oracle(engine.gram(a, a), oracle_kernel(model, x, y))
    return engine


@pytest.mark.parametrize(("name", "form"), FORMED)
def test_every_form_gives_the_kernel_of_plain_per_sample_gradients(name, form):
    case = BY_NAME[name]
    left = assert_same_kernel(case.make(0), *samples(case), form=form)
    assert left == WHOLE.get(name, set())
    # tiny memory cuts chunks and tiles and changes nothing
    assert_same_kernel(case.make(1), *samples(case, seed=1), form=form, memory=3000)


@st.composite
def convolutions(draw):
    dims = draw(st.integers(1, 3))
    whole = lambda low, high: draw(st.tuples(*[st.integers(low, high)] * dims))
    groups = draw(st.integers(1, 3))
    kernel, dilation, stride = whole(1, 3), whole(1, 2), whole(1, 3)
    mode = draw(st.sampled_from(["zeros", "zeros", "reflect", "replicate", "circular"]))
    padding = draw(st.sampled_from(["same", "valid", whole(0, 2)]))
    if padding == "same":
        stride = (1,) * dims
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    size = tuple(max(3, r + extra) for r, extra in zip(reach, whole(0, 3), strict=True))
    options = {"groups": groups, "stride": stride, "dilation": dilation, "padding": padding, "padding_mode": mode}
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1]
    c_in, c_out = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    return lambda: conv(c_in, c_out, kernel, bias=draw(st.booleans()), **options), (c_in, *size)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_convolution_in_any_form_is_the_oracles(data):
    make, shape = data.draw(convolutions())
    torch.manual_seed(0)
    x = torch.randn(5, *shape)
    conv = make()
    with torch.no_grad():
        width = conv(x).flatten(1).shape[1]
    model = nn.Sequential(conv, nn.Tanh(), nn.Flatten(), nn.Linear(width, 3))
    y = torch.tensor([0, 1, 2, 0, 1])
    want = oracle_kernel(model, x, y)
    for form in FORMS:
        note(form)
        engine = LayerwiseGram(model, sign_vectors, x, y, form=form)
        assert engine.plan()[0].form == form
        a, b = engine.features(x[:3], y[:3]), engine.features(x[3:], y[3:])
        assert_close_to_oracle(engine.gram(a, b), want[:3, 3:])
        assert_close_to_oracle(engine.diagonal(a), want.diagonal()[:3])


def test_the_plan_takes_the_form_with_the_fewest_operations():
    x, y = torch.randn(2, 3, 32, 32), torch.tensor([0, 1])
    engine = LayerwiseGram(build("resnet18", (3, 32, 32), 10, seed=0).eval(), sign_vectors, x, y, samples=4096)
    rows = {row.layer: row for row in engine.plan() if row.parameters[0].endswith("weight")}
    forms = {layer: row.form for layer, row in rows.items()}
    assert forms["3.conv1"] == "gradient"  # 32 x 32 positions: 64 * 64 * 9 numbers of a gradient are few
    assert forms["9.conv1"] == "inner"  # stride 2: patches overlap little
    assert forms["10.conv2"] == "pixel"  # 4 x 4 positions of 512 channels
    assert forms["9.bn1"] == "gradient"
    assert forms["7.conv2"] == "formed"  # 256 * 256 * 9 numbers of a gradient are more than 8 x 8 positions
    assert rows["7.conv2"].macs_per_pair == 256 * 256 * 9
    assert rows["7.conv2"].macs_per_sample == 64 * 256 * 256 * 9
    assert rows["7.conv2"].numbers_per_sample == 64 * (256 + 256)
    row = rows["10.conv2"]
    assert row.macs_per_pair == 16**2 * (512 + 512)
    assert row.numbers_per_sample == 16 * (512 + 512)


def test_bytes_and_flops_are_those_of_the_plan():
    model, x, y = build("lenet", (1, 28, 28), 10, seed=0).eval(), torch.randn(3, 1, 28, 28), torch.tensor([0, 1, 2])
    engine = LayerwiseGram(model, sign_vectors, x, y)
    block = engine.features(x, y)
    kept = [*block.rows, *(t for pair in block.packed for t in pair)]
    assert engine.bytes_per_sample == sum(t.nbytes for t in kept) // 3
    assert {"gradient", "inner"} == {row.form for row in engine.plan()}
    per_pair = sum(row.macs_per_pair for row in engine.plan())
    assert engine.flops(5, 7) - engine.flops(0, 12) == 2 * 5 * 7 * per_pair
    assert engine.flops(6) - engine.flops(0, 6) == 2 * 21 * per_pair
    assert all(t[1:2].data_ptr() == t.data_ptr() + t.stride(0) * 4 for t in kept)
    assert len(block[1:]) == 2


def test_the_kernel_is_written_where_it_is_wanted():
    case = CASES[0]
    x, y, x2, y2 = samples(case)
    engine = LayerwiseGram(case.make(0), sign_vectors, x, y)
    a, b = engine.features(x, y), engine.features(x2, y2)
    whole = torch.full((len(x) + 1, len(x2) + 2), 7.0)
    engine.gram(a, b, out=whole[1:, 2:])
    assert torch.allclose(whole[1:, 2:], engine.gram(a, b))
    assert (whole[0] == 7).all()
    assert (whole[:, :2] == 7).all()


def test_a_symmetric_block_of_many_strips_is_symmetric():
    model = build("mlp", (4,), 3, hidden=(5,), seed=0)
    x, y = torch.randn(700, 4), torch.randint(3, (700,))
    engine, plain = engines(model, x, y)
    a, want = engine.features(x, y), plain.features(x, y)
    kappa = engine.gram(a, a)
    assert_close_to_oracle(kappa, plain.gram(want, want))
    assert torch.equal(kappa, kappa.T)


def test_a_last_strip_of_one_row_does_not_make_all_tiles_thin(monkeypatch):
    model, tiles, products = build("mlp", (4,), 3, hidden=(5,), seed=0), [], Pairs._products
    x, y = torch.randn(257, 4), torch.randint(3, (257,))
    engine = LayerwiseGram(model, sign_vectors, x, y, form="inner")
    a = engine.features(x, y)
    monkeypatch.setattr(Pairs, "_products", lambda *args: tiles.append(1) or products(*args))
    assert_close_to_oracle(engine.gram(a, a), oracle_kernel(model, x, y))
    assert len(tiles) == 2 * 15  # two layers, five strips of 64 rows and the tiles from the diagonal on


@pytest.mark.parametrize("form", ["gradient", "inner"])
def test_a_block_whose_samples_were_mixed_up_is_refused(form):
    model = build("mlp", (4,), 3, hidden=(5,), seed=0)
    x, y = torch.randn(200, 4), torch.randint(3, (200,))
    engine = LayerwiseGram(model, sign_vectors, x, y, form=form)
    a = engine.features(x, y)
    engine.check(a, x, y)
    for kept in [*a.rows, *(t for pair in a.packed for t in pair)]:
        kept.copy_(kept.roll(1, 0))  # as where a layer does not see the rows in order
    with pytest.raises(UnexplainedError):
        engine.check(a, x, y)


def test_one_sample_is_enough_to_try_a_model():
    case = CASES[0]
    x, y, _, _ = samples(case)
    model = case.make(0)
    engine, plain = engines(model, x[:1], y[:1])
    a, want = engine.features(x, y), plain.features(x, y)
    assert_close_to_oracle(engine.gram(a, a), plain.gram(want, want))


def test_the_kinds_of_fallback_are_logged(caplog):
    caplog.set_level(logging.INFO, "lpntk")
    model = nn.Sequential(nn.Linear(6, 8), nn.PReLU(), nn.Linear(8, 3))
    LayerwiseGram(model, sign_vectors, torch.randn(3, 6), torch.tensor([0, 1, 2]))
    assert "1 (PReLU): per-sample gradients by torch.func" in caplog.text
    caplog.clear()
    LayerwiseGram(Functional(), sign_vectors, torch.randn(3, 6), torch.tensor([0, 1, 2]))
    assert "on the whole model: both.weight, past.weight, past.bias" in caplog.text
    caplog.clear()
    engine = LayerwiseGram(Transformer().eval(), sign_vectors, torch.randint(11, (3, 5)), torch.tensor([0, 1, 2]))
    assert "on the whole model: attention.out_proj.weight, attention.out_proj.bias" in caplog.text
    assert {row.form for row in engine.plan()} >= {"whole", "gradient"}
    caplog.clear()
    LayerwiseGram(nn.Linear(6, 3), sign_vectors, torch.randn(3, 6), torch.tensor([0, 1, 2]))
    assert not caplog.text


class Gate(nn.Module):
    """Branches on values inside one layer, which ``vmap`` refuses."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.rand(6))

    def forward(self, x):
        return torch.stack([row * self.gain if row.sum() > 0 else row - self.gain for row in x])


def test_a_layer_that_vmap_cannot_take_is_run_sample_by_sample():
    model, x, y = nn.Sequential(nn.Linear(6, 6), Gate(), nn.Linear(6, 3)), torch.randn(8, 6), torch.arange(8) % 3
    assert_oracles(model, x, y)


def test_no_hook_and_no_gradient_stays_behind():
    case = CASES[0]
    model = case.make(0)
    x, y, _, _ = samples(case)
    LayerwiseGram(model, sign_vectors, x, y).features(x, y)
    assert all(not module._forward_hooks for module in model.modules())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


class Spoiled(nn.Module):
    """Changes the input of a layer after the layer has read it."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        h = self.a(x)
        out = self.b(h)
        h.mul_(2)
        return out


class Mixing(nn.Module):
    def __init__(self, strength):
        super().__init__()
        self.fc, self.strength = nn.Linear(6, 3), strength

    def forward(self, x):
        return self.fc(x - self.strength * x.mean(0))


def embedding(**options):
    return nn.Sequential(nn.Embedding(9, 4, **options), nn.Flatten(), nn.Linear(8, 3))


@pytest.mark.parametrize(
    ("model", "x", "error", "words"),
    [
        (Spoiled(), torch.randn(4, 6), RuntimeError, r"'b' \(Linear\) was changed in place"),
        (Mixing(0.5), torch.randn(4, 6), ValueError, "mixes samples"),
        (nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3)), torch.randn(4, 6), ValueError, "one sample alone"),
        (Opaque(), torch.randn(4, 6), ValueError, "parameter 'fc.weight'"),
        (embedding(max_norm=1.0), torch.randint(9, (4, 2)), ValueError, "max_norm"),
        (embedding(scale_grad_by_freq=True), torch.randint(9, (4, 2)), ValueError, "scale_grad_by_freq"),
    ],
)
def test_what_has_no_per_sample_gradient_is_refused(model, x, error, words):
    with pytest.raises(error, match=words):
        LayerwiseGram(model, sign_vectors, x, torch.tensor([0, 1, 2, 0]))


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 3), nn.Linear(6, 3)

    def forward(self, x):
        return self.a(x) if x.abs().max() < 100 else self.b(x)


def test_another_path_or_shape_than_first_tried_is_refused():
    y = torch.tensor([0, 1, 2, 0])
    engine = LayerwiseGram(Branching(), sign_vectors, torch.randn(4, 6), y)
    with pytest.raises(ValueError, match="must not branch"):
        engine.features(torch.full((4, 6), 1e3), y)
    model = nn.Sequential(nn.Conv1d(2, 4, 3), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 3))
    engine = LayerwiseGram(model, sign_vectors, torch.randn(4, 2, 5), y, form="inner")
    with pytest.raises(ValueError, match="'0' gets other shapes"):
        engine.features(torch.randn(4, 2, 6), y)


def test_a_parameter_without_influence_adds_nothing():
    model, x, y = Functional(), torch.randn(4, 6), torch.tensor([0, 1, 2, 0])
    engine = LayerwiseGram(model, sign_vectors, x, y)
    assert not any("unused" in name for row in engine.plan() for name in row.parameters)


class Dead(nn.Module):
    """Reads a weight past its module, or through it and past it, with an input that is zero below the threshold."""

    def __init__(self, both):
        super().__init__()
        self.fc, self.past = nn.Linear(6, 3), nn.Linear(6, 3)
        self.both = both

    def forward(self, x):
        return self.fc(x) + F.linear(F.relu(x - 1), (self.fc if self.both else self.past).weight)


@pytest.mark.parametrize("both", [True, False])
def test_a_functional_use_that_is_silent_on_the_samples_tried_is_seen(both):
    torch.manual_seed(0)
    x, y = torch.randn(12, 6).clamp(max=0.9), torch.arange(12) % 3
    x[4:] += 2
    model = Dead(both)
    assert_oracles(model, x, y)


class Faint(nn.Module):
    """A layer whose type promises one gradient and whose forward pass has a slightly different one."""

    def __init__(self, strength):
        super().__init__()
        self.fc, self.strength = nn.Linear(6, 3), strength
        self.fc.register_forward_hook(lambda module, args, out: out + self.strength * F.linear(args[0], module.weight))

    def forward(self, x):
        return self.fc(x)


@pytest.mark.parametrize("strength", [1e-2, 1e-4, 3e-5])
def test_faint_differences_do_not_hide_in_the_rounding(strength):
    torch.manual_seed(0)
    model, x, y = Faint(strength), torch.randn(8, 6), torch.arange(8) % 3
    assert_oracles(model, x, y)
    with pytest.raises(ValueError, match="mixes samples"):
        LayerwiseGram(Mixing(strength), sign_vectors, x, y)


class Dealt(nn.Module):
    """Only some tokens of a sample pass through the layer."""

    def __init__(self):
        super().__init__()
        self.expert, self.out = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        chosen = x[..., 0] > 0
        h = x.index_put((chosen,), torch.tanh(self.expert(x[chosen])))
        return self.out(h.mean(1))


@pytest.mark.parametrize("tokens", [20, 21])
def test_rows_that_are_dealt_otherwise_than_on_the_samples_tried_are_refused(tokens):
    x, y = torch.rand(20, 2, 6) + 0.1, torch.arange(20) % 3
    flat = x[4:].reshape(-1, 6)
    flat[: 40 - tokens, 0] = -1  # the first four samples keep both tokens
    x[4:] = flat.view(16, 2, 6)
    engine = LayerwiseGram(Dealt(), sign_vectors, x, y)
    with pytest.raises(ValueError, match="'expert' gets other shapes"):
        engine.features(x, y)


class SequenceFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.head = nn.LayerNorm(4), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.norm(x.transpose(0, 1)).mean(0))


@pytest.mark.parametrize("length", [3, 4, 5])
def test_a_sequence_as_long_as_the_trial_is_no_batch(length):
    model, x, y = SequenceFirst(), torch.randn(9, length, 4), torch.arange(9) % 3
    assert_oracles(model, x, y)


class Experts(nn.Module):
    """The sign of the first number decides which of two layers a sample passes through."""

    def __init__(self):
        super().__init__()
        self.experts, self.out = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)]), nn.Linear(4, 3)

    def forward(self, x):
        h = torch.zeros_like(x)
        for expert, chosen in zip(self.experts, (x[:, 0] > 0, x[:, 0] <= 0), strict=True):
            h = h.index_put((chosen,), torch.tanh(expert(x[chosen])))
        return self.out(h)


def test_a_layer_that_no_sample_tried_passes_through_is_no_division_by_zero():
    x, y = torch.rand(9, 4) + 0.1, torch.arange(9) % 3
    model = Experts()
    engine = assert_oracles(model, x, y)
    x[5:, 0] = -1
    with pytest.raises(ValueError, match=r"other (shapes|layers)"):
        engine.features(x, y)


class SelfAttention(nn.Module):
    """Keeps T x T numbers that no layer with parameters sees."""

    def __init__(self):
        super().__init__()
        self.q, self.head = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x):
        q = self.q(x)
        return self.head((torch.softmax(q @ q.mT, -1) @ q).mean(1))


def test_activations_between_the_layers_count_in_the_memory():
    x, y, memory = torch.randn(40, 100, 4), torch.arange(40) % 3, 2**20
    engine, kept = LayerwiseGram(SelfAttention(), sign_vectors, x, y, memory=memory), {}
    keep = lambda t: kept.update({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes()}) or t
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        engine.features(x[: engine._chunk], y[: engine._chunk])
    assert memory / 4 < sum(kept.values()) <= memory


def test_where_a_matrix_product_is_dearer_a_form_with_fewer_of_them_is_taken():
    """A multiplication costs less beside an element-wise operation on a CUDA device than on a CPU."""
    weight = lambda device: SimpleNamespace(numel=lambda: 256, device=torch.device(device))
    linear = lambda device: SimpleNamespace(groups=1, t=1, q=16, k=16, axes=(), macs=lambda name: 0,
                                            module=SimpleNamespace(weight=weight(device)))  # fmt: skip
    assert [choose(linear(device), 4096) for device in ("cpu", "cuda")] == ["inner", "gradient"]
