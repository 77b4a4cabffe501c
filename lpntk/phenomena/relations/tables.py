"""Which share of the pairs is what? One row per network, moment and group of pairs; ``spread.py`` averages them."""

from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor

from lpntk.kernel.reading import cosine, own_nearest, pairs, self_similarity, separation, shares
from lpntk.kernel.signs import factor
from lpntk.phenomena.relations.law import as_one_label, measured_factor, predicted_contradiction
from lpntk.phenomena.relations.study import Trial, finished

Kernels = dict[int, dict[int, Tensor]]  # seed -> epoch -> (n, n)

FORMS = {column: "{:.3f}" for column in ("mean", "factor", "law", "separation")}  # cosines, factors, a probability
FORMS |= {column: "{:.3%}" for column in ("contradictory", "all", "predicted")}  # small shares
"""How ``spread.words`` writes the columns of these tables; other shares as it does by itself."""


def kernels_over_training(trials: Sequence[Trial], signs: str = "label", *, ends: bool = False) -> Kernels:
    """Return the kernels of trials at all their moments, or at the first and last alone."""
    found: Kernels = {}
    for trial in finished(trials):
        epochs = trial.run.epochs
        chosen = (epochs[0], epochs[-1]) if ends else epochs
        found[trial.run.seed] = {epoch: trial.kernel(epoch, signs) for epoch in chosen}
    return found


def relations_table(kernels: Kernels, y: Tensor) -> pd.DataFrame:
    """Return the shares of the relations by seed, epoch and labels of the pair (``same``, ``different``, ``all``)."""
    rows = []
    for seed, by_epoch in kernels.items():
        for epoch, kappa in by_epoch.items():
            split = pairs(cosine(kappa), y)
            groups = {"same": split.same, "different": split.different, "all": torch.cat([split.same, split.different])}
            for labels, values in groups.items():
                rows.append({"seed": seed, "epoch": epoch, "labels": labels, **_told(values)})
    return pd.DataFrame(rows)


def signs_table(kernels: Mapping[str, Kernels], y: Tensor) -> pd.DataFrame:
    """Return the same for several choices of signs, and how well each separates pairs of one label from others."""
    tables = []
    for signs, found in kernels.items():
        table = relations_table(found, y).assign(signs=signs)
        separations = {(s, e): separation(pairs(cosine(k), y)) for s, by in found.items() for e, k in by.items()}
        table["separation"] = [separations[key] for key in zip(table.seed, table.epoch, strict=True)]
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def law_table(trials: Sequence[Trial]) -> pd.DataFrame:
    """Return factor and contradiction of pairs of different labels, before and after training, by number of classes."""
    rows = []
    for trial in finished(trials):
        for moment, epoch in (("initial", trial.run.epochs[0]), ("trained", trial.run.epochs[-1])):
            kappa = trial.kernel(epoch)
            one = as_one_label(trial.run.model(epoch), trial.x, trial.y, device=trial.run.device)
            k, split = trial.data.k, pairs(cosine(kappa), trial.y)
            rows.append(
                {
                    "classes": k, "moment": moment, "seed": trial.run.seed,
                    "factor": measured_factor(pairs(kappa, trial.y), pairs(one, trial.y)), "law": factor(k),
                    "one_label_negative": float((pairs(one, trial.y).different < 0).double().mean()),
                    "predicted": predicted_contradiction(pairs(_scaled(one, kappa), trial.y), k),
                    **_told(split.different), "all": _told(torch.cat([split.same, split.different]))["contradictory"],
                    "test_accuracy": trial.run.test_accuracy[epoch],
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def pair_groups(given: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Return masks (n, n), above the diagonal, of the groups of pairs that flipped labels make.

    ``one_label`` and ``two_labels``: both samples clean. ``true_class``: a flipped sample and a clean one of the class
    it was taken from. ``given_class``: a flipped sample and a clean one of the class it was put into. ``all`` of them.
    """
    bad, same = given != truth, given[:, None] == given[None, :]
    one_bad = bad[:, None] ^ bad[None, :]
    clean = ~(bad[:, None] | bad[None, :])
    upper = torch.ones_like(same).triu(1)
    groups = {
        "one_label": clean & same,
        "two_labels": clean & ~same,
        "true_class": one_bad & (truth[:, None] == truth[None, :]),
        "given_class": one_bad & same,
        "all": torch.ones_like(same),
    }
    return {name: mask & upper for name, mask in groups.items()}


def flips_table(trials: Sequence[Trial]) -> pd.DataFrame:
    """Return the relations of the groups of pairs over training, by share of flipped labels, in percent."""
    rows = []
    for trial in finished(trials):
        groups = pair_groups(trial.y, trial.truth[trial.rows])
        for epoch in trial.run.epochs:
            cosines = cosine(trial.kernel(epoch))
            told = {"percent": round(100 * trial.setting), "seed": trial.run.seed, "epoch": epoch,
                    "learned": trial.run.train_accuracy[epoch]}  # fmt: skip
            rows += [{**told, "group": name, **_told(cosines[mask])} for name, mask in groups.items()]
    return pd.DataFrame(rows)


def self_similarity_table(kernels: Kernels, sizes: Sequence[int], seed: int) -> pd.DataFrame:
    """Return by seed and n how many samples are most similar to themselves among n of them, in the last kernels.

    More samples are more rivals, so the share can only be compared at one n.
    """
    rows = []
    for run, by_epoch in kernels.items():
        kappa = by_epoch[max(by_epoch)]
        order = torch.randperm(len(kappa), generator=torch.Generator().manual_seed(seed))
        for n in sizes:
            few = kappa[order[:n]][:, order[:n]]
            rows.append({"seed": run, "n": len(few), "share": own_nearest(few), "ratio": self_similarity(few)})
    return pd.DataFrame(rows)


def halved(n: int, smallest: int = 50) -> list[int]:
    """Return n, n/2, n/4, ... down to ``smallest``, rising."""
    sizes = [n]
    while sizes[0] // 2 >= smallest:
        sizes.insert(0, sizes[0] // 2)
    return sizes


def _told(cosines: Tensor) -> dict[str, float]:
    """Return what a row says of some cosines; NaN if there are none."""
    none = float("nan")
    positive, negative, mean = ((cosines > 0).double().mean(), (cosines < 0).double().mean(), cosines.double().mean())
    found = shares(cosines) if len(cosines) else dict.fromkeys(shares(cosines), none)
    return {
        "pairs": len(cosines),
        "mean": float(mean),
        "positive": float(positive),
        "negative": float(negative),
        **found,
    }


def _scaled(one_label: Tensor, kappa: Tensor) -> Tensor:
    norm = kappa.diagonal().clamp_min(torch.finfo(kappa.dtype).tiny).sqrt()
    return one_label / norm[:, None] / norm[None, :]
