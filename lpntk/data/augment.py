"""How is an image varied whenever it is presented? Shifted a little and mirrored, as the authors do on CIFAR-10."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

PADDING = 4  # pixels of zeros around an image, out of which it is cut again


class CropFlip:
    """Crops of padded images, half of them mirrored; each model draws from a stream of its own.

    Args:
        x: (n, c, h, w) images on their device.
        seeds: m seeds.

    Raises:
        ValueError: if these are no images.
    """

    def __init__(self, x: Tensor, seeds: Sequence[int]):
        if x.ndim != 4:
            raise ValueError(f"augment='crop-flip' takes images (n, c, h, w); got {tuple(x.shape)}")
        self.padded = F.pad(x, [PADDING] * 4)
        self.h, self.w = x.shape[2:]
        self._streams = [torch.Generator().manual_seed(int(seed) ^ 0x5EED) for seed in seeds]

    def epoch(self, size: int) -> None:
        """Draw shifts and sides of an epoch, one for each presentation in order."""
        drawn = [torch.randint(2 * (2 * PADDING + 1) ** 2, (size,), generator=stream) for stream in self._streams]
        self._drawn = torch.stack(drawn).to(self.padded.device)  # (m, size)

    def __call__(self, rows: Tensor, part: slice) -> Tensor:
        """Return (m, b, c, h, w), the images rows (m, b) as they are presented at these places of the epoch."""
        drawn, side = self._drawn[:, part], 2 * PADDING + 1
        mirrored, shift = drawn % 2 == 1, drawn // 2
        ys = (shift // side)[..., None] + torch.arange(self.h, device=rows.device)  # (m, b, h)
        xs = torch.arange(self.w, device=rows.device)
        xs = (shift % side)[..., None] + torch.where(mirrored[..., None], self.w - 1 - xs, xs)  # (m, b, w)
        cut = self.padded[rows[..., None, None], :, ys[..., None], xs[..., None, :]]  # (m, b, h, w, c)
        return cut.movedim(-1, 2)
