"""How does the decline look? Scatter panels, the correlation by size, and all cases side by side."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lpntk.phenomena.difficulty.correlations import Correlations, pearson
from lpntk.phenomena.difficulty.sets import Repetition
from lpntk.phenomena.difficulty.study import Case, shared_rows
from lpntk.report.plots import BLUE, GREY, ORANGE, VERMILION


def scatter(
    repetition: Repetition, rho: Correlations, measure: str = "loss", *, points: int = 1000, seed: int = 0
) -> Figure:
    """Draw the difficulty in the universal set against that in each smaller size, and against the other seed.

    Panels of sizes that are no evidence, starved or unstable, are vermilion and say so.

    Args:
        repetition: what is drawn.
        rho: its correlations, for the titles.
        measure: ``loss`` or ``distance``.
        points: samples drawn in each panel, at most.
        seed: of the choice of points.
    """
    whole, again = repetition.runs[0], repetition.again
    x = whole.difficulty(measure)
    shown = shared_rows(len(x), points, seed)
    panels = [(again, "other seed", pearson(x, again.difficulty(measure)), GREY)]
    for run in repetition.runs[1:]:
        value = rho.by_size[run.size]
        panels.append((run, str(run.size), value.rho, BLUE if value.counts else VERMILION))
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(2.9 * columns, 2.9 * rows), squeeze=False)
    for ax in axes.flat[len(panels) :]:
        ax.axis("off")
    for ax, (run, name, value, color) in zip(axes.flat, panels, strict=False):
        y = run.difficulty(measure)
        ax.scatter(x[shown], y[shown], s=6, color=color, alpha=0.4, lw=0, rasterized=True)
        doubt = "\n(no evidence)" if color == VERMILION else ""
        ax.set_title(rf"{whole.size} vs {name}: $\rho$ = {value:.2f}{doubt}")
        ax.set_xlabel(f"difficulty among {whole.size}")
        ax.set_ylabel(f"among {run.size}, other seed" if run is again else f"difficulty among {run.size}")
    return fig


def rho_by_size(rho: Correlations) -> Figure:
    """Draw the correlation against the size of the set, with its bootstrap interval and the noise ceiling."""
    fig, ax = plt.subplots(figsize=(5.4, 3.6))
    sizes, values = zip(*sorted(rho.by_size.items()), strict=True)
    first = [v.rho for v in values]
    ranges = [[v.rho - v.low for v in values], [v.high - v.rho for v in values]]
    ax.axhline(rho.ceiling, color=GREY, ls="--", label="noise ceiling (other seed)")
    ax.axhline(0, color="black", lw=0.6)
    ax.errorbar(sizes, first, yerr=ranges, fmt="o-", color=BLUE, capsize=3, label="one repetition, 95 % bootstrap")
    if all(v.spread == v.spread for v in values):  # NaN with one repetition
        ax.errorbar(sizes, [v.mean for v in values], yerr=[v.spread for v in values], fmt="D", ms=6, mfc="none",
                    color=ORANGE, capsize=6, label="mean of repetitions ± sd", zorder=3)  # fmt: skip
    blind = [(size, v.rho) for size, v in zip(sizes, values, strict=True) if not v.counts]
    if blind:
        ax.plot(*zip(*blind, strict=True), "x", ms=11, mew=2, color=VERMILION, label="starved or unstable: no evidence")
    _size_axis(ax, sizes)
    ax.set_ylim(np.nanmin([-0.1, *(v.low for v in values)]) - 0.02, 1.02)
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.26), ncol=2, fontsize=8.5)
    return fig


def all_cases(rhos: dict[tuple[Case, str], Correlations]) -> Figure:
    """Draw rho by size for every case: a panel per reading and setting, lines for schedules and measures."""
    keys = list(rhos)
    readings = list(dict.fromkeys(case.reading for case, _ in keys))
    settings = list(dict.fromkeys((case.lr, case.batch_size) for case, _ in keys))
    schedules = list(dict.fromkeys(case.schedule for case, _ in keys))
    colors = dict(zip(schedules, (BLUE, ORANGE, VERMILION), strict=False))
    styles, ceilings = {"loss": "-", "distance": ":"}, {"loss": "*", "distance": "P"}
    fig, axes = plt.subplots(
        len(readings), len(settings), figsize=(3.9 * len(settings), 2.8 * len(readings) + 0.7), squeeze=False,
        sharey=True,
    )  # fmt: skip
    for (case, measure), rho in rhos.items():
        ax = axes[readings.index(case.reading)][settings.index((case.lr, case.batch_size))]
        sizes, values = zip(*sorted(rho.by_size.items()), strict=True)
        color = colors[case.schedule]
        ax.plot(sizes, [v.mean for v in values], styles[measure], color=color)
        for size, v in zip(sizes, values, strict=True):
            ax.plot(size, v.mean, "o", ms=6, color=color, mfc=color if v.counts and rho.learned else "white")
        ax.plot([case.n], [rho.ceiling], ceilings[measure], ms=10, color=color)
        ax.axhline(0, color="black", lw=0.6)
        _size_axis(ax, (*sizes, case.n))
        words = "in total" if case.reading == "total" else "of each class"
        ax.set_xlabel(f"samples per set, {words}")
        ax.set_title(f"lr {case.lr:g}, batch {case.batch_size}")
        ax.set_ylabel("")
    for row in axes:
        row[0].set_ylabel(r"$\rho$ with the universal set")
    handles = [Line2D([], [], color=colors[s], lw=2, label=f"{s} lr") for s in schedules]
    handles += [Line2D([], [], color="black", ls=style, label=measure) for measure, style in styles.items()]
    handles += [
        Line2D([], [], color="black", marker=marker, ms=9, ls="", label=f"noise ceiling ({measure})")
        for measure, marker in ceilings.items()
    ]
    if any(not (v.counts and rho.learned) for rho in rhos.values() for v in rho.by_size.values()):
        handles.append(Line2D([], [], color="black", marker="o", mfc="white", ls="", label="no evidence"))
    fig.legend(handles=handles, loc="outside upper center", ncol=min(4, len(handles)), fontsize=9)
    return fig


def _size_axis(ax: plt.Axes, sizes: Sequence[int]) -> None:
    ax.set_xscale("log", base=4)
    ax.set_xticks(sizes, [str(size) for size in sizes])
    ax.minorticks_off()
    ax.set_xlabel("samples per set")
    ax.set_ylabel(r"$\rho$ with the universal set")
