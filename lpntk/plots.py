"""How does it look? Every figure of the book in one style: opaque, labelled, safe for colour-blind readers."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from lpntk.data import Dataset
from lpntk.relations import Pairs, neighbours

# Okabe & Ito's palette
BLUE, ORANGE, GREEN, VERMILION, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#666666"

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
    """Set the book's figure style for this process."""
    plt.rcParams.update(STYLE)


def matrix_by_class(cosines: Tensor, y: Tensor, order: Tensor, classes: Sequence[str]) -> Figure:
    """Draw an (n, n) matrix of cosines with its samples in the given order, classes marked on both axes."""
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


def distributions(kappa: Pairs, cosines: Pairs) -> Figure:
    """Draw the histograms of kappa and of its cosine, for pairs of one label and of two."""
    fig, axes = plt.subplots(1, 2, figsize=(8.4, 3.2))
    for ax, values, label in zip(axes, (kappa, cosines), (r"kernel $\kappa$", "cosine"), strict=True):
        both = torch.cat([values.same, values.different])
        low, high = (float(torch.quantile(both[:: max(1, len(both) // 10**6)], q)) for q in (0.001, 0.999))
        if values is cosines:
            low, high = min(low, -0.2), 1.0
        bins = torch.linspace(low, high, 80).numpy()
        for part, color, name in (
            (values.different, VERMILION, "different labels"),
            (values.same, BLUE, "same label"),
        ):
            ax.hist(part.clamp(low, high).numpy(), bins, density=True, color=color, alpha=0.6, label=name)
        ax.axvline(0, color=GREY, lw=0.8, ls="--")
        ax.set_xlabel(label)
        ax.set_ylabel("density")
    axes[1].legend()
    return fig


def gallery(data: Dataset, x: Tensor, y: Tensor, cosines: Tensor, samples: Sequence[int], count: int = 6) -> Figure:
    """Draw samples with their most interchangeable (right of them) and most contradictory (far right) neighbours."""
    fig, axes = plt.subplots(
        len(samples), 2 * count + 3, figsize=(0.72 * (2 * count + 3), 1.0 * len(samples) + 0.5), squeeze=False
    )
    images = data.pixels(x)
    grey = images.shape[-1] == 1
    for ax in axes.flat:
        ax.axis("off")
    for row, i in zip(axes, samples, strict=True):
        near, far = neighbours(cosines, i, count), neighbours(cosines, i, count, most=False)
        shown = [(row[0], i)]
        shown += zip(row[2 : count + 2], near.tolist(), strict=True)
        shown += zip(row[count + 3 :], far.tolist(), strict=True)
        for ax, j in shown:
            ax.imshow(images[j].squeeze(-1) if grey else images[j], cmap="gray_r" if grey else None, vmin=0, vmax=1)
            same = y[j] == y[i]
            title = data.classes[int(y[j])] if j == i else f"{cosines[i, j]:.2f}"
            ax.set_title(title, fontsize=8, color="black" if j == i else (BLUE if same else VERMILION), pad=2)
    axes[0, 0].text(0, 1.5, "sample", transform=axes[0, 0].transAxes, fontsize=9)
    axes[0, 2].text(0, 1.5, "most interchangeable", transform=axes[0, 2].transAxes, fontsize=9)
    axes[0, count + 3].text(0, 1.5, "most contradictory", transform=axes[0, count + 3].transAxes, fontsize=9)
    return fig
