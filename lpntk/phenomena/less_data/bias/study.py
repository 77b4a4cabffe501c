"""Learn from a biased set, or from a part of it: a row of accuracies for each repeat and way to keep a part."""

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
from lpntk.learn.campaign import Network
from lpntk.learn.models import build
from lpntk.learn.training import train
from lpntk.machine.device import resolve_device
from lpntk.machine.precision import exact
from lpntk.phenomena.less_data.bias.modes import biased, reweighted
from lpntk.phenomena.less_data.scores import scores
from lpntk.phenomena.less_data.selection.arms import ARMS, Asked

WHOLE, ORACLE, FAIR = "all", "oracle", "fair"
PRUNED = ("balanced", "heads", "heads-cosine", "pixels")  # of ARMS
Parts = dict[tuple[str, float], Tensor]  # arm and share -> (m,) training samples


def study(
    network: Network, data: Dataset, modes: tuple[Tensor, Tensor], *, n: int, rare: float, shares: Sequence[float],
    repeats: int, scorers: int, epochs: int, seed: int, cache: Cache, by_steps: bool = True, least: int = 20,
    device: str = "auto", **training: object,
) -> pd.DataFrame:  # fmt: skip
    """Draw the bias, score, keep, train and test, everything anew in every repeat.

    Args:
        network: to build from each seed; within a repeat all arms start from the same weights.
        data: its training samples are drawn from, its test samples judge.
        modes: of its training and test samples, as ``modes`` gives them.
        n: samples of the biased set.
        rare: share of each rare mode that can be drawn.
        shares: of the biased set that are kept by ``PRUNED``.
        repeats: of everything but the modes.
        scorers: networks behind every kernel, trained on the biased set; they are never judged.
        epochs: of every training.
        seed: of all draws.
        cache: keeps networks, what is kept, and predictions.
        by_steps: whether smaller sets are learned once more, for as many steps as all samples are.
        least: test samples that a mode of a class needs to count for ``worst``.
        device: as in ``train``.
        **training: passed to ``train``: lr, batch_size, ...

    Returns:
        A row for each repeat, arm, share and count (``epochs``, ``steps``): ``kept`` samples, ``rare_kept`` share of
        rare modes among them, accuracies on the ``test`` set, on ``rare`` modes (mean over them) and on the ``worst``
        mode of a class (NaN if none is large enough), ``diverged``.

    Raises:
        ValueError: if a share does not lie in (0, 1], or as ``biased``.
    """
    if bad := [share for share in shares if not 0 < share <= 1]:
        raise ValueError(f"shares are of the biased set, above 0 and at most 1; got {bad[0]}")
    told, steps_of = [], lambda size: -(-size // int(training.get("batch_size", 128)))
    known = [digest(part) for part in (data.x_train, data.y_train, data.x_test)]
    for repeat in tqdm(range(repeats), desc="repeats", leave=False):
        judged, common, parts = picked(network, data, modes[0], n=n, rare=rare, shares=shares, repeat=repeat,
                                       scorers=scorers, epochs=epochs, seed=seed, cache=cache, known=known,
                                       device=device, **training)  # fmt: skip
        for size in sorted({len(part) for part in parts.values()}):
            group = {of: part for of, part in parts.items() if len(part) == size}
            passes = {"epochs": epochs}
            if by_steps and size < n:
                passes["steps"] = max(1, round(epochs * steps_of(n) / steps_of(size)))
            for count, each in passes.items():
                values = predictions(network, data, torch.stack(list(group.values())), judged, cache=cache,
                                     known=known, device=device, epochs=each, **training)  # fmt: skip
                for (of, part), said, lost in zip(group.items(), values["said"], values["diverged"], strict=True):
                    told.append({
                        "repeat": repeat, "arm": of[0], "share": of[1], "count": count, "kept": size,
                        "rare_kept": float((modes[0][part] != common[data.y_train[part]]).float().mean()),
                        **accuracies(said, data.y_test, modes[1], common, least), "diverged": bool(lost),
                    })  # fmt: skip
    return pd.DataFrame(told)


def picked(
    network: Network, data: Dataset, mode: Tensor, *, n: int, rare: float, shares: Sequence[float], repeat: int,
    scorers: int, epochs: int, seed: int, cache: Cache, known: Sequence[str], device: str, **training: object,
) -> tuple[int, Tensor, Parts]:  # fmt: skip
    """Return the seed of the judged networks of a repeat, the common mode of each class, and what every arm keeps.

    The arguments are those of ``study``; ``mode`` is of the training samples, ``known`` digests of the data.
    """
    state = np.random.SeedSequence([seed, repeat]).generate_state(4 + scorers).tolist()
    drawn, fair, chance, judged, *scoring = state

    def make() -> dict[str, Tensor]:
        rows, common = biased(data.y_train, mode, rare=rare, n=n, seed=drawn)
        x, y, draw = data.x_train[rows], data.y_train[rows], torch.Generator().manual_seed(chance)
        found = {"common": common, f"{WHOLE}/1.0": rows, f"{FAIR}/1.0": data.sample(n, fair),
                 f"{ORACLE}/1.0": rows[reweighted(y, mode[rows], draw)]}  # fmt: skip
        asked = Asked(scores(network, x, y, seeds=scoring, epochs=epochs, early=epochs, cache=cache, device=device,
                             **training), shares)  # fmt: skip
        for share in shares:
            found |= {f"{arm}/{share}": rows[ARMS[arm][2](asked, share, draw)].sort().values for arm in PRUNED}
        return found

    key = computed_key(picked, device=device, network=asdict(network), data=list(known), mode=digest(mode), n=n,
                       rare=rare, shares=list(shares), seeds=state, epochs=epochs, training=training)  # fmt: skip
    kept = cache.artefact("biased", key, make)
    common = kept.pop("common")
    return judged, common, {(name.split("/")[0], float(name.split("/")[1])): part for name, part in kept.items()}


def predictions(
    network: Network, data: Dataset, parts: Tensor, seed: int, *, cache: Cache, known: Sequence[str], device: str,
    **training: object,
) -> dict[str, Tensor]:  # fmt: skip
    """Train networks of one seed on parts (m, size) of the training set; return (m, t) what they say, ``diverged``."""

    def make() -> dict[str, Tensor]:
        models = [network(seed) for _ in parts]
        history = train(models, data.x_train, data.y_train, parts, seeds=[seed] * len(parts), presentations=False,
                        on_divergence="mark", device=device, **training)  # fmt: skip
        return {"said": torch.stack([_said(model, data.x_test, device) for model in models]),
                "diverged": history.diverged}  # fmt: skip

    key = computed_key(train, build, _said, device=device, network=asdict(network), data=list(known), seed=seed,
                       parts=digest(parts), training=training)  # fmt: skip
    return cache.artefact("said", key, make)


@exact
@torch.no_grad()
def _said(model: torch.nn.Module, x: Tensor, device: str) -> Tensor:
    on = resolve_device(device)
    return torch.cat([model.to(on)(part.to(on)).argmax(dim=1).cpu() for part in x.split(1024)])


def accuracies(said: Tensor, y: Tensor, mode: Tensor, common: Tensor, least: int) -> dict[str, float]:
    """Return the accuracies that ``study`` tells, of predictions (t,), labels (t,), modes (t,), common modes (k,)."""
    hits, sizes = torch.zeros(2, len(common), max(int(mode.max()), int(common.max())) + 1, dtype=torch.float64)
    right = (said == y).double()
    hits.index_put_((y, mode), right, accumulate=True)
    sizes.index_put_((y, mode), torch.ones_like(right), accumulate=True)
    each, seen = hits / sizes, (sizes > 0).scatter(1, common[:, None], value=False)
    large = each[sizes >= max(1, least)]
    return {"test": float(right.mean()), "rare": float(each[seen].mean()),
            "worst": float(large.min()) if len(large) else float("nan")}  # fmt: skip
