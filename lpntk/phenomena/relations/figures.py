"""How do the relations look? Updates as arrows, shares over training, angles by signs, self-similarity by size."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.ticker import PercentFormatter
from torch import Tensor

from lpntk.data.dataset import Dataset
from lpntk.kernel.reading import Pairs, cosine, pairs, relation, trio
from lpntk.report.plots import BLUE, GREY, SKY, VERMILION

RELATIONS = {"interchangeable": BLUE, "weak": SKY, "unrelated": "#BBBBBB", "contradictory": VERMILION}
SIGNS = {
    "label": "label: lpNTK",
    "ones": "ones: pNTK",
    "centred": "centred: lpNTK, mean removed",
    "error": "error: loss gradients",
}


def vectors(data: Dataset, x: Tensor, y: Tensor, kappa: Tensor, anchor: int) -> Figure:
    """Draw a sample's update beside that of the most similar, the most unrelated and the most opposed other sample.

    Angles are those of the updates, lengths their norms relative to the longer of both.
    """
    cosines, norms, images = cosine(kappa), kappa.diagonal().sqrt(), data.pixels(x)
    fig, axes = plt.subplots(1, 3, figsize=(9.6, 3.6))
    for ax, other in zip(axes, trio(cosines, anchor).values(), strict=True):
        value = float(cosines[anchor, other].clamp(-1, 1))
        angle, longest = np.arccos(value), float(max(norms[anchor], norms[other]))
        for j, direction, color in ((anchor, 0.0, GREY), (other, angle, RELATIONS[relation(value)])):
            size = float(norms[j]) / longest
            look = {"arrowstyle": "-|>", "color": color, "lw": 2.5, "mutation_scale": 16, "shrinkA": 0, "shrinkB": 0}
            ax.annotate("", xy=size * _unit(direction), xytext=(0, 0), arrowprops=look)
            first = j == anchor
            at = np.array([size + 0.4, -0.2]) if first else (size + 0.45) * _unit(max(direction, np.radians(42)))
            _image(ax, images[j], at, f"label {data.classes[int(y[j])]}", color, below=first)
        arc = np.linspace(0, angle, 60)
        ax.plot(*(0.28 * _unit(arc)), color="black", lw=1)
        ax.text(*(0.5 * _unit(angle / 2)), f"{np.degrees(angle):.0f}°", ha="center", va="center")
        ax.set_title(f"{relation(value)}: cosine {value:z.2f}")
        ax.set(xlim=(-1.1, 1.9), ylim=(-0.7, 2.0), aspect="equal")
        ax.axis("off")
    return fig


def shares_over_training(table: pd.DataFrame) -> Figure:
    """Draw the shares of the relations by epoch, for pairs of one label and of two: means over seeds, stacked."""
    fig, axes = plt.subplots(1, 2, figsize=(8.4, 3.6), sharey=True)
    for ax, (labels, title) in zip(axes, (("same", "one label"), ("different", "two labels")), strict=True):
        mean = table[table.labels == labels].groupby("epoch")[list(RELATIONS)].mean()
        bottom = np.zeros(len(mean))
        for name, color in RELATIONS.items():
            ax.bar(range(len(mean)), mean[name], 0.85, bottom=bottom, color=color, label=name)
            bottom += mean[name].to_numpy()
        ax.set_xticks(range(len(mean)), mean.index.astype(str))
        ax.set_title(f"pairs of {title}")
        ax.set_xlabel("epochs trained")
    axes[0].set_ylabel("share of the pairs")
    axes[0].yaxis.set_major_formatter(PercentFormatter(1))
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return fig


def by_signs(cosines: Mapping[str, Mapping[str, Pairs]]) -> Figure:
    """Draw histograms of the cosine, a column per choice of signs and a row per moment.

    Args:
        cosines: moment -> signs -> cosines of the pairs.
    """
    names = list(next(iter(cosines.values())))
    size = (2.9 * len(names), 2.4 * len(cosines) + 0.5)
    fig, axes = plt.subplots(len(cosines), len(names), figsize=size, sharex=True, squeeze=False)
    bins = np.linspace(-1, 1, 81)
    for row, (moment, by_name) in zip(axes, cosines.items(), strict=True):
        for ax, (signs, values) in zip(row, by_name.items(), strict=True):
            for part, color, name in ((values.different, VERMILION, "two labels"), (values.same, BLUE, "one label")):
                ax.hist(part.numpy(), bins, histtype="stepfilled", density=True, color=color, alpha=0.6, label=name)
            ax.axvline(0, color="black", lw=0.8, ls="--")
            ax.set_yticks([])
            ax.set_title(f"{SIGNS[signs]}\n{moment}", fontsize=10)
        row[0].set_ylabel("density")
    for ax in axes[-1]:
        ax.set_xlabel("cosine")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return fig


def self_similarity(table: pd.DataFrame, authors: Mapping[str, float]) -> Figure:
    """Draw the share of samples most similar to themselves against n, and the authors' value at theirs."""
    rows = table.groupby("n").share
    fig, ax = plt.subplots(figsize=(5.4, 3.6))
    ax.errorbar(
        rows.mean().index, rows.mean(), yerr=rows.std().fillna(0), fmt="o-", color=BLUE, capsize=3, label="ours"
    )
    theirs = authors["self_similarity"]
    ax.plot([authors["n"]], [theirs / (1 + theirs)], "*", ms=13, color=VERMILION, label="authors: LeNet, MNIST")
    ax.set_xscale("log")
    ax.set_ylim(0, 1.02)
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.set_xlabel("samples in the kernel")
    ax.set_ylabel("most similar to themselves")
    ax.legend()
    return fig


def cosines_by_signs(kernels: Mapping[str, Mapping[int, Mapping[int, Tensor]]], y: Tensor, seed: int):
    """Return what ``by_signs`` draws, of one network: its first and last kernels by signs."""
    ends = {"at initialisation": min, "trained": max}
    return {
        moment: {signs: pairs(cosine(by[seed][end(by[seed])]), y) for signs, by in kernels.items()}
        for moment, end in ends.items()
    }


def _unit(angle: float | np.ndarray) -> np.ndarray:
    return np.array([np.cos(angle), np.sin(angle)])


def _image(ax: plt.Axes, pixels: Tensor, at: Sequence[float], words: str, color: str, *, below: bool) -> None:
    """Put an image (h, w, c) with a caption at a place."""
    grey = pixels.shape[-1] == 1
    zoom = 40 / max(pixels.shape[:2])
    box = OffsetImage((1 - pixels.squeeze(-1) if grey else pixels).numpy(), zoom=zoom, cmap="gray" if grey else None)
    ax.add_artist(AnnotationBbox(box, at, frameon=True, pad=0.15, bboxprops={"edgecolor": color, "lw": 1.5}))
    ax.annotate(words, at, xytext=(0, -34 if below else 27), textcoords="offset points", ha="center", fontsize=9)
