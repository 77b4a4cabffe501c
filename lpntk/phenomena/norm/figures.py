"""How do networks with batch norm and without look beside each other? Pairs over training, and F1 of the foretold."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lpntk.report.panels import band, dots, legend_above
from lpntk.report.plots import BLUE, GREY, ORANGE, VERMILION

NORMS = {"batch": ("batch norm", BLUE), "none": ("no norm", VERMILION)}
FORETOLD = {"kernel": ("kernel", BLUE), "step": ("true step", "black"), "margin": ("margin alone", ORANGE)}


def pairs_over_training(shares: pd.DataFrame, drifted: pd.DataFrame, frozen: float) -> Figure:
    """Draw shares of all pairs by epoch, and how like the final cosines of pairs of two labels those before are.

    Args:
        shares: norm, seed, epoch, ``labels``; ``negative`` and ``contradictory``.
        drifted: norm, seed, epoch, ``labels``; ``pearson``.
        frozen: from which on the rule takes two kernels for one.
    """
    fig, axes = plt.subplots(1, 3, figsize=(10.8, 3.5))
    everything, apart = shares[shares["labels"] == "all"], drifted[drifted["labels"] == "different"]
    panels = [("negative", everything, "beyond a right angle"), ("contradictory", everything, "contradictory"),
              ("pearson", apart, "like the end, two labels")]  # fmt: skip
    for ax, (column, frame, title) in zip(axes, panels, strict=True):
        for norm, rows in frame.groupby("norm", sort=False):
            _by_epoch(ax, rows, column, norm)
        ax.set(title=title, xlabel="epochs trained", ylim=(0, 1.03) if column == "pearson" else (0, None))
    for ax in axes[:2]:
        ax.yaxis.set_major_formatter(PercentFormatter(1))
    axes[0].set_ylabel("share of all pairs")
    axes[2].set_ylabel("correlation of cosines")
    axes[2].axhline(frozen, color=GREY, lw=0.8)
    legend_above(fig, axes[0])
    return fig


def foretold(judged: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw F1 by network: a dot for each run, a bar at the mean.

    Args:
        judged: name of a network -> a row per run and ``predictor``; ``f1``.
    """
    fig, ax = plt.subplots(figsize=(6.4, 0.9 * len(judged) + 1.2))
    for row, frame in enumerate(judged.values()):
        for i, (name, (words, color)) in enumerate(FORETOLD.items()):
            dots(ax, frame.loc[frame["predictor"] == name, "f1"], row + 0.22 * (i - 1), color=color, clip_on=False,
                 label=words if row == 0 else None)  # fmt: skip
    ax.set_yticks(range(len(judged)), list(judged))
    ax.set(xlim=(0, 1), ylim=(len(judged) - 0.3, -0.7), xlabel="F1, pooled over the steps of a run")
    legend_above(fig, ax)
    return fig


def _by_epoch(ax: Axes, rows: pd.DataFrame, column: str, norm: str) -> None:
    by_epoch = rows.groupby("epoch")[column]
    mean, sd = by_epoch.mean(), by_epoch.std().fillna(0)
    words, color = NORMS[norm]
    at: Sequence[float] = mean.index.to_numpy()
    band(ax, at, mean - sd, mean, mean + sd, color=color, marker="o", ms=4, label=words)
