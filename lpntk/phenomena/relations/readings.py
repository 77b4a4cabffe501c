"""Which share of the pairs is what? A row per network, moment and group of pairs; a pass over a matrix on the disk."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
import torch
from torch import Tensor

from lpntk.kernel.reading import cosine, own_nearest, pairs, self_similarity, separation, shares
from lpntk.machine.device import resolve_device
from lpntk.phenomena.relations.study import Kernels, Trial, finished

FORMS = {column: "{:.3f}" for column in ("mean", "factor", "law", "separation")}  # cosines, factors, a probability
FORMS |= {column: "{:.3%}" for column in ("contradictory", "all", "predicted")}  # small shares
"""How ``spread.words`` writes the columns of these tables; other shares as it does by itself."""

SMALL = 0.1  # of the authors' notebook, for a kernel without the factor 1/K


def read(cosines: Tensor) -> dict[str, float]:
    """Return what a row says of some cosines (m,): their number, mean, signs, and relations; NaN if there are none."""
    found = {"mean": float(cosines.double().mean()), **_signs(cosines), **shares(cosines)}
    return {"pairs": len(cosines), **(found if len(cosines) else dict.fromkeys(found, float("nan")))}


def over_training(kernels: Kernels, y: Tensor) -> pd.DataFrame:
    """Read kernels by seed, epoch and labels of the pair (``same``, ``different``, ``all``).

    ``separation``, of a kernel, is the probability that a pair of one label has the larger cosine.
    """
    rows = []
    for seed, by_epoch in kernels.items():
        for epoch, kappa in by_epoch.items():
            split = pairs(cosine(kappa), y)
            own = {"seed": seed, "epoch": epoch, "separation": separation(split)}
            groups = {**vars(split), "all": torch.cat([split.same, split.different])}
            rows += [{**own, "labels": labels, **read(values)} for labels, values in groups.items()]
    return pd.DataFrame(rows)


def by_signs(kernels: Mapping[str, Kernels], y: Tensor) -> pd.DataFrame:
    """Read kernels of several choices of signs, pairs of one label and of two."""
    table = pd.concat([over_training(found, y).assign(signs=signs) for signs, found in kernels.items()])
    return table[table.labels != "all"]


def pair_groups(given: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Return masks (n, n), above the diagonal, of the groups of pairs that flipped labels make.

    ``one_label`` and ``two_labels``: both samples clean. ``true_class``: a flipped sample and a clean one of the class
    it was taken from. ``given_class``: a flipped sample and a clean one of the class it was put into. ``all`` of them.
    """
    bad, same = given != truth, given[:, None] == given[None, :]
    one_bad = bad[:, None] ^ bad[None, :]
    clean = ~(bad[:, None] | bad[None, :])
    groups = {
        "one_label": clean & same,
        "two_labels": clean & ~same,
        "true_class": one_bad & (truth[:, None] == truth[None, :]),
        "given_class": one_bad & same,
        "all": torch.ones_like(same),
    }
    return {name: mask.triu(1) for name, mask in groups.items()}


def by_flips(trials: Sequence[Trial]) -> pd.DataFrame:
    """Read the groups of pairs over training, by share of flipped labels, in percent, and what was learned of them."""
    rows = []
    for trial in finished(trials):
        groups = pair_groups(trial.y, trial.truth[trial.rows])
        for epoch in trial.run.epochs:
            cosines = cosine(trial.kernel(epoch))
            own = {"percent": round(100 * trial.flipped), "seed": trial.run.seed, "epoch": epoch,
                   "learned": trial.run.train_accuracy[epoch]}  # fmt: skip
            rows += [{**own, "group": name, **read(cosines[mask])} for name, mask in groups.items()]
    return pd.DataFrame(rows)


def of_themselves(kernels: Kernels, seed: int, smallest: int = 50) -> pd.DataFrame:
    """Count who is most similar to itself in the last kernels, by seed and n: all samples, half, ... of those drawn.

    More samples are more rivals, so the share can only be compared at one n.
    """
    rows = []
    for run, by_epoch in kernels.items():
        kappa = by_epoch[max(by_epoch)]
        order, n = torch.randperm(len(kappa), generator=torch.Generator().manual_seed(seed)), len(kappa)
        while n == len(kappa) or n >= smallest:
            few = kappa[order[:n]][:, order[:n]]
            rows.append({"seed": run, "n": n, "share": own_nearest(few), "ratio": self_similarity(few)})
            n //= 2
    return pd.DataFrame(rows).sort_values(["seed", "n"], ignore_index=True)


def sweep(kappa: Tensor, y: Tensor, step: int = 1024, device: str | torch.device = "cpu") -> dict[str, float]:
    """Return what the pairs of different samples are to each other, where their matrix only fits on the disk.

    Args:
        kappa: (n, n) symmetric kernel, memory-mapped or not.
        y: (n,) labels.
        step: rows read at a time.
        device: where they are counted: ``auto``, ``cpu`` or ``cuda[:i]``.

    Returns:
        ``pairs`` (unordered), shares of them that are ``positive``, ``negative`` and ``small`` (below 0.1 in size
        when multiplied by the number of classes, as the authors' public notebook counts), ``own_nearest`` (samples
        whose largest entry is their own, over those for which it is not) and, for pairs of the ``same`` label and of
        ``different`` ones, ``negative`` and the shares of ``reading.shares``.

    Raises:
        ValueError: if the matrix is not square, the labels are not as many, or there is no such device.
    """
    n, k = len(y), int(y.max()) + 1
    if kappa.shape != (n, n):
        raise ValueError(f"expected a kernel of shape ({n}, {n}) for {n} labels; got {tuple(kappa.shape)}")
    device = resolve_device(device)
    y, everything = y.to(device), torch.arange(n, device=device)
    norm = kappa.diagonal().clone().to(device).clamp_min(torch.finfo(kappa.dtype).tiny).sqrt()
    found = Counter()
    for start in range(0, n, step):
        rows = kappa[start : start + step].to(device)
        here = everything[start : start + step]
        other, same = here[:, None] != everything, y[here, None] == y
        found["own"] += int((rows.argmax(1) == here).sum())
        found["small"] += int(((k * rows).abs_() < SMALL).logical_and_(other).sum())
        cosines = rows / norm[here, None] / norm
        for name, values in (("same", cosines[same & other]), ("different", cosines[~same])):
            told = {**shares(values), **_signs(values)}
            found.update({name: len(values), **{f"{name}.{key}": told[key] * len(values) for key in told}})
    ordered = max(n * (n - 1), 1)
    by_label = {key: value / max(found[key.partition(".")[0]], 1) for key, value in found.items() if "." in key}
    return {"pairs": n * (n - 1) // 2, "own_nearest": found["own"] / max(n - found["own"], 1),
            "positive": (found["same.positive"] + found["different.positive"]) / ordered,
            "negative": (found["same.negative"] + found["different.negative"]) / ordered,
            "small": found["small"] / ordered, **by_label}  # fmt: skip


def count(
    blocks: Iterable[Tensor], own: Tensor, columns: Tensor, y: Tensor, marks: Sequence[int], k: int
) -> dict[str, int]:
    """Count signs, small entries and who is most similar to itself, from parts of a kernel of some rows.

    Args:
        blocks: (m, some) parts of the kernel, from the first column to the last.
        own: (m,) numbers of the samples of the rows, each among the columns.
        columns: (n,) numbers of those of the columns, in an order drawn at random.
        y: labels by number.
        marks: numbers of columns after which it is asked who is still most similar to itself.
        k: classes; the kernel is multiplied by it where its size counts, as in ``sweep``.

    Returns:
        ``rows``; ``pairs`` of different samples, those ``negative`` and ``small``; ``kin`` and ``kin_negative``, the
        same of one label; ``own.<mark>``: rows whose own entry is exceeded by none with the samples of so many
        columns; ``own_kin``: by none with a sample of their label.
    """
    found, wins, start = Counter(), {}, 0
    mine, best, kin_best = (torch.full((len(own),), -torch.inf) for _ in range(3))
    for kappa in blocks:
        here = columns[start : start + kappa.shape[1]]
        other = own[:, None] != here
        kin = other & (y[own][:, None] == y[here])
        found["pairs"] += int(other.sum())
        found["negative"] += int(((kappa < 0) & other).sum())
        found["small"] += int((((k * kappa).abs() < SMALL) & other).sum())
        found["kin"] += int(kin.sum())
        found["kin_negative"] += int(((kappa < 0) & kin).sum())
        mine = torch.maximum(mine, kappa.masked_fill(other, -torch.inf).amax(1))
        rivals = kappa.masked_fill(~other, -torch.inf)
        for mark in (m for m in marks if start < m <= start + len(here)):
            wins[mark] = torch.maximum(best, rivals[:, : mark - start].amax(1))
        best = torch.maximum(best, rivals.amax(1))
        kin_best = torch.maximum(kin_best, kappa.masked_fill(~kin, -torch.inf).amax(1))
        start += len(here)
    themselves = {f"own.{mark}": int((mine >= rival).sum()) for mark, rival in wins.items()}
    return {"rows": len(own), **found, **themselves, "own_kin": int((mine >= kin_best).sum())}


def _signs(values: Tensor) -> dict[str, float]:
    n = max(len(values), 1)
    return {"positive": int((values > 0).sum()) / n, "negative": int((values < 0).sum()) / n}
