"""How does it look? Every figure of the book in one style: opaque, labelled, safe for colour-blind readers."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

# Okabe & Ito's palette
BLUE, ORANGE, GREEN, VERMILION, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#666666"
SKY, PURPLE = "#56B4E9", "#CC79A7"

STYLE = {
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.constrained_layout.use": True,
    "figure.dpi": 100,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.labelsize": 10,
    "font.size": 10,
    "legend.frameon": False,
    "image.cmap": "viridis",
}


def use_style() -> None:
    """Set the book's figure style for this process; what a matplotlibrc says counts no more."""
    plt.rcdefaults()
    plt.rcParams.update(STYLE)


def matrix_by_class(cosines: Tensor, y: Tensor, order: Tensor, classes: Sequence[str]) -> Figure:
    """Draw the cosine of every pair, samples sorted by class, which both axes name: red agrees, blue opposes."""
    sorted_matrix, labels = cosines[order][:, order], y[order]
    counts = torch.bincount(labels, minlength=len(classes))
    ends = counts.cumsum(0)
    middles = (ends - counts / 2).tolist()
    fig, ax = plt.subplots(figsize=(6.4, 5.4))
    image = ax.imshow(sorted_matrix, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest", rasterized=True)
    for end in ends[:-1].tolist():
        ax.axhline(end - 0.5, color="black", lw=0.4)
        ax.axvline(end - 0.5, color="black", lw=0.4)
    rotation = 45 if max(map(len, classes)) > 2 else 0
    ax.set_xticks(middles, classes, rotation=rotation)
    ax.set_yticks(middles, classes)
    ax.tick_params(length=0)
    ax.set_xlabel("class of the other sample")
    ax.set_ylabel("class of the sample")
    fig.colorbar(image, ax=ax, label="cosine of the two updates", shrink=0.9)
    return fig
