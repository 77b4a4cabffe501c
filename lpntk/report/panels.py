"""What do figures of several pages share? A grid, a band, bars, dots, histograms, rows of images, a legend."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from lpntk.data.dataset import Dataset
from lpntk.kernel.reading import Pairs, neighbours
from lpntk.report.plots import BLUE, GREY, VERMILION
from lpntk.report.spread import over_seeds


def grid(count: int, columns: int, size: tuple[float, float] = (3.7, 3.1), **options: object) -> tuple[Figure, list]:
    """Return a figure of ``count`` panels in rows of ``columns``, each of a size in inches, and its panels in order."""
    rows = -(-count // columns)
    shape = (size[0] * columns, size[1] * rows + 0.7)  # room for a legend
    fig, axes = plt.subplots(rows, columns, figsize=shape, squeeze=False, **options)
    for ax in axes.flat[count:]:
        ax.axis("off")
    return fig, list(axes.flat[:count])


def bars(ax: Axes, x: Sequence[float], values: pd.DataFrame, **look: object) -> None:
    """Draw the mean of every column of (runs, t) at its place, with a bar of one standard deviation."""
    ax.errorbar(x, values.mean(), yerr=values.std(), **{"ms": 5, "mfc": "white", "capsize": 2, **look})


def band(ax: Axes, x: Sequence[float], low: np.ndarray, middle: np.ndarray, high: np.ndarray, **look: object) -> None:
    """Draw a line with the range around it, shaded in its colour, all (t,); what is NaN is left out."""
    (line,) = ax.plot(x, middle, **look)
    ax.fill_between(x, low, high, color=line.get_color(), alpha=0.15, lw=0)


def dots(ax: Axes, values: Sequence[float], row: float, **look: object) -> None:
    """Draw the values of a row as dots, and a bar at their mean; NaN is left out."""
    kept = np.asarray(values, float)
    kept = kept[np.isfinite(kept)]
    ax.plot(kept, np.full(len(kept), row), "o", ms=3, alpha=0.6, mew=0, **look)
    if len(kept):
        ax.plot([kept.mean()] * 2, [row - 0.3, row + 0.3], color=look.get("color", GREY), lw=2,
                clip_on=look.get("clip_on", True))  # fmt: skip


def legend_above(figure: Figure, ax: Axes | None = None, **options: object) -> None:
    """Put the legend of one panel, or of all together, above them: in one row unless options say otherwise."""
    told = [panel.get_legend_handles_labels() for panel in ([ax] if ax else figure.axes)]
    handles = {label: handle for panel in told for handle, label in zip(*panel, strict=True)}
    figure.legend(handles.values(), handles.keys(), **{"loc": "outside upper center", "ncols": len(handles), **options})


def images(ax: Axes, pixels: np.ndarray, words: Sequence[str], colors: Sequence[str] | str = "black") -> None:
    """Draw a row of images with a word above each.

    Args:
        ax: where; its axes are hidden.
        pixels: (m, h, w, c) in 0..1, of one channel or three.
        words: m of them.
        colors: of the words, one for all or m.
    """
    grey = pixels.shape[-1] == 1
    for i, (image, word) in enumerate(zip(pixels, words, strict=True)):
        ax.imshow(image.squeeze(-1) if grey else image, "gray_r" if grey else None, extent=(i, i + 0.94, 0.94, 0),
                  vmin=0, vmax=1)  # fmt: skip
        color = colors if isinstance(colors, str) else colors[i]
        ax.text(i + 0.47, -0.06, word, ha="center", va="bottom", fontsize=9, color=color)
    ax.set(xlim=(0, max(1, len(words))), ylim=(0.96, -0.4))
    ax.axis("off")


def over(ax: Axes, frame: pd.DataFrame, x: str, y: str, **look: object) -> None:
    """Draw mean and standard deviation of a column over another, whose values stand in order at equal distances."""
    mean, sd = (table[y] for table in over_seeds(frame.sort_values(x), [x], [y]))
    at = range(len(mean))
    band(ax, at, mean - sd.fillna(0), mean, mean + sd.fillna(0), **{"marker": "o", "ms": 4, **look})
    ax.set_xticks(at, mean.index.astype(str))


def by_label(ax: Axes, values: Pairs, bins: np.ndarray) -> None:
    """Draw the histogram of pairs of two labels and that of pairs of one, and zero between both signs."""
    for part, color, name in ((values.different, VERMILION, "two labels"), (values.same, BLUE, "one label")):
        ax.hist(part.numpy(), bins, histtype="stepfilled", density=True, color=color, alpha=0.6, label=name)
    ax.axvline(0, color=GREY, lw=0.8, ls="--")


def distributions(values: Mapping[str, Pairs], labels: Sequence[str]) -> Figure:
    """Draw a panel of histograms for each title, with a label below it."""
    figure, axes = plt.subplots(1, len(values), figsize=(3.0 * len(values), 3.0), squeeze=False)
    for ax, (title, found), label in zip(axes.flat, values.items(), labels, strict=True):
        both = np.concatenate([found.same, found.different])
        by_label(ax, found, np.linspace(min(both.min(), 0.0), both.max(), 80))
        ax.set(title=title, xlabel=label, ylabel="density")
    legend_above(figure, axes[0, 0])
    return figure


def gallery(data: Dataset, x: Tensor, y: Tensor, cosines: Tensor, samples: Sequence[int], count: int = 5) -> Figure:
    """Draw samples (first column) with their most similar neighbours (upper half) and their least similar ones."""
    pixels, halves = data.pixels(x), ("most", "least")
    look = {"width_ratios": (1, count), "squeeze": False, "figsize": (0.85 * (count + 1.3), 2.3 * len(samples) + 0.9)}
    figure, axes = plt.subplots(2 * len(samples), 2, **look)
    for row, (half, i) in zip(axes, ((half, i) for half in halves for i in samples), strict=True):
        near = neighbours(cosines, i, count, most=half == "most")
        images(row[0], pixels[[i]], [data.classes[int(y[i])]])
        colors = [BLUE if same else VERMILION for same in y[near] == y[i]]
        images(row[1], pixels[near], [f"{value + 0.0:z.2f}" for value in cosines[i, near].tolist()], colors)
    for half, ax in zip(halves, axes[:: len(samples), 1], strict=True):
        ax.set_title(f"The {count} {half} similar updates", fontsize=10, loc="left")
    return figure
