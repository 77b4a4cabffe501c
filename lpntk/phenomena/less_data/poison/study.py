"""Are the bad ones found, and what does a network learn without those that were marked? Two frames.

Networks that score are never those that are judged. Within a repeat all threats start from the same samples, the same
scoring networks and the same judged network.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from lpntk.data.dataset import Dataset
from lpntk.keep.cache import Cache, digest
from lpntk.keep.keys import computed_key
from lpntk.learn.campaign import Network
from lpntk.learn.models import build
from lpntk.learn.training import accuracy, train
from lpntk.phenomena.less_data.poison.detectors import MAIN, suspicion
from lpntk.phenomena.less_data.poison.peers import peers
from lpntk.phenomena.less_data.poison.threats import CLEAN, Poisoned, poison
from lpntk.phenomena.less_data.selection.study import WHOLE

ORACLE = "oracle"
# whose marks are removed at a budget
REMOVED = ("random", MAIN, "tail", "selfmax", "contradictory", "loss", "el2n", "features", "aum")
BLOCK = 64  # networks whose results are kept together


@dataclass(frozen=True)
class Setting:
    """What stays the same in all repeats and threats.

    Attributes:
        network: to build from each seed.
        data: its training samples are drawn from, its test samples judge.
        n: training samples, drawn anew in every repeat (the same if these are all).
        scorers: networks behind every score.
        epochs: of every training.
        early: epochs after which EL2N and GraNd are taken.
        seed: of all draws.
        cache: keeps scores, and what the judged networks reached.
        training: passed to ``train``: lr, batch_size, ...
        patch: side of the backdoor's square, pixels.
        device: as in ``train``.
    """

    network: Network
    data: Dataset
    n: int
    scorers: int
    epochs: int
    early: int
    seed: int
    cache: Cache
    training: Mapping[str, object] = field(default_factory=dict)
    patch: int = 2
    device: str = "auto"

    def seeds(self, repeat: int) -> list[int]:
        """Return seeds of a repeat: samples, poison, judged network, draws of the methods, each scoring network."""
        return np.random.SeedSequence([self.seed, repeat]).generate_state(4 + self.scorers).tolist()

    def poisoned(self, threat: str, rate: float, repeat: int) -> Poisoned:
        """Return the samples of a repeat under a threat; errors as of ``poison``."""
        rows, planted, *_ = self.seeds(repeat)
        return poison(threat, self.data, self.data.sample(self.n, rows), rate, seed=planted, patch=self.patch)


def scored(setting: Setting, threat: str, rate: float, repeat: int) -> dict[str, Tensor]:
    """Return the scores (n,) of all ``METHODS``, kept in the cache: all that is slow before samples are removed."""
    data, (_, _, _, drawn, *scoring) = setting.poisoned(threat, rate, repeat), setting.seeds(repeat)
    asked = {"epochs": setting.epochs, "early": setting.early, **setting.training}
    key = computed_key(suspicion, device=setting.device, network=asdict(setting.network), seeds=scoring, drawn=drawn,
                       data=[digest(t) for t in (data.x, data.y, data.bad)], asked=asked)  # fmt: skip
    make = lambda: suspicion(
        setting.network, data, seeds=scoring, draw=stream_of(drawn), device=setting.device, **asked
    )
    found = setting.cache.artefact("suspicion", key, make)
    recipe = {"epochs": setting.epochs, **setting.training}
    key = computed_key(peers, train, build, device=setting.device, network=asdict(setting.network), seeds=scoring,
                       data=[digest(t) for t in (data.x, data.y)], asked=recipe)  # fmt: skip
    make = lambda: peers(setting.network, data, seeds=scoring, device=setting.device, **recipe)
    return found | setting.cache.artefact("peers", key, make)


def detection(setting: Setting, rates: Mapping[str, Sequence[float]], repeats: int) -> pd.DataFrame:
    """Return how well the bad samples are found, of which ``rates`` tells the shares by threat.

    Returns:
        A row for each repeat, threat, rate and method: ``ap``, the average precision, and ``auroc``, the chance that a
        bad sample is more suspicious than a good one.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score  # slow to import

    told = []
    for repeat in tqdm(range(repeats), desc="scores", leave=False):
        for threat, rate in ((threat, rate) for threat, each in rates.items() for rate in each):
            bad = setting.poisoned(threat, rate, repeat).bad.numpy()
            for method, score in scored(setting, threat, rate, repeat).items():
                told.append({"repeat": repeat, "threat": threat, "rate": rate, "method": method,
                             "ap": float(average_precision_score(bad, score.numpy())),
                             "auroc": float(roc_auc_score(bad, score.numpy()))})  # fmt: skip
    return pd.DataFrame(told)


def removal(
    setting: Setting, removed: Mapping[str, float], repeats: int, budgets: Sequence[float] = (1.0, 1.5)
) -> pd.DataFrame:
    """Remove what is most suspicious, learn the rest anew, and test.

    Args:
        setting: of the study.
        removed: threat, or ``clean``, -> share of bad samples; of clean ones the share that is removed all the same.
        repeats: of everything.
        budgets: samples removed, by how many are bad; of clean samples only the first is tried.

    Returns:
        A row for each repeat, threat, arm and budget: ``kept`` samples and ``share`` of all, ``last`` test accuracy
        and ``best`` over the epochs, ``success`` of a backdoor (else NaN), ``diverged``. The arm ``all`` removes
        nothing, ``oracle`` all that is bad, the others what a method marks.
    """
    told = []
    for threat, rate in tqdm(removed.items(), desc="trainings", leave=False):
        tried = budgets[:1] if threat == CLEAN else budgets
        told += _judged(setting, threat, rate, range(repeats), tried)
    return pd.DataFrame(told).assign(count="epochs")


def _judged(setting: Setting, threat: str, rate: float, repeats: Sequence[int], budgets: Sequence[float]) -> list[dict]:
    """Return the rows of ``removal`` for one threat; networks of all repeats share stacks."""
    n, samples, kept = setting.n, [], []
    for repeat in repeats:
        data, scores = setting.poisoned(threat, rate, repeat), scored(setting, threat, rate, repeat)
        drawn, count = setting.seeds(repeat)[3], int(data.bad.sum()) or round(rate * n)
        arms = {(WHOLE, 0.0): torch.arange(n)}
        if data.bad.any():
            arms[ORACLE, 1.0] = (~data.bad).nonzero()[:, 0]
        for arm in REMOVED:
            stream = stream_of(drawn, arm)
            arms |= {(arm, b): without(scores[arm], round(b * count), stream) for b in budgets}
        of = {"repeat": repeat, "threat": threat, "rate": rate}
        kept += [(of | {"arm": arm, "budget": budget}, rows) for (arm, budget), rows in arms.items()]
        samples.append(data)
    return taught(setting, samples, kept)


def taught(
    setting: Setting, samples: Sequence[Poisoned], kept: Sequence[tuple[dict[str, object], Tensor]]
) -> list[dict[str, object]]:
    """Train a network on each of some parts of the poisoned samples and test it; equal sizes share stacks.

    Args:
        setting: of the study.
        samples: of each repeat, in order of the repeats.
        kept: what a training is of, its ``repeat`` among it, and which samples of that repeat it learns.

    Returns:
        What each training is of, in an order of its own, and ``kept`` and ``share``, how many samples it learned, and
        ``last``, ``best``, ``success``, ``diverged`` as ``removal`` says.
    """
    n = setting.n
    places = {repeat: place for place, repeat in enumerate(dict.fromkeys(of["repeat"] for of, _ in kept))}
    pool = Poisoned(*(torch.cat([getattr(data, name) for data in samples]) for name in ("x", "y", "bad")),
                    samples[0].attack)  # fmt: skip
    told = []
    for size in sorted({len(rows) for _, rows in kept}):
        group = [one for one in kept if len(one[1]) == size]
        for start in range(0, len(group), BLOCK):
            block = group[start : start + BLOCK]
            subsets = torch.stack([rows + places[of["repeat"]] * n for of, rows in block])
            found = _reached(setting, pool, subsets, [setting.seeds(of["repeat"])[2] for of, _ in block])
            for (of, _), *values in zip(block, *found.values(), strict=True):
                told.append(of | {"kept": size, "share": size / n}
                            | dict(zip(found, map(Tensor.item, values), strict=True)))  # fmt: skip
    return told


def _reached(setting: Setting, pool: Poisoned, subsets: Tensor, seeds: Sequence[int]) -> dict[str, Tensor]:
    """Train a network on each of the subsets (m, size) and return (m,) accuracies; ``train_many`` has one test set."""
    test = setting.data.x_test, setting.data.y_test

    def make() -> dict[str, Tensor]:
        models = [setting.network(seed) for seed in seeds]
        history = train(models, pool.x, pool.y, subsets, seeds=seeds, epochs=setting.epochs, test=test,
                        presentations=False, on_divergence="mark", device=setting.device, progress="judged networks",
                        **setting.training)  # fmt: skip
        success = [accuracy(model, *pool.attack) if pool.attack else torch.nan for model in models]
        last, best = history.test_accuracy[:, -1], history.test_accuracy.nan_to_num(0).amax(dim=1)
        return {"last": last, "best": best, "success": torch.tensor(success), "diverged": history.diverged}

    used = [pool.x, pool.y, *test, *(pool.attack or ())]
    key = computed_key(train, build, accuracy, device=setting.device, network=asdict(setting.network), seeds=seeds,
                       data=[digest(t) for t in (*used, subsets)], epochs=setting.epochs,
                       training=dict(setting.training))  # fmt: skip
    found = setting.cache.artefact("judged", key, make)
    return {name: found[name] for name in ("last", "best", "success", "diverged")}


def without(score: Tensor, count: int, draw: torch.Generator) -> Tensor:
    """Return, in order, the samples that are left when the ``count`` largest scores (n,) go; of equals random ones.

    Raises:
        ValueError: if none would be left.
    """
    if count >= len(score):
        raise ValueError(f"{count} of {len(score)} samples would be removed: lower rate or budget")
    order = torch.randperm(len(score), generator=draw)
    return order[score[order].argsort(descending=True, stable=True)[count:]].sort().values


def stream_of(seed: int, of: str = "") -> torch.Generator:
    """Return the draws of one method, of a repeat's seed."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence([seed, *of.encode()]).generate_state(1)[0]))
