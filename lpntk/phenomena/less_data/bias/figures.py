"""Figures of bias: how the modes look, and what each arm keeps and reaches."""

from collections.abc import Mapping

import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from torch import Tensor

from lpntk.data.dataset import Dataset
from lpntk.phenomena.less_data.bias.study import FAIR, ORACLE, PRUNED, WHOLE
from lpntk.phenomena.less_data.selection.arms import ARMS
from lpntk.report.panels import dots, grid, images
from lpntk.report.plots import BLUE, GREEN, GREY, ORANGE, SKY

TITLES = {
    WHOLE: "all of the biased set",
    **{arm: ARMS[arm][0] for arm in PRUNED},
    ORACLE: "reweighted, modes known",
    FAIR: "a fair sample",
}
COLORS = dict(zip(TITLES, (GREY, ORANGE, BLUE, SKY, GREEN, GREY, GREY), strict=True))


def looks(data: Dataset, mode: Tensor) -> Figure:
    """Draw the mean training image of every mode, a column for each class and a row for each mode."""
    count = int(mode.max()) + 1
    fig, axes = grid(count, 1, (0.85 * data.k, 1.1))
    for m, ax in enumerate(axes):
        means = [data.x_train[(data.y_train == c) & (mode == m)].mean(dim=0) for c in range(data.k)]
        images(ax, data.pixels(torch.stack(means)).numpy(), data.classes if m == 0 else [""] * data.k)
    return fig


def arms(frame: pd.DataFrame, columns: Mapping[str, str], count: str = "epochs") -> Figure:
    """Draw what the titles of panels name, a row for each way to keep samples: dots are repeats, bars their means.

    Args:
        frame: of ``study``.
        columns: name of a column, a share -> title of its panel.
        count: ``epochs`` or ``steps``.
    """
    seen = frame[(frame["count"] == count) | frame["arm"].isin([WHOLE, ORACLE, FAIR])]
    order = {arm: i for i, arm in enumerate(TITLES)}
    rows = sorted(seen.groupby(["arm", "share"]).groups, key=lambda of: (-of[1], order[of[0]]))
    fig, axes = grid(len(columns), len(columns), (3.6, 0.25 * len(rows)), sharey=True)
    for ax, (column, title) in zip(axes, columns.items(), strict=True):
        for i, (arm, share) in enumerate(rows):
            dots(ax, seen[(seen["arm"] == arm) & (seen["share"] == share)][column], i, color=COLORS[arm])
        ax.set_title(title, fontsize=10)
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    words = [TITLES[arm] + (f", {share:.0%}" if arm in PRUNED else "") for arm, share in rows]
    axes[0].set_yticks(range(len(rows)), words)
    axes[0].invert_yaxis()
    return fig
