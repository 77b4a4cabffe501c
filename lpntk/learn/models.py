"""Which network? The paper's LeNet and ResNet-18 and two smaller ones, by name, with an explicit seed.

Architectures follow the authors' public code (batch norm is kept in ResNet-18, evaluated with
its running statistics whenever the kernel is taken).
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lpntk.machine.device import seeded


def mlp(in_shape: Sequence[int], k: int, hidden: Sequence[int] = (128, 128)) -> nn.Module:
    """Fully connected ReLU network: ``in_shape`` flattened, ``hidden`` widths, ``k`` logits.

    Raises:
        ValueError: if a width is below 1: what is behind would learn of no input.
    """
    if narrow := [width for width in hidden if width < 1]:
        raise ValueError(f"hidden must hold widths of at least 1; got {narrow[0]}")
    widths = [prod(in_shape), *hidden]
    layers: list[nn.Module] = [nn.Flatten()]
    for d_in, d_out in pairwise(widths):
        layers += [nn.Linear(d_in, d_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], k))


def lenet5(in_shape: Sequence[int], k: int) -> nn.Module:
    """The classic small LeNet (44 k parameters on 28 x 28): two 5x5 convolutions, two poolings, three linear layers."""
    c = in_shape[0]
    body = nn.Sequential(
        nn.Conv2d(c, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
    )
    d = _width(body, in_shape, "lenet5")
    return nn.Sequential(*body, nn.Linear(d, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, k))


def lenet(in_shape: Sequence[int], k: int) -> nn.Module:
    """The paper's "LeNet" (1.2 M parameters on 28 x 28), dropout included."""
    c = in_shape[0]
    body = nn.Sequential(
        nn.Conv2d(c, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25), nn.Flatten()
    )
    d = _width(body, in_shape, "lenet")
    return nn.Sequential(*body, nn.Linear(d, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, k))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al., 2016); without norm the branch has a scale that begins at 0."""

    def __init__(self, c_in: int, c_out: int, stride: int, norm: str = "batch"):
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=norm == "none")
        self.bn1 = NORMS[norm](c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=norm == "none")
        self.bn2 = NORMS[norm](c_out)
        self.shortcut = nn.Identity()
        if stride != 1 or c_in != c_out:
            self.shortcut = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), NORMS[norm](c_out))
        self.scale = nn.Parameter(torch.zeros(1)) if norm == "none" else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, c_in, h, w) to (n, c_out, h/stride, w/stride)."""
        h = F.relu(self.bn1(self.conv1(x)))
        h = self.bn2(self.conv2(h))
        return F.relu((h if self.scale is None else h * self.scale) + self.shortcut(x))


NORMS = {"batch": nn.BatchNorm2d, "group": lambda c: nn.GroupNorm(min(8, c), c), "none": lambda c: nn.Identity()}


def resnet18(
    in_shape: Sequence[int], k: int, width: int = 64, blocks: Sequence[int] = (2, 2, 2, 2), norm: str = "batch"
) -> nn.Module:
    """ResNet-18 for 32 x 32 images: 3x3 first convolution, no max-pool (11.2 M parameters at width 64, ten classes).

    Args:
        in_shape: (c, h, w).
        k: number of classes.
        width: channels of the first stage.
        blocks: of the four stages.
        norm: ``batch``; ``group`` of at most 8 channels; or ``none``, as in the authors' published file: He
            initialisation and a learned scale of each branch, 0 at first, let that train (SkipInit, De & Smith, 2020).

    Raises:
        ValueError: if the norm is unknown.
    """
    if norm not in NORMS:
        raise ValueError(f"norm must be one of {', '.join(NORMS)}; got {norm!r}")
    c, layers = width, [nn.Conv2d(in_shape[0], width, 3, 1, 1, bias=norm == "none"), NORMS[norm](width), nn.ReLU()]
    for stage, count in enumerate(blocks):
        for i in range(count):
            c_out = width * 2**stage
            layers.append(BasicBlock(c, c_out, 2 if stage > 0 and i == 0 else 1, norm))
            c = c_out
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, k))
    if norm == "none":
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return model


MODELS = {"mlp": mlp, "lenet5": lenet5, "lenet": lenet, "resnet18": resnet18}


def build(name: str, in_shape: Sequence[int], k: int, *, seed: int, **options: object) -> nn.Module:
    """Build a network by name with its own seed, leaving the global random state as it was.

    Args:
        name: one of ``mlp``, ``lenet5``, ``lenet``, ``resnet18``.
        in_shape: (c, h, w) of one image.
        k: number of classes.
        seed: seeds the initialisation.
        **options: passed to the architecture, e.g. ``hidden=(64,)`` or ``width=16``.

    Raises:
        ValueError: if the name is unknown, there is no class, or the images are too small for the architecture.
    """
    if name not in MODELS:
        raise ValueError(f"model must be one of {', '.join(MODELS)}; got {name!r}")
    if k < 1:
        raise ValueError(f"k must be a number of classes, at least 1; got {k}")
    with seeded(seed):
        return MODELS[name](in_shape, k, **options)


def count_parameters(model: nn.Module) -> int:
    """Return P, the number of trainable parameters."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _width(body: nn.Module, in_shape: Sequence[int], name: str) -> int:
    try:
        with torch.no_grad():
            return body(torch.zeros(1, *in_shape)).shape[1]
    except RuntimeError as error:
        raise ValueError(
            f"{name} cannot take images of shape {tuple(in_shape)}: they shrink to nothing; use model='mlp'"
        ) from error
