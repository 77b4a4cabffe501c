"""Which labelled samples? ``load("digits" | "mnist" | "cifar10" | "path/to/own.npz")`` gives one ``Dataset``.

The default needs no network: scikit-learn's 1,797 real 8 x 8 handwritten digits (UCI, Alpaydin & Kaynak 1998).
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lpntk.sources import DataError, read_arrays

# mean and standard deviation per channel as in the authors' public code; others are measured on the training images
NORMALISATION = {
    "mnist": ((0.1307,), (0.3081,)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
}
SHAPES = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "cifar10": (3, 32, 32)}  # of one image; each has ten classes
CLASSES = {
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
}


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
        digest: SHA-256 of the raw arrays; equal digests mean equal data.
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
            images (n, h, w), (n, h, w, c), (n, c, h, w) or vectors (n, d), uint8 in 0..255 or floats in 0..1.
        root: folder with the files (torchvision's layout, or ``mnist.npz`` / ``cifar10.npz``); by default the
            environment variable ``LPNTK_DATA``, else ``.data`` in the working directory.
        download: fetch a missing ``mnist`` or ``cifar10`` through torchvision.

    Raises:
        DataError: if a file is missing, truncated or wrongly shaped, a label is out of range or a class has no
            training sample; the message names file, expectation and fix.
    """
    name = os.fspath(name)
    root = Path(root or os.environ.get("LPNTK_DATA") or ".data")
    arrays, where = read_arrays(name, root, download=download)
    x_train, x_test = (_images(arrays[key], where, key) for key in ("x_train", "x_test"))
    y_train, y_test = (_labels(arrays[key], where, key) for key in ("y_train", "y_test"))
    if (arrays["x_train"].dtype == np.uint8) != (arrays["x_test"].dtype == np.uint8):
        raise DataError(f"{where}: x_train and x_test must both be uint8 or both be floats; save them alike")
    if name in SHAPES and x_train.shape[1:] != SHAPES[name]:
        raise DataError(
            f"{where}: expected images of shape {SHAPES[name]} (channels, height, width), got {x_train.shape[1:]}; "
            f"put a whole copy of {name} there, or load another data set by the path of its .npz"
        )
    k = _check(x_train, y_train, x_test, y_test, where, 10 if name in SHAPES else None)
    mean, std = NORMALISATION.get(name, (None, None))
    if mean is None or len(mean) != x_train.shape[1]:
        mean = tuple(float(m) for m in x_train.mean(axis=(0, 2, 3)))
        std = tuple(float(s) or 1.0 for s in x_train.std(axis=(0, 2, 3)))
    shift, scale = (np.array(v, np.float32).reshape(1, -1, 1, 1) for v in (mean, std))
    return Dataset(
        name=name if not name.endswith(".npz") else Path(name).stem,
        x_train=torch.from_numpy((x_train - shift) / scale),
        y_train=torch.from_numpy(y_train),
        x_test=torch.from_numpy((x_test - shift) / scale),
        y_test=torch.from_numpy(y_test),
        classes=CLASSES.get(name, tuple(str(label) for label in range(k))),
        mean=mean,
        std=std,
        digest=_digest(arrays),
    )


def _images(images: np.ndarray, where: str, key: str) -> np.ndarray:
    """Return (n, c, h, w) float32 in 0..1."""
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        raise DataError(
            f"{where}: {key} must hold uint8 in 0..255 or floats in 0..1; got dtype {images.dtype}; "
            "save images.astype('uint8') or images.astype('float32')"
        )
    if images.size == 0:
        raise DataError(f"{where}: {key} is empty, shape {images.shape}; save at least one image")
    if images.ndim == 2:
        images = images[:, None, None, :]  # vectors
    elif images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and images.shape[3] in (1, 3) and images.shape[1] not in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    elif images.ndim != 4 or images.shape[1] not in (1, 3):
        raise DataError(
            f"{where}: {key} must have shape (n, h, w), (n, h, w, c), (n, c, h, w) or (n, d) with c = 1 or 3; "
            f"got {images.shape}"
        )
    scale = np.float32(255 if images.dtype == np.uint8 else 1)
    images = np.ascontiguousarray(images, dtype=np.float32) / scale
    if not np.isfinite(images).all():
        raise DataError(f"{where}: {key} holds NaN or infinity; clean the images before saving them")
    if images.min() < 0 or images.max() > 1:
        raise DataError(
            f"{where}: {key} must hold floats in 0..1, got {images.min():.3g}..{images.max():.3g}; "
            "save pixels, unscaled uint8 or divided by their maximum: standardising happens here"
        )
    return images


def _labels(labels: np.ndarray, where: str, key: str) -> np.ndarray:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]  # Keras saves CIFAR-10 like this
    if labels.ndim != 1 or labels.dtype.kind not in "ui":
        raise DataError(
            f"{where}: {key} must hold integer class numbers of shape (n,); got {labels.dtype} {labels.shape}; "
            "turn one-hot rows into numbers with argmax(1), truth values with astype(int)"
        )
    if labels.dtype == np.uint64:
        labels = np.minimum(labels, np.uint64(2**63 - 1))  # what is out of range must not turn negative
    return labels.astype(np.int64)


def _check(
    x_train: np.ndarray, y_train: np.ndarray, x_test: np.ndarray, y_test: np.ndarray, where: str, known: int | None
) -> int:
    """Check what only the four arrays together can show; return the number of classes, ``known`` for named data."""
    for x, y, split in ((x_train, y_train, "train"), (x_test, y_test, "test")):
        if len(x) != len(y) or len(x) == 0:
            raise DataError(
                f"{where}: x_{split} and y_{split} must have the same number of samples, at least one; "
                f"got {len(x)} and {len(y)}; write the file again"
            )
    if x_train.shape[1:] != x_test.shape[1:]:
        raise DataError(
            f"{where}: training and test images must have one shape; got {x_train.shape[1:]} and {x_test.shape[1:]}"
        )
    if known is None and y_train.max() >= len(y_train):
        raise DataError(
            f"{where}: y_train must hold class numbers without gaps, fewer than its {len(y_train)} samples; "
            f"got up to {y_train.max()}; renumber the labels from 0"
        )
    k = known or int(y_train.max()) + 1
    whose = "the classes of the data set" if known else "the classes of the training set"
    for y, split in ((y_train, "train"), (y_test, "test")):
        if y.min() < 0 or y.max() >= k:
            raise DataError(
                f"{where}: y_{split} must hold labels in 0..{k - 1}, {whose}; got {y.min()}..{y.max()}; "
                + ("put a whole copy there" if known else "renumber the labels from 0")
            )
    counts = np.bincount(y_train, minlength=k)
    if not counts.all():
        empty = np.flatnonzero(counts == 0)
        raise DataError(
            f"{where}: every class 0..{k - 1} needs a training sample, but y_train has none of "
            f"{', '.join(map(str, empty[:10]))}; "
            + ("put a whole copy there" if known else "renumber the classes without gaps")
        )
    if k < 2:
        raise DataError(f"{where}: y_train must hold at least two classes; got one")
    return k


def _digest(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for key in sorted(arrays):
        array = np.ascontiguousarray(arrays[key])
        digest.update(f"{key} {array.dtype} {array.shape} ".encode())
        digest.update(array)
    return digest.hexdigest()
