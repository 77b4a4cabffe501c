"""How do the relations look? Updates as arrows, shares over training, angles by signs, what labels change."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from matplotlib.ticker import PercentFormatter
from torch import Tensor

from lpntk.data.dataset import Dataset
from lpntk.kernel.reading import cosine, pairs, relation, trio
from lpntk.phenomena.relations.study import Kernels
from lpntk.report.panels import by_label, dots, legend_above, over
from lpntk.report.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION
from lpntk.report.spread import over_seeds

RELATIONS = {"interchangeable": BLUE, "weak": SKY, "unrelated": "#BBBBBB", "contradictory": VERMILION}
SIGNS = {
    "label": "label: lpNTK",
    "ones": "ones: pNTK",
    "centred": "centred: lpNTK, mean removed",
    "error": "error: loss gradients",
}
MOMENTS = {"initial": ("at initialisation", BLUE, "o", -0.12), "trained": ("trained", VERMILION, "s", 0.12)}
GROUPS = {
    "one_label": ("clean, one label", BLUE),
    "given_class": ("flipped, given class", GREEN),
    "two_labels": ("clean, two labels", ORANGE),
    "true_class": ("flipped, true class", VERMILION),
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
        mean, _ = over_seeds(table[table.labels == labels], ["epoch"], list(RELATIONS))
        mean.plot.bar(ax=ax, stacked=True, width=0.85, color=RELATIONS, legend=False, rot=0)
        ax.set(title=f"pairs of {title}", xlabel="epochs trained", ylabel="share of the pairs")
        ax.yaxis.set_major_formatter(PercentFormatter(1))
    legend_above(fig, axes[0])
    return fig


def by_signs(kernels: Mapping[str, Kernels], y: Tensor, seed: int) -> Figure:
    """Draw histograms of one network's cosines, a column per choice of signs, at its first moment and at its last."""
    fig, axes = plt.subplots(2, len(kernels), figsize=(2.9 * len(kernels), 5.3), sharex=True, squeeze=False)
    for row, end, moment in zip(axes, (min, max), ("at initialisation", "trained"), strict=True):
        for ax, (signs, found) in zip(row, kernels.items(), strict=True):
            by_label(ax, pairs(cosine(found[seed][end(found[seed])]), y), np.linspace(-1, 1, 81))
            ax.set_yticks([])
            ax.set_title(f"{SIGNS[signs]}\n{moment}", fontsize=10)
        row[0].set_ylabel("density")
    for ax in axes[-1]:
        ax.set_xlabel("cosine")
    legend_above(fig, axes[0, 0])
    return fig


def self_similarity(table: pd.DataFrame, authors: Mapping[str, float]) -> Figure:
    """Draw the share of samples most similar to themselves against n, and the authors' value at theirs."""
    mean, sd = (by_n.share for by_n in over_seeds(table, ["n"], ["share"]))
    fig, ax = plt.subplots(figsize=(5.4, 3.6))
    ax.errorbar(mean.index, mean, yerr=sd.fillna(0), fmt="o-", color=BLUE, capsize=3, label="ours")
    theirs = authors["self_similarity"]
    ax.plot([authors["n"]], [theirs / (1 + theirs)], "*", ms=13, color=VERMILION, label="authors: LeNet, MNIST")
    ax.set(xscale="log", ylim=(0, 1.02), xlabel="samples in the kernel", ylabel="most similar to themselves")
    ax.yaxis.set_major_formatter(PercentFormatter(1))
    ax.legend()
    return fig


def suspects(table: pd.DataFrame, rivals: pd.DataFrame, rule: Mapping[str, Sequence[float]],
             theirs: Mapping[str, float]) -> Figure:  # fmt: skip
    """Draw the negative share of every cell, a dot per network, and who is most similar to itself among how many.

    Args:
        table: ``training``, ``epoch``, ``look`` and ``negative``, a row per network.
        rivals: ``cell``, ``n`` and ``share`` of the samples, a row per network.
        rule: ends of what counts as theirs: ``negative``, ``ratio``.
        theirs: the authors' numbers.
    """
    cells = list(dict.fromkeys(zip(table.training, table.epoch, table["look"], strict=True)))
    height = max(3.6, 0.2 * len(cells) + 0.8)
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.6, height), width_ratios=(3, 2))
    left.axvspan(*rule["negative"], color=GREEN, alpha=0.15, lw=0)
    left.axvline(theirs["negative"], color=VERMILION, lw=1.2)
    for row, cell in enumerate(cells):
        mine = table[(table.training == cell[0]) & (table.epoch == cell[1]) & (table["look"] == cell[2])]
        dots(left, mine.negative, row, color=BLUE if cell[2] == "label" else ORANGE)
    left.set_yticks(range(len(cells)), [cell_name(*cell) for cell in cells], fontsize=8)
    left.set_xscale("symlog", linthresh=1e-5)
    left.set(xlim=(0, 1), ylim=(len(cells) - 0.5, -0.5), xlabel="pairs with a negative kernel")
    for (cell, rows), color in zip(rivals.groupby("cell", sort=False), (BLUE, PURPLE, GREY), strict=False):
        mean, sd = (by_n.share for by_n in over_seeds(rows, ["n"], ["share"]))
        right.errorbar(mean.index, mean, yerr=sd.fillna(0), fmt="o-", ms=4, capsize=2, color=color, label=cell)
    shares = [ratio / (1 + ratio) for ratio in (*rule["ratio"], theirs["self_similarity"])]
    right.plot([theirs["n"]] * 2, shares[:2], color=GREEN, lw=7, alpha=0.3)
    right.plot([theirs["n"]], shares[2:], "*", ms=12, color=VERMILION, label="authors")
    right.set(xscale="log", ylim=(0, 1.02), xlabel="samples compared with", ylabel="most similar to themselves")
    right.yaxis.set_major_formatter(PercentFormatter(1))
    right.legend(fontsize=8)
    return fig


def cell_name(training: str, epoch: int, look: str) -> str:
    """Return a cell in words."""
    return f"{training}, epoch {epoch}" + ("" if look == "label" else f": {look}")


def by_classes(table: pd.DataFrame) -> Figure:
    """Draw factor and contradiction between different labels against the number of classes; a dot is a network."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.0, 3.7))
    law = table.groupby("classes").law.first()
    place = {k: i for i, k in enumerate(law.index)}
    for moment, (name, color, marker, shift) in MOMENTS.items():
        rows = table[table.moment == moment]
        for ax, column in ((left, "factor"), (right, "contradictory")):
            at = rows.classes.map(place) + shift
            ax.plot(at, rows[column], marker, ms=6, alpha=0.7, color=color, label=name)
        mean = rows.groupby("classes").predicted.mean()
        right.plot(mean.index.map(place) + shift, mean, "_", ms=22, mew=2, color=color)
    left.plot(range(len(law)), law, "k_", ms=34, mew=1.5, zorder=0)
    left.plot([], [], "k_", ms=16, mew=2, label="law (right: from the kernel under one label)")
    left.axhline(0, color=GREY, lw=0.6)
    left.set_ylabel("kernel over kernel under one label")
    right.set_ylabel("contradictory share")
    right.yaxis.set_major_formatter(PercentFormatter(1))
    for ax in (left, right):
        ax.set_xticks(range(len(law)), law.index.astype(str))
        ax.set(xlabel="classes K", title="pairs of two labels")
    legend_above(fig, left)
    return fig


def flips(table: pd.DataFrame) -> Figure:
    """Draw the share beyond a right angle by epoch and share of flipped labels, and who is contradictory at the end."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.8))
    percents = sorted(table.percent.unique())
    for percent, color in zip(percents, plt.cm.viridis(np.linspace(0, 0.85, len(percents))), strict=True):
        rows = table[(table.percent == percent) & (table.group == "all")]
        over(left, rows, "epoch", "negative", color=color, label=f"{percent} % flipped")
    left.set(xlabel="epochs trained", ylabel="share beyond a right angle", title="all pairs")
    last = table[table.epoch == table.epoch.max()]
    mean, sd = (by.contradictory.unstack() for by in over_seeds(last, ["percent", "group"], ["contradictory"]))
    colors, names = ({group: look[i] for group, look in GROUPS.items()} for i in (1, 0))
    mean[list(GROUPS)].plot.bar(ax=right, yerr=sd[list(GROUPS)], width=0.76, color=colors, capsize=2, rot=0)
    right.set_xticks(range(len(percents)), [f"{percent} %" for percent in percents])
    right.set(xlabel="flipped labels", ylabel="contradictory share", title="trained, by group")
    for ax in (left, right):
        ax.yaxis.set_major_formatter(PercentFormatter(1))
    left.legend()
    right.legend(names.values(), fontsize=9, loc="upper left")
    return fig


def _unit(angle: float | np.ndarray) -> np.ndarray:
    return np.array([np.cos(angle), np.sin(angle)])


def _image(ax: plt.Axes, pixels: Tensor, at: Sequence[float], words: str, color: str, *, below: bool) -> None:
    """Put an image (h, w, c) with a caption at a place."""
    grey = pixels.shape[-1] == 1
    zoom = 40 / max(pixels.shape[:2])
    box = OffsetImage((1 - pixels.squeeze(-1) if grey else pixels).numpy(), zoom=zoom, cmap="gray" if grey else None)
    ax.add_artist(AnnotationBbox(box, at, frameon=True, pad=0.15, bboxprops={"edgecolor": color, "lw": 1.5}))
    ax.annotate(words, at, xytext=(0, -34 if below else 27), textcoords="offset points", ha="center", fontsize=9)
