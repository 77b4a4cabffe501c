"""How good is equation 1, and what do signs keep of it? Error by learning rate, predicted against true, by epoch."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from lpntk.phenomena.one_step.study import Kind
from lpntk.phenomena.one_step.verdicts import slopes
from lpntk.report.panels import bars, grid, legend_above
from lpntk.report.plots import BLUE, GREEN, GREY, ORANGE, VERMILION
from lpntk.report.spread import words

LOOKS = {
    "error": (BLUE, "-", "o", "error $e-q$ (equation 1)"),
    "even": (GREEN, "-", "^", "size kept, shared evenly"),
    "centred": (ORANGE, "-", "s", "signs, centred"),
    "label": (VERMILION, "-", "D", "signs $s(y)$"),
    "ones": (GREY, ":", "v", "ones"),
}
AXES = {
    "cosine": ("direction", "cosine with the true change"),
    "rank": ("order", r"rank correlation of $\Delta\log q_y$"),
}


def errors(swept: pd.DataFrame, fitted: pd.Series) -> Figure:
    """Draw the error of every single-sample step against its learning rate, a panel for each moment.

    Filled: what the slope is fitted through. Dashed: the median over steps if the softmax is kept exact. Dotted: the
    median in float32.
    """
    told = words(slopes(swept, fitted), ["moment"], ["error"], "{:.2f}")["error"]
    fig, axes = grid(len(told), len(told), (3.6, 3.2), sharey=True)
    for ax, (moment, slope) in zip(axes, told.items(), strict=True):
        rows = swept[swept["moment"] == moment]
        for _, step in rows.groupby(["seed", "step"]):
            ax.plot(step["lr"], step["error"], color=BLUE, lw=0.6, alpha=0.5)
        for used, color, label in ((True, BLUE, "a step, fitted"), (False, "white", "a step, not fitted")):
            at = rows[fitted[rows.index] == used]
            ax.plot(at["lr"], at["error"], "o", ms=3, mec=BLUE, mfc=color, mew=0.6, label=label)
        median = rows.groupby("lr")[["logits", "float32"]].median()
        ax.plot(median.index, median["logits"], "--", color=GREEN, lw=1.8, label="softmax exact (median)")
        ax.plot(median.index, median["float32"], ":", color=VERMILION, lw=1.8, label="in float32 (median)")
        ax.set(xscale="log", yscale="log", xlabel=r"learning rate $\eta$")
        ax.set_title(f"epoch {rows['epoch'].iloc[0]}: slope {slope}")
    axes[0].set_ylabel("mean error of a prediction")
    legend_above(fig, axes[0], ncols=2)
    return fig


def predicted_and_true(panels: Sequence[tuple[str, Tensor, Tensor]], columns: int) -> Figure:
    """Draw predicted against true changes of probabilities, in units of a thousandth.

    Args:
        panels: title, predicted (m, k) and true (m, k) of each.
        columns: panels in a row.
    """
    fig, axes = grid(len(panels), columns, (3.5, 3.2))
    fig.set_layout_engine("constrained", hspace=0.08)
    for ax, (title, told, true) in zip(axes, panels, strict=True):
        largest = float(torch.cat([told, true]).abs().max())
        power = int(np.floor(np.log10(largest))) if largest > 0 else 0
        told, true = (t.flatten().numpy() / 10.0**power for t in (told, true))
        ends = [min(told.min(), true.min()), max(told.max(), true.max())]
        ax.plot(ends, ends, color="black", lw=0.8)
        ax.plot(told, true, ".", ms=4, color=BLUE, alpha=0.3, mew=0, rasterized=True)
        ax.set(title=title, xlabel=rf"predicted, $10^{{{power}}}$", ylabel=rf"true, $10^{{{power}}}$")
        ax.set_aspect("equal", "datalim")
    return fig


def survival(steps: pd.DataFrame, kinds: Sequence[Kind]) -> Figure:
    """Draw what error, signs and less tell of the true step by epoch: means over seeds and steps, bars one sd.

    A row for each kind of step; left the direction, right the order of the test samples.
    """
    fig, axes = grid(2 * len(kinds), 2, (4.2, 3.1), sharey=True)
    fig.set_layout_engine("constrained", hspace=0.06)
    for ax, (kind, reading) in zip(axes, [(kind, reading) for kind in kinds for reading in AXES], strict=True):
        rows, (title, label) = steps[steps["kind"] == kind.name], AXES[reading]
        for j, force in enumerate(kind.forces):
            color, style, marker, name = LOOKS[force]
            table = rows.pivot(index=["seed", "step"], columns="epoch", values=f"{reading}.{force}")
            at = np.arange(table.shape[1]) + 0.09 * (
                j - (len(kind.forces) - 1) / 2
            )  # or the bars would hide each other
            bars(ax, at, table, color=color, mfc=color, ls=style, marker=marker, elinewidth=1, label=name)
        ax.axhline(0, color="black", lw=0.6)
        ax.set_xticks(range(table.shape[1]), list(map(str, table.columns)))
        ax.set(title=f"{kind.words}: {title}", xlabel="epochs of training", ylabel=label)
    legend_above(fig, axes[-1], ncols=3)  # batches know all forces
    return fig


def labels(found: pd.DataFrame, steps: pd.DataFrame, random: Kind, alike: Kind) -> Figure:
    """Draw what labels add by epoch and size; and how the centred signs follow the samples that make a batch.

    Args:
        found: of ``labels.gains``.
        steps: of ``study.follow``.
        random: batches drawn at random.
        alike: batches of samples that are equally wrong.
    """
    fig, (left, right) = grid(2, 2, (4.2, 3.3))
    sizes, looks = sorted(found["size"].unique()), zip((BLUE, GREEN, ORANGE, VERMILION, GREY), "os^Dv", strict=True)
    for j, (size, (color, marker)) in enumerate(zip(sizes, looks, strict=False)):
        rows = found[found["size"] == size]
        at = np.arange(len(rows)) + 0.09 * (j - (len(sizes) - 1) / 2)
        ends = [rows["gain"] - rows["low"], rows["high"] - rows["gain"]]
        left.errorbar(at, rows["gain"], ends, color=color, marker=marker, ms=5, mfc="white", capsize=2, elinewidth=1,
                      label="1 sample" if size == 1 else f"{size} samples")  # fmt: skip
    left.axhline(0, color="black", lw=0.6)
    left.set_xticks(range(found["epoch"].nunique()), list(map(str, sorted(found["epoch"].unique()))))
    left.set(title="what labels add", xlabel="epochs of training", ylabel="cosine of signs less that of ones")
    left.legend(fontsize=8)
    for kind, color, marker in ((random, BLUE, "o"), (alike, ORANGE, "s")):
        rows = steps[steps["kind"] == kind.name]
        right.plot(rows["active"] ** 0.5, rows["cosine.centred"], marker, ms=3, mew=0, alpha=0.4, color=color,
                   label=kind.words)  # fmt: skip
    right.plot([0, 1], [0, 1], color="black", lw=0.8, label="pushes at right angles")
    right.axhline(0, color="black", lw=0.6)
    right.set(title="few samples make a step", xlabel="root of the share that makes it", ylabel="cosine, centred signs")
    right.legend(fontsize=8)
    return fig
