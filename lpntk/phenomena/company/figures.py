"""How do targets fare in their company? Loss by epoch, difficulty by company, difficulty by dose."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lpntk.phenomena.company.groups import GROUPS, PAPER_GROUPS
from lpntk.phenomena.company.verdict import by_target
from lpntk.report.panels import band, grid, legend_above
from lpntk.report.plots import BLUE, GREEN, GREY, ORANGE, VERMILION

LOOKS = {"most": (BLUE, "-"), "middle": (ORANGE, "-"), "least": (VERMILION, "-"), "cosine-most": (BLUE, "--"),
         "cosine-middle": (ORANGE, "--"), "cosine-least": (VERMILION, "--"), "random": (GREEN, "--"),
         "alone": (GREY, ":"), "other": ("black", "-.")}  # fmt: skip
WORDS = {"other": "other label"}
TITLES = {"head": "the paper's targets", "matched": "targets with gradients of one size"}


def curves(table: pd.DataFrame) -> Figure:
    """Draw the targets' loss by epoch, mean over targets: the line is the mean over runs, the band one sd.

    Args:
        table: ``curves`` of ``study`` for one reference and one choice of targets.
    """
    fig, (ax,) = grid(1, 1, (6.4, 3.9))
    for group in [group for group in GROUPS if group in set(table["group"]) and not group.startswith("cosine")]:
        part, (color, style) = table[table["group"] == group], LOOKS[group]
        mean, sd = part["mean"], part["sd"]
        band(ax, part["epoch"], np.maximum(mean - sd, 0), mean, mean + sd, color=color, ls=style,
             label=WORDS.get(group, group))  # fmt: skip
    ax.set(xlabel="epoch", ylabel="loss of the targets, nats")
    ax.legend(title="company", ncol=2)
    return fig


def difficulties(frame: pd.DataFrame) -> Figure:
    """Draw each target's difficulty in each company, a panel for each choice of targets; lines join the paper's three.

    Args:
        frame: of ``study``, with a column ``reference``.
    """
    choices = list(frame["targets"].unique())
    fig, axes = grid(len(choices), 2, (5.2, 3.9), sharey=True)
    for ax, choice in zip(axes, choices, strict=True):
        table = by_target(frame[frame["targets"] == choice])
        groups = [group for group in GROUPS if group in table]
        ordered = [groups.index(group) for group in PAPER_GROUPS]
        ax.plot(ordered, table[list(PAPER_GROUPS)].to_numpy().T, color=GREY, lw=0.6, alpha=0.5)
        for i, group in enumerate(groups):
            ax.plot([i] * len(table), table[group], "o", ms=4, alpha=0.6, color=LOOKS[group][0])
        ax.plot(range(len(groups)), table[groups].mean(), "_", ms=20, mew=3, color="black", label="mean")
        ax.set_xticks(range(len(groups)), [WORDS.get(group, group) for group in groups], rotation=40, ha="right")
        ax.set_title(TITLES[choice])
    axes[0].set_ylabel("accumulated loss, nats")
    return fig


def doses(frame: pd.DataFrame) -> Figure:
    """Draw each target's difficulty over its kernels with all that is learned with it, a panel for each choice."""
    choices = list(frame["targets"].unique())
    fig, axes = grid(len(choices), 2, (5.0, 3.6), sharey=True)
    table = frame.groupby(["targets", "reference", "target", "group"], as_index=False)[["difficulty", "dose"]].mean()
    for ax, choice in zip(axes, choices, strict=True):
        for group in [group for group in GROUPS if group in set(table["group"]) and group != "alone"]:
            part = table[(table["targets"] == choice) & (table["group"] == group)]
            marker = "o" if LOOKS[group][1] == "-" else "x" if LOOKS[group][1] == "--" else "^"
            ax.plot(part["dose"], part["difficulty"], marker, ms=4, alpha=0.7, color=LOOKS[group][0],
                    label=WORDS.get(group, group))  # fmt: skip
        ax.set(title=TITLES[choice], xlabel="sum of the kernels with all that is learned with it")
    axes[0].set_ylabel("accumulated loss, nats")
    legend_above(fig, axes[0], ncols=5)
    return fig
