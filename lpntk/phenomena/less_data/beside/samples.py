"""What have samples in common that clusters keep, and those that they leave out? A row for each sample and network."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lpntk.learn.moments import Moments
from lpntk.phenomena.less_data.farthest import clusters

# of Data-IQ (Seedat et al., NeurIPS 2022): by the mean probability of the label, where it does not vary much
EASY, AMBIGUOUS, HARD = "easy", "ambiguous", "hard"
SURE, LOST = 0.75, 0.25
PROPERTIES = {
    "own": "length of the gradient",
    "confidence": "mean probability of its label",
    "variability": "how much that varies",
    "loss": "loss at the end",
    "apart": "distance from the mean image of its class",
    "ink": "mean brightness",
}


def data_iq(loss: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean over epochs of p and of p (1 - p), p being the probability of the label: confidence, variability.

    Args:
        loss: (epochs, n) cross-entropies, nats.
    """
    p = (-loss).exp()
    return p.mean(dim=0), (p * (1 - p)).mean(dim=0)


def groups(confidence: np.ndarray, variability: np.ndarray) -> np.ndarray:
    """Return the group of each sample; half of them vary too much to be anything but ambiguous."""
    calm = variability < np.median(variability)
    return np.select([calm & (confidence >= SURE), calm & (confidence <= LOST)], [EASY, HARD], AMBIGUOUS)


def study(runs: Sequence[Moments], loss: Tensor, x: Tensor, y: Tensor, *, ratio: float) -> pd.DataFrame:
    """Cluster the samples by the kernel of each network at its end, and note what else is known of them.

    Args:
        runs: m networks.
        loss: (m, epochs, n) at every presentation.
        x: (n, ...) inputs.
        y: (n,) labels.
        ratio: clusters per sample.

    Returns:
        A row for each network and sample: ``seed``, ``sample``, ``label``, ``head`` (whether it stands for a cluster),
        ``cluster`` (number), ``size`` of its cluster, ``group`` of Data-IQ, and the ``PROPERTIES``: ``own`` is the root
        of its kernel with itself, ``apart`` is Euclidean in the inputs' units.
    """
    flat = x.flatten(1).double()
    means = torch.stack([flat[y == label].mean(dim=0) for label in y.unique()])
    apart = (flat - means[torch.searchsorted(y.unique(), y)]).norm(dim=1)
    parts = []
    for run, own_loss in zip(runs, loss, strict=True):
        kappa = run.kernel(max(run.epochs), x, y).cpu()
        found, (confidence, variability) = clusters(kappa, y, ratio), data_iq(own_loss)
        head = torch.zeros(len(y), dtype=torch.bool)
        head[found.heads] = True
        frame = pd.DataFrame({
            "seed": run.seed, "sample": np.arange(len(y)), "label": y, "head": head, "cluster": found.of,
            "size": found.sizes[found.of], "own": kappa.diagonal().clamp_min(0).sqrt(), "confidence": confidence,
            "variability": variability, "loss": own_loss[-1], "apart": apart, "ink": flat.mean(dim=1),
        })  # fmt: skip
        parts.append(frame.assign(group=groups(frame["confidence"].to_numpy(), frame["variability"].to_numpy())))
    return pd.concat(parts, ignore_index=True)


def in_common(samples: pd.DataFrame, properties: Mapping[str, str] = PROPERTIES) -> pd.DataFrame:
    """Return how far heads lie from other samples of their class, and how a property follows the size of the cluster.

    Returns:
        A row for each network and property: ``difference`` of the means, heads minus others, in standard deviations
        within classes; ``size``, the rank correlation with the size of the own cluster.
    """
    rows = []
    for seed, part in samples.groupby("seed"):
        for name in properties:
            centred = part[name] - part.groupby("label")[name].transform("mean")
            apart = centred[part["head"]].mean() - centred[~part["head"]].mean()
            size = part[name].corr(part["size"], method="spearman")
            rows.append({"seed": seed, "property": name, "difference": apart / centred.std(), "size": size})
    return pd.DataFrame(rows)


def by_group(samples: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each network and group of Data-IQ: ``share`` of samples, of ``heads``, mean ``size``."""
    rows = []
    for seed, part in samples.groupby("seed"):
        for group in (EASY, AMBIGUOUS, HARD):
            mine = part["group"] == group
            heads = (mine & part["head"]).sum() / part["head"].sum()
            rows.append({"seed": seed, "group": group, "share": mine.mean(), "heads": heads,
                         "size": part["size"][mine].mean()})  # fmt: skip
    return pd.DataFrame(rows)
