"""How does drift look? Agreement with the final kernel, and its eigenvalues, over training."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from lpntk.phenomena.relations.drift.agreement import FROZEN
from lpntk.report.plots import BLUE, GREEN, GREY, VERMILION


def agreement(table: pd.DataFrame, between: pd.DataFrame) -> Figure:
    """Draw how like the final kernel the kernel is by epoch; dotted: like that of another seed.

    Args:
        table: a ``drift_table``.
        between: a ``between_seeds`` table of the same networks.
    """
    fig, axes = plt.subplots(1, 3, figsize=(11.0, 3.7), sharey=True)
    epochs = sorted(table.epoch.unique())
    at = np.arange(len(epochs))
    for ax, of in zip(axes, ("kernel", "cosine"), strict=False):
        for labels, color in (("same", BLUE), ("different", VERMILION)):
            for measure, style in (("pearson", "-"), ("spearman", "--")):
                _band(ax, table[(table.of == of) & (table.labels == labels)], measure, color, style)
            if of == "cosine" and len(between):
                ax.axhline(between[between.labels == labels].pearson.mean(), color=color, ls=":", lw=1.2)
        ax.axhline(FROZEN, color=GREY, lw=0.8)
        ax.set_title(f"{of}, correlation over pairs")
    _band(axes[2], table[(table.of == "cosine") & (table.labels == "same")], "neighbours", GREEN, "-")
    if len(between):
        axes[2].axhline(between.neighbours.mean(), color=GREEN, ls=":", lw=1.2)
    axes[2].set_title("cosine, ten nearest shared")
    for ax in axes:
        ax.set_xticks(at, [str(epoch) for epoch in epochs])
        ax.set_xlabel("epochs trained")
    axes[0].set_ylabel("agreement with the final one")
    axes[0].set_ylim(min(0.0, float(table[["pearson", "spearman"]].min().min())) - 0.02, 1.03)
    handles = [Line2D([], [], color=c, lw=2, label=n) for c, n in ((BLUE, "one label"), (VERMILION, "two labels"))]
    handles += [Line2D([], [], color="black", ls=s, label=n) for s, n in
                (("-", "Pearson"), ("--", "Spearman"), (":", "between two seeds, at the end"))]  # fmt: skip
    handles.append(Line2D([], [], color=GREY, lw=0.8, label=f"rule: {FROZEN}"))
    fig.legend(handles=handles, loc="outside upper center", ncols=6, fontsize=9)
    return fig


def schedules(least: dict[str, dict[int, float]]) -> Figure:
    """Draw the smallest correlation with the final cosines by epoch, for schedules of the learning rate.

    Args:
        least: name of a schedule -> its ``least_correlations``.
    """
    fig, ax = plt.subplots(figsize=(5.4, 3.6))
    for (name, by_epoch), color in zip(least.items(), (BLUE, VERMILION), strict=False):
        epochs = sorted(by_epoch)
        ax.plot(range(len(epochs)), [by_epoch[e] for e in epochs], "o-", color=color, label=f"learning rate: {name}")
        ax.set_xticks(range(len(epochs)), [str(epoch) for epoch in epochs])
    ax.axhline(FROZEN, color=GREY, lw=0.8, label=f"rule: {FROZEN}")
    ax.set_ylim(top=1.03)
    ax.set_xlabel("epochs trained")
    ax.set_ylabel("smallest correlation with the end")
    ax.legend()
    return fig


def spectrum(spectra: dict[int, dict[int, Tensor]], ranks: dict[str, pd.DataFrame], shown: int = 100) -> Figure:
    """Draw the largest eigenvalues of one network by epoch, and the effective rank of all.

    Args:
        spectra: seed -> epoch -> shares of the trace; the first seed is drawn.
        ranks: name of a kernel -> its ``rank_table``.
        shown: eigenvalues drawn.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(9.0, 3.8))
    by_epoch = next(iter(spectra.values()))
    for (epoch, shares), color in zip(
        by_epoch.items(), plt.cm.viridis(np.linspace(0, 0.9, len(by_epoch))), strict=True
    ):
        left.plot(np.arange(1, len(shares) + 1)[:shown], shares[:shown], color=color, lw=1.5, label=str(epoch))
    left.set(xscale="log", yscale="log", xlabel="eigenvalue number", ylabel="share of the trace")
    left.legend(title="epochs", ncols=2, fontsize=8, loc="lower left")
    for (name, table), color in zip(ranks.items(), (BLUE, GREEN), strict=False):
        _band(right, table, "rank", color, "-", label=name)
        right.set_xticks(range(table.epoch.nunique()), [str(epoch) for epoch in sorted(table.epoch.unique())])
    right.set_ylim(bottom=0)
    right.set_xlabel("epochs trained")
    right.set_ylabel("effective rank")
    right.legend()
    return fig


def _band(ax: plt.Axes, rows: pd.DataFrame, column: str, color: str, style: str, label: str | None = None) -> None:
    """Draw mean and standard deviation over seeds by epoch, the epochs at equal distances."""
    groups = rows.groupby("epoch")[column]
    mean, sd = groups.mean(), groups.std().fillna(0)
    at = np.arange(len(mean))
    ax.plot(at, mean, f"o{style}", ms=4, color=color, label=label)
    ax.fill_between(at, mean - sd, mean + sd, color=color, alpha=0.15, lw=0)
