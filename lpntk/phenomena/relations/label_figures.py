"""How does contradiction depend on the labels? On the number of classes, and on labels that are wrong."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lpntk.kernel.signs import factor
from lpntk.report.plots import BLUE, GREEN, GREY, ORANGE, VERMILION

GROUPS = {
    "one_label": ("clean, one label", BLUE),
    "given_class": ("flipped, given class", GREEN),
    "two_labels": ("clean, two labels", ORANGE),
    "true_class": ("flipped, true class", VERMILION),
}


def by_classes(table: pd.DataFrame) -> Figure:
    """Draw factor and contradiction between different labels against the number of classes; a dot is a network."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.0, 3.7))
    ks = sorted(table.classes.unique())
    looks = {"initial": (BLUE, "o", -0.12, "at initialisation"), "trained": (VERMILION, "s", 0.12, "trained")}
    for moment, (color, marker, shift, name) in looks.items():
        rows = table[table.moment == moment]
        at = rows.classes.map(ks.index) + shift
        left.plot(at, rows.factor, marker, ms=6, alpha=0.7, color=color, label=name)
        right.plot(at, rows.contradictory, marker, ms=6, alpha=0.7, color=color, label=name)
        mean = rows.groupby("classes").predicted.mean()
        right.plot([ks.index(k) + shift for k in mean.index], mean, "_", ms=22, mew=2, color=color)
    left.plot(range(len(ks)), [factor(k) for k in ks], "k_", ms=34, mew=1.5, zorder=0)
    left.plot([], [], "k_", ms=16, mew=2, label="law (right: from the kernel under one label)")
    left.axhline(0, color=GREY, lw=0.6)
    left.set_ylabel("kernel over kernel under one label")
    right.set_ylabel("contradictory share")
    right.yaxis.set_major_formatter(PercentFormatter(1))
    for ax in (left, right):
        ax.set_xticks(range(len(ks)), [str(k) for k in ks])
        ax.set_xlabel("classes K")
        ax.set_title("pairs of two labels")
    return _legend(fig, left, right)


def flips(table: pd.DataFrame) -> Figure:
    """Draw the share beyond a right angle by epoch and share of flipped labels, and who is contradictory at the end."""
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.4, 3.8))
    percents = sorted(table.percent.unique())
    for percent, color in zip(percents, plt.cm.viridis(np.linspace(0, 0.85, len(percents))), strict=True):
        rows = table[(table.percent == percent) & (table.group == "all")].groupby("epoch").negative
        mean, sd = rows.mean(), rows.std().fillna(0)
        at = np.arange(len(mean))
        left.plot(at, mean, "o-", ms=4, color=color, label=f"{percent} % flipped")
        left.fill_between(at, mean - sd, mean + sd, color=color, alpha=0.2, lw=0)
        left.set_xticks(at, mean.index.astype(str))
    left.set_xlabel("epochs trained")
    left.set_ylabel("share beyond a right angle")
    left.set_title("all pairs")
    left.legend()
    last = table[table.epoch == table.epoch.max()]
    for i, (group, (name, color)) in enumerate(GROUPS.items()):
        rows = last[last.group == group].groupby("percent").contradictory
        at = np.arange(len(percents)) + 0.2 * (i - 1.5)
        right.bar(
            at,
            rows.mean().reindex(percents),
            0.19,
            yerr=rows.std().reindex(percents),
            color=color,
            capsize=2,
            label=name,
        )
    right.set_xticks(range(len(percents)), [f"{p} %" for p in percents])
    right.set_xlabel("flipped labels")
    right.set_ylabel("contradictory share")
    right.set_title("trained, by group")
    right.legend(fontsize=9, loc="upper left")
    for ax in (left, right):
        ax.yaxis.set_major_formatter(PercentFormatter(1))
    return fig


def _legend(fig: Figure, *axes: plt.Axes) -> Figure:
    """Put the entries of several axes, each once, above the figure."""
    entries: dict[str, object] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    fig.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=2)
    return fig
