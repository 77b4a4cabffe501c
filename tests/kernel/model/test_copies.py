"""The kernel works on a copy: nothing of it may reach back into the original, and nothing may be lost on the way."""

import functools
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from networks import Doubled, mlp
from oracle import alone, assert_close_to_oracle
from rows import each_row
from torch import nn
from torch.nn.utils import parametrize
from torch.utils.checkpoint import checkpoint

from lpntk.kernel.matrix import kernel_matrix

N = 24


def data(n=N):
    return torch.randn(n, 6, generator=torch.Generator().manual_seed(0)), torch.arange(n) % 3


def check(make):
    """Compare with gradients of a second model in float64, one backward pass per sample."""
    x, y = data()
    assert_close_to_oracle(kernel_matrix(make(), x, y), alone(make().double(), x.double(), y))


# ---- what holds the original


class Held:
    """A callable object."""

    def __init__(self, *held):
        self.held = held

    def __call__(self, t):
        return self.held[-1](t)


class Kept(nn.Module):
    """Runs its inner network through something that it keeps."""

    def __init__(self, keep):
        super().__init__()
        self.inner = mlp()
        self.kept = keep(self.inner)

    def forward(self, x):
        return self.kept(x)


def by_default(inner):
    return lambda t, net=inner: net(t)


def by_keyword(inner):
    def run(t, *, net=inner):
        return net(t)

    return run


def by_closure(inner):
    return lambda t: inner(t)


def by_weights(inner):
    first, last = list(inner[0].parameters()), list(inner[2].parameters())
    return functools.partial(lambda a, b, t: F.linear(torch.tanh(F.linear(t, *a)), *b), first, last)


WAYS = {
    "partial-argument": lambda inner: functools.partial(lambda net, t: net(t), inner),
    "partial-keyword": lambda inner: functools.partial(lambda t, net: net(t), net=inner),
    "partial-closure": lambda inner: functools.partial(by_closure(inner)),
    "partial-of-partial": lambda inner: functools.partial(functools.partial(by_closure(inner))),
    "default": by_default,
    "keyword-default": by_keyword,
    "closure-in-default": lambda inner: by_default(by_closure(inner)),
    "object": lambda inner: Held(inner),
    "object-closure": lambda inner: Held(by_closure(inner)),
    "object-default": lambda inner: Held([], by_default(inner)),
    "bound-method": lambda inner: Held(inner).__call__,
    "bound-method-in-object": lambda inner: Held(Held(by_closure(inner)).__call__),
    "parameters": by_weights,
}


@each_row("way", WAYS)
def test_what_holds_the_original_holds_the_copy(way):
    check(lambda: Kept(WAYS[way]))


@each_row("way", ["partial-closure", "default", "object-closure"])
def test_it_may_lie_in_a_container_or_be_a_hook(way):
    def listed():
        model = Kept(WAYS[way])
        model.kept, model.several = None, {"a": [(WAYS[way](model.inner),)]}
        model.forward = functools.partial(lambda model, t: model.several["a"][0][0](t), model)
        return model

    def hooked():
        model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 3))
        inner = model[0]
        run = WAYS[way](inner)
        model[1].register_forward_hook(lambda module, args, out: out + run(args[0]).sum(1, keepdim=True))
        return model

    check(listed)
    torch.manual_seed(1)
    state = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 3)).state_dict()

    def seeded():
        model = hooked()
        model.load_state_dict(state)
        return model

    check(seeded)


def test_the_original_is_left_as_it_was():
    model = Kept(WAYS["partial-closure"])
    before, inside = model.kept, model.kept.func.__closure__[0].cell_contents
    kernel_matrix(model, *data())
    assert model.kept is before
    assert model.kept.func.__closure__[0].cell_contents is inside is model.inner


class Told(nn.Module):
    """Tells functions apart by which they are."""

    def __init__(self):
        super().__init__()
        self.fc, self.kept, self.run = mlp(), [F.relu, F.max_pool1d], lambda t: self.fc(t)

    def forward(self, x):
        assert self.kept[0] is F.relu
        assert self.kept[1] is F.max_pool1d
        return self.run(x)


def test_functions_that_hold_nothing_stay_what_they_are():
    check(Told)


class Slotted:
    """A copy of it holds what it held: it says so itself."""

    def __init__(self, net):
        self.net = net

    def __deepcopy__(self, memo):
        return self

    def __call__(self, t):
        return self.net(t)


class Seldom(nn.Module):
    """Reaches back for samples that are not among the first ones; there the copy's layers run too."""

    def __init__(self):
        super().__init__()
        self.inner = mlp()
        self.kept = Slotted(self.inner)

    def forward(self, x):
        z = self.inner(x)
        return z + self.kept(x) if (x[:, 0] > 50).any() else z


def test_what_cannot_be_followed_is_refused():
    with pytest.raises(ValueError, match=r"(?s)reads the original's parameter 'inner\..*does not follow"):
        kernel_matrix(Kept(Slotted), *data())


@each_row("at", [5, 11, 20])
def test_it_is_refused_in_a_later_batch_too(at):
    x, y = data()
    x[at, 0] = 100.0
    with pytest.raises(ValueError, match=r"reads the original's parameter 'inner\."):
        kernel_matrix(Seldom(), x, y)


class OneByOne(Seldom):
    def forward(self, x):
        return super().forward(x) + F.linear(x, Doubled.apply(self.inner[0].weight[:3]))


def test_and_where_each_sample_is_differentiated_alone():
    x, y = data()
    x[11, 0] = 100.0
    with pytest.raises(ValueError, match=r"reads the original's parameter 'inner\."):
        kernel_matrix(OneByOne(), x, y)


class Rerun(Seldom):
    """Its checkpoint builds a graph during the backward pass only."""

    def forward(self, x):
        return checkpoint(self.kept, x.clone().requires_grad_(), use_reentrant=True) + self.inner(x)


@each_row("there", [False, True])
def test_nor_does_a_backward_pass_within_a_backward_pass_reach_the_original(there):
    model, (x, y) = Rerun(), data()
    if there:
        model(x).sum().backward()
    before = [p.grad.clone() if there else None for p in model.parameters()]
    with pytest.raises(ValueError, match=r"reads the original's parameter 'inner\."):
        kernel_matrix(model, x, y)
    for p, grad in zip(model.parameters(), before, strict=True):
        assert torch.equal(p.grad, grad) if there else p.grad is None
        assert not p._backward_hooks


# ---- what was computed from parameters and kept


class Computed(nn.Module):
    def __init__(self, keep):
        super().__init__()
        self.fc, self.keep = mlp(), keep
        if keep == "attribute":
            self.scale = self.fc[2].weight.sum() * 2
        elif keep == "list":
            self.scales = [self.fc[2].weight.sum() * 2]
        elif keep == "buffer":
            self.register_buffer("scale", self.fc[2].weight.sum() * 2)
        elif keep == "closure":
            scale = self.fc[2].weight.sum() * 2
            self.get = lambda: scale

    def forward(self, x):
        return self.fc(x) * self.found()

    def found(self):
        if self.keep == "closure":
            return self.get()
        if self.keep in ("list", "late-list"):
            if not hasattr(self, "scales"):
                self.scales = [self.fc[2].weight.sum() * 2]
            return self.scales[0]
        if not hasattr(self, "scale"):
            self.scale = self.fc[2].weight.sum() * 2
        return self.scale


@each_row("keep", ["attribute", "list", "buffer", "closure", "late", "late-list"])
def test_a_tensor_computed_from_parameters_and_kept_is_refused(keep):
    with pytest.raises(ValueError, match=r"(?s)computed from .*parameters.*forward"):
        kernel_matrix(Computed(keep), *data())


class Noted(Computed):
    """Keeps what it computed for others to look at, and computes it anew."""

    def found(self):
        self.scale = self.fc[2].weight.sum() * 2
        return self.scale


def test_one_that_is_computed_anew_in_every_pass_is_no_fault():
    check(lambda: Noted("attribute"))
    check(lambda: Noted("nothing"))
    used = Noted("nothing")
    used(data()[0])
    assert torch.equal(kernel_matrix(used, *data()), kernel_matrix(Noted("nothing"), *data()))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_older_weight_norm_computes_its_weight_anew():
    def make():
        model = mlp()
        nn.utils.weight_norm(model[0])
        return model

    check(make)
    used = make()
    used(data()[0])
    assert torch.equal(kernel_matrix(used, *data()), kernel_matrix(make(), *data()))


# ---- a cache around the call


class Halved(nn.Module):
    def forward(self, w):
        return w / 2 + w**2


def test_a_cache_of_parametrisations_around_the_call_is_gone_past():
    def make():
        model = mlp()
        parametrize.register_parametrization(model[0], "weight", Halved())
        return model

    x, y = data()
    model, want = make(), alone(make().double(), x.double(), y)
    with parametrize.cached():
        model(x)
        before = model[0].weight
        got = kernel_matrix(model, x, y)
        assert model[0].weight is before  # the cache is as it was
    assert_close_to_oracle(got, want)
    with parametrize.cached(), torch.no_grad():
        model(x)
        assert_close_to_oracle(kernel_matrix(model, x, y), want)
    assert parametrize._cache_enabled == 0


# ---- what surrounds the call


def test_a_default_device_without_numbers_is_refused():
    model, x_y = mlp(), data()
    torch.set_default_device("meta")
    try:
        with pytest.raises(ValueError, match=r"(?s)default device is meta.*set_default_device\('cpu'\)"):
            kernel_matrix(model, *x_y)
    finally:
        torch.set_default_device(None)


def test_a_model_made_in_inference_mode_is_refused():
    with torch.inference_mode():
        model = mlp()
    with pytest.raises(ValueError, match=r"(?s)'0\.weight' was made in torch\.inference_mode.*load_state_dict"):
        kernel_matrix(model, *data())


def test_samples_made_in_inference_mode_are_samples():
    want = kernel_matrix(mlp(), *data())
    with torch.inference_mode():
        x, y = data()
    assert torch.equal(kernel_matrix(mlp(), x, y), want)


def test_a_script_in_the_model_is_named():
    model = mlp()
    model[2] = torch.jit.script(model[2])
    with pytest.raises(ValueError, match=r"(?s)module '2' is TorchScript.*load_state_dict"):
        kernel_matrix(model, *data())


def test_a_kernel_imports_neither_a_compiler_nor_an_algebra():
    """They take seconds; ``torch`` fetches them for a dispatch mode and to compare the shapes of gradients."""
    code = """
import sys, torch
from lpntk.kernel.matrix import kernel_matrix
from torch import nn
model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3)).eval()
kernel_matrix(model, torch.randn(9, 1, 8, 8), torch.arange(9) % 3)
print({"torch._dynamo", "sympy"} & set(sys.modules))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"
