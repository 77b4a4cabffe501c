"""What does it cost, drawn: a sketch's error and seconds by size, the benchmark's seconds by samples, stacks."""

import itertools
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from lpntk.phenomena.cost.fidelity import Trial
from lpntk.phenomena.cost.records import Stacking, Timing, threads
from lpntk.report.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION

COLORS = (BLUE, ORANGE, GREEN, VERMILION, GREY, SKY, PURPLE, "black", "tan", "#7F3B08", "#542788", "#4D9221")


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
    fig, axes = plt.subplots(2, 2, figsize=(8, 6.4))
    panels = dict(zip(dict.fromkeys(label for label, *_ in readings), axes.flat, strict=True))
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
    cycle = zip("osD^vP*X<>hp", COLORS, strict=True)
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


def crossover(runs: Mapping[str, Stacking]) -> Figure:
    """Draw how many times faster stacks are than one model at a time, against the batch size, a panel for each run."""
    fig, axes = plt.subplots(1, len(runs), figsize=(max(5.0, 4.2 * len(runs)), 3.9), sharey=True, squeeze=False)
    for ax, run in zip(axes.flat, runs.values(), strict=True):
        models = dict.fromkeys(row["model"] for row in run.rows)
        for model, color, marker in zip(models, (BLUE, SKY, VERMILION, GREEN), "osD^", strict=False):
            rows = [row for row in run.rows if row["model"] == model]
            batches = [row["batch"] for row in rows]
            chosen = [row["single_ms"] / row["chosen_ms"] for row in rows]
            ax.plot(batches, chosen, color=color, marker=marker, ms=5, label=model)
            widest = [row["single_ms"] / row["stack_ms"] for row in rows]
            ax.plot(batches, widest, color=color, ls=":", lw=1.2)
        ax.axhline(1, color=GREY, lw=1)
        ax.set_xscale("log", base=2)
        ax.set_yscale("log", base=2)
        ax.set_xticks(batches, [str(batch) for batch in batches])
        ax.set_title(threads(run.threads))
        ax.set_xlabel("batch size")
    ticks = [1, 2, 4, 8, 16, 32]
    axes[0, 0].set_yticks(ticks, [str(tick) for tick in ticks])
    axes[0, 0].set_ylabel("times faster than one by one")
    handles, _ = axes[0, 0].get_legend_handles_labels()
    handles.append(plt.Line2D([], [], color=GREY, ls=":", label="as wide as possible"))
    fig.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=9)
    return fig
