"""How do targets fare in their company? Loss by epoch with a band over runs, together and class by class."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from lpntk.phenomena.company.groups import PAPER_GROUPS, Company
from lpntk.phenomena.company.order import by_target
from lpntk.report.plots import BLUE, GREEN, GREY, ORANGE, VERMILION

LOOKS = {
    "most": (BLUE, "-"),
    "middle": (ORANGE, "-"),
    "least": (VERMILION, "-"),
    "random": (GREEN, "--"),
    "alone": (GREY, ":"),
    "other": ("black", "-."),
}
WORDS = {"other": "other label"}


def curves(told: dict[str, Company]) -> Figure:
    """Draw the targets' loss by epoch, mean over targets: the line is the mean over runs, the band one sd."""
    fig, ax = plt.subplots(figsize=(6.4, 4.2))
    for group, kept in told.items():
        _band(ax, np.nanmean(kept.loss.numpy(), axis=2), group)
    ax.set_xlabel("epoch")
    ax.set_ylabel("loss of the targets, nats")
    ax.legend(title="company", ncol=2)
    return fig


def by_class(told: dict[str, Company], classes: Sequence[str]) -> Figure:
    """Draw the loss of each class's target by epoch, in every company: mean over runs, band one sd."""
    k = len(classes)
    columns = min(3, k)
    rows = -(-k // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(2.9 * columns, 2.2 * rows + 0.6), squeeze=False, sharex=True)
    for ax in axes.flat[k:]:
        ax.axis("off")
    for c, (ax, name) in enumerate(zip(axes.flat, classes, strict=False)):
        for group, kept in told.items():
            _band(ax, kept.loss[:, :, c].numpy(), group)
        ax.set_title(name)
        ax.set_xlabel("epoch")
        ax.tick_params(labelbottom=True)
    for row in axes:
        row[0].set_ylabel("loss, nats")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncol=3, title="company")
    return fig


def difficulties(kept: Sequence[dict[str, Company]]) -> Figure:
    """Draw each target's difficulty in each company; lines join what one target met in the paper's three."""
    groups = list(kept[0])
    table = np.stack([by_target(kept, group) for group in groups], axis=1)  # (targets, groups)
    fig, ax = plt.subplots(figsize=(6.4, 4.2))
    ordered = [groups.index(group) for group in PAPER_GROUPS]
    ax.plot(ordered, table[:, ordered].T, color=GREY, lw=0.6, alpha=0.5)
    for i, group in enumerate(groups):
        ax.plot([i] * len(table), table[:, i], "o", ms=5, alpha=0.6, color=LOOKS[group][0])
    ax.plot(range(len(groups)), table.mean(axis=0), "_", ms=28, mew=3, color="black", label="mean")
    ax.set_xticks(range(len(groups)), [WORDS.get(group, group) for group in groups])
    ax.set_xlabel("company")
    ax.set_ylabel("difficulty of a target: accumulated loss, nats")
    ax.legend()
    return fig


def _band(ax: plt.Axes, runs: np.ndarray, group: str) -> None:
    """Draw (runs, epochs)."""
    color, style = LOOKS[group]
    mean, sd = np.nanmean(runs, axis=0), np.nanstd(runs, axis=0)
    epochs = np.arange(1, len(mean) + 1)
    ax.plot(epochs, mean, style, color=color, lw=1.8, label=WORDS.get(group, group))
    ax.fill_between(epochs, np.maximum(mean - sd, 0), mean + sd, color=color, alpha=0.15, lw=0)
