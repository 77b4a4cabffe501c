"""What does it cost, drawn: a sketch's error and seconds by size, the benchmark's seconds by samples, stacks."""

import itertools

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lpntk.phenomena.cost.records import threads
from lpntk.report.panels import legend_above
from lpntk.report.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION

COLORS = (BLUE, ORANGE, GREEN, VERMILION, GREY, SKY, PURPLE, "black", "tan", "#7F3B08", "#542788", "#4D9221")
BELOW = {"loc": "outside lower center", "fontsize": 9}


def sketch_panels(trials: pd.DataFrame, exact_seconds: float, title: str) -> Figure:
    """Draw error, order, neighbours and seconds against the size of the sketch; bars span the seeds.

    Args:
        trials: of one kernel, as ``fidelity.sweep`` gives them.
        exact_seconds: of the exact kernel, drawn as a line.
        title: of the figure.
    """
    fig, ((error, rank), (near, seconds)) = plt.subplots(2, 2, figsize=(8, 6.4))
    panels = (
        (error, "error off diagonal", "relative error", "-"),
        (error, "error", "relative error", ":"),
        (rank, "rank", "rank correlation of rows", "-"),
        (near, "neighbours", "ten nearest neighbours shared", "-"),
        (seconds, "seconds", "seconds", "-"),
    )
    for (kind, group), color in zip(trials.groupby("kind", sort=False), (BLUE, VERMILION, GREEN), strict=False):
        for ax, column, label, style in panels:
            by_size = group.groupby("size")[column]
            mean, ends = by_size.mean(), (by_size.mean() - by_size.min(), by_size.max() - by_size.mean())
            ax.errorbar(mean.index, mean, yerr=ends, fmt=f"o{style}", ms=4, color=color, capsize=3)
            _axis(ax, mean.index, "numbers per sample", label)
        error.plot([], [], "o-", ms=4, color=color, label=kind)
    for style, name in (("-", "off the diagonal"), (":", "whole matrix"), ("--", "exact kernel")):
        error.plot([], [], ls=style, color=GREY, label=name)
    for ax in (error, seconds):
        ax.set_yscale("log")
    seconds.axhline(exact_seconds, color=GREY, ls="--")
    near.set_ylim(0, 1.02)
    fig.suptitle(title, fontsize=11)
    legend_above(fig, error, **BELOW)
    return fig


def benchmark(timings: pd.DataFrame) -> Figure:
    """Draw seconds against the number of samples, a panel for each network and number of threads.

    Args:
        timings: of one record that ``records.read`` gives, those that ran.
    """
    problems = timings.sort_values(["p", "threads", "n"]).groupby(["p", "threads", "network"])
    variants = sorted(timings.variant.unique(), key=lambda name: (name != "ours", name))
    looks = dict(zip(variants, itertools.cycle(zip("osD^vP*X<>hp", COLORS, strict=True)), strict=False))
    columns = min(3, len(problems))
    rows = -(-len(problems) // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(max(6.4, 4.2 * columns), 3.6 * rows + 0.6), squeeze=False)
    for ax in axes.flat[len(problems) :]:
        ax.axis("off")
    for ax, ((parameters, count, network), group) in zip(axes.flat, problems, strict=False):
        for variant, (marker, color) in looks.items():
            look, line = {"marker": marker, "color": color, "ms": 5}, group[group.variant == variant]
            ax.plot(line.n, line.seconds, lw=2 if variant == "ours" else 1, label=variant, **look)
            part = line[line.extrapolated]
            ax.plot(part.n, part.seconds, ls="", mfc="white", **look)
        ax.plot([], [], color=GREY, marker="o", mfc="white", ls="", label="extrapolated")
        ax.set_yscale("log")
        ax.set_title(f"{network}, {parameters:,} parameters, {threads(count)}")
        _axis(ax, sorted(group.n.unique()), "samples n", "seconds")
    legend_above(fig, axes[0, 0], ncols=5, **BELOW)
    return fig


def crossover(runs: pd.DataFrame) -> Figure:
    """Draw how many times faster stacks are than one model at a time, against the batch size, a panel for each run.

    Args:
        runs: as ``records.stacking`` gives them.
    """
    records = runs.groupby("record")
    fig, axes = plt.subplots(1, len(records), figsize=(max(5.0, 4.2 * len(records)), 3.9), sharey=True, squeeze=False)
    for ax, (_, run) in zip(axes.flat, records, strict=True):
        looks = zip((BLUE, SKY, VERMILION, GREEN), "osD^", strict=True)
        for (model, rows), (color, marker) in zip(run.groupby("model", sort=False), looks, strict=False):
            ax.plot(rows.batch, rows.single_ms / rows.chosen_ms, color=color, marker=marker, ms=5, label=model)
            ax.plot(rows.batch, rows.single_ms / rows.stack_ms, color=color, ls=":", lw=1.2)
        ax.plot([], [], color=GREY, ls=":", label="as wide as possible")
        ax.axhline(1, color=GREY, lw=1)
        ax.set_title(threads(run.threads.iloc[0]))
        _axis(ax, sorted(run.batch.unique()), "batch size", "")
    ticks = [1, 2, 4, 8, 16, 32]
    axes[0, 0].set_yscale("log", base=2)
    axes[0, 0].set_yticks(ticks, map(str, ticks))
    axes[0, 0].set_ylabel("times faster than one by one")
    legend_above(fig, axes[0, 0], **BELOW)
    return fig


def _axis(ax: Axes, sizes: list[int], x: str, y: str) -> None:
    """Let an axis show sizes as they are, at distances of their logarithms."""
    ax.set_xscale("log", base=2)
    ax.set_xticks(sizes, map(str, sizes))
    ax.minorticks_off()
    ax.set(xlabel=x, ylabel=y)
