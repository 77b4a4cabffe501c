"""One table of networks and samples; every test of the kernel runs over it."""

from dataclasses import dataclass

import torch
from networks import NETWORKS
from torch import nn

from lpntk.learn.models import build


@dataclass(frozen=True)
class Case:
    name: str
    make: callable  # seed -> model in evaluation mode
    in_shape: tuple
    k: int
    n: int = 6
    n2: int = 5
    tokens: int = 0  # inputs are integers below it, if not zero


def with_statistics(model, in_shape, seed):
    """Give BatchNorm running statistics and affine parameters that are not the trivial ones."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 2.0, generator=generator)
            if module.affine:
                module.weight.data.uniform_(0.5, 1.5, generator=generator)
                module.bias.data.normal_(0, 0.3, generator=generator)
    return model


def named(name, in_shape, k, **options):
    return lambda seed: with_statistics(build(name, in_shape, k, seed=seed, **options), in_shape, seed).eval()


CASES = [
    Case("mlp", named("mlp", (1, 8, 8), 10, hidden=(32, 16)), (1, 8, 8), 10),
    Case("mlp-two-classes", named("mlp", (1, 4, 4), 2, hidden=(8,)), (1, 4, 4), 2),
    Case("lenet5", named("lenet5", (1, 28, 28), 10), (1, 28, 28), 10),
    Case("lenet", named("lenet", (1, 14, 14), 10), (1, 14, 14), 10),
    Case("resnet-batchnorm", named("resnet18", (3, 16, 16), 7, width=4, blocks=(1, 1, 1, 1)), (3, 16, 16), 7),
]


def small(make):
    def seeded(seed):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return with_statistics(make(), None, seed).eval()

    return seeded


CASES += [Case(name, small(make), in_shape, k=3, tokens=tokens) for name, make, in_shape, tokens in NETWORKS]
BY_NAME = {case.name: case for case in CASES}
FEW = [BY_NAME[name] for name in ("mlp-two-classes", "resnet-batchnorm", "transformer-tied-padding", "functional")]


def samples(case, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (case.n + case.n2, *case.in_shape)
    x = (
        torch.randint(case.tokens, shape, generator=generator)
        if case.tokens
        else torch.randn(shape, generator=generator)
    )
    y = torch.randint(case.k, (case.n + case.n2,), generator=generator)
    return x[: case.n], y[: case.n], x[case.n :], y[case.n :]
