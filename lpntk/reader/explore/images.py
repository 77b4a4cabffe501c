"""How do hundreds of samples get onto a page? As tiles of one picture, and a matrix as one small picture."""

import base64
import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lpntk.data.dataset import Dataset

SIDE = 32  # pixels of a tile at most; larger images are made smaller
BAR_HEIGHT = 24  # height of a tile that shows a row of numbers
LEVELS = 64  # shades of a matrix: fewer are lighter, and no eye tells more apart


def sprite(data: Dataset, x: Tensor) -> dict[str, object]:
    """Return all samples as tiles of one PNG.

    Args:
        data: knows how to show them.
        x: (n, c, h, w) samples; those of height 1 are rows of numbers and are drawn as bars.

    Returns:
        ``png`` (a data URI), ``width`` and ``height`` of a tile in pixels, ``columns`` of tiles, ``n``.
    """
    pixels = data.pixels(x).numpy()
    tiles = [_bars(row[0, :, 0]) if pixels.shape[1] == 1 else _small(row) for row in pixels]
    n, (height, width) = len(tiles), tiles[0].shape[:2]
    columns = int(np.ceil(np.sqrt(n)))
    sheet = np.full((-(-n // columns) * height, columns * width, *tiles[0].shape[2:]), 255, np.uint8)
    for i, tile in enumerate(tiles):
        top, left = i // columns * height, i % columns * width
        sheet[top : top + height, left : left + width] = tile
    return {"png": data_uri(Image.fromarray(sheet)), "width": width, "height": height, "columns": columns, "n": n}


def _small(pixels: np.ndarray) -> np.ndarray:
    """Return an image (h, w, c) in 0..1 as (h, w) or (h, w, 3) bytes; grey is ink on white, as in all figures."""
    grey = pixels.shape[-1] == 1
    image = Image.fromarray((255 * (1 - pixels[..., 0] if grey else pixels)).round().astype(np.uint8))
    image.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(image)


def _bars(values: np.ndarray) -> np.ndarray:
    """Return numbers (d,) in 0..1 as (BAR_HEIGHT, <= SIDE) bytes: a bar for each, or for the mean of neighbours."""
    means = np.array([part.mean() for part in np.array_split(values, min(len(values), SIDE))])
    wide = np.repeat(means, max(1, BAR_HEIGHT // len(means)))
    filled = np.arange(BAR_HEIGHT)[::-1, None] < (BAR_HEIGHT * wide).round()[None]
    return np.where(filled, 70, 255).astype(np.uint8)


def matrix_png(values: Tensor) -> str:
    """Return cosines (n, n) as a PNG of n x n pixels: red is 1, white 0, blue -1."""
    level = ((values.clamp(-1, 1) + 1) / 2 * (LEVELS - 1)).round().to(torch.uint8).numpy()
    image = Image.fromarray(level, "P")
    toward = np.linspace(-1, 1, LEVELS)[:, None]
    red, blue = np.array([178, 24, 43]), np.array([33, 102, 172])
    colours = 255 + np.abs(toward) * (np.where(toward > 0, red, blue) - 255)
    image.putpalette(colours.round().astype(np.uint8).tobytes())
    return data_uri(image)


def data_uri(image: Image.Image) -> str:
    """Return an image as a data URI."""
    kept = io.BytesIO()
    image.save(kept, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(kept.getvalue()).decode()}"
