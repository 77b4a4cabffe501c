"""What do figures of a report show? Suspects, sizes of clusters, and how many of the planted are among the first."""

from collections.abc import Mapping

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from lpntk.data.dataset import Dataset
from lpntk.report.panels import dots, grid, images
from lpntk.report.plots import BLUE, GREY, ORANGE, PURPLE, STYLE, VERMILION

IN_A_ROW = 8  # images
COLORS = {"suspicion": BLUE, "mean-cosine": BLUE, "difficulty": ORANGE, "loss": ORANGE}  # others are cleanlab's


def _blank() -> Figure:
    with matplotlib.rc_context(STYLE | {"font.size": 12, "axes.labelsize": 12}):
        return Figure(figsize=(5.8, 3.6), layout="constrained")


def drawn_sizes(frame: pd.DataFrame) -> Figure:
    """Draw the sizes of clusters, by the cosine and by the kernel itself, the largest first."""
    figure = _blank()
    ax = figure.subplots()
    for kind, color, name in (("kernel_", ORANGE, "by the kernel"), ("", BLUE, "by the cosine")):
        many = np.sort(frame.loc[frame[f"{kind}head"], f"{kind}cluster_size"])[::-1]
        ax.loglog(np.arange(1, len(many) + 1), many, "o", ms=4, color=color, label=name)
    ax.set(xlabel="clusters, the largest first", ylabel="samples in it")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    return figure


def drawn_suspicion(frame: pd.DataFrame, suspects: list[int]) -> Figure:
    """Draw every training sample by its mean cosine to its class and its loss, the first suspects red."""
    figure = _blank()
    ax = figure.subplots()
    for rows, color, alpha in ((frame.drop(index=suspects), GREY, 0.5), (frame.loc[suspects], VERMILION, 1)):
        ax.plot(rows["mean_cosine"], rows["difficulty"].clip(lower=1e-6), "o", ms=4, mew=0, alpha=alpha, color=color)
    ax.set(xlabel="mean cosine to its class", ylabel="loss, nats, summed over epochs", yscale="log")
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def drawn_suspects(frame: pd.DataFrame, data: Dataset, count: int) -> Figure:
    """Draw the first suspects, each with its label."""
    first = frame.sort_values("suspicion_rank").index[:count].tolist()
    cuts = range(0, len(first), IN_A_ROW)
    fig, axes = grid(len(cuts), 1, (IN_A_ROW, 1.35))
    for ax, cut in zip(axes, cuts, strict=True):
        rows = first[cut : cut + IN_A_ROW]
        words = [f"{frame['suspicion_rank'][i]}: {frame['label'][i]}" for i in rows]
        images(ax, data.pixels(data.x_train[rows]).numpy(), words)
        ax.set_xlim(0, IN_A_ROW)
        ax.axis("off")
    return fig


def found_first(frame: pd.DataFrame, titles: Mapping[str, str], methods: Mapping[str, str]) -> Figure:
    """Draw the share of planted flips among the first suspects: a panel for each planted set, a dot for each repeat.

    Args:
        frame: of ``compare``.
        titles: case -> words.
        methods: name -> words.
    """
    fig, axes = grid(len(titles), 2, (4.2, 2.7), sharex=True, sharey=True)
    for ax, (case, title) in zip(axes, titles.items(), strict=True):
        part = frame[frame["case"] == case]
        ax.axvline((part["planted"] / part["n"]).mean(), color=GREY, lw=1, ls=":")
        for row, method in enumerate(methods):
            dots(ax, part.loc[part["method"] == method, "found"], row, color=COLORS.get(method, PURPLE))
        ax.set(title=title, xlim=(-0.03, 1.03))
        ax.set_yticks(range(len(methods)), list(methods.values()), fontsize=9)
    axes[0].invert_yaxis()
    for ax in axes[-2:]:
        ax.set_xlabel("planted flips among the first")
    return fig
