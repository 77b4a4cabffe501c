"""How does the width act? Errors against the width, the factor against K, and both while networks learn."""

from collections.abc import Iterator, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from lpntk.kernel.signs import factor
from lpntk.phenomena.width.rates import by_width, settings, words
from lpntk.report.panels import band, bars, grid, legend_above
from lpntk.report.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILION

LOOKS = {
    "same.raw": ("one label, lpNTK", BLUE, "o"),
    "same.pntk": ("one label, pNTK", GREEN, "x"),
    "different.rescaled": ("two labels, lpNTK rescaled", ORANGE, "D"),
    "different.raw": ("two labels, lpNTK", VERMILION, "s"),
}
SETTING_LOOKS = [(BLUE, "o"), (GREEN, "D"), (ORANGE, "s"), (VERMILION, "^")]


def errors(frame: pd.DataFrame, k: int) -> Figure:
    """Draw the relative errors at initialisation against the width, a panel per setting; bars: one sd over seeds."""
    fig, panels = _panels(frame, "relative error")
    for setting, rows, ax in panels:
        for quantity, (label, color, marker) in LOOKS.items():
            table = by_width(rows, quantity, k)
            bars(ax, table.columns, table, color=color, marker=marker, mfc="none", ls="", label=label)
        for quantity in ("same.predicted", "different.predicted"):
            rms = np.sqrt((by_width(rows, quantity, k) ** 2).mean())
            ax.plot(rms.index, rms, "-", color=GREY, lw=1, zorder=0, label="predicted")
        ax.axhline(1 - factor(k), color=VERMILION, ls=":", lw=1, label="4/K")
        widths = np.array(table.columns, float)
        start = by_width(rows, "same.raw", k).mean().iloc[0] * 1.9
        for power, style, label in ((-0.5, "--", "slope -1/2"), (-1.5, "-.", "slope -3/2")):
            if power == -0.5 or setting == "standard-1":
                ax.plot(widths, start * (widths / widths[0]) ** power, style, color="black", lw=0.8, label=label)
        _error_axis(ax)
        _width_axis(ax, table.columns)
    legend_above(fig, ncols=3, fontsize=9)
    return fig


def factors(frame: pd.DataFrame) -> Figure:
    """Draw the factor of pairs of two labels against K at the least and the greatest width; bars: one sd over seeds."""
    ks, found = sorted(frame["k"].unique()), settings(frame)
    fig, axes = plt.subplots(1, 2, figsize=(7.4, 3.5), sharey=True)
    line = np.linspace(min(ks), max(ks), 200)
    for ax, width in zip(axes, (frame["width"].min(), frame["width"].max()), strict=True):
        ax.plot(line, 1 - 4 / line, color="black", lw=1, label="1 - 4/K")
        ax.axhline(0, color=GREY, lw=0.6)
        for i, ((setting, rows), (color, marker)) in enumerate(zip(found.items(), SETTING_LOOKS, strict=False)):
            table = rows[rows["width"] == width].pivot(index="seed", columns="k", values="different.factor")
            at = np.array(ks) + 0.16 * (i - (len(found) - 1) / 2)  # or the bars would hide each other
            bars(ax, at, table, color=color, marker=marker, ls="", label=words(setting))
        ax.set(title=f"width {width}", xticks=ks, xlabel="classes K")
    axes[0].set_ylabel(r"factor $\sum \kappa \,/\, \sum \theta$")
    legend_above(fig, ncols=2, fontsize=9)
    return fig


def shares(frame: pd.DataFrame, k: int) -> Figure:
    """Draw what makes the exponents: the body's share of the kernel, and the directions it averages over."""
    fig, axes = plt.subplots(1, 2, figsize=(7.4, 3.5))
    for ax, quantity, label in zip(
        axes, ("share", "directions"), (r"share of the body $\tau$", r"directions $r$"), strict=True
    ):
        for (setting, rows), (color, marker) in zip(settings(frame).items(), SETTING_LOOKS, strict=False):
            table = by_width(rows, quantity, k)
            bars(ax, table.columns, table, color=color, marker=marker, lw=1, label=words(setting))
        ax.set(yscale="log", ylabel=label)
        _width_axis(ax, table.columns)
    axes[1].plot(table.columns, table.columns, color="black", ls="--", lw=0.8, label="the width")
    legend_above(fig, ncols=2, fontsize=9)
    return fig


def trained(frame: pd.DataFrame) -> Figure:
    """Draw the error of pairs of one label by width: before training, after it, with a fresh head; bars: sd."""
    first, last, k = frame["epoch"].min(), frame["epoch"].max(), int(frame["k"].iloc[0])
    looks = [
        (first, "same.raw", "at initialisation", GREY, "o"),
        (last, "same.raw", "trained", VERMILION, "s"),
        (last, "same.fresh", "fresh head", BLUE, "D"),
    ]
    fig, panels = _panels(frame, "relative error, one label", sharey=True)
    for _, rows, ax in panels:
        for epoch, quantity, label, color, marker in looks:
            table = by_width(rows[rows["epoch"] == epoch], quantity, k)
            bars(ax, table.columns, table, color=color, marker=marker, lw=1.2, label=label)
        _error_axis(ax)
        _width_axis(ax, table.columns)
    legend_above(fig, fontsize=9)
    return fig


def learning(frame: pd.DataFrame) -> Figure:
    """Draw the factor of pairs of two labels while networks learn, a line per width; band: one sd over seeds."""
    fig, panels = _panels(frame, "factor, two labels", sharey=True)
    for _, rows, ax in panels:
        colors = (VERMILION, ORANGE, GREEN, BLUE, PURPLE, "black")
        for (width, at), color in zip(rows.groupby("width"), colors, strict=False):
            table = at.pivot(index="seed", columns="epoch", values="different.factor")
            mean, sd = table.mean(), table.std().fillna(0)
            band(ax, table.columns, mean - sd, mean, mean + sd, color=color, marker="o", ms=4, label=f"width {width}")
        ax.axhline(factor(int(frame["k"].iloc[0])), color="black", lw=0.8, ls=":")
        ax.axhline(0, color=GREY, lw=0.6)
        ax.set_xscale("symlog", linthresh=1)
        ax.set(xlim=(-0.15, 1.2 * table.columns.max()), xlabel="epochs")
        ax.set_xticks(table.columns, [str(epoch) for epoch in table.columns])
        ax.minorticks_off()
    legend_above(fig, fontsize=9)
    return fig


def _panels(frame: pd.DataFrame, label: str, **options: object) -> tuple[Figure, Iterator]:
    """Return a figure, and of every setting its name, its rows and its panel."""
    found = settings(frame)
    fig, axes = grid(len(found), 2, **options)
    for ax, setting in zip(axes, found, strict=True):
        ax.set_title(words(setting))
    for ax in axes[::2]:
        ax.set_ylabel(label)
    return fig, zip(found.keys(), found.values(), axes, strict=True)


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
