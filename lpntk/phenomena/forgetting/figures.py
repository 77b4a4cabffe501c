"""How does forgetting look? Through training, by sample, and which samples it is that are forgotten."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from lpntk.data.dataset import Dataset
from lpntk.phenomena.forgetting.events import Forgetting, events
from lpntk.phenomena.forgetting.walk import Setting, Track
from lpntk.report.plots import BLUE, GREEN, ORANGE, PURPLE, VERMILION

COLORS = (BLUE, ORANGE, VERMILION, GREEN, PURPLE)


def history(tracks: Mapping[Setting, Track], bins: int = 20) -> Figure:
    """Draw accuracy and events of the followed samples through the updates; solid lines have the whole recipe.

    Args:
        tracks: of the settings to be shown.
        bins: groups of updates in which events are counted.
    """
    fig, axes = plt.subplots(1, 2, figsize=(8.4, 3.7))
    lrs = list(dict.fromkeys(setting.lr for setting in tracks))
    for setting, track in tracks.items():
        look = {"color": COLORS[lrs.index(setting.lr) % len(COLORS)], "ls": ":" if setting.recipe == "plain" else "-"}
        correct = track.finished().correct
        axes[0].plot(correct.float().mean(dim=(0, 2)), **look)
        share = events(correct).float().mean(dim=(0, 2)).numpy()  # (t,)
        parts = np.array_split(np.arange(len(share)), min(bins, len(share)))
        axes[1].plot([p.mean() + 1 for p in parts], [100 * share[p].mean() for p in parts], **look)
    axes[0].set_ylabel("samples that are correct")
    axes[0].set_ylim(0, 1.02)
    axes[1].set_ylabel("% forgotten by an update")
    axes[1].set_ylim(bottom=0)
    for ax in axes:
        ax.set_xlabel("updates")
    handles = [Line2D([], [], color=COLORS[i % len(COLORS)], lw=2, label=f"lr {lr:g}") for i, lr in enumerate(lrs)]
    recipes = {s.short: ":" if s.recipe == "plain" else "-" for s in tracks}
    handles += [Line2D([], [], color="black", ls=style, label=words) for words, style in recipes.items()]
    fig.legend(handles=handles, loc="outside upper center", ncols=len(handles), fontsize=9)
    return fig


def counts(told: Mapping[str, Tensor], most: int = 6) -> Figure:
    """Draw which share of samples has how many events, for each way to count them; means over runs.

    Args:
        told: name of a way to count -> (runs, n) counts.
        most: events of the last bar, which holds all above too.
    """
    fig, ax = plt.subplots(figsize=(5.6, 3.6))
    width = 0.8 / len(told)
    for i, (name, values) in enumerate(told.items()):
        share = np.bincount(values.flatten().clamp_max(most).numpy(), minlength=most + 1) / values.numel()
        ax.bar(np.arange(most + 1) + (i - (len(told) - 1) / 2) * width, share, width, color=COLORS[i], label=name)
    ax.set_xticks(range(most + 1), [*map(str, range(most)), f"{most}+"])
    ax.set_xlabel("forgetting events of a sample")
    ax.set_ylabel("share of samples")
    ax.legend()
    return fig


def gallery(data: Dataset, x: Tensor, y: Tensor, told: Forgetting, count: int = 10) -> Figure:
    """Draw the most forgotten samples above those learned first and never forgotten, means over runs.

    Args:
        data: for pixels and names.
        x: (n, ...) the samples followed.
        y: (n,) labels.
        told: of runs, (runs, n).
        count: samples in each row.
    """
    often = told.counts.float().mean(dim=0)  # (n,)
    kept, first = told.never_forgotten.float().mean(dim=0), told.first_learned.float().mean(dim=0)
    easiest = np.lexsort((first.numpy(), -kept.numpy()))  # by the share of runs that keep it, then by the update
    rows = {
        "most often forgotten: label, events per run": (often.argsort(descending=True), often),
        "never forgotten, learned first: label, update": (easiest, first),
    }
    images = data.pixels(x)
    grey = images.shape[-1] == 1
    fig = plt.figure(figsize=(0.85 * count, 3.1))
    for part, (words, (order, value)) in zip(fig.subfigures(2, 1), rows.items(), strict=True):
        part.suptitle(words, fontsize=10)
        for ax, i in zip(part.subplots(1, count), order[:count].tolist(), strict=True):
            ax.imshow(images[i].squeeze(-1) if grey else images[i], cmap="gray_r" if grey else None, vmin=0, vmax=1)
            ax.set_title(f"{data.classes[int(y[i])]}: {float(value[i]):.1f}", fontsize=9)
            ax.axis("off")
    return fig
