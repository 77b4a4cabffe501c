"""Keep half of three clouds of points in some way, train on it, test on fair samples: a row per seed, way and epoch.

The toy of the authors' code: means, spread and numbers are theirs. How each way keeps its half is known by name only;
what is done here stands in ``WAYS``.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from lpntk.kernel.matrix import kernel_matrix
from lpntk.learn.models import build
from lpntk.learn.schedules import rate
from lpntk.learn.stacks import Stack
from lpntk.learn.steps import step
from lpntk.machine.precision import exact
from lpntk.phenomena.less_data.farthest import clusters, head_count

MEANS = torch.tensor([[-1.0, 1.0], [1.0, 1.0], [1.0, -1.0]])  # of the three classes
WHOLE, HEADS, ONE = "all", "heads", "one"


def clouds(n: int, noise: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return n points (n, 2) around the three means and their classes (n,), as many of each as can be."""
    draw = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % len(MEANS)
    return MEANS[y] + noise * torch.randn(n, 2, generator=draw), y


def _random(x: Tensor, y: Tensor, draw: torch.Generator) -> Tensor:
    return torch.rand(len(y), generator=draw)


def _unlikely(x: Tensor, y: Tensor, draw: torch.Generator) -> Tensor:
    """Weights 1 / density of the class's Gaussian, of which the largest of random keys are taken (Efraimidis)."""
    apart = (x - MEANS[y]).square().sum(dim=1)
    weight = (apart / apart.mean()).exp()  # the mean squared distance is twice the variance
    return torch.rand(len(y), generator=draw).log() / weight


def _cosine(x: Tensor, y: Tensor, draw: torch.Generator) -> Tensor:
    return torch.cosine_similarity(x, MEANS[y], dim=1)


def _distance(x: Tensor, y: Tensor, draw: torch.Generator) -> Tensor:
    return -(x - MEANS[y]).norm(dim=1)


# name -> (words, score of each point, of which the largest half of each class is kept)
WAYS: dict[str, tuple[str, Callable[[Tensor, Tensor, torch.Generator], Tensor]]] = {
    "uniform": ("at random", _random),
    "unlikely": ("unlikely points rather", _unlikely),
    "cosine": ("largest cosine to the mean", _cosine),
    "cosine-far": ("smallest cosine to the mean", lambda *of: -_cosine(*of)),
    "near": ("nearest to the mean", _distance),
    "far": ("farthest from the mean", lambda *of: -_distance(*of)),
}


def kept(way: str, x: Tensor, y: Tensor, share: float, seed: int, scoring: nn.Module) -> Tensor:
    """Return which points (m,) a way keeps, in order; as many of each class.

    Args:
        way: of ``WAYS``; ``all``; ``heads`` of clusters by lpNTK; or ``one``, a single random point of each class.
        x: (n, 2) points.
        y: (n,) classes.
        share: of each class that is kept.
        seed: of what is drawn.
        scoring: network that was trained on all points; its kernel finds the ``heads``.
    """
    if way == WHOLE:
        return torch.arange(len(y))
    if way == HEADS:
        return clusters(kernel_matrix(scoring, x, y, device="cpu"), y, share).heads.sort().values
    share, score = (1e-9, _random) if way == ONE else (share, WAYS[way][1])
    score, parts = score(x, y, torch.Generator().manual_seed(seed)), []
    for label in y.unique():
        rows = (y == label).nonzero()[:, 0]
        parts.append(rows[score[rows].argsort(descending=True, stable=True)[: head_count(len(rows), share)]])
    return torch.cat(parts).sort().values


@exact
def train_points(
    models: Sequence[nn.Module], x: Tensor, y: Tensor, *, epochs: int, lr: float, every: int,
    test: tuple[Tensor, Tensor] | None = None,
) -> Tensor:  # fmt: skip
    """Train models by Adam on all their points at once, as the authors' toy does; they are changed in place.

    Args:
        models: m chains of layers.
        x: (m, n, 2) points of each.
        y: (m, n) classes.
        epochs: steps, as a batch holds all points.
        lr: of Adam, multiplied by 0.7 after every ``every`` epochs.
        every: epochs.
        test: points (m, t, 2) and classes (m, t).

    Returns:
        (m, epochs) test accuracy after each epoch; NaN without ``test``.
    """
    stack, told = Stack(models), torch.full((len(models), epochs), torch.nan)
    optimizer = torch.optim.Adam(stack.trained, lr=lr)
    for epoch in range(epochs):
        for group in optimizer.param_groups:
            group["lr"] = rate("step", lr, epoch, epochs, every=every)
        step(stack, optimizer, x, y, dropout=False, amp=False)
        if test is not None:
            with torch.no_grad():
                told[:, epoch] = (stack.logits(test[0]).argmax(dim=2) == test[1]).float().mean(dim=1)
    stack.write_back()
    return told


def study(
    ways: Sequence[str], *, n: int, n_test: int, noises: Sequence[float], share: float, seeds: Sequence[int],
    hidden: int, epochs: int, lr: float, every: int,
) -> tuple[pd.DataFrame, dict[tuple[float, str], tuple[nn.Module, Tensor, Tensor]]]:  # fmt: skip
    """Train one network per seed and way; within a seed all ways start from the same weights and see the same points.

    Args:
        ways: names, see ``kept``.
        n: training points, drawn anew for every seed.
        n_test: fair test points, drawn anew for every seed.
        noises: standard deviations of the clouds.
        share: of each class that is kept.
        seeds: repeats.
        hidden: units of the one hidden layer.
        epochs: steps of Adam.
        lr: of Adam at first.
        every: epochs between two steps of the schedule.

    Returns:
        A row for each noise, seed, way and epoch: ``noise``, ``repeat``, ``arm``, ``epoch``, ``kept`` points, ``test``
        accuracy. And, by noise and way, the network of the first seed with the points and classes that it has learned.
    """
    streams = [np.random.SeedSequence([seed, 0]).generate_state(5).tolist() for seed in seeds]
    network = lambda i: [build("mlp", (2,), len(MEANS), seed=each[i], hidden=(hidden,)) for each in streams]
    training = {"epochs": epochs, "lr": lr, "every": every}
    rows, shown = [], {}
    for noise in noises:
        points, tests = ([clouds(m, noise, each[i]) for each in streams] for m, i in ((n, 0), (n_test, 1)))
        x, y, x_test, y_test = (torch.stack([of[i] for of in each]) for each in (points, tests) for i in (0, 1))
        scoring = network(4)  # judges nothing
        train_points(scoring, x, y, **training)
        for way in ways:
            each = zip(points, streams, scoring, strict=True)
            parts = torch.stack([kept(way, *of, share, stream[2], model) for of, stream, model in each])
            models, own = network(3), (x.gather(1, parts[..., None].expand(-1, -1, 2)), y.gather(1, parts))
            told = train_points(models, *own, **training, test=(x_test, y_test))
            shown[noise, way] = models[0], own[0][0], own[1][0]
            rows += [
                pd.DataFrame({"noise": noise, "repeat": seed, "arm": way, "epoch": range(1, epochs + 1),
                              "kept": parts.shape[1], "test": accuracy})
                for seed, accuracy in zip(seeds, told.tolist(), strict=True)
            ]  # fmt: skip
    return pd.concat(rows, ignore_index=True), shown
