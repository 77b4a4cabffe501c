"""Which labelled samples? ``load("digits" | "mnist" | "cifar10" | "path/to/own.npz")`` gives one ``Dataset``.

The default needs no network: scikit-learn's 1,797 real 8 x 8 handwritten digits (UCI, Alpaydin & Kaynak 1998).
"""

import hashlib
import os
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lpntk.data.arrays import check_images, check_labels, check_together
from lpntk.data.sources import DataError, own_file, read_arrays
from lpntk.keep.files import expanded

# mean and standard deviation per channel as in the authors' public code; others are measured on the training images
NORMALISATION = {
    "mnist": ((0.1307,), (0.3081,)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
}
SHAPES = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "cifar10": (3, 32, 32)}  # of one image; each has ten classes
CLASSES = {
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
}
STATISTICS = "float64"  # how others are measured; part of their digest, so that no result outlives a change of it


@dataclass(frozen=True)
class Dataset:
    """Labelled images, standardised and ready for a network.

    Attributes:
        name: the name it was loaded by (the stem of the file for one's own).
        x_train: (n, c, h, w) float32, zero mean and unit variance per channel over the training set, about.
        y_train: (n,) int64 in 0..k-1.
        x_test: (m, c, h, w) float32.
        y_test: (m,) int64.
        classes: k names.
        mean: c numbers subtracted from pixels in 0..1.
        std: c numbers that divided them.
        digest: SHA-256 of the raw arrays and the way of standardising; equal digests mean equal data.
    """

    name: str
    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    digest: str

    @property
    def k(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def in_shape(self) -> tuple[int, int, int]:
        """(c, h, w) of one image."""
        return tuple(self.x_train.shape[1:])

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """Return the indices of ``n`` training samples drawn without replacement: (n,) int64, sorted.

        Raises:
            ValueError: if there are fewer than ``n`` training samples.
        """
        if not 1 <= n <= len(self.y_train):
            raise ValueError(f"n must lie in 1..{len(self.y_train)}, the training set of {self.name!r}; got {n}")
        order = torch.randperm(len(self.y_train), generator=torch.Generator().manual_seed(seed))
        return order[:n].sort().values

    def pixels(self, x: Tensor) -> Tensor:
        """Undo the standardisation: (n, c, h, w) -> (n, h, w, c) in 0..1, as matplotlib shows it."""
        mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (self.mean, self.std))
        return (x.cpu() * std + mean).clamp(0, 1).permute(0, 2, 3, 1)


def load(
    name: str | os.PathLike = "digits", root: str | os.PathLike | None = None, *, download: bool = True
) -> Dataset:
    """Load a data set by name, or one's own from an ``.npz`` file.

    Args:
        name: ``digits``, ``mnist``, ``cifar10``, or the path of an ``.npz`` with ``x_train, y_train, x_test, y_test``:
            images (n, h, w), (n, h, w, c), (n, c, h, w) or vectors (n, d), uint8 in 0..255 or floats in 0..1;
            labels 0..k-1, or words, which become the names of the classes.
        root: folder with the files (torchvision's layout, or ``mnist.npz`` / ``cifar10.npz``); by default the
            environment variable ``LPNTK_DATA``, else ``.data`` in the working directory.
        download: fetch a missing ``mnist`` or ``cifar10`` through torchvision.

    Raises:
        DataError: if a file is missing, truncated or wrongly shaped, a label is out of range or a class has no
            training sample; the message names file, expectation and fix.
    """
    name = os.fspath(name)
    root = expanded(root or os.environ.get("LPNTK_DATA") or ".data")
    arrays, where = read_arrays(name, root, download=download)
    return assembled(arrays, own.stem if (own := own_file(name)) else name, where, known=name in SHAPES)


def assembled(arrays: dict[str, np.ndarray], name: str, where: str, *, known: bool = False) -> Dataset:
    """Check four raw arrays and standardise them.

    Args:
        arrays: ``x_train, y_train, x_test, y_test`` as ``load`` describes them.
        name: of the data set.
        where: words for their source, for messages.
        known: whether this is ``digits``, ``mnist`` or ``cifar10`` themselves, whose shapes and classes are known.

    Raises:
        DataError: as ``load``.
    """
    x_train, x_test = (check_images(arrays[key], where, key) for key in ("x_train", "x_test"))
    y_train, y_test, names = check_labels(arrays["y_train"], arrays["y_test"], where, words=not known)
    if (arrays["x_train"].dtype == np.uint8) != (arrays["x_test"].dtype == np.uint8):
        raise DataError(f"{where}: x_train and x_test must both be uint8 or both be floats; save them alike")
    if known and x_train.shape[1:] != SHAPES[name]:
        raise DataError(
            f"{where}: expected images of shape {SHAPES[name]} (channels, height, width), got {x_train.shape[1:]}; "
            f"put a whole copy of {name} there, or load another data set by the path of its .npz"
        )
    k = check_together(x_train, y_train, x_test, y_test, where, 10 if known else None)
    mean, std = NORMALISATION.get(name, (None, None)) if known else (None, None)
    if mean is None:
        mean, std = _measured(x_train)
    shift, scale = (np.array(v, np.float32).reshape(1, -1, 1, 1) for v in (mean, std))
    return Dataset(
        name=name,
        x_train=torch.from_numpy((x_train - shift) / scale),
        y_train=torch.from_numpy(y_train),
        x_test=torch.from_numpy((x_test - shift) / scale),
        y_test=torch.from_numpy(y_test),
        classes=(known and CLASSES.get(name)) or names or tuple(str(label) for label in range(k)),
        mean=mean,
        std=std,
        digest=_digest(arrays, "" if known and name in NORMALISATION else STATISTICS),
    )


def _measured(x: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel of x, 1 for a channel that is constant up to rounding.

    Divided by the rounding error of a constant, one odd pixel of a test image would become 100,000.
    """
    mean, std = [], []
    for channel in x.swapaxes(0, 1):
        mean.append(float(channel.mean(dtype=np.float64)))
        spread = float(channel.std(dtype=np.float64))
        constant = spread <= 4 * np.finfo(np.float32).eps * float(channel.max())
        std.append(1.0 if constant else spread)
    return tuple(mean), tuple(std)


def _digest(arrays: dict[str, np.ndarray], how: str) -> str:
    """Return the digest of the raw arrays and of how they are standardised, where that is not by published numbers."""
    digest = hashlib.sha256(how.encode())
    for key in sorted(arrays):
        array = np.ascontiguousarray(arrays[key])
        digest.update(f"{key} {array.dtype} {array.shape} ".encode())
        digest.update(array.tobytes() if array.dtype.kind in "US" else array)
    return digest.hexdigest()
