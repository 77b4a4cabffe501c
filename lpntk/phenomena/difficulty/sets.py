"""Which samples are learned together? A universal set, its disjoint nested subsets, and other company for each."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

READINGS = ("total", "class")
TOGETHER = 8  # subsets that swap their samples: of a sample's other company about one in so many is its old one


def nested_subsets(n: int, sizes: Sequence[int], seed: int) -> dict[int, Tensor]:
    """Split 0..n-1 into disjoint subsets of every size, each smaller one inside a larger one.

    Args:
        n: samples of the universal set.
        sizes: each must divide n, and the next larger one.
        seed: of the one permutation behind all sizes.

    Returns:
        size -> (n / size, size) indices; the rows of one size cover 0..n-1.

    Raises:
        ValueError: if a size does not divide the next larger one.
    """
    ordered = sorted({n, *sizes})
    for small, large in itertools.pairwise(ordered):
        if large % small:
            raise ValueError(f"size {small} does not divide {large}; choose sizes that nest, such as powers of 4")
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return {size: order.view(-1, size) for size in ordered}


def universal_set(y: Tensor, n: int, reading: str, seed: int) -> Tensor:
    """Draw a universal set of size n from the training labels y: its indices into y.

    Returns:
        (n,) for the reading ``total``; (k n,) for ``class``, class after class.

    Raises:
        ValueError: if the reading is unknown or the samples do not suffice.
    """
    if reading not in READINGS:
        raise ValueError(f"reading must be 'total' or 'class'; got {reading!r}")
    generator = torch.Generator().manual_seed(seed)
    pools = (
        [torch.arange(len(y))] if reading == "total" else [(y == c).nonzero()[:, 0] for c in range(int(y.max()) + 1)]
    )
    if n > min(map(len, pools)):
        what = "the training set" if reading == "total" else "its smallest class"
        raise ValueError(f"n = {n} samples were asked for but {what} has {min(map(len, pools))}; choose a smaller n")
    return torch.cat([pool[torch.randperm(len(pool), generator=generator)[:n]] for pool in pools])


def splits(count: int, n: int, sizes: Sequence[int], seed: int) -> dict[int, Tensor]:
    """Split a universal set of ``count`` = n or k n samples: size -> (n / size, size or k size) positions in it.

    With k n samples, class after class, every subset takes its share of each class.
    """
    k = count // n
    groups = [nested_subsets(n, sizes, seed + 7919 * c) for c in range(k)]  # each class in an order of its own
    return {size: torch.cat([c * n + group[size] for c, group in enumerate(groups)], dim=1) for size in groups[0]}


def other_company(parts: Tensor, k: int, seed: int) -> Tensor:
    """Draw other company for every sample: subsets of one size, side by side, swap their samples at random.

    Args:
        parts: (m, k size) disjoint subsets, k blocks of columns each.
        k: blocks that are swapped within themselves: classes if every subset takes its share of each, else 1.
        seed: of the draw.

    Returns:
        (m, k size) subsets; each ``TOGETHER`` neighbours hold the samples that they held before.
    """
    generator = torch.Generator().manual_seed(seed)
    mixed = []
    for block in parts.split(TOGETHER):
        classes = block.view(len(block), k, -1).transpose(0, 1).flatten(1)  # (k, samples of the block)
        drawn = torch.stack([row[torch.randperm(len(row), generator=generator)] for row in classes])
        mixed.append(drawn.view(k, len(block), -1).transpose(0, 1).flatten(1))
    return torch.cat(mixed)
