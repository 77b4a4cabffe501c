"""How does drift look? Agreement with the final kernel, and its eigenvalues, over training."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lpntk.phenomena.relations.drift import least_correlations
from lpntk.phenomena.relations.study import Kernels
from lpntk.report.panels import legend_above, over
from lpntk.report.plots import BLUE, GREEN, GREY, VERMILION

LABELS = {"same": ("one label", BLUE), "different": ("two labels", VERMILION)}
STYLES = {"pearson": ("Pearson", "-"), "spearman": ("Spearman", "--")}
DOTTED = {"ls": ":", "lw": 1.2}


def agreement(table: pd.DataFrame, between: pd.DataFrame, threshold: float) -> Figure:
    """Draw how like the final kernel the kernel is by epoch; dotted: like that of another seed.

    Args:
        table: of ``drift.to_the_end``.
        between: of ``drift.between_seeds``, the same networks.
        threshold: from which on the rule takes two kernels for one.
    """
    fig, axes = plt.subplots(1, 3, figsize=(11.0, 3.7), sharey=True)
    first = axes[0]
    for labels, (name, color) in LABELS.items():
        first.plot([], [], color=color, lw=2, label=name)
        for ax, of in zip(axes, ("kernel", "cosine"), strict=False):
            rows = table[(table.of == of) & (table.labels == labels)]
            for measure, (_, style) in STYLES.items():
                over(ax, rows, "epoch", measure, color=color, ls=style)
            ax.set_title(f"{of}, correlation over pairs")
        axes[1].axhline(between[between.labels == labels].pearson.mean(), color=color, **DOTTED)  # NaN draws nothing
    over(axes[2], table[(table.of == "cosine") & (table.labels == "same")], "epoch", "neighbours", color=GREEN)
    axes[2].axhline(between.neighbours.mean(), color=GREEN, **DOTTED)
    axes[2].set_title("cosine, ten nearest shared")
    for name, style in (*STYLES.values(), ("between two seeds, at the end", ":")):
        first.plot([], [], color="black", ls=style, label=name)
    for ax in axes:
        ax.set_xlabel("epochs trained")
    for ax in axes[:2]:
        ax.axhline(threshold, color=GREY, lw=0.8, label=f"rule: {threshold}")
    first.set_ylabel("agreement with the final one")
    first.set_ylim(min(0.0, table[list(STYLES)].min().min()) - 0.02, 1.03)
    legend_above(fig, first, fontsize=9)
    return fig


def schedules(tables: dict[str, pd.DataFrame], threshold: float) -> Figure:
    """Draw the smallest correlation with the final cosines by epoch, a line for each schedule of the learning rate.

    Args:
        tables: name of a schedule -> ``drift.to_the_end`` of its networks.
        threshold: from which on the rule takes two kernels for one.
    """
    fig, ax = plt.subplots(figsize=(5.4, 3.6))
    for (name, table), color in zip(tables.items(), (BLUE, VERMILION), strict=False):
        least = least_correlations(table)
        ax.plot(list(map(str, least)), list(least.values()), "o-", color=color, label=f"learning rate: {name}")
    ax.axhline(threshold, color=GREY, lw=0.8, label=f"rule: {threshold}")
    ax.set_ylim(top=1.03)
    ax.set(xlabel="epochs trained", ylabel="smallest correlation with the end")
    ax.legend()
    return fig


def spectrum(spectra: Kernels, ranks: dict[str, pd.DataFrame], shown: int = 100) -> Figure:
    """Draw the largest eigenvalues of one network by epoch, and the effective rank of all.

    Args:
        spectra: seed -> epoch -> (n,) shares of the trace; the first seed is drawn.
        ranks: name of a kernel -> its ``drift.ranks``.
        shown: eigenvalues drawn.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.0, 3.8))
    by_epoch = next(iter(spectra.values()))
    colors = plt.cm.viridis(np.linspace(0, 0.9, len(by_epoch)))
    for (epoch, shares), color in zip(by_epoch.items(), colors, strict=True):
        left.plot(range(1, len(shares[:shown]) + 1), shares[:shown], color=color, lw=1.5, label=str(epoch))
    left.set(xscale="log", yscale="log", xlabel="eigenvalue number", ylabel="share of the trace")
    left.legend(title="epochs", ncols=2, fontsize=8, loc="lower left")
    for (name, table), color in zip(ranks.items(), (BLUE, GREEN), strict=False):
        over(right, table, "epoch", "rank", color=color, label=name)
    right.set_ylim(bottom=0)
    right.set(xlabel="epochs trained", ylabel="effective rank")
    right.legend()
    return fig
