"""How do samples fall into clusters, seed by seed and through training? One frame, a row for each sample."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from lpntk.data.dataset import Dataset
from lpntk.keep.cache import Cache
from lpntk.learn.campaign import Network
from lpntk.learn.moments import train_moments
from lpntk.phenomena.less_data.farthest import Clusters, clusters, hierarchical, own_nearest
from lpntk.phenomena.less_data.within import cosine_of_inputs

KINDS = {
    "kernel": "kernel",
    "cosine": "cosine",
    "selfmax": "kernel, own nearest first",
    "hierarchical": "kernel, average linkage",
    "pixels": "cosine of pixels",
}
SETTING = ["seed", "epoch", "kind"]


def study(
    network: Network, data: Dataset, *, n: int, ratio: float, seeds: Sequence[int], moments: Sequence[int],
    cache: Cache, device: str = "auto", **training: object,
) -> tuple[pd.DataFrame, pd.DataFrame]:  # fmt: skip
    """Train one network per seed, take its kernel at some moments, and cluster the samples of each class.

    Args:
        network: to build from each seed.
        data: all of its training samples are trained on.
        n: training samples of the kernel, the same for all seeds and moments.
        ratio: clusters per sample.
        seeds: networks.
        moments: numbers of finished epochs.
        cache: keeps the networks.
        device: as in ``train``.
        **training: passed to ``train``: lr, batch_size, ...

    Returns:
        A row for each sample, seed, epoch and kind of clustering (``KINDS``): ``sample`` (its index in the training
        set), ``label``, ``cluster`` and ``head`` (a sample), ``own`` (its kernel with itself), ``alike`` (that with its
        head). ``pixels``, the control that knows no network, has one seed and epoch, -1. And a row for each network
        and moment: ``test`` accuracy, ``own_nearest`` (share of samples).
    """
    rows = data.sample(n, 0)
    x, y = data.x_train[rows], data.y_train[rows]
    parts, networks = [], []

    def add(found: Clusters, kappa: Tensor, **setting: object) -> None:
        head = found.heads[found.of]
        parts.append(pd.DataFrame({
            **setting, "sample": rows.numpy(), "label": y.numpy(), "cluster": found.of.numpy(),
            "head": rows[head].numpy(), "own": kappa.diagonal().numpy(), "alike": kappa[torch.arange(n), head].numpy(),
        }))  # fmt: skip

    pixels = cosine_of_inputs(x)
    add(clusters(pixels, y, ratio, cosine=True), pixels, seed=-1, epoch=-1, kind="pixels")
    for seed in tqdm(seeds, desc="clusters", leave=False):
        run = train_moments(network, data, seed=seed, moments=moments, cache=cache, device=device, **training)
        for epoch in run.epochs:
            kappa = run.kernel(epoch, x, y).cpu()
            own = own_nearest(kappa, y)
            at = {"seed": seed, "epoch": epoch}
            networks.append({**at, "test": run.test_accuracy[epoch], "own_nearest": float(own.float().mean())})
            add(clusters(kappa, y, ratio), kappa, **at, kind="kernel")
            add(clusters(kappa, y, ratio, cosine=True), kappa, **at, kind="cosine")
            add(clusters(kappa, y, ratio, first=own), kappa, **at, kind="selfmax")
            add(hierarchical(kappa, y, [ratio])[0], kappa, **at, kind="hierarchical")
    return pd.concat(parts, ignore_index=True), pd.DataFrame(networks)


def by_cluster(samples: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each cluster: ``size``, ``share`` of its class, ``own`` of its head, ``rank`` by size from 1."""
    groups = samples.groupby([*SETTING, "label", "cluster", "head"])
    found = groups.size().rename("size").reset_index()
    heads = samples[samples["sample"] == samples["head"]][[*SETTING, "sample", "own"]]
    found = found.merge(heads.rename(columns={"sample": "head"}), on=[*SETTING, "head"])
    found["share"] = found["size"] / found.groupby([*SETTING, "label"])["size"].transform("sum")
    found["rank"] = found.groupby(SETTING)["size"].rank(ascending=False, method="first").astype(int)
    return found


def at_end(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the last moment, and those of the pixels, which know no moment."""
    return frame[(frame["epoch"] == frame["epoch"].max()) | (frame["kind"] == "pixels")]


def shape(found: pd.DataFrame) -> pd.DataFrame:
    """Return how unequal the clusters of each setting are.

    Returns:
        A row for each: ``gini`` of the sizes (0 all equal, near 1 all in one), ``largest`` cluster's mean share of its
        class, ``top`` share of all samples in the largest tenth of the clusters, ``singletons`` (share of clusters),
        ``norm`` (rank correlation of a head's kernel with itself and the size of its cluster; NaN for pixels, which
        are all equally long).
    """
    rows = []
    for setting, part in found.groupby(SETTING):
        sizes = np.sort(part["size"].to_numpy())
        tenth, of = max(1, round(len(sizes) / 10)), dict(zip(SETTING, setting, strict=True))
        norm = math.nan if of["kind"] == "pixels" else part["own"].corr(part["size"], method="spearman")
        rows.append({
            **of, "clusters": len(sizes), "gini": gini(sizes),
            "largest": part.groupby("label")["share"].max().mean(), "top": sizes[-tenth:].sum() / sizes.sum(),
            "singletons": (sizes == 1).mean(), "norm": norm,
        })  # fmt: skip
    return pd.DataFrame(rows)


def gini(sizes: np.ndarray) -> float:
    """Return the Gini coefficient of some sizes: the mean absolute difference of two over twice their mean."""
    sizes = np.sort(np.asarray(sizes, float))
    n = len(sizes)
    return float((2 * np.arange(1, n + 1) - n - 1) @ sizes / (n * sizes.sum()))


def agreement(samples: pd.DataFrame, across: str) -> pd.DataFrame:
    """Compare clusterings that differ in one column only: the adjusted Rand index, 1 for the same, 0 for chance.

    It is taken class by class and averaged, for that two classes are never joined would count as agreement.

    Args:
        samples: of ``study``.
        across: ``seed``, ``epoch`` or ``kind``.

    Returns:
        A row for each pair of values of that column in each of the other two: ``one``, ``other``, ``ari``.
    """
    from sklearn.metrics import adjusted_rand_score

    rest = [name for name in SETTING if name != across]
    rows = []
    for setting, part in samples.groupby(rest):
        tables = {value: p.set_index("sample")["cluster"] for value, p in part.groupby(across)}
        labels = part.drop_duplicates("sample").set_index("sample")["label"]
        for one, other in ((a, b) for i, a in enumerate(tables) for b in list(tables)[i + 1 :]):
            each = [
                adjusted_rand_score(tables[one][members], tables[other][members])
                for members in labels.groupby(labels).groups.values()
            ]
            at = dict(zip(rest, setting, strict=True))
            rows.append({**at, "one": one, "other": other, "ari": float(np.mean(each))})
    return pd.DataFrame(rows, columns=[*rest, "one", "other", "ari"])
