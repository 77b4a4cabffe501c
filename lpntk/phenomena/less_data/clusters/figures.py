"""Figures of the clusters: how sizes fall, whether networks agree, who stands for many and who for none."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lpntk.data.dataset import Dataset
from lpntk.phenomena.less_data.clusters.study import KINDS, at_end
from lpntk.report.panels import band, images, legend_above
from lpntk.report.plots import BLUE, GREEN, GREY, ORANGE, PURPLE

LOOKS = {"kernel": BLUE, "cosine": ORANGE, "selfmax": PURPLE, "hierarchical": GREEN, "pixels": GREY}


def sizes(found: pd.DataFrame) -> Figure:
    """Draw the size of a cluster against its rank, at the last moment: mean and range over networks.

    Args:
        found: of ``by_cluster``.
    """
    fig, ax = plt.subplots(figsize=(6.4, 4))
    for kind, part in at_end(found).groupby("kind", sort=False):
        table = part.pivot(index="rank", columns="seed", values="size").fillna(0)
        low, middle, high = table.min(axis=1), table.mean(axis=1), table.max(axis=1)
        band(
            ax,
            table.index,
            low,
            middle,
            high,
            color=LOOKS[kind],
            label=KINDS[kind],
            ls=":" if kind == "pixels" else "-",
        )
    ax.set(xscale="log", yscale="log", xlabel="rank of the cluster by size", ylabel="samples in it", ylim=(0.8, None))
    legend_above(fig, ax, ncols=3)
    return fig


def stability(by_seed: pd.DataFrame) -> Figure:
    """Draw how well networks of different seeds agree, through training: mean and range over pairs of them.

    Args:
        by_seed: of ``agreement`` across ``seed``.
    """
    fig, ax = plt.subplots(figsize=(6.4, 3.6))
    for kind, part in by_seed.groupby("kind", sort=False):
        groups = part.groupby("epoch")["ari"]
        low, middle, high = groups.min(), groups.mean(), groups.max()
        band(ax, range(len(middle)), low, middle, high, color=LOOKS[kind], label=KINDS[kind], marker="o", ms=4)
        ax.set_xticks(range(len(middle)), middle.index)
    ax.set(xlabel="finished epochs", ylabel="adjusted Rand index", ylim=(0, 1))
    legend_above(fig, ax, ncols=2)
    return fig


def norms(found: pd.DataFrame) -> Figure:
    """Draw the size of a cluster against the kernel of its head with itself, by kernel and by cosine.

    Args:
        found: of ``by_cluster``.
    """
    last = found[found["epoch"] == found["epoch"].max()]
    last = last[last["seed"] == last["seed"].min()]
    fig, axes = plt.subplots(1, 2, figsize=(7, 3.2), sharey=True)
    for ax, kind in zip(axes, ("kernel", "cosine"), strict=True):
        part = last[last["kind"] == kind]
        ax.scatter(part["own"], part["size"], s=10, color=LOOKS[kind], alpha=0.6, lw=0)
        ax.set(xscale="log", yscale="log", title=f"clusters by {kind}", xlabel="kernel of the head with itself")
    axes[0].set_ylabel("samples in its cluster")
    return fig


def heads(samples: pd.DataFrame, data: Dataset, kind: str = "kernel", shown: int = 8, rows: int = 4) -> Figure:
    """Draw large clusters, the head first and its least similar member last, and heads that stand alone."""
    last = samples[(samples["kind"] == kind) & (samples["epoch"] == samples["epoch"].max())]
    last = last[last["seed"] == last["seed"].min()]
    size = last.groupby("head")["sample"].transform("size")
    largest = last.assign(size=size).sort_values(["size", "head"], ascending=[False, True]).drop_duplicates("label")
    alone = last[size == 1].sort_values("sample")["sample"].to_numpy()
    fig, axes = plt.subplots(rows + 2, 1, figsize=(0.85 * shown, 1.05 * (rows + 2)))
    drawn = lambda chosen: data.pixels(data.x_train[list(chosen)]).numpy()
    for ax, head in zip(axes[:rows], largest["head"], strict=False):
        members = last[(last["head"] == head) & (last["sample"] != head)].sort_values("alike", ascending=False)
        places = np.linspace(0, len(members) - 1, min(shown - 1, len(members))).astype(int)
        chosen = [head, *members["sample"].to_numpy()[places]]
        label = data.classes[int(data.y_train[head])]
        words = [f"{label}: {len(members) + 1}", *(f"{v:.0f}" for v in members["alike"].to_numpy()[places])]
        images(ax, drawn(chosen), words)
    for ax, part in zip(
        axes[rows:], np.array_split(alone[:: max(1, len(alone) // (2 * shown))][: 2 * shown], 2), strict=True
    ):
        if len(part):
            images(ax, drawn(part), [data.classes[int(data.y_train[i])] for i in part])
        ax.axis("off")
    axes[0].set_title(
        "head and size of a large cluster; members by their kernel with the head", fontsize=10, loc="left", pad=14
    )
    axes[rows].set_title("heads that stand for no other sample", fontsize=10, loc="left", pad=14)
    return fig
