"""Which looks does a class have, and what is a set in which one of them is rare?"""

import numpy as np
import torch
from torch import Tensor

from lpntk.data.dataset import Dataset
from lpntk.phenomena.less_data.farthest import head_count

FRAME = 8  # the frame of an image is an eighth of its smaller side wide


def colour(x: Tensor) -> Tensor:
    """Return the mean of each channel (n, c) of images (n, c, h, w), nothing of their shapes."""
    return x.mean(dim=(2, 3))


def background(x: Tensor) -> Tensor:
    """Return the mean of each channel (n, c) over the frame of images (n, c, h, w), where a subject seldom is."""
    width, inside = max(1, min(x.shape[2:]) // FRAME), torch.zeros(x.shape[2:], dtype=torch.bool)
    inside[width:-width, width:-width] = True
    return x[:, :, ~inside].mean(dim=2)


BY = {  # what modes are made of: (n, c, h, w) -> (n, d)
    "pixels": lambda x: x.flatten(1),
    "colour": colour,
    "background": background,
}


def modes(data: Dataset, *, count: int = 2, by: str = "pixels", seed: int = 0) -> tuple[Tensor, Tensor]:
    """Cut every class into modes by k-means on its training samples; a test sample has the nearest mode of its class.

    Args:
        data: all its samples.
        count: modes of a class, at least 2.
        by: what samples are compared by, a name of ``BY``.
        seed: of k-means.

    Returns:
        Modes 0..count-1 of the training samples (n,) and of the test samples (m,), int64. Numbers of different classes
        have nothing to do with each other.

    Raises:
        ValueError: if there is no such comparison, the images have no colours and are to be compared by them, or a
            class has too few different samples for so many modes.
    """
    from sklearn.cluster import KMeans  # slow to import

    if by not in BY:
        raise ValueError(f"modes can be made by {', '.join(BY)}; got {by!r}")
    if by in ("colour", "background") and data.x_train.shape[1] < 2:
        raise ValueError(f"modes by {by} need images with colours; these have one channel: use by='pixels'")
    if count < 2:
        raise ValueError(f"a class needs at least 2 modes for one to be rare; got {count}")
    x, x_test = (BY[by](part).numpy() for part in (data.x_train, data.x_test))
    found, found_test = torch.zeros_like(data.y_train), torch.zeros_like(data.y_test)
    for c, name in enumerate(data.classes):
        own, own_test = data.y_train == c, data.y_test == c
        if (different := len(np.unique(x[own], axis=0))) < count:
            raise ValueError(f"class {name!r} has {different} different training samples, too few for {count} modes")
        means = KMeans(count, n_init=4, random_state=seed).fit(x[own])
        found[own] = torch.from_numpy(means.labels_).long()
        if own_test.any():
            found_test[own_test] = torch.from_numpy(means.predict(x_test[own_test])).long()
    return found, found_test


def biased(y: Tensor, mode: Tensor, *, rare: float, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw a set in which one random mode of each class is common: all of it, and a part of the others, cut to n.

    Args:
        y: (m,) labels 0..k-1.
        mode: (m,) modes.
        rare: share of the samples of every other mode that can be drawn, at least one of each.
        n: samples of the set, a random part of those that can be drawn.
        seed: of all that is drawn.

    Returns:
        (n,) samples in order, and (k,) the common mode of each class.

    Raises:
        ValueError: if ``rare`` does not lie between 0 and 1, or there are fewer samples than n.
    """
    if not 0 < rare < 1:
        raise ValueError(f"rare is a share of samples, above 0 and below 1; got {rare}")
    draw, count = torch.Generator().manual_seed(seed), int(mode.max()) + 1
    common = torch.randint(count, (int(y.max()) + 1,), generator=draw)
    allowed = mode == common[y]
    for group in torch.cartesian_prod(torch.arange(len(common)), torch.arange(count)).tolist():
        rows = ((y == group[0]) & (mode == group[1])).nonzero()[:, 0]
        if common[group[0]] != group[1]:
            allowed[rows[torch.randperm(len(rows), generator=draw)[: head_count(len(rows), rare)]]] = True
    rows = allowed.nonzero()[:, 0]
    if not 1 <= n <= len(rows):
        raise ValueError(f"the biased set has {len(rows)} samples in all and can be cut to 1..{len(rows)}; got n = {n}")
    return rows[torch.randperm(len(rows), generator=draw)[:n]].sort().values, common


def reweighted(y: Tensor, mode: Tensor, draw: torch.Generator) -> Tensor:
    """Draw as many samples with replacement, so that all modes of a class weigh alike and classes as they did.

    Returns:
        (n,) samples in order; one can stand there more than once.
    """
    sizes = torch.zeros(int(y.max()) + 1, int(mode.max()) + 1)
    sizes.index_put_((y, mode), torch.ones(len(y)), accumulate=True)
    weight = sizes.sum(dim=1)[y] / sizes[y, mode] / (sizes > 0).sum(dim=1)[y]
    return torch.multinomial(weight, len(y), replacement=True, generator=draw).sort().values
