"""Figures of selection: accuracy against what is kept, and what single methods keep."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lpntk.phenomena.less_data.selection.arms import ARMS
from lpntk.phenomena.less_data.selection.study import NODE, NODE_RANDOM, WHOLE
from lpntk.report.panels import band, grid
from lpntk.report.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION

GROUPS = {"paper": "by lpNTK", "control": "controls", "usual": "other methods", "random": "by chance"}
COLORS = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, "black")


def accuracy(frame: pd.DataFrame, count: str = "epochs") -> Figure:
    """Draw test accuracy against the share kept, one panel for each group of arms: mean and one standard deviation.

    Random by class is drawn in grey in every panel, and has none of its own.

    Args:
        frame: of ``study``.
        count: ``epochs`` or ``steps``, of which all arms get equally many.
    """
    seen = frame[(frame["count"] == count) & ~frame["arm"].isin([NODE, NODE_RANDOM])]
    whole = frame.loc[frame["arm"] == WHOLE, "last"].mean()
    shown = {
        group: title
        for group, title in GROUPS.items()
        if any(ARMS[arm][1] == group for arm in {*seen["arm"]} & {*ARMS} - {"balanced"})
    }
    fig, axes = grid(len(shown), 2, (4.0, 3.3), sharex=True, sharey=True)
    for ax, (group, title) in zip(axes, shown.items(), strict=True):
        ax.axhline(whole, color=GREY, ls="--", lw=1)
        arms = [name for name, (_, of, _) in ARMS.items() if of == group and name in {*seen["arm"]} - {"balanced"}]
        drawn = dict(zip(arms, COLORS, strict=False)) | {"balanced": GREY}
        for name, color in drawn.items():
            groups = seen[seen["arm"] == name].groupby("share")["last"]
            mean, sd = groups.mean(), groups.std().fillna(0)
            band(ax, mean.index, mean - sd, mean, mean + sd, color=color, label=ARMS[name][0], marker="o", ms=3)
        ax.set_title(title)
        ax.legend(fontsize=8, loc="lower right")
        ax.xaxis.set_major_formatter(PercentFormatter(1))
        ax.yaxis.set_major_formatter(PercentFormatter(1))
    for ax in axes[-2:]:
        ax.set_xlabel("samples kept")
        ax.tick_params(labelbottom=True)  # also where no panel stands below
    for ax in axes[::2]:
        ax.set_ylabel("test accuracy")
    return fig
