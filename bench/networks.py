"""Which networks besides the package's own are timed? A vision transformer and one of depthwise convolutions."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from lpntk.machine.device import seeded


def vit(
    in_shape: tuple[int, int, int], k: int, *, patch: int = 4, d: int = 192, depth: int = 12, heads: int = 3
) -> nn.Module:
    """Vision transformer (Dosovitskiy et al., 2021), by default ViT-Tiny, with the mean of all tokens before the head.

    Args:
        in_shape: (c, h, w), sides a multiple of ``patch``.
        k: number of logits.
        patch: side of a patch.
        d: width of a token.
        depth: number of blocks.
        heads: of the attention; they divide ``d``.
    """
    with seeded(0):
        return _VisionTransformer(in_shape, k, patch, d, depth, heads)


def mobilenet(
    in_shape: tuple[int, int, int], k: int, *, widths: tuple[int, ...] = (32, 64, 128, 128, 256, 256, 512, 512, 512)
) -> nn.Module:
    """Depthwise separable convolutions with batch norm (MobileNet, Howard et al., 2017), for small images.

    Args:
        in_shape: (c, h, w).
        k: number of logits.
        widths: channels of the first convolution and behind each pair of a depthwise and a pointwise one; where they
            grow behind the first pair the image is halved.
    """
    with seeded(0):
        layers = _normed(nn.Conv2d(in_shape[0], widths[0], 3, padding=1, bias=False))
        for i, (c, wider) in enumerate(pairwise(widths)):
            stride = 2 if i > 0 and wider > c else 1
            layers += _normed(nn.Conv2d(c, c, 3, stride, padding=1, groups=c, bias=False))
            layers += _normed(nn.Conv2d(c, wider, 1, bias=False))
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], k))


def _normed(conv: nn.Conv2d) -> list[nn.Module]:
    return [conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU()]


class _VisionTransformer(nn.Module):
    def __init__(self, in_shape: tuple[int, int, int], k: int, patch: int, d: int, depth: int, heads: int):
        super().__init__()
        c, h, w = in_shape
        self.patches = nn.Conv2d(c, d, patch, patch)
        self.positions = nn.Embedding((h // patch) * (w // patch), d)
        nn.init.trunc_normal_(self.positions.weight, std=0.02)
        self.blocks = nn.Sequential(*(_Block(d, heads) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, k)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, c, h, w) to (n, k)."""
        tokens = self.patches(x).flatten(2).mT  # (n, t, d)
        places = torch.arange(tokens.shape[1], device=x.device).expand(len(x), -1)  # each sample looks its own up
        return self.head(self.norm(self.blocks(tokens + self.positions(places))).mean(1))


class _Block(nn.Module):
    """Attention and two layers at every token, each on a normalised input and added to it."""

    def __init__(self, d: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1, self.qkv, self.out = nn.LayerNorm(d), nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.norm2, self.wide, self.narrow = nn.LayerNorm(d), nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self._attention(self.norm1(x))
        return x + self.narrow(nn.functional.gelu(self.wide(self.norm2(x))))

    def _attention(self, x: Tensor) -> Tensor:
        """Written as products: the fused operation has no rule for ``vmap``, which would take one sample at a time."""
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # each (n, heads, t, d / heads)
        weights = (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).flatten(2))
