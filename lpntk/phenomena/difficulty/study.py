"""What does each sample cost, at every size of its set, twice over and in other company? One frame of samples.

Three networks of every size: ``first``; ``again``, with the same company and another seed (initialisation and order);
``other``, with other company and the seed of ``again``. So any two differ in company, in seed, or in both.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lpntk.data.dataset import Dataset
from lpntk.keep.cache import Cache
from lpntk.learn.campaign import Network, train_many
from lpntk.learn.history import History
from lpntk.phenomena.difficulty.sets import TOGETHER, other_company, splits, universal_set

MEASURES, COUNTS, TRIALS = ("loss", "distance"), ("epochs", "updates"), ("first", "again", "other")
Set = tuple[int, str, Tensor, list[int]]  # repetition, arm, (m, size) subsets, m seeds of networks


@dataclass(frozen=True)
class Case:
    """One way to ask the question.

    Attributes:
        key: its name, such as ``fast.epochs``.
        n: size of the universal set, in total or of each class.
        sizes: of the subsets.
        lr: learning rate at the beginning.
        batch_size: samples per step.
    """

    key: str
    n: int
    sizes: tuple[int, ...]
    lr: float
    batch_size: int

    @property
    def reading(self) -> str:
        """``total`` or ``class``: what size counts."""
        return "class" if self.key.startswith("class") else "total"

    @property
    def count(self) -> str:
        """``epochs`` or ``updates``: of which every size makes equally many."""
        return self.key.rpartition(".")[2]

    @property
    def words(self) -> str:
        """Its name for readers."""
        reading = "samples in total" if self.reading == "total" else "samples per class"
        return f"{reading}, learning rate {self.lr:g}, equal {self.count}"


def cases(
    keys: Sequence[str], sets: dict[str, tuple[int, Sequence[int]]], lr: Sequence[float], batch_size: Sequence[int],
    least: int,
) -> list[Case]:  # fmt: skip
    """Return cases by name: ``fast``, ``slow`` (first and second learning rate) or ``class``, a point, the count.

    Args:
        keys: their names.
        sets: of each reading: n and sizes. ``class`` takes the first learning rate.
        lr: two learning rates.
        batch_size: of each.
        least: smallest size in total that makes equal updates: thousands of networks of tiny sets would take long.

    Raises:
        ValueError: if a name is none of these.
    """
    told = []
    for key in keys:
        name, _, count = key.partition(".")
        if name not in ("fast", "slow", "class") or count not in COUNTS:
            raise ValueError(f"a case is fast, slow or class, a point, and epochs or updates; got {key!r}")
        n, sizes = sets["class" if name == "class" else "total"]
        kept = tuple(size for size in sizes if name == "class" or count == "epochs" or size >= least)
        told.append(Case(key, n, kept, lr[name == "slow"], batch_size[name == "slow"]))
    return told


def study(
    network: Network, data: Dataset, chosen: Sequence[Case], *, repetitions: int, followed: int, epochs: int,
    updates: int, schedule: str, seed: int, cache: Cache, **training: object,
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """Learn universal sets whole and in subsets of every size.

    Networks of one size, of all repetitions and arms, share stacks. With equal epochs the rate follows ``schedule``;
    with equal updates a cosine over all of them, as a schedule of epochs would end early where an epoch is one step.

    Args:
        network: to build from each seed.
        data: whose training samples are used.
        chosen: of ``cases``.
        repetitions: each with a universal set, splits, initialisations and orders of its own.
        followed: samples of each repetition that are learned at a size, but at least ``TOGETHER`` subsets.
        epochs: of every network with equal epochs.
        updates: of every network with equal updates, to the nearest epoch.
        schedule: of the learning rate.
        seed: of all draws.
        cache: keeps what was trained.
        **training: what the cases share: momentum, weight_decay, device.

    Returns:
        ``networks``, a row for each case, repetition, size and arm: ``width`` (samples of a set), ``models``,
        ``diverged``, ``unstable``, ``steps`` of each; without unstable ones mean ``first`` and ``last`` loss (nats) and
        ``accuracy`` on the own samples at the end. ``samples``, a row for each case, measure, repetition, size and
        sample: its difficulty in each arm, and ``whole`` and ``whole_again`` in the universal set; NaN where a network
        was unstable.
    """
    networks, samples = [], []
    for case in chosen:
        rows = [universal_set(data.y_train, case.n, case.reading, _seed(seed, r)) for r in range(repetitions)]
        x, y, count = data.x_train[torch.cat(rows)], data.y_train[torch.cat(rows)], len(rows[0])
        plans = [_plan(case, count, followed, _seed(seed, r)) for r in range(repetitions)]
        whole = None
        for size in (case.n, *case.sizes):
            sets = [(r, arm, *plan[size][arm]) for r, plan in enumerate(plans) for arm in plan[size]]
            steps = -(-sets[0][2].shape[1] // case.batch_size)
            passes, falls = (epochs, schedule) if case.count == "epochs" else (max(1, round(updates / steps)), "cosine")
            history = train_many(
                network, x, y, torch.cat([part + r * count for r, _, part, _ in sets]),
                seeds=[own for *_, seeds in sets for own in seeds], cache=cache, train_accuracy="last", epochs=passes,
                schedule=falls, lr=case.lr, batch_size=case.batch_size, progress=f"{case.key}, size {size}", **training,
            )  # fmt: skip
            of = {"case": case.key, "size": size, "steps": steps * passes}
            networks += [of | row for row in _summaries(history, sets)]
            costs = _in_order(history, sets, (repetitions, count))
            if whole is None:
                whole = {arm: costs[arm] for arm in TRIALS[:2]}
                continue
            for r, plan in enumerate(plans):
                seen = torch.cat([part.flatten() for part, _ in plan[size].values()]).unique().numpy()
                for i, measure in enumerate(MEASURES):
                    own = {arm: costs[arm][i, r, seen] for arm in TRIALS}
                    own |= {"whole": whole["first"][i, r, seen], "whole_again": whole["again"][i, r, seen]}
                    told = {"case": case.key, "measure": measure, "repetition": r, "size": size, "sample": seen}
                    samples.append(pd.DataFrame(told | own))
    return pd.DataFrame(networks), pd.concat(samples, ignore_index=True)


def _plan(case: Case, count: int, followed: int, seed: int) -> dict[int, dict[str, tuple[Tensor, list[int]]]]:
    """Return size -> arm -> subsets of one universal set and the seeds of their networks.

    Subsets that swap samples share a seed, so that a sample finds the same initialisation in its other company.
    """
    k, plan = count // case.n, {}
    for size, parts in splits(count, case.n, case.sizes, seed).items():
        parts = parts[: max(TOGETHER, followed // parts.shape[1])]
        blocks = -(-len(parts) // TOGETHER)
        drawn = np.random.SeedSequence([seed, size]).generate_state(2 * blocks + 1).tolist()
        first, again = (np.repeat(half, TOGETHER)[: len(parts)].tolist() for half in (drawn[:blocks], drawn[blocks:-1]))
        plan[size] = {"first": (parts, first), "again": (parts, again)}
        if size < case.n and parts.shape[1] > 1:  # a sample by itself has no company
            plan[size]["other"] = (other_company(parts, k, drawn[-1]), again)
    return plan


def _in_order(history: History, sets: Sequence[Set], shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """Return arm -> (measures, repetitions, samples of the universal set) difficulty, NaN where there is none."""
    told = {arm: np.full((len(MEASURES), *shape), np.nan) for arm in TRIALS}
    ends = np.cumsum([len(part) for _, _, part, _ in sets])[:-1].tolist()
    for i, measure in enumerate(MEASURES):
        for (r, arm, part, _), costs in zip(sets, history.difficulty(measure).tensor_split(ends), strict=True):
            told[arm][i, r, part.flatten()] = costs.flatten()
    return told


def _summaries(history: History, sets: Sequence[Set]) -> Iterator[dict[str, object]]:
    """Yield what the networks of each repetition and arm learned; unstable ones are counted and left out."""
    start = 0
    for r, arm, part, _ in sets:
        own = slice(start, start := start + len(part))
        kept = ~history.unstable[own]
        first, last = (float(history.loss[own][kept][:, epoch].mean()) for epoch in (0, -1))
        yield {
            "repetition": r, "arm": arm, "width": part.shape[1], "models": len(part),
            "diverged": int(history.diverged[own].sum()), "unstable": int((~kept).sum()), "first": first, "last": last,
            "accuracy": float(history.train_accuracy[own][kept, -1].mean()),
        }  # fmt: skip


def _seed(*of: int) -> int:
    """Return a seed of its own for each repetition."""
    return int(np.random.SeedSequence(of).generate_state(1)[0])
