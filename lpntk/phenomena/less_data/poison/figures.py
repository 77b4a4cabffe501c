"""Figures of poison: who finds it, at which rates, and what a network reaches when it is removed."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lpntk.phenomena.less_data.poison.detectors import MAIN, METHODS, SHOWN
from lpntk.phenomena.less_data.poison.study import ORACLE, REMOVED
from lpntk.phenomena.less_data.poison.threats import CLEAN, THREATS
from lpntk.phenomena.less_data.selection.study import WHOLE
from lpntk.report.panels import band, dots, grid, legend_above
from lpntk.report.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILION

COLORS = {"kernel": BLUE, "authors": PURPLE, "usual": ORANGE, "chance": GREY}
LINES = {MAIN: BLUE, "tail": PURPLE, "loss": ORANGE, "features": GREEN, "random": GREY}


def found(frame: pd.DataFrame, at: dict[str, float]) -> Figure:
    """Draw the average precision of every method: a panel for each threat at one rate, dots are repeats.

    Args:
        frame: of ``detection``.
        at: threat -> rate.
    """
    fig, axes = grid(len(at), 2, (4.2, 4.0), sharex=True, sharey=True)
    for ax, (threat, rate) in zip(axes, at.items(), strict=True):
        part = frame[(frame["threat"] == threat) & (frame["rate"] == rate)]
        for row, method in enumerate(SHOWN):
            dots(ax, part.loc[part["method"] == method, "ap"], row, color=COLORS[METHODS[method][1]])
        ax.set(title=f"{THREATS[threat]}, {rate:.0%}", xlim=(-0.03, 1.03))
        ax.set_yticks(range(len(SHOWN)), [METHODS[method][0] for method in SHOWN], fontsize=8)
    axes[0].invert_yaxis()
    for ax in axes[-2:]:
        ax.set_xlabel("average precision")
    return fig


def rates(frame: pd.DataFrame) -> Figure:
    """Draw the average precision against the share of bad samples, a panel for each threat that has several."""
    several = [threat for threat, part in frame.groupby("threat", sort=False) if part["rate"].nunique() > 1]
    fig, axes = grid(max(1, len(several)), 3, (3.4, 3.0), sharey=True)
    for ax, threat in zip(axes, several, strict=False):
        part = frame[frame["threat"] == threat]
        for method, color in LINES.items():
            groups = part[part["method"] == method].groupby("rate")["ap"]
            mean, sd = groups.mean(), groups.std().fillna(0)
            band(ax, mean.index, mean - sd, mean, mean + sd, color=color, label=METHODS[method][0], marker="o", ms=3)
        ax.set(title=THREATS[threat], xlabel="bad samples", ylim=(-0.03, 1.03))
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes[0].set_ylabel("average precision")
    if several:
        legend_above(fig, axes[0], ncols=3)
    return fig


def removed(frame: pd.DataFrame, budget: float = 1.0) -> Figure:
    """Draw test accuracy after removal at one budget, a panel for each threat and one for a backdoor's success."""
    panels = [(threat, "last") for threat in frame["threat"].unique()]
    panels += [(threat, "success") for threat, part in frame.groupby("threat") if part["success"].notna().any()]
    arms = {WHOLE: "nothing", ORACLE: "all that is bad", **{arm: METHODS[arm][0] for arm in REMOVED}}
    fig, axes = grid(len(panels), 3, (3.4, 2.6), sharey=True)
    for ax, (threat, column) in zip(axes, panels, strict=True):
        part = frame[(frame["threat"] == threat) & frame["budget"].isin([0.0, budget])]
        for row, arm in enumerate(arms):
            color = GREY if arm == WHOLE else VERMILION if arm == ORACLE else COLORS[METHODS[arm][1]]
            dots(ax, part.loc[part["arm"] == arm, column], row, color=color)
        name = "nothing planted" if threat == CLEAN else THREATS[threat]
        ax.set(title=name, xlabel="test accuracy" if column == "last" else "the backdoor's success")
        ax.set_yticks(range(len(arms)), list(arms.values()), fontsize=8)
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=1))
        ax.xaxis.set_major_locator(MaxNLocator(4))
    axes[0].invert_yaxis()
    return fig
