"""How does it look? Every figure of the book in one style: opaque, labelled, safe for colour-blind readers."""

import itertools
from collections.abc import Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from lpntk.benchmarks import Timing, threads
from lpntk.data import Dataset
from lpntk.fidelity import Trial
from lpntk.relations import Pairs, neighbours

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


def distributions(pairs: dict[str, Pairs], labels: dict[str, str]) -> Figure:
    """Draw one histogram of pairs per panel, those of one label beside those of two.

    Args:
        pairs: title of a panel -> values of the pairs.
        labels: title of a panel -> label of its horizontal axis.
    """
    fig, axes = plt.subplots(1, len(pairs), figsize=(3.6 * len(pairs), 3.2), squeeze=False)
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
    """Draw samples (left), their most similar neighbours (middle) and their least similar ones (right)."""
    fig, axes = plt.subplots(
        len(samples), 2 * count + 3, figsize=(0.75 * (2 * count + 3), 1.05 * len(samples) + 0.5), squeeze=False
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
            title = data.classes[int(y[j])] if j == i else f"{float(cosines[i, j]) + 0.0:z.2f}"
            ax.set_title(title, fontsize=9, color="black" if j == i else (BLUE if y[j] == y[i] else VERMILION), pad=2)
    for column, words in ((0, "sample"), (2, "most similar update"), (count + 3, "least similar update")):
        heading = axes[0, column].text(0, 1.5, words, transform=axes[0, column].transAxes, fontsize=10)
        heading.set_in_layout(False)  # or it would widen its column
    return fig


def sketch_panels(trials: Sequence[Trial], exact_seconds: float, title: str) -> Figure:
    """Draw error, order, neighbours and seconds against the size of the sketch; bars span the seeds.

    Args:
        trials: of one kernel, in any order.
        exact_seconds: of the exact kernel, drawn as a line.
        title: of the figure.
    """
    readings = (
        ("relative error", lambda t: t.fidelity.off_diagonal, "-"),
        ("relative error", lambda t: t.fidelity.whole, ":"),
        ("rank correlation of rows", lambda t: t.fidelity.rank, "-"),
        ("ten nearest neighbours shared", lambda t: t.fidelity.neighbours, "-"),
        ("seconds", lambda t: t.seconds, "-"),
    )
    fig, axes = plt.subplots(1, 4, figsize=(12.4, 3.5))
    panels = dict(zip(dict.fromkeys(label for label, *_ in readings), axes, strict=True))
    sizes = sorted({t.size for t in trials})
    colors = dict(zip(dict.fromkeys(t.kind for t in trials), (BLUE, VERMILION, GREEN), strict=False))
    for label, value, style in readings:
        for kind, color in colors.items():
            groups = [[value(t) for t in trials if t.kind == kind and t.size == size] for size in sizes]
            means = [sum(group) / len(group) for group in groups]
            low = [mean - min(group) for mean, group in zip(means, groups, strict=True)]
            high = [max(group) - mean for mean, group in zip(means, groups, strict=True)]
            panels[label].errorbar(sizes, means, yerr=[low, high], fmt=f"o{style}", ms=4, color=color, capsize=3)
    for label, ax in panels.items():
        ax.set_xscale("log", base=2)
        ax.set_xticks(sizes, [str(size) for size in sizes])
        ax.minorticks_off()
        ax.set_xlabel("numbers per sample")
        ax.set_ylabel(label)
    for label in ("relative error", "seconds"):
        panels[label].set_yscale("log")
    panels["seconds"].axhline(exact_seconds, color=GREY, ls="--")
    panels["ten nearest neighbours shared"].set_ylim(0, 1.02)
    fig.suptitle(title, fontsize=11)
    handles = [plt.Line2D([], [], color=color, marker="o", ms=4, label=kind) for kind, color in colors.items()]
    for style, name in (("-", "off the diagonal"), (":", "whole matrix"), ("--", "exact kernel")):
        handles.append(plt.Line2D([], [], color=GREY, ls=style, label=name))
    fig.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=9)
    return fig


def benchmark(timings: Sequence[Timing]) -> Figure:
    """Draw seconds against the number of samples, a panel for each network and number of threads."""
    problems: dict[tuple, list[Timing]] = {}
    for t in sorted(timings, key=lambda t: (t.parameters, t.threads, t.n)):
        problems.setdefault((t.network, t.parameters, t.threads), []).append(t)
    variants = sorted({t.variant for t in timings}, key=lambda name: (name != "ours", name))
    cycle = zip("osD^vP*X<", (BLUE, ORANGE, GREEN, VERMILION, GREY, SKY, PURPLE, "black", "tan"), strict=True)
    look = {
        variant: {"marker": marker, "color": color, "ms": 5}
        for variant, (marker, color) in zip(variants, itertools.cycle(cycle), strict=False)
    }
    columns = min(3, len(problems))
    rows = -(-len(problems) // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(max(6.4, 4.2 * columns), 3.6 * rows + 0.6), squeeze=False)
    for ax in axes.flat[len(problems) :]:
        ax.axis("off")
    for ax, ((network, parameters, count), group) in zip(axes.flat, problems.items(), strict=False):
        for variant in variants:
            line = [t for t in group if t.variant == variant]
            ax.plot([t.n for t in line], [t.seconds for t in line], lw=2 if variant == "ours" else 1, **look[variant])
            open_points = [(t.n, t.seconds) for t in line if t.extrapolated]
            for point in open_points:
                ax.plot(*point, ls="", mfc="white", **look[variant])
        sizes = sorted({t.n for t in group})
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
        ax.set_xticks(sizes, [str(n) for n in sizes])
        ax.set_title(f"{network}, {parameters:,} parameters, {threads(count)}")
        ax.set_xlabel("samples n")
        ax.set_ylabel("seconds")
    handles = [plt.Line2D([], [], label=variant, **style) for variant, style in look.items()]
    handles.append(plt.Line2D([], [], color=GREY, marker="o", mfc="white", ls="", label="extrapolated"))
    fig.legend(handles=handles, loc="outside lower center", ncols=5, fontsize=9)
    return fig
