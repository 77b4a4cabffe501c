"""What if the task were another? The same images with fewer samples, fewer classes, or some labels flipped."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from lpntk.data.dataset import Dataset
from lpntk.keep.cache import digest


def part(data: Dataset, rows: Tensor) -> Dataset:
    """Return the data set with only some of its training samples, rows (n,); the test set stays."""
    return replace(
        data, x_train=data.x_train[rows], y_train=data.y_train[rows], digest=digest([data.digest, digest(rows)])
    )


def random_classes(k: int, count: int, seed: int) -> list[int]:
    """Return ``count`` of ``k`` classes, drawn without replacement and sorted.

    Raises:
        ValueError: if there are not so many, or fewer than two are asked for.
    """
    if not 2 <= count <= k:
        raise ValueError(
            f"a task needs 2 to {k} of the {k} classes; got {count}: correct the list of numbers of classes"
        )
    return sorted(torch.randperm(k, generator=torch.Generator().manual_seed(seed))[:count].tolist())


def restrict(data: Dataset, classes: Sequence[int]) -> Dataset:
    """Return the task of telling some classes apart: others left out, labels renumbered in the order given.

    Raises:
        ValueError: if a class is unknown or named twice.
    """
    if len(set(classes)) != len(classes) or not set(classes) <= set(range(data.k)):
        raise ValueError(f"classes must be different numbers in 0..{data.k - 1}; got {list(classes)}")
    new = torch.full((data.k,), -1)
    new[list(classes)] = torch.arange(len(classes))
    kept = {}
    for split in ("train", "test"):
        y = new[getattr(data, f"y_{split}")]
        kept |= {f"x_{split}": getattr(data, f"x_{split}")[y >= 0], f"y_{split}": y[y >= 0]}
    names = tuple(data.classes[c] for c in classes)
    return replace(data, **kept, classes=names, digest=digest([data.digest, list(classes)]))


def flip(y: Tensor, share: float, k: int, seed: int) -> Tensor:
    """Return labels (n,) of which round(share n), drawn at random, became another of the k labels, all equally likely.

    Raises:
        ValueError: if the share lies outside 0..1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"the share of flipped labels must lie in 0..1; got {share}")
    stream = np.random.default_rng([seed, 1])  # its own: samples drawn elsewhere by this seed are flipped no more often
    flipped = y.clone()
    chosen = torch.from_numpy(stream.permutation(len(y))[: round(share * len(y))])
    flipped[chosen] = (y[chosen] + torch.from_numpy(stream.integers(1, k, len(chosen)))) % k
    return flipped
