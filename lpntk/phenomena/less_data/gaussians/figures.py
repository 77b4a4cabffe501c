"""Figures of the toy: accuracy over epochs, and what each network says of the plane."""

from collections.abc import Mapping

import pandas as pd
import torch
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from torch import Tensor, nn

from lpntk.phenomena.less_data.gaussians.study import HEADS, ONE, WAYS, WHOLE
from lpntk.report.panels import band, grid
from lpntk.report.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION

TITLES = {
    WHOLE: "all points",
    **{way: words for way, (words, _) in WAYS.items()},
    HEADS: "heads by lpNTK",
    ONE: "one point of each",
}
COLORS = (GREY, BLUE, SKY, ORANGE, VERMILION, GREEN, PURPLE, "black", BLUE)
CLASSES = (BLUE, ORANGE, GREEN)
CROWD, ALONE = {"ms": 2.5, "mew": 0}, {"ms": 8, "mew": 1.5, "mec": "white"}  # three points must be seen, too
RANGE = 2.5  # of the plane that is shown, on either side of 0


def accuracy(frame: pd.DataFrame, noise: float) -> Figure:
    """Draw test accuracy over epochs: mean over repeats and one standard deviation, a panel for each way beside all."""
    frame = frame[frame["noise"] == noise]
    ways = [way for way in TITLES if way != WHOLE and way in set(frame["arm"])]
    fig, axes = grid(len(ways), 4, (2.6, 2.2), sharex=True, sharey=True)
    for ax, way in zip(axes, ways, strict=True):
        for arm, color in ((WHOLE, GREY), (way, COLORS[list(TITLES).index(way)])):
            groups = frame[frame["arm"] == arm].groupby("epoch")["test"]
            mean, sd = groups.mean(), groups.std().fillna(0)
            band(ax, mean.index, mean - sd, mean, (mean + sd).clip(upper=1), color=color)
        ax.set_title(TITLES[way], fontsize=9)
        ax.yaxis.set_major_formatter(PercentFormatter(1))
    for ax in axes[-4:]:
        ax.set_xlabel("epoch")
    for ax in axes[::4]:
        ax.set_ylabel("test accuracy")
    return fig


@torch.no_grad()
def regions(
    shown: Mapping[tuple[float, str], tuple[nn.Module, Tensor, Tensor]], noise: float, points: int = 160
) -> Figure:
    """Draw what the network of each way says of every point of the plane (shades), and the points that were kept.

    Args:
        shown: of ``study``.
        noise: which.
        points: of the plane, along either side.
    """
    line = torch.linspace(-RANGE, RANGE, points)
    plane = torch.cartesian_prod(line, line)
    ways = [way for way in TITLES if (noise, way) in shown]
    fig, axes = grid(len(ways), 3, (2.6, 2.6), sharex=True, sharey=True)
    for ax, way in zip(axes, ways, strict=True):
        model, x, y = shown[noise, way]
        said = model(plane).argmax(dim=1).view(points, points).T
        ax.imshow(said, ListedColormap(CLASSES), vmin=0, vmax=2, alpha=0.25, origin="lower", extent=[-RANGE, RANGE] * 2,
                  interpolation="nearest")  # fmt: skip
        for c, color in enumerate(CLASSES):
            ax.plot(*x[y == c].T, "o", color=color, **(ALONE if way == ONE else CROWD))
        ax.set(xlim=(-RANGE, RANGE), ylim=(-RANGE, RANGE), xticks=[-2, 0, 2], yticks=[-2, 0, 2])
        ax.set_title(TITLES[way], fontsize=9)
    return fig
