"""Strided 1 x 1 convolutions along every path of the package, against float64: run as a process that may die.

Called with the largest width, then numbers of threads. Prints the largest relative error of every path; torch takes
float64 past oneDNN.
"""

import copy
import itertools
import json
import sys
from collections import defaultdict

import torch
import torch.nn.functional as F
from oracle import relative_error
from torch import nn

from lpntk.kernel.layerwise.gradients import per_sample_gradients
from lpntk.kernel.matrix import kernel_matrix
from lpntk.learn.models import build
from lpntk.learn.stacks import Stack, stackable
from lpntk.learn.training import train
from lpntk.machine import strides
from lpntk.phenomena.cost.ways import by_jacobians
from lpntk.phenomena.forgetting.predict import changes, moment, pushes
from lpntk.phenomena.one_step.step import logit_velocity, sgd_step

LAST = torch.channels_last
HEAD = (nn.AdaptiveAvgPool2d(2), nn.Flatten())


class Shortcut(nn.Module):
    """A residual block, which no chain is: trained one by one."""

    def __init__(self, c):
        super().__init__()
        self.first, self.body = nn.Conv2d(2, c, 3, padding=1), nn.Conv2d(c, 4, 3, stride=2, padding=1)
        self.shortcut, self.head = nn.Conv2d(c, 4, 1, stride=2), nn.Sequential(*HEAD, nn.Linear(16, 3))

    def forward(self, x):
        h = torch.relu(self.first(x))
        return self.head(torch.relu(self.body(h) + self.shortcut(h)))


class Functional(Shortcut):
    """The shortcut by a function, its weight read past its module: left to ``torch.func`` on the whole model."""

    def forward(self, x):
        h = torch.relu(self.first(x))
        short = F.conv2d(h, self.shortcut.weight, stride=(2, 1))[..., ::2] + self.shortcut.bias[:, None, None]
        return self.head(torch.relu(self.body(h) + short))


def chain(c):
    return nn.Sequential(
        nn.Conv2d(2, c, 3, padding=1), nn.Tanh(), nn.Conv2d(c, 4, 1, stride=2), *HEAD, nn.Linear(16, 3)
    )


def transposed(c):
    up = nn.ConvTranspose2d(2, c, 1, stride=2, output_padding=1)
    return nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), up, nn.Tanh(), *HEAD, nn.Linear(4 * c, 3))


NETWORKS = {"chain": chain, "shortcut": Shortcut, "functional": Functional, "transposed": transposed}


def flat(tensors):
    return torch.cat([t.detach().double().flatten() for t in tensors])


def trained(models, x, y):
    """What a step changes: of all networks at once, where they are chains."""
    way = "stack" if len(models) == 1 or stackable(models[0]) else "single"
    models, before = [copy.deepcopy(model) for model in models], flat(p for m in models for p in m.parameters())
    rows = torch.arange(len(y)).expand(len(models), -1)
    train(models, x, y, rows, seeds=range(len(models)), epochs=1, lr=0.5, shuffle=False, way=way, device="cpu")
    return flat(p for m in models for p in m.parameters()) - before


def stepped(model, x, y):
    return flat(sgd_step(model, x, y, lr=0.5).parameters()) - flat(model.parameters())


def velocity(model, x, y):
    return logit_velocity(model, x, y, F.one_hot(y, 3).to(x)[None], x[:3])


def predicted(model, x, y):
    stack = Stack([copy.deepcopy(model)], channels_last=True)
    found = pushes(stack, x[None], y[None])
    params, run = moment(stack)
    return flat([*(p for d in found.values() for p in d.values()), *changes(run, params, x[None], found).values()])


def gradients(model, x, y):
    """Of one sample alone: ``vmap`` leaves its convolution ungrouped."""
    return per_sample_gradients(model, x[:1], torch.ones(1, 3).to(x))


PATHS = {
    "one model": lambda model, x, y: trained([model], x, y),
    "stack": lambda model, x, y: trained([model, copy.deepcopy(model)], x, y),
    "step": stepped,
    "forward mode": velocity,
    "forgetting": predicted,
    "per sample": gradients,
    "kernel": lambda model, x, y: kernel_matrix(model, x[:4], y[:4], device="cpu"),
    "sketch": lambda model, x, y: kernel_matrix(model, x[:4], y[:4], sketch=8, device="cpu"),
    "Jacobians": lambda model, x, y: by_jacobians(model, x[:2], y[:2]),
}


def look(model, x):
    state = {name: value.clone() for name, value in model.state_dict().items()}
    kinds = [(m.training, type(m), sorted(vars(m)), dict(m._forward_hooks)) for m in model.modules()]
    return state | {"logits": model(x).detach()}, kinds


def bare(c, batch, size):
    """A gradient of the function alone, in shapes that are cut to pieces: by three threads, and by one."""
    x, weight = torch.randn(batch, c, size, size).contiguous(memory_format=LAST), torch.randn(4, c, 1, 1)
    y = F.conv2d(x, weight.requires_grad_(), stride=2)
    grad = torch.randn_like(y)
    got = torch.autograd.grad(y, weight, grad)[0].flatten(1)
    return relative_error(got, torch.einsum("bohw,bihw->oi", grad.double(), x[..., ::2, ::2].double()))


def largest_errors(widths, counts):
    """Threads -> path -> largest relative error over widths and networks; the models must come out as they went in."""
    worst = {threads: defaultdict(float) for threads in counts}
    for c, (name, make) in zip(widths, itertools.cycle(NETWORKS.items())):
        torch.manual_seed(c)
        model, y = make(c).eval(), torch.arange(16) % 3
        x = torch.randn(16, 2, 8, 8).contiguous(memory_format=LAST)
        before, kinds = look(model, x)
        double = copy.deepcopy(model).double()
        want = {path: run(double, x.double(), y) for path, run in PATHS.items()}
        for threads in counts:
            torch.set_num_threads(threads)
            found = {path: relative_error(run(model, x, y), want[path]) for path, run in PATHS.items()}
            found |= {f"bare {shape}": bare(c, *shape) for shape in ((128, 28), (2, 64))}
            for path, value in found.items():
                worst[threads][path] = max(worst[threads][path], value)
        torch.set_num_threads(1)
        after, kinds_after = look(model, x)
        assert kinds == kinds_after, f"{name} is changed"
        assert all(torch.equal(before[key], after[key]) for key in before), f"{name} is changed"
    return worst


def main():
    torch.set_num_threads(1)
    build_only = build("lenet5", (1, 16, 16), 3, seed=0)
    trained([build_only], torch.randn(4, 1, 16, 16), torch.arange(4) % 3)
    assert not strides._registered, "a network without such layers pays for them"
    widest, *counts = map(int, sys.argv[1:])
    print(json.dumps(largest_errors(range(1, widest + 1), counts)))


if __name__ == "__main__":
    main()
