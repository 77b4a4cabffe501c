"""How does difficulty carry over? Scatters by size, correlations by size, and all cases side by side."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lpntk.report.panels import band, grid, legend_above
from lpntk.report.plots import BLUE, GREEN, GREY, ORANGE, VERMILION

PAIRINGS = {"reliability": ("same company, other seed", BLUE), "seed": ("other company, same seed", ORANGE),
            "neither": ("other company, other seed", VERMILION)}  # fmt: skip


def scatter(samples: pd.DataFrame, table: pd.DataFrame, points: int = 500) -> Figure:
    """Draw difficulty in the universal set against that in each smaller size, first repetition; grey: itself again.

    Args:
        samples: the rows of ``study`` of one case and measure.
        table: the rows of ``compared`` of these, of one way: the titles tell its rho, means over repetitions.
        points: samples drawn in each panel, at most.
    """
    first = samples[samples["repetition"] == samples["repetition"].min()]
    widest = first[first["size"] == first["size"].min()]
    panels = [(widest, "whole_again", "same set, other seed", table["whole"].mean(), GREY)]
    for size, rho, seen in table.sort_values("size", ascending=False)[["size", "rho", "seen"]].to_numpy(object):
        title, color = (f"sets of {size}", BLUE) if seen else (f"{size} (not learned)", VERMILION)
        panels.append((first[first["size"] == size], "first", title, rho, color))
    fig, axes = grid(len(panels), min(3, len(panels)), (2.9, 2.9))
    for ax, (part, column, title, rho, color) in zip(axes, panels, strict=True):
        shown = part.sample(min(points, len(part)), random_state=0)
        ax.scatter(shown["whole"], shown[column], s=6, color=color, alpha=0.4, lw=0, rasterized=True)
        ax.set(title=rf"{title}: $\rho$ = {rho:.2f}", xlabel="in the universal set", ylabel="in this set")
    return fig


def by_size(table: pd.DataFrame) -> Figure:
    """Draw correlations by size: with the universal set (left), and of the same company against other (right).

    Args:
        table: the rows of ``compared`` of one case, measure and way. Crosses: sizes that were not learned.
    """
    fig, (left, right) = grid(2, 2, (4.6, 3.4), sharey=True)
    _line(left, table, "rho", label="measured", color=GREY)
    _line(left, table, "reliability", label="same sets, other seed", color=GREEN)
    _line(left, table, "corrected", label="corrected for noise", color=BLUE)
    left.axhline(table["whole"].mean(), color=GREY, ls="--", lw=1, label="universal set, other seed")
    for name, (words, color) in PAIRINGS.items():
        _line(right, table[table["company"].notna()], name, label=words, color=color)
    left.set(title="with the universal set", ylabel=r"$\rho$")
    right.set(title="between networks of one size")
    for ax in (left, right):
        ax.legend(fontsize=8)
    return fig


def all_cases(table: pd.DataFrame, words: dict[str, str]) -> Figure:
    """Draw the corrected correlation and the difference that company makes, a panel for each case.

    Args:
        table: the rows of ``compared`` of one measure and way.
        words: case -> its name for readers.
    """
    fig, axes = grid(len(words), min(3, len(words)), (3.4, 2.7), sharey=True)
    for ax, (case, name) in zip(axes, words.items(), strict=True):
        _line(
            ax,
            table[table["case"] == case],
            "corrected",
            label="corrected correlation with the universal set",
            color=BLUE,
        )
        _line(ax, table[table["case"] == case], "company", label="same company minus other", color=VERMILION)
        ax.set_title(name.replace(", equal", ",\nequal"), fontsize=10)
    legend_above(fig, axes[0])
    return fig


def _line(ax: Axes, table: pd.DataFrame, name: str, **look: object) -> None:
    """Draw a column with its interval over the size."""
    table = table.sort_values("size")
    band(
        ax,
        table["size"],
        *(table[f"{name}{end}"].to_numpy(float) for end in ("_low", "", "_high")),
        marker="o",
        ms=4,
        **look,
    )
    blind = table[~table["seen"]]
    ax.plot(blind["size"], blind[name], "x", ms=9, color=look["color"])
    ax.set_xscale("log", base=4)
    ax.set_xticks(table["size"], table["size"].astype(str))
    ax.minorticks_off()
    ax.axhline(0, color="black", lw=0.6)
    ax.set(xlabel="samples of a set")
