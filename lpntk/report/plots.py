"""How does it look? Every figure of the book in one style: opaque, labelled, safe for colour-blind readers."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from lpntk.data.dataset import Dataset
from lpntk.kernel.reading import Pairs, neighbours

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


def distributions(pairs: dict[str, Pairs], labels: dict[str, str]) -> Figure:
    """Draw one histogram of pairs per panel, those of one label beside those of two.

    Args:
        pairs: title of a panel -> values of the pairs.
        labels: title of a panel -> label of its horizontal axis.
    """
    fig, axes = plt.subplots(1, len(pairs), figsize=(3.0 * len(pairs), 3.0), squeeze=False)
    for ax, (title, values) in zip(axes.flat, pairs.items(), strict=True):
        both = torch.cat([values.same, values.different])
        bins = torch.linspace(min(float(both.min()), 0.0), float(both.max()), 80).numpy()
        for part, color, name in (
            (values.different, VERMILION, "different labels"),
            (values.same, BLUE, "same label"),
        ):
            ax.hist(part.numpy(), bins, density=True, color=color, alpha=0.6, label=name)
        ax.axvline(0, color=GREY, lw=0.8, ls="--")
        ax.set_title(title)
        ax.set_xlabel(labels[title])
        ax.set_ylabel("density")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return fig


def gallery(data: Dataset, x: Tensor, y: Tensor, cosines: Tensor, samples: Sequence[int], count: int = 5) -> Figure:
    """Draw samples (first column) with their most similar neighbours (upper panel) and their least similar ones."""
    images = data.pixels(x)
    color_map = "gray_r" if images.shape[-1] == 1 else None
    rows, columns = len(samples), count + 1.3  # a gap after the sample itself
    fig, axes = plt.subplots(2, 1, figsize=(0.85 * columns, 2 * (1.12 * rows + 0.45)))
    for ax, most in zip(axes, (True, False), strict=True):
        for row, i in enumerate(samples):
            found = neighbours(cosines, i, count, most=most).tolist()
            for left, j in [(0.0, i), *((1.3 + k, j) for k, j in enumerate(found))]:
                top = 1.3 * row
                extent = (left, left + 0.94, top + 0.94, top)
                ax.imshow(images[j].squeeze(-1) if color_map else images[j], color_map, extent=extent, vmin=0, vmax=1)
                words = data.classes[int(y[j])] if left == 0 else f"{float(cosines[i, j]) + 0.0:z.2f}"
                color = "black" if left == 0 else (BLUE if y[j] == y[i] else VERMILION)
                ax.text(left + 0.47, top - 0.06, words, ha="center", va="bottom", fontsize=9, color=color)
        ax.set(xlim=(0, columns), ylim=(1.3 * rows - 0.3, -0.36))
        ax.set_title(f"The {count} {'most' if most else 'least'} similar updates", fontsize=10, loc="left")
        ax.axis("off")
    return fig
