"""How well does a network learn from what each method keeps? One frame, a row for each training."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from lpntk.data.dataset import Dataset
from lpntk.keep.cache import Cache, digest
from lpntk.keep.keys import computed_key
from lpntk.learn.campaign import Network, train_many
from lpntk.phenomena.less_data.scores import scores
from lpntk.phenomena.less_data.selection.arms import ARMS, Asked, node

WHOLE, NODE, NODE_RANDOM = "all", "node", "node-random"
FEWER = "all-fewer"  # all samples in fewer steps


def study(
    network: Network, data: Dataset, *, n: int, shares: Sequence[float], repeats: int, scorers: int, epochs: int,
    early: int, ratio: float, seed: int, cache: Cache, arms: Sequence[str] = (*ARMS, NODE),
    by_steps: Sequence[str] = (*ARMS, NODE), fewer: bool = False, device: str = "auto", **training: object,
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
        arms: names of ``ARMS``, and ``node``, which brings its random control.
        by_steps: those of them that are compared with as many steps, too.
        fewer: whether all samples are also learned in as few steps as each share gets, to the nearest pass.
        device: as in ``train``.
        **training: passed to ``train``: lr, batch_size, ...

    Returns:
        A row for each repeat, arm, share and count (``epochs``: as many passes over what is left; ``steps``: as many
        steps as with all samples, to the nearest pass): ``kept`` samples, ``last`` test accuracy, ``best`` over the
        epochs, ``diverged``. The arm ``all`` keeps everything; ``all-fewer``, too, in as few steps as its share gets.
    """
    batch = int(training.get("batch_size", 128))
    steps_of = lambda size: -(-size // batch)  # of a pass; a last smaller batch is a step
    kept: list[tuple[dict[str, object], Tensor, int]] = []  # what a training is of, its samples, its seed
    for repeat in tqdm(range(repeats), desc="scores", leave=False):
        rows, found = chosen(network, data, n=n, shares=shares, repeat=repeat, scorers=scorers, epochs=epochs,
                             early=early, ratio=ratio, seed=seed, cache=cache, arms=arms, device=device,
                             **training)  # fmt: skip
        (judged,) = _seeds(seed, repeat, scorers)[1:2]
        kept.append(({"repeat": repeat, "arm": WHOLE, "share": 1.0}, rows, judged))
        kept += [({"repeat": repeat, "arm": FEWER, "share": share}, rows, judged) for share in shares if fewer]
        for (arm, share), part in found.items():
            kept.append(({"repeat": repeat, "arm": arm, "share": share}, rows[part.long()], judged))
    stepped = {*by_steps, *([NODE_RANDOM] if NODE in by_steps else [])}
    groups: dict[tuple[int, int, str], list] = {}  # size, passes, count: networks that share stacks
    for one in kept:
        of, size = one[0], len(one[1])
        as_many = steps_of(round(of["share"] * n) if of["arm"] == FEWER else size)
        passes = {"epochs": epochs if of["arm"] != FEWER else round(epochs * as_many / steps_of(n))}
        if of["arm"] in stepped:
            passes["steps"] = round(epochs * steps_of(n) / as_many)
        for count, times in passes.items():
            groups.setdefault((size, max(1, times), count), []).append(one)
    told = []
    for (size, passes, count), group in sorted(groups.items(), key=lambda item: item[0]):
        history = train_many(
            network, data.x_train, data.y_train, torch.stack([part for _, part, _ in group]),
            seeds=[own for _, _, own in group], cache=cache, test=(data.x_test, data.y_test), device=device,
            epochs=passes, presentations=False, progress=f"{size} samples, equal {count}", **training,
        )  # fmt: skip
        for (of, _, _), accuracy, lost in zip(group, history.test_accuracy, history.diverged, strict=True):
            told.append({**of, "count": count, "kept": size, "last": float(accuracy[-1]),
                         "best": float(accuracy.nan_to_num(0).max()), "diverged": bool(lost)})  # fmt: skip
    return pd.DataFrame(told)


def chosen(
    network: Network, data: Dataset, *, n: int, shares: Sequence[float], repeat: int, scorers: int, epochs: int,
    early: int, ratio: float, seed: int, cache: Cache, arms: Sequence[str] = (*ARMS, NODE), device: str = "auto",
    **training: object,
) -> tuple[Tensor, dict[tuple[str, float], Tensor]]:  # fmt: skip
    """Return the samples (n,) of a repeat, and for each arm and share which of them it keeps, kept in the cache.

    The arguments are those of ``study``. ``node`` and its random control have the share 0: they keep what they keep.
    """
    rows_seed, _, *scoring = _seeds(seed, repeat, scorers)
    rows = data.sample(n, rows_seed)
    x, y = data.x_train[rows], data.y_train[rows]

    def make() -> dict[str, Tensor]:
        s = scores(network, x, y, seeds=scoring, epochs=epochs, early=early, cache=cache, device=device, **training)
        asked = Asked(s, [*shares, ratio])
        found = {}
        for i, share in enumerate(shares):
            for name in (name for name in arms if name != NODE):
                found[f"{name}/{share}"] = ARMS[name][2](asked, share, _draw(seed, repeat, i, list(ARMS).index(name)))
        if NODE in arms:
            whole = node(asked.clusters("kernel", ratio), y, _draw(seed, repeat, -1, 0))
            by_chance = torch.randperm(n, generator=_draw(seed, repeat, -1, 1))[: len(whole)]
            found |= {f"{NODE}/0.0": whole, f"{NODE_RANDOM}/0.0": by_chance}
        return {name: part.sort().values.int() for name, part in found.items()}

    key = computed_key(chosen, device=device, network=asdict(network), data=[digest(x), digest(y)], shares=list(shares),
                       repeat=repeat, scorers=scoring, epochs=epochs, early=early, ratio=ratio, seed=seed,
                       arms=list(arms), training=training)  # fmt: skip
    kept = cache.artefact("chosen", key, make)
    return rows, {(name.split("/")[0], float(name.split("/")[1])): part for name, part in kept.items()}


def _seeds(seed: int, repeat: int, scorers: int) -> list[int]:
    """Return seeds of a repeat: of the samples, of the judged network, of each that scores."""
    return np.random.SeedSequence([seed, repeat]).generate_state(scorers + 2).tolist()


def _draw(seed: int, *of: int) -> torch.Generator:
    """Return a stream of its own for each draw."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence([seed, *(i + 1 for i in of)]).generate_state(1)[0]))
