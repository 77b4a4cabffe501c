"""How well does a network learn from what each method keeps? One frame, a row for each training."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from lpntk.data.dataset import Dataset
from lpntk.keep.cache import Cache
from lpntk.learn.campaign import Network, train_many
from lpntk.phenomena.less_data.farthest import clusters
from lpntk.phenomena.less_data.scores import scores
from lpntk.phenomena.less_data.selection.arms import ARMS, node

WHOLE, NODE, NODE_RANDOM = "all", "node", "node-random"


def study(
    network: Network, data: Dataset, *, n: int, shares: Sequence[float], repeats: int, scorers: int, epochs: int,
    early: int, ratio: float, seed: int, cache: Cache, arms: Sequence[str] = tuple(ARMS), device: str = "auto",
    **training: object,
) -> pd.DataFrame:  # fmt: skip
    """Score, keep, train, test: everything anew in every repeat, and never do the networks that score judge themselves.

    Args:
        network: to build from each seed.
        data: its training samples are drawn from, its test samples judge.
        n: training samples before any is left out, drawn anew in every repeat (the same if these are all).
        shares: of them that are kept.
        repeats: of everything; in each, all arms start from the same weights.
        scorers: networks that every score is the mean of.
        epochs: of every training.
        early: epochs after which EL2N and GraNd are taken.
        ratio: clusters per sample for ``node``, which keeps what it keeps, and for its random control.
        seed: of all draws.
        cache: keeps all networks.
        arms: names of ``ARMS``.
        device: as in ``train``.
        **training: passed to ``train``: lr, batch_size, ...

    Returns:
        A row for each repeat, arm, share and count (``epochs``: as many passes over what is left; ``steps``: as many
        steps as with all samples, to the nearest pass): ``kept`` samples, ``last`` test accuracy, ``best`` over the
        epochs, ``diverged``. The arm ``all`` keeps everything.
    """
    kept: list[tuple[dict[str, object], Tensor, int]] = []  # what a training is of, its samples, its seed
    for repeat in tqdm(range(repeats), desc="scores", leave=False):
        streams = np.random.SeedSequence([seed, repeat]).generate_state(scorers + 2).tolist()
        rows = data.sample(n, streams[0])
        s = scores(network, data, rows, seeds=streams[2:], epochs=epochs, early=early, cache=cache, device=device,
                   **training)  # fmt: skip
        found = {(WHOLE, 1.0): torch.arange(n)}
        for i, share in enumerate(shares):
            for name in arms:
                found[name, share] = ARMS[name][2](s, share, _draw(seed, repeat, i, list(ARMS).index(name)))
        found[NODE, 0.0] = node(clusters(s.kernel, s.y, ratio), s.y, _draw(seed, repeat, -1, 0))
        by_chance = torch.randperm(n, generator=_draw(seed, repeat, -1, 1))
        found[NODE_RANDOM, 0.0] = by_chance[: len(found[NODE, 0.0])]
        for (arm, share), part in found.items():
            kept.append(({"repeat": repeat, "arm": arm, "share": share}, rows[part.sort().values], streams[1]))
    told = []
    for size in sorted({len(part) for _, part, _ in kept}):
        group = [one for one in kept if len(one[1]) == size]
        batch = int(training.get("batch_size", 128))
        steps = epochs * -(-n // batch)  # of all samples; a last smaller batch is a step
        for count, passes in {"epochs": epochs, "steps": max(1, round(steps / -(-size // batch)))}.items():
            if count == "steps" and size == n:
                continue
            history = train_many(
                network, data.x_train, data.y_train, torch.stack([part for _, part, _ in group]),
                seeds=[own for _, _, own in group], cache=cache, test=(data.x_test, data.y_test), device=device,
                epochs=passes, progress=f"{size} samples, equal {count}", **training,
            )  # fmt: skip
            for (of, _, _), accuracy, lost in zip(group, history.test_accuracy, history.diverged, strict=True):
                told.append({**of, "count": count, "kept": size, "last": float(accuracy[-1]),
                             "best": float(accuracy.nan_to_num(0).max()), "diverged": bool(lost)})  # fmt: skip
    return pd.DataFrame(told)


def _draw(seed: int, *of: int) -> torch.Generator:
    """Return a stream of its own for each draw."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence([seed, *(i + 1 for i in of)]).generate_state(1)[0]))
