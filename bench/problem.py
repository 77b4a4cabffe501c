"""What is computed? Networks and labelled samples of the benchmark, and the signs of the kernel written out plainly."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from bench.networks import mobilenet, vit
from lpntk.kernel.layerwise.gradients import trainable
from lpntk.learn.models import BasicBlock, build


@dataclass(frozen=True)
class Network:
    """One network of the benchmark.

    Args:
        make: builds it in evaluation mode, always the same.
        in_shape: (c, h, w) of one input.
        dataset: what ``lpntk.data.dataset`` calls data of that shape; None for random inputs only.
        sizes: numbers of samples it is timed on by default.
        k: number of logits.
    """

    make: Callable[[], nn.Module]
    in_shape: tuple[int, int, int]
    dataset: str | None
    sizes: tuple[int, ...]
    k: int = 10


def _network(name: str, in_shape: tuple, dataset: str | None, sizes: tuple, **options: object) -> Network:
    return Network(lambda: build(name, in_shape, 10, seed=0, **options).eval(), in_shape, dataset, sizes)


@torch.no_grad()
def _without_norm(in_shape: tuple, k: int) -> nn.Module:
    """ResNet-18 of convolutions alone: eight branches of fixed scale, not learned ones, which begin at 0."""
    model = build("resnet18", in_shape, k, seed=0, norm="none").eval()
    for module in model.modules():
        if isinstance(module, BasicBlock):
            module.scale = None
            module.conv2.weight /= 8**0.5
    return model


CIFAR10, TINY = (3, 32, 32), (3, 8, 8)
NETWORKS = {
    "lenet": _network("lenet", (1, 28, 28), "mnist", (256, 512, 1024, 2048, 4096)),
    "resnet18-8": _network("resnet18", CIFAR10, "cifar10", (128, 256, 512, 1024), width=8),
    "resnet18-16": _network("resnet18", CIFAR10, "cifar10", (64, 128, 256, 512), width=16),
    "resnet18-64": _network("resnet18", CIFAR10, "cifar10", (64, 96, 128, 256, 512), width=64),
    "resnet18-64-nobn": Network(lambda: _without_norm(CIFAR10, 10), CIFAR10, "cifar10", (96, 256, 512)),
    "vit-tiny": Network(lambda: vit(CIFAR10, 10).eval(), CIFAR10, "cifar10", (32, 64, 128, 256)),
    "mobilenet": Network(lambda: mobilenet(CIFAR10, 10).eval(), CIFAR10, "cifar10", (64, 128, 256, 512)),
    "tiny-lenet": _network("lenet", (1, 10, 10), None, (6, 12)),
    "tiny-resnet": _network("resnet18", TINY, None, (6, 12), width=4, blocks=(1, 1)),
    "tiny-vit": Network(lambda: vit(TINY, 10, d=8, depth=1, heads=2).eval(), TINY, None, (6, 12)),
    "tiny-mobilenet": Network(lambda: mobilenet(TINY, 10, widths=(4, 4, 8)).eval(), TINY, None, (6, 12)),
}
QUICK = ("tiny-lenet", "tiny-resnet", "tiny-vit", "tiny-mobilenet")


@dataclass(frozen=True)
class Problem:
    """A network and the samples between which the kernel is wanted."""

    network: str
    model: nn.Module
    x: Tensor
    y: Tensor
    k: int
    source: str
    budget: int | None = None  # bytes that a variant may hold; ours is told

    @property
    def device(self) -> torch.device:
        """Where model and samples lie."""
        return self.x.device

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self.x)

    @property
    def p(self) -> int:
        """Number of trainable parameters."""
        return sum(w.numel() for w in trainable(self.model).values())

    @property
    def s(self) -> Tensor:
        """(n, k) signs: +1 at the label and -1 elsewhere, over sqrt(k)."""
        signs = torch.full((self.n, self.k), -1.0, device=self.device)
        signs[torch.arange(self.n, device=self.device), self.y] = 1.0
        return signs / self.k**0.5

    def first(self, n: int) -> "Problem":
        """Return the same problem for fewer samples."""
        return replace(self, x=self.x[:n], y=self.y[:n])


def problem(network: str, n: int, root: str | None = None, device: torch.device | str = "cpu") -> Problem:
    """Return the problem of one network and its first ``n`` samples, on a device."""
    spec = NETWORKS[network]
    x, y, source = samples(network, n, root)
    return Problem(network, spec.make().to(device), x.to(device), y.to(device), spec.k, source)


def samples(network: str, n: int, root: str | None = None) -> tuple[Tensor, Tensor, str]:
    """Return (n, ...) inputs, (n,) labels and where they come from.

    Images of the package's data sets are used where they can be loaded. The timings do not depend on the values (but
    for zeros, which no variant exploits), so seeded random tensors of the same shape serve otherwise.

    Args:
        network: a name of ``NETWORKS``.
        n: how many samples; a larger ``n`` begins with the samples of a smaller one.
        root: folder of the data sets; the package's own rule by default.
    """
    spec = NETWORKS[network]
    found = _images(spec, n, root)
    if found is not None:
        return *found, spec.dataset
    generator = torch.Generator().manual_seed(0)
    x = torch.stack([torch.randn(spec.in_shape, generator=generator) for _ in range(n)])
    y = torch.randint(spec.k, (4096,), generator=torch.Generator().manual_seed(1))[:n]
    return x, y, "synthetic"


def _images(spec: Network, n: int, root: str | None) -> tuple[Tensor, Tensor] | None:
    if spec.dataset is None:
        return None
    try:
        from lpntk.data import dataset as data

        dataset = data.load(spec.dataset, root)
    except (ImportError, OSError, ValueError, RuntimeError):  # no loader, no files, no network
        return None
    if len(dataset.x_train) < n or tuple(dataset.x_train.shape[1:]) != spec.in_shape:
        return None
    return dataset.x_train[:n].clone(), dataset.y_train[:n].clone()
