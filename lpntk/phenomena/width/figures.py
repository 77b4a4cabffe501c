"""How does the width act? Errors against the width, the factor against K, and both while networks learn."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from lpntk.kernel.signs import factor
from lpntk.phenomena.width.rates import by_width, settings
from lpntk.report.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILION

LOOKS = {
    "same.raw": ("one label, lpNTK", BLUE, "o"),
    "same.pntk": ("one label, pNTK", GREEN, "x"),
    "different.rescaled": ("two labels, lpNTK rescaled", ORANGE, "D"),
    "different.raw": ("two labels, lpNTK", VERMILION, "s"),
}
SETTING_LOOKS = [(BLUE, "o"), (GREEN, "D"), (ORANGE, "s"), (VERMILION, "^")]


def words(depth: int, parametrisation: str) -> str:
    """Return the name of a setting for readers."""
    layers = (
        "one hidden layer" if depth == 1 else f"{('two', 'three')[depth - 2] if depth < 4 else depth} hidden layers"
    )
    return f"{'NTK' if parametrisation == 'ntk' else parametrisation}, {layers}"


def errors(frame: pd.DataFrame, k: int) -> Figure:
    """Draw the relative errors at initialisation against the width, a panel per setting; bars: one sd over seeds."""
    panels = settings(frame)
    fig, axes = _grid(len(panels))
    for ax, (depth, parametrisation) in zip(axes.flat, panels, strict=False):
        for quantity, (_, color, marker) in LOOKS.items():
            table = by_width(frame, quantity, depth, parametrisation, k)
            look = {"color": color, "marker": marker, "ms": 5, "mfc": "none", "capsize": 2, "ls": ""}
            ax.errorbar(table.columns, table.mean(), yerr=table.std(), **look)
        for quantity in ("same", "different"):
            table = by_width(frame, f"{quantity}.predicted", depth, parametrisation, k)
            ax.plot(table.columns, np.sqrt((table**2).mean()), "-", color=GREY, lw=1, zorder=0)
        ax.axhline(1 - factor(k), color=VERMILION, ls=":", lw=1)
        widths = np.array(table.columns, float)
        start = by_width(frame, "same.raw", depth, parametrisation, k).mean().iloc[0] * 1.9
        for power, style in ((-0.5, "--"), (-1.5, "-.")):
            if power == -0.5 or (depth, parametrisation) == (1, "standard"):
                ax.plot(widths, start * (widths / widths[0]) ** power, style, color="black", lw=0.8)
        _error_axis(ax)
        _width_axis(ax, table.columns)
        ax.set_title(words(depth, parametrisation))
    for row in axes:
        row[0].set_ylabel("relative error")
    handles = [Line2D([], [], color=c, marker=m, mfc="none", ls="", label=label) for label, c, m in LOOKS.values()]
    handles += [
        Line2D([], [], color=GREY, lw=1, label="predicted"),
        Line2D([], [], color=VERMILION, ls=":", lw=1, label="4/K"),
        Line2D([], [], color="black", ls="--", lw=0.8, label="slope -1/2"),
        Line2D([], [], color="black", ls="-.", lw=0.8, label="slope -3/2"),
    ]
    fig.legend(handles=handles, loc="outside upper center", ncols=3, fontsize=9)
    return fig


def factors(frame: pd.DataFrame) -> Figure:
    """Draw the factor of pairs of two labels against K at the least and the greatest width; bars: one sd over seeds."""
    ks, panels = sorted(frame["k"].unique()), settings(frame)
    fig, axes = plt.subplots(1, 2, figsize=(7.4, 3.5), sharey=True)
    line = np.linspace(min(ks), max(ks), 200)
    for ax, width in zip(axes, (frame["width"].min(), frame["width"].max()), strict=True):
        ax.plot(line, 1 - 4 / line, color="black", lw=1, label="1 - 4/K")
        ax.axhline(0, color=GREY, lw=0.6)
        for i, ((depth, parametrisation), (color, marker)) in enumerate(zip(panels, SETTING_LOOKS, strict=False)):
            tables = [by_width(frame, "different.factor", depth, parametrisation, k)[width] for k in ks]
            at = np.array(ks) + 0.16 * (i - (len(panels) - 1) / 2)
            ax.errorbar(at, [t.mean() for t in tables], yerr=[t.std() for t in tables], color=color, marker=marker,
                        ms=4.5, mfc="white", capsize=2, ls="", label=words(depth, parametrisation))  # fmt: skip
        ax.set_title(f"width {width}")
        ax.set_xticks(ks)
        ax.set_xlabel("classes K")
    axes[0].set_ylabel(r"factor $\sum \kappa \,/\, \sum \theta$")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=9)
    return fig


def shares(frame: pd.DataFrame, k: int) -> Figure:
    """Draw what makes the exponents: the body's share of the kernel, and the directions it averages over."""
    fig, axes = plt.subplots(1, 2, figsize=(7.4, 3.5))
    for (depth, parametrisation), (color, marker) in zip(settings(frame), SETTING_LOOKS, strict=False):
        for ax, quantity in zip(axes, ("share", "directions"), strict=True):
            table = by_width(frame, quantity, depth, parametrisation, k)
            ax.errorbar(table.columns, table.mean(), yerr=table.std(), color=color, marker=marker, ms=4.5, mfc="white",
                        capsize=2, lw=1, label=words(depth, parametrisation))  # fmt: skip
    axes[1].plot(table.columns, table.columns, color="black", ls="--", lw=0.8, label="the width")
    for ax, label in zip(axes, (r"share of the body $\tau$", r"directions $r$"), strict=True):
        ax.set_yscale("log")
        _width_axis(ax, table.columns)
        ax.set_ylabel(label)
    fig.legend(*axes[1].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=9)
    return fig


def trained(frame: pd.DataFrame) -> Figure:
    """Draw the error of pairs of one label by width: before training, after it, with a fresh head; bars: sd."""
    first, last = frame["epoch"].min(), frame["epoch"].max()
    looks = [
        (first, "same.raw", "at initialisation", GREY, "o"),
        (last, "same.raw", "trained", VERMILION, "s"),
        (last, "same.fresh", "fresh head", BLUE, "D"),
    ]
    panels, k = settings(frame), int(frame["k"].iloc[0])
    fig, axes = _grid(len(panels), sharey=True)
    for ax, (depth, parametrisation) in zip(axes.flat, panels, strict=False):
        for epoch, quantity, label, color, marker in looks:
            table = by_width(frame[frame["epoch"] == epoch], quantity, depth, parametrisation, k)
            look = {"color": color, "marker": marker, "ms": 5, "mfc": "white", "capsize": 2, "lw": 1.2, "label": label}
            ax.errorbar(table.columns, table.mean(), yerr=table.std(), **look)
        _error_axis(ax)
        _width_axis(ax, table.columns)
        ax.set_title(words(depth, parametrisation))
    for row in axes:
        row[0].set_ylabel("relative error, one label")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=9)
    return fig


def learning(frame: pd.DataFrame) -> Figure:
    """Draw the factor of pairs of two labels while networks learn, a line per width; band: one sd over seeds."""
    panels, k, widths = settings(frame), int(frame["k"].iloc[0]), sorted(frame["width"].unique())
    colors = dict(zip(widths, (VERMILION, ORANGE, GREEN, BLUE, PURPLE, "black"), strict=False))
    fig, axes = _grid(len(panels), sharey=True)
    for ax, (depth, parametrisation) in zip(axes.flat, panels, strict=False):
        for width in widths:
            here = frame[(frame["depth"] == depth) & (frame["parametrisation"] == parametrisation)]
            table = here[here["width"] == width].pivot(index="seed", columns="epoch", values="different.factor")
            mean, sd = table.mean(), table.std().fillna(0)
            ax.plot(table.columns, mean, "o-", ms=4, color=colors[width], label=f"width {width}")
            ax.fill_between(table.columns, mean - sd, mean + sd, color=colors[width], alpha=0.15, lw=0)
        ax.axhline(factor(k), color="black", lw=0.8, ls=":")
        ax.axhline(0, color=GREY, lw=0.6)
        epochs = list(table.columns)
        ax.set_xscale("symlog", linthresh=1)
        ax.set_xlim(-0.15, 1.2 * max(epochs))
        ax.set_xticks(epochs, [str(e) for e in epochs])
        ax.minorticks_off()
        ax.set_xlabel("epochs")
        ax.set_title(words(depth, parametrisation))
    for row in axes:
        row[0].set_ylabel("factor, two labels")
    fig.legend(
        *axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=min(3, len(widths)), fontsize=9
    )
    return fig


def _grid(count: int, sharey: bool = False) -> tuple[Figure, np.ndarray]:
    rows = -(-count // 2)
    fig, axes = plt.subplots(rows, 2, figsize=(7.4, 3.1 * rows + 0.7), squeeze=False, sharey=sharey)
    for ax in axes.flat[count:]:
        ax.axis("off")
    return fig, axes


def _error_axis(ax: plt.Axes) -> None:
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0,) if high / low > 100 else (1.0, 3.0)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    ax.yaxis.set_minor_locator(NullLocator())


def _width_axis(ax: plt.Axes, widths: Sequence[int]) -> None:
    ax.set_xscale("log", base=2)
    shown = [w for i, w in enumerate(widths) if i % (1 + (len(widths) - 1) // 5) == 0]
    ax.set_xticks(shown, [str(w) for w in shown])
    ax.minorticks_off()
    ax.set_xlabel("width")
