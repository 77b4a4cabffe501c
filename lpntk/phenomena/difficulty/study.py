"""Where does the decline hold, and where does it fail? The experiment of ``difficulty.py`` over its settings.

A case is one reading of size, one learning rate with its batch size, and one schedule. Both measures come from one run.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lpntk.data.dataset import Dataset
from lpntk.keep.cache import Cache
from lpntk.learn.campaign import Network
from lpntk.phenomena.difficulty.correlations import Correlations, correlations
from lpntk.phenomena.difficulty.sets import Repetition, difficulty_by_size, universal_set

MEASURES = ("loss", "distance")


@dataclass(frozen=True)
class Case:
    """One way to ask the question.

    Attributes:
        reading: of size, ``total`` or ``class``.
        n: size of the universal set in that reading.
        sizes: of the subsets.
        lr: learning rate of the first epoch.
        batch_size: samples per step.
        schedule: of the learning rate.
    """

    reading: str
    n: int
    sizes: tuple[int, ...]
    lr: float
    batch_size: int
    schedule: str

    @property
    def key(self) -> str:
        """Its name in ``numbers.json``."""
        return f"{self.reading}-{self.schedule}-lr{self.lr:g}".replace(".", "_")

    @property
    def words(self) -> str:
        """Its name for readers."""
        reading = "in total" if self.reading == "total" else "per class"
        return f"{reading}, lr {self.lr:g}, batch {self.batch_size}, {self.schedule}"


def cases(
    readings: dict[str, tuple[int, Sequence[int]]],
    lr: Sequence[float],
    batch_size: Sequence[int],
    schedules: Sequence[str],
) -> list[Case]:
    """Return every combination of a reading (name -> n, sizes), a setting (lr with its batch size) and a schedule.

    Raises:
        ValueError: if ``lr`` and ``batch_size`` are not as many.
    """
    if len(lr) != len(batch_size):
        raise ValueError(f"each lr needs its batch_size: got {len(lr)} and {len(batch_size)}; make the lists as long")
    settings = list(zip(lr, batch_size, strict=True))
    return [
        Case(reading, n, tuple(sizes), *setting, schedule)
        for (reading, (n, sizes)), schedule, setting in itertools.product(readings.items(), schedules, settings)
    ]


def study(
    network: Network, data: Dataset, chosen: Sequence[Case], *, seeds: int, seed: int, cache: Cache, **training: object
) -> dict[Case, list[Repetition]]:
    """Run every case with ``seeds`` repetitions; the universal set of a reading is the same for all of them.

    Args:
        network: to build from each seed.
        data: whose training samples are used.
        chosen: the cases.
        seeds: repetitions, each with its own split, initialisations and orders.
        seed: of the universal set; the repetitions count on from it.
        cache: keeps what was trained.
        **training: what the cases share: epochs, momentum, weight_decay, device.
    """
    done: dict[Case, list[Repetition]] = {case: [] for case in chosen}
    for repetition, case in itertools.product(range(seed, seed + seeds), chosen):
        rows = universal_set(data.y_train, case.n, case.reading, seed)
        done[case].append(
            difficulty_by_size(
                network, data.x_train[rows], data.y_train[rows], case.n, case.sizes, seed=repetition, cache=cache,
                lr=case.lr, batch_size=case.batch_size, schedule=case.schedule, **training,
            )
        )  # fmt: skip
    return done


def all_correlations(done: dict[Case, list[Repetition]], *, seed: int) -> dict[tuple[Case, str], Correlations]:
    """Return the correlations of every case by both measures."""
    return {
        (case, measure): correlations(repetitions, seed=seed, measure=measure)
        for case, repetitions in done.items()
        for measure in MEASURES
    }


def numbers(rho: Correlations) -> dict[str, object]:
    """Return what a page may quote of a case, under dotted keys."""
    told: dict[str, object] = {
        "ceiling": rho.ceiling,
        "ceiling_spread": rho.ceiling_spread,
        "ceiling_rank": rho.rank_ceiling,
        "ceiling_low": rho.ceiling_first[1],
        "ceiling_high": rho.ceiling_first[2],
    }
    for size, v in rho.by_size.items():
        told |= {f"{size}.first": v.rho, f"{size}.low": v.low, f"{size}.high": v.high}
        told |= {f"{size}.mean": v.mean, f"{size}.spread": v.spread, f"{size}.rank": v.rank}
        told |= {f"{size}.mean_low": v.mean_low, f"{size}.mean_high": v.mean_high}
        told |= {f"{size}.rank_low": v.rank_low, f"{size}.rank_high": v.rank_high}
        told |= {f"{size}.learned": v.learned, f"{size}.stable": v.stable}
    for name, size in (("large", max(rho.by_size)), ("small", min(rho.by_size))):
        told |= {f"{name}.size": size, f"{name}.mean": rho.by_size[size].mean}
    return told


def detail(rho: Correlations) -> list[dict[str, str]]:
    """Return one row per size of one case, the noise ceiling last; in brackets 95 % intervals over samples."""
    rows = [
        {"size": str(size), "rho, first seed": _with_interval(v.rho, v.low, v.high),
         "rho, mean of seeds": _with_interval(v.mean, v.mean_low, v.mean_high), "sd of seeds": _number(v.spread),
         "rank correlation, mean": _with_interval(v.rank, v.rank_low, v.rank_high)}
        for size, v in rho.by_size.items()
    ]  # fmt: skip
    ceiling = _with_interval(*rho.ceiling_first), _number(rho.ceiling), _number(rho.ceiling_spread)
    return [*rows, dict(zip(rows[0], ("ceiling", *ceiling, _number(rho.rank_ceiling)), strict=True))]


def _with_interval(value: float, low: float, high: float) -> str:
    return f"{_number(value)} ({_number(low)}, {_number(high)})"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def overview(rhos: dict[tuple[Case, str], Correlations]) -> list[dict[str, object]]:
    """Return one row per case and measure: ceiling, rho by size (what is no evidence in brackets), and verdict."""
    rows = []
    for (case, measure), rho in rhos.items():
        by_size = {}
        for size, v in rho.by_size.items():
            by_size[f"X = {size}"] = f"{v.mean:.2f}" if v.counts and rho.learned else f"({v.mean:.2f})"
        rows.append(
            {"case": case.words, "measure": measure, "ceiling": f"{rho.ceiling:.2f}", **by_size, "verdict": rho.verdict}
        )
    return rows


def steps_taken(case: Case, epochs: int, k: int) -> dict[int, int]:
    """Return size -> optimizer steps of one model: what a small set lacks where the learning rate is small."""
    share = 1 if case.reading == "total" else k
    return {size: epochs * -(-size * share // case.batch_size) for size in (case.n, *case.sizes)}


def shared_rows(count: int, points: int, seed: int) -> torch.Tensor:
    """Return the samples drawn in every scatter panel: at most ``points`` of ``count``."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))[:points]
