"""Any module: what a layer-wise kernel cannot see is computed otherwise or refused, never wrong without a word."""

import random
import textwrap

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from networks import Opaque, mlp
from oracle import alone, assert_close_to_oracle, oracle_kernel
from rows import each_row
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.checkpoint import checkpoint

import lpntk
from lpntk.kernel.matrix import kernel_matrix

N = 24


def data(*shape, k=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(N, *shape, generator=generator), torch.arange(N) % k


def check(model, x, y, plain=None, tolerance=1e-5):
    got = kernel_matrix(model, x, y)
    assert_close_to_oracle(got, oracle_kernel(plain or model, x, y), tolerance)
    return got


def check_alone(model, x, y, tolerance=1e-5):
    assert_close_to_oracle(kernel_matrix(model, x, y), alone(model, x, y), tolerance)


# ---- numbers, layouts and precisions

FROZEN = [torch.float16, torch.bfloat16, torch.float8_e5m2, torch.float8_e4m3fn, torch.int64, torch.bool]


@each_row(("dtype",), [(dtype,) for dtype in FROZEN])
def test_a_frozen_parameter_may_be_of_any_numbers(dtype):
    (x, y), model = data(6), mlp()
    want = kernel_matrix(model, x, y)
    model.register_parameter("frozen", nn.Parameter(torch.ones(5).to(dtype), requires_grad=False))
    assert torch.equal(kernel_matrix(model, x, y), want)


def test_finite_weights_whose_sum_is_not():
    (x, y), model = data(6), mlp()
    model.register_parameter("large", nn.Parameter(torch.full((4,), 3e38), requires_grad=False))
    check(model, x, y, plain=mlp())
    model.large.data[1] = torch.inf
    with pytest.raises(ValueError, match="'large' holds NaN or infinity"):
        kernel_matrix(model, x, y)


class Images(nn.Module):
    """Takes images in one layout only: says so by an error, or by a view that channels last does not have."""

    def __init__(self, strict):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head, self.strict = nn.Conv2d(2, 4, 3), nn.Linear(4, 3), strict

    def forward(self, x):
        if self.strict and not x.is_contiguous():
            raise ValueError("channels first, please")
        h = self.conv(x)
        n, c, *size = h.shape
        return self.head((h if self.strict else h.view(n * c, *size).view(n, c, *size)).mean((2, 3)))


@each_row(("strict", "n"), [(False, 1), (False, 9), (True, 1), (True, 9)])
def test_a_layout_that_a_model_refuses_is_not_forced_on_it(strict, n):
    x, y = data(2, 6, 6)
    check(Images(strict), x[:n], y[:n])


class InSingle(nn.Module):
    """Reads a weight past its module in float32 only, where the trial in double precision does not see it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.f, self.g = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x):
        h = self.f(x)
        return self.g(torch.tanh(h + F.linear(x, self.f.weight) if x.dtype == torch.float32 else h))


def test_what_only_single_precision_does_is_seen_before_a_file_is_read(tmp_path):
    (x, y), model = data(6), InSingle()
    want = alone(model, x, y)
    for _ in range(2):  # made, and found again
        assert_close_to_oracle(kernel_matrix(model, x, y, out=tmp_path / "kappa.npy"), want)


# ---- forward passes that were replaced


def test_a_forward_pass_in_a_closure_is_that_of_the_copy():
    model, plain = mlp(), mlp()
    inner, outer = model[0].forward, model.forward
    model[0].forward = lambda t: inner(t)
    model.forward = torch.autocast("cpu", torch.bfloat16, enabled=False)(outer)
    before = model.forward
    check(model, *data(6), plain)
    assert model.forward is before


def test_a_hook_that_reads_another_layer_reads_that_of_the_copy():
    model = mlp()
    model[2].register_forward_hook(lambda module, args, out: out + model[0].weight.sum())
    check_alone(model, *data(6))


REACHED = nn.Linear(6, 5)


def indirectly(t):
    return REACHED(t)


def test_a_forward_pass_that_finds_the_original_by_name_is_refused():
    model = nn.Sequential(REACHED, nn.Linear(5, 3))
    model.forward = lambda t: model[1](indirectly(t))
    with pytest.raises(ValueError, match=r"still reads the original's parameter '0\.weight'.*MethodType"):
        kernel_matrix(model, *data(6), device="cpu")  # elsewhere it would stop at the first product


# ---- rows that belong to other samples, and paths that only some samples take


class Encoder(nn.Module):
    """Attention with its default axes: the batch is taken for the sequence."""

    def __init__(self, masked=False):
        super().__init__()
        torch.manual_seed(1)
        layer = nn.TransformerEncoderLayer(6, 2, 12, norm_first=True, dropout=0.0)
        self.body, self.head, self.masked = (
            nn.TransformerEncoder(layer, 1, enable_nested_tensor=False),
            nn.Linear(6, 3),
            masked,
        )

    def forward(self, x):
        mask = x[..., 0] > 1.5 if self.masked else None
        return self.head(self.body(x.transpose(0, 1), src_key_padding_mask=mask).mean(0))


@each_row(("steps", "masked"), [(4, False), (5, True)])
def test_sequence_first_attention_with_one_label_among_the_samples_tried(steps, masked):
    x, y = data(steps, 6)
    y = (torch.arange(N) == 9).long()
    check(Encoder(masked).eval(), x, y, tolerance=2e-5)


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.a, self.b = nn.Linear(6, 5), nn.Linear(5, 3)


class FirstByFirst(Two):
    def forward(self, x):
        return self.b(self.a(x.transpose(0, 1)).mean(0))


@each_row("steps", [3, 4, 5])
def test_sequence_first_linear_layers(steps):
    x, _ = data(steps, 6)
    check(FirstByFirst(), x, (torch.arange(N) == 9).long())


class Missing(nn.Module):
    """Puts a learned vector where a value is missing, in a branch that most batches do not take."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(2)
        self.p, self.fc = nn.Parameter(torch.randn(6)), nn.Linear(6, 3)

    def forward(self, x):
        miss = x[:, 0] > 50
        if miss.any():
            x = torch.where(miss[:, None], self.p, x)
        return self.fc(x)


@each_row("at", [0, 7, 11, 23])
def test_a_parameter_read_only_for_some_samples(at):
    x, y = data(6)
    x[at, 0] = 100.0
    check_alone(Missing(), x, y)


class Sorted(Two):
    """Sorts its batch by the first number, as code for packed sequences does, and puts the order back."""

    def forward(self, x):
        order = x[:, 0].argsort(descending=True, stable=True)
        return self.b(torch.tanh(self.a(x[order])))[order.argsort()]


def test_a_batch_that_is_sorted_inside_though_the_samples_tried_were_sorted_already():
    x, y = data(6)
    x[[0, 1, -2, -1], 0] = torch.tensor([3.0, 2.0, 1.0, 0.0])
    check(Sorted(), x, y)


class Detached(Two):
    """The gradient does not flow through the first layer where a number is large."""

    def forward(self, x):
        h = torch.tanh(self.a(x))
        far = x[:, 0] > 50
        return self.b(torch.where(far[:, None], h.detach(), h) if far.any() else h)


def test_a_gradient_that_stops_for_some_samples():
    x, y = data(6)
    x[9, 0] = 100.0
    check_alone(Detached(), x, y)


@each_row("n", [4, 24])
def test_two_samples_that_a_batch_swaps_inside(n):
    x, y = data(6)
    x, y = x[:n], y[:n]
    x[:, 0] = torch.arange(n) - 100.0
    x[[-2, -1], 0] = x[[-1, -2], 0].clone()
    check_alone(Sorted(), x, y)


@each_row("pair", [(7, 8), (3, 20), (10, 11)])
def test_two_samples_that_none_was_tried_of(pair):
    x, y = data(6)
    x[:, 0] = -torch.arange(N, dtype=torch.float)
    x[list(pair), 0] = x[list(pair[::-1]), 0].clone()
    check_alone(Sorted(), x, y)


def test_two_samples_among_many():
    torch.manual_seed(0)
    x, y = torch.randn(700, 6), torch.arange(700) % 3
    x[:, 0] = -torch.arange(700) / 100
    x[[400, 401], 0] = x[[401, 400], 0].clone()
    check_alone(Sorted(), x, y)


class Turned(nn.Module):
    """Hands a sample the numbers of the next one where both are marked, by the same operations for any batch."""

    def __init__(self, before):
        super().__init__()
        torch.manual_seed(3)
        self.fc, self.before = nn.Linear(6, 3), before

    def forward(self, x):
        places, marked = torch.arange(len(x), device=x.device), (x[:, 0] > 50).nonzero()[:, 0]
        places[marked] = marked.flip(0)
        return self.fc(x[places]) if self.before else self.fc(x)[places]


@each_row("before", [False, True])
def test_logits_that_two_samples_exchange(before):
    x, y = data(6)
    x[[7, 15], 0] = 100.0
    check_alone(Turned(before), x, y)


class Grouped(Two):
    """Rows by position first for some batches: the same operations and shapes, with other arguments."""

    def forward(self, x):
        n, t = x.shape[:2]
        there = torch.arange(n * t)
        if (x > 50).any():
            there = there.view(n, t).t().reshape(-1)
        h = torch.tanh(self.a(x.reshape(n * t, 6)[there].view(n, t, 6)))
        return self.b(h.reshape(n * t, 5)[there.argsort()].view(n, t, 5).mean(1))


def test_rows_that_some_batches_group_otherwise():
    x, y = data(4, 6)
    x[9, 1, 2] = 100.0
    check_alone(Grouped(), x, y)


# ---- refused before, though fine


class Packed(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(4)
        self.gru, self.head = nn.GRU(6, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, x):
        lengths = (x[..., 0] > -9).sum(1).cpu()
        _, hidden = self.gru(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))
        return self.head(hidden[0])


def test_packed_sequences():
    x, y = data(5, 6)
    for i, length in enumerate(torch.randint(1, 6, (N,), generator=torch.Generator().manual_seed(0))):
        x[i, length:] = -10
    check_alone(Packed().eval(), x, y)


class Numpy(nn.Module):
    """Takes a number out of torch on its way."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(6)
        self.fc, self.outer = nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x):
        scale = torch.from_numpy(1 / (1 + np.abs(x.detach().cpu().numpy()).sum(1, keepdims=True))).to(x)
        return self.outer(torch.tanh(F.linear(x, self.fc.weight) * scale))


class Checkpointed(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        torch.manual_seed(7)
        self.a, self.b, self.c, self.reentrant = nn.Linear(6, 5), nn.Linear(5, 5), nn.Linear(5, 3), reentrant

    def forward(self, x):
        h = torch.tanh(self.a(x))
        return self.c(checkpoint(lambda t: torch.tanh(self.b(t)), h, use_reentrant=self.reentrant))


@each_row(
    "model",
    [Opaque(), Numpy(), Checkpointed(False), Checkpointed(True)],
)
def test_what_torch_func_cannot_enter(model):
    check_alone(model, *data(6))


class Hidden(nn.Module):
    """A backward pass within the backward pass, that leads to parameters from a tensor that is none."""

    def __init__(self, run):
        super().__init__()
        torch.manual_seed(7)
        self.a, self.b, self.run = nn.Linear(6, 5), nn.Linear(5, 3), run

    def forward(self, x):
        h = self.run(lambda t: torch.tanh(self.a(t)), x.clone().requires_grad_())
        return self.b(h)


class Rerun(torch.autograd.Function):
    @staticmethod
    def forward(ctx, function, x):
        ctx.function, ctx.x = function, x.detach()
        return function(x)

    @staticmethod
    def backward(ctx, g):
        with torch.enable_grad():
            x = ctx.x.requires_grad_()
            torch.autograd.backward(ctx.function(x), g)
        return None, x.grad


@each_row("run", [lambda f, x: checkpoint(f, x, use_reentrant=True), Rerun.apply])
def test_a_backward_pass_within_the_backward_pass(run):
    check_alone(Hidden(run), *data(6))


def test_the_last_resort_says_that_it_is_slow(caplog):
    kernel_matrix(Opaque(), *data(6))
    assert "differentiated alone instead" in caplog.text


class Rounded(nn.Module):
    """A softmax in float32 whatever the rest is in, over keys with a bias that it makes vanish."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(8)
        self.q, self.k, self.v, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        weights = torch.softmax((self.q(x) @ self.k(x).mT).float(), -1).to(x)
        return self.head((weights @ self.v(x)).mean(1))


def test_a_softmax_in_float32_with_a_bias_on_the_keys():
    check(Rounded(), *data(5, 6))
    x, y = data(5, 6)
    got = kernel_matrix(Rounded().double(), x.double(), y)
    assert_close_to_oracle(got, oracle_kernel(Rounded(), x, y))


class HalfBody(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(9)
        self.body, self.head = nn.Linear(6, 5).bfloat16(), nn.Linear(5, 3)

    def forward(self, x):
        return self.head(torch.tanh(self.body(x.bfloat16())).float())


def test_a_bfloat16_body_with_a_float32_head():
    check_alone(HalfBody(), *data(6), tolerance=2e-2)  # gradients of the body are kept in bfloat16


# ---- what draws, and what is left in training mode


class Seldom(nn.Module):
    """Drops a sample's hidden layer at a low rate, by a source of its own."""

    def __init__(self, source):
        super().__init__()
        torch.manual_seed(10)
        self.a, self.b, self.source = nn.Linear(6, 5), nn.Linear(5, 3), source

    def forward(self, x):
        return self.b(self.a(x) * self.source(x))


def by_generator():
    generator = torch.Generator().manual_seed(0)
    return lambda x: (torch.rand(len(x), 1, generator=generator) > 0.02).to(x)


SOURCES = {
    "dropout": lambda: lambda x: F.dropout(torch.ones_like(x[:, :1]), 0.02, training=True),
    "torch": lambda: lambda x: (torch.rand(len(x), 1) > 0.02).to(x),
    "own-generator": by_generator,
    "numpy": lambda: lambda x: torch.from_numpy(np.random.rand(len(x), 1) > 0.02).to(x),
    "python": lambda: lambda x: torch.tensor([[random.random() > 0.02] for _ in x]).to(x),
}


@each_row("source", SOURCES)
def test_a_layer_that_draws_at_a_low_rate_is_refused(source):
    for seed in range(3):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        with pytest.raises(ValueError, match="is random"):
            kernel_matrix(Seldom(SOURCES[source]()), *data(6))


def test_numbers_drawn_for_nothing_are_no_fault():
    check_alone(Seldom(lambda x: 1 + 0 * torch.rand(1).item()), *data(6))


class Noisy(nn.Module):
    """A layer of nobody's list that is another one in training."""

    def forward(self, x):
        return x * 1.1 if self.training else x


def test_a_model_left_in_training_mode_that_differs_there_is_refused():
    model = nn.Sequential(nn.Linear(6, 5), Noisy(), nn.Linear(5, 3))
    with pytest.raises(ValueError, match=r"training mode.*model\.eval\(\)"):
        kernel_matrix(model.train(), *data(6))
    check(model.eval(), *data(6))


# ---- samples that are learned


def learned(scale):
    torch.manual_seed(11)
    model = nn.Linear(6, 3)
    x, y = data(6)
    with torch.no_grad():
        x = x + scale * model.weight[y]
    return model, x, y


@each_row("scale", [1.0, 80.0, 600.0])
def test_the_error_kernel_of_learned_samples(scale):
    model, x, y = learned(scale)
    q = model(x).softmax(1).gather(1, y[:, None]).median()
    assert scale == 1.0 or q > 0.99999
    want = oracle_kernel(model, x, y, signs="error")
    norm = want.diagonal().sqrt()
    cosine = want / norm[:, None] / norm[None, :]
    got = kernel_matrix(model, x, y, signs="error", normalize=True)
    assert (got - cosine).abs().max() < 1e-4
    if scale < 600:  # there squares of what is left to learn are smaller than a float32
        assert_close_to_oracle(kernel_matrix(model, x, y, signs="error"), want)


def test_small_gradients_in_double_precision_are_like_themselves():
    model, (x, y) = mlp().double(), data(6)
    with torch.no_grad():
        model[2].weight *= 1e-20
        model[2].bias.requires_grad_(False)
        model[2].weight.requires_grad_(False)
    got = kernel_matrix(model, x.double(), y, normalize=True)
    assert torch.allclose(got.diagonal(), torch.ones(N, dtype=torch.float64))


def test_a_sample_without_gradient_is_like_nothing():
    model, (x, y) = nn.Sequential(nn.Linear(6, 5, bias=False), nn.Linear(5, 3, bias=False)), data(6)
    x[3] = 0
    got = kernel_matrix(model, x, y, normalize=True)
    assert (got[3] == 0).all()
    assert torch.allclose(got.diagonal().sum(), torch.tensor(N - 1.0))


# ---- what cannot be meant says how to mend it


class Output(dict):
    logits = torch.zeros(1, 3)


class Returning(nn.Module):
    def __init__(self, wrap):
        super().__init__()
        self.fc, self.wrap = nn.Linear(6, 3), wrap

    def forward(self, x):
        return self.wrap(self.fc(x))


def with_logits(z):
    out = Output(logits=z)
    out.logits = z
    return out


@each_row(
    ("make", "words"),
    [
        (lambda: (Returning(lambda z: (z, z)), *data(6)), r"gave a tuple\. Wrap it.*return self\[0\]\(x\)\[0\]"),
        (
            lambda: (Returning(lambda z: {"scores": z}), *data(6)),
            r"dict with scores.*return self\[0\]\(x\)\['scores'\]",
        ),
        (lambda: (Returning(with_logits), *data(6)), r"Output with logits.*return self\[0\]\(x\)\.logits"),
        (lambda: (mlp(), {"input_ids": data(6)[0]}, data(6)[1]), r"got a dict with input_ids.*\(input_ids=x\)\.logits"),
        (lambda: (mlp(), tuple(data(6)), data(6)[1]), r"got a tuple of 2 tensors.*self\[0\]\(\*x\.unbind\(-1\)\)"),
        (lambda: (mlp(), ["good", "bad"], data(6)[1]), "got text: give what a tokenizer makes of it"),
        (lambda: (Tokens(), words(), data(6)[1]), r"Wrap it.*attention_mask=\(x != PAD\)\.long\(\)\)\.logits"),
        (lambda: (nn.Sequential(nn.LazyLinear(3)), *data(6)), r"'0\.weight' has no shape yet.*model\(x\[:2\]\)"),
        (lambda: (nn.Linear(6, 3, device="meta"), *data(6)), r"'weight' lies on the meta device.*load_state_dict"),
        (lambda: (torch.jit.trace(mlp(), data(6)[0]), *data(6)), r"TorchScript.*load_state_dict"),
        (lambda: (torch.compile(mlp(), backend="eager"), *data(6)), r"not its own.*_orig_mod"),
        (lambda: (hooked(), *data(6)), r"'0\.weight' has a gradient hook"),
        (lambda: (nn.Linear(6, 3, dtype=torch.cfloat), data(6)[0].to(torch.cfloat), data(6)[1]), "is complex"),
        (lambda: (locked(), *data(6)), r"cannot be copied.*load_state_dict"),
        (
            lambda: (Returning(lambda z: torch.where(z > 0, z, (z * 0).sqrt())), *data(6)),
            "gradient is NaN or inf.*root",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_what_cannot_be_meant_says_how_to_mend_it(make, words):
    with pytest.raises(ValueError, match="(?s)" + words):
        kernel_matrix(*make(), device="cpu")  # elsewhere a compiled model would stop at the first product


@each_row(
    "said",
    [
        "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!",
        "Expected all tensors to be on the same device, but got mat1 is on cuda:0, different from other tensors on cpu",
        "indices should be either on cpu or on the same device as the indexed tensor (cpu)",
        "Input type (torch.cuda.FloatTensor) and weight type (torch.FloatTensor) should be the same",
        "Unhandled FakeTensor Device Propagation for aten.mm.default, found two different devices cuda:0, cpu",
    ],
)
def test_a_tensor_that_stays_behind_is_told_apart_from_a_wrong_input(said):
    def stops(z):
        raise RuntimeError(said)

    with pytest.raises(ValueError, match=r"cannot run on cpu.*does not move with it: register it as a buffer.*'cpu'"):
        kernel_matrix(Returning(stops), *data(6), device="cpu")
    with pytest.raises(ValueError, match="give the inputs as the network was trained on"):
        kernel_matrix(mlp(), *data(7), device="cpu")


class Tokens(nn.Module):
    """Called as Hugging Face's classifiers are: words and their mask by name, and an output with ``logits``."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(4)
        self.embedding, self.norm, self.fc = nn.Embedding(20, 6), nn.LayerNorm(6), nn.Linear(6, 3)

    def forward(self, input_ids, attention_mask=None):
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        h = self.norm(self.embedding(input_ids)) * mask[..., None]
        return with_logits(self.fc(torch.tanh(h.sum(1) / mask.sum(1, keepdim=True))))


def words():
    """Of other lengths each, filled up with 0."""
    x = torch.randint(1, 20, (N, 7), generator=torch.Generator().manual_seed(0))
    return x.masked_fill(torch.arange(7) > torch.arange(N)[:, None] % 7, 0)


def advised(message):
    """What the wrapper and the call of an error message make."""
    names = {"torch": torch, "kernel_matrix": kernel_matrix}
    *lines, call = textwrap.dedent(message.partition(":\n")[2]).splitlines()
    exec("\n".join(lines), names)
    return lambda **given: eval(call, names | given)


def test_the_wrapper_that_an_error_shows_gives_the_kernel_of_a_padded_batch():
    ids, y, model = words(), torch.arange(N) % 3, Tokens()
    batch = {"input_ids": ids, "attention_mask": (ids != 0).long(), "labels": y}
    with pytest.raises(ValueError, match="got a dict with input_ids, attention_mask, labels") as told:
        kernel_matrix(model, batch, y)
    got = advised(str(told.value))(model=model, batch=batch, y=y)

    class Masked(nn.Sequential):
        def forward(self, x):
            return self[0](x, (x != 0).long()).logits

    assert_close_to_oracle(got, oracle_kernel(Masked(model), ids, y))
    unmasked = advised(str(told.value))(model=model, batch=batch | {"attention_mask": torch.ones_like(ids)}, y=y)
    assert not torch.allclose(unmasked, got, rtol=0.05)  # so the mask counts


def hooked():
    model = mlp()
    model[0].weight.register_hook(lambda g: g * 2)
    return model


def locked():
    model = mlp()
    model.stream = (i for i in range(3))
    return model


def test_what_the_package_does_not_offer_is_told():
    with pytest.raises(AttributeError, match="it offers"):
        _ = lpntk.nothing
