"""How good is equation 1, and what do signs keep of it? Error by learning rate, predicted against true, by epoch."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from lpntk.phenomena.one_step.summary import Along, Sweep, overall, spread
from lpntk.report.plots import BLUE, GREEN, GREY, ORANGE, VERMILION

LOOKS = {
    "error": (BLUE, "-", "o", "error $e-q$ (equation 1)"),
    "even": (GREEN, "-", "^", "size kept, shared evenly"),
    "centred": (ORANGE, "-", "s", "signs, centred"),
    "label": (VERMILION, "-", "D", "signs $s(y)$"),
    "ones": (GREY, ":", "v", "ones"),
}
AXES = {"cosine": "cosine with the true change", "rank": r"rank correlation of $\Delta\log q_y$"}


def errors(sweep: Sweep) -> Figure:
    """Draw the error of every single-sample step against its learning rate, a panel for each epoch.

    Filled: what the slope is fitted through. Dashed: the median over steps if the softmax is kept exact. Dotted: the
    median in float32.
    """
    fig, axes = plt.subplots(1, len(sweep.epochs), figsize=(3.6 * len(sweep.epochs), 3.9), sharey=True, squeeze=False)
    lrs = sweep.lrs.numpy()
    for i, (ax, epoch) in enumerate(zip(axes.flat, sweep.epochs, strict=True)):
        error, fitted = sweep.told["error"][i].numpy(), sweep.fitted[i].numpy()
        ax.loglog(lrs, error.T, color=BLUE, lw=0.6, alpha=0.5)
        where = np.broadcast_to(lrs, error.shape)
        ax.loglog(where[~fitted], error[~fitted], "o", ms=3, mec=BLUE, mfc="white", mew=0.6)
        ax.loglog(where[fitted], error[fitted], "o", ms=3, color=BLUE)
        ax.loglog(lrs, sweep.told["logits"][i].median(dim=0).values.numpy(), "--", color=GREEN, lw=1.8)
        ax.loglog(lrs, sweep.told["float32"][i].median(dim=0).values.numpy(), ":", color=VERMILION, lw=1.8)
        slopes = sweep.slopes()[i]
        finite = slopes[slopes.isfinite()]
        ax.set_title(f"epoch {epoch}: slope {finite.mean():.2f} ± {spread(finite[None])[0]:.2f}")
        ax.set_xlabel(r"learning rate $\eta$")
    axes[0, 0].set_ylabel("mean error of a prediction")
    handles = [
        Line2D([], [], color=BLUE, marker="o", ms=4, lw=0.8, label="a step, fitted"),
        Line2D([], [], color=BLUE, marker="o", ms=4, lw=0.8, mfc="white", label="a step, not fitted"),
        Line2D([], [], color=GREEN, ls="--", lw=1.8, label="softmax exact (median)"),
        Line2D([], [], color=VERMILION, ls=":", lw=1.8, label="in float32 (median)"),
    ]
    fig.legend(handles=handles, loc="outside upper center", ncols=2)
    return fig


def predicted_and_true(panels: Sequence[tuple[str, Tensor, Tensor]], columns: int) -> Figure:
    """Draw predicted against true changes of probabilities, in units of a thousandth.

    Args:
        panels: title, predicted (m, k) and true (m, k) of each.
        columns: panels in a row.
    """
    rows = -(-len(panels) // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(3.5 * columns, 3.2 * rows), squeeze=False)
    fig.get_layout_engine().set(hspace=0.08)
    for ax, (title, told, true) in zip(axes.flat, panels, strict=True):
        largest = float(torch.cat([told, true]).abs().max())
        power = int(np.floor(np.log10(largest))) if largest > 0 else 0
        told, true = (t.flatten().numpy() / 10.0**power for t in (told, true))
        ends = [min(told.min(), true.min()), max(told.max(), true.max())]
        ax.plot(ends, ends, color="black", lw=0.8)
        ax.plot(told, true, ".", ms=4, color=BLUE, alpha=0.3, mew=0, rasterized=True)
        ax.set_title(title)
        ax.set_xlabel(rf"predicted, $10^{{{power}}}$")
        ax.set_ylabel(rf"true, $10^{{{power}}}$")
        ax.set_aspect("equal", "datalim")
    return fig


def survival(kinds: Sequence[Along]) -> Figure:
    """Draw what error, signs and less tell of the true step by epoch: means over seeds and steps, bars one sd.

    A row for each kind of step; left the direction, right the order of the test samples.
    """
    fig, axes = plt.subplots(len(kinds), 2, figsize=(8.4, 3.1 * len(kinds) + 0.7), squeeze=False, sharey=True)
    fig.get_layout_engine().set(hspace=0.06)
    for along, row in zip(kinds, axes, strict=True):
        places = np.arange(len(along.epochs))
        for ax, (reading, label) in zip(row, AXES.items(), strict=True):
            for j, force in enumerate(along.forces):
                color, style, marker, _ = LOOKS[force]
                look = {"color": color, "ls": style, "marker": marker, "ms": 5, "elinewidth": 1, "capsize": 2}
                value = along.of(reading, force)
                shift = 0.09 * (j - (len(along.forces) - 1) / 2)  # or the bars would hide each other
                ax.errorbar(places + shift, overall(value), yerr=spread(value), **look)
            ax.axhline(0, color="black", lw=0.6)
            ax.set_xticks(places, list(map(str, along.epochs)))
            ax.set_xlabel("epochs of training")
            ax.set_title(f"{along.kind.words}: {'direction' if reading == 'cosine' else 'order'}")
            ax.set_ylabel(label)
    used = [force for force in LOOKS if any(force in along.forces for along in kinds)]
    handles = [Line2D([], [], color=LOOKS[f][0], ls=LOOKS[f][1], marker=LOOKS[f][2], label=LOOKS[f][3]) for f in used]
    fig.legend(handles=handles, loc="outside upper center", ncols=3)
    return fig
