"""What is learned, and what is lost again? How a training goes, and which samples it is that are forgotten."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from lpntk.data.dataset import Dataset
from lpntk.phenomena.forgetting.events import Forgetting, counts_at_presentations, events, follow
from lpntk.phenomena.forgetting.walk import Setting, Track
from lpntk.report.panels import images
from lpntk.report.plots import BLUE, GREEN, ORANGE, PURPLE, VERMILION

COLORS = (BLUE, ORANGE, VERMILION, GREEN, PURPLE)


def both_counts(track: Track) -> dict[str, Tensor]:
    """Return the two ways to count, (runs, n) events each, of the runs that did not diverge."""
    kept = track.finished()
    return {
        "after every update": follow(kept.correct).counts,
        "at presentations": counts_at_presentations(kept.correct, kept.batches),
    }


def learned(tracks: Mapping[Setting, Track]) -> pd.DataFrame:
    """Return a row per setting: shares of the samples followed, over samples and runs that did not diverge.

    Of the update that first made a sample correct (0 at the initialisation): median and quartiles over the samples
    that were ever learned.
    """
    rows = []
    for setting, track in tracks.items():
        correct = track.finished().correct
        told = follow(correct)
        first = told.first_learned[~told.never_learned].numpy()
        low, median, high = np.quantile(first, [0.25, 0.5, 0.75]) if len(first) else [np.nan] * 3
        shares = {
            "correct at the end": correct[:, -1],
            "never learned": told.never_learned,
            "forgotten at least once": told.counts > 0,
            "learned, never forgotten": told.never_forgotten,
        }
        rows.append(
            {"setting": setting.words}
            | {head: float(share.float().mean()) for head, share in shares.items()}
            | {"first learned: update, median (quartiles)": f"{median:.0f} ({low:.0f} to {high:.0f})"}
            | {"runs": len(correct), "events per sample": float(told.counts.float().mean())}
        )
    return pd.DataFrame(rows)


def history(tracks: Mapping[Setting, Track], bins: int = 20) -> Figure:
    """Draw accuracy and events of the followed samples through the updates; solid lines have the whole recipe.

    Args:
        tracks: of the settings to be shown.
        bins: groups of updates in which events are counted.
    """
    fig, axes = plt.subplots(1, 2, figsize=(8.4, 3.7))
    colors = dict(zip(dict.fromkeys(setting.lr for setting in tracks), COLORS * len(tracks), strict=False))
    style = lambda setting: ":" if setting.recipe == "plain" else "-"
    for setting, track in tracks.items():
        look = {"color": colors[setting.lr], "ls": style(setting)}
        correct = track.finished().correct
        axes[0].plot(correct.float().mean(dim=(0, 2)), **look)
        share = events(correct).float().mean(dim=(0, 2)).numpy()  # (t,)
        groups = np.array_split(np.arange(len(share)), min(bins, len(share)))
        axes[1].plot([g.mean() + 1 for g in groups], [100 * share[g].mean() for g in groups], **look)
    axes[0].set(ylabel="samples that are correct", xlabel="updates", ylim=(0, 1.02))
    axes[1].set(ylabel="% forgotten by an update", xlabel="updates")
    axes[1].set_ylim(bottom=0)
    handles = [Line2D([], [], color=color, lw=2, label=f"lr {lr:g}") for lr, color in colors.items()]
    styles = {setting.short: style(setting) for setting in tracks}
    handles += [Line2D([], [], color="black", ls=ls, label=words) for words, ls in styles.items()]
    fig.legend(handles=handles, loc="outside upper center", ncols=len(handles), fontsize=9)
    return fig


def counts(told: Mapping[str, Tensor], most: int = 6) -> Figure:
    """Draw which share of samples has how many events, for each way to count them; means over runs.

    Args:
        told: name of a way to count -> (runs, n) counts.
        most: events of the last bar, which holds all above too.
    """
    share = lambda n: np.bincount(n.flatten().clamp_max(most).numpy(), minlength=most + 1) / n.numel()
    shares = pd.DataFrame({way: share(n) for way, n in told.items()}, index=[*range(most), f"{most}+"])
    fig, ax = plt.subplots(figsize=(5.6, 3.6))
    shares.plot.bar(ax=ax, width=0.8, rot=0, color=list(COLORS))
    ax.set(xlabel="forgetting events of a sample", ylabel="share of samples")
    return fig


def gallery(data: Dataset, x: Tensor, y: Tensor, told: Forgetting, count: int = 10) -> Figure:
    """Draw the most forgotten samples above those learned first and never forgotten, means over runs."""
    often = told.counts.float().mean(dim=0)  # (n,)
    kept, first = told.never_forgotten.float().mean(dim=0), told.first_learned.float().mean(dim=0)
    easiest = np.lexsort((first.numpy(), -kept.numpy()))  # by the share of runs that keep it, then by the update
    rows = {
        "most often forgotten: label, events per run": (often.argsort(descending=True).numpy(), often),
        "never forgotten, learned first: label, update": (easiest, first),
    }
    pixels = np.asarray(data.pixels(x))
    fig, axes = plt.subplots(2, 1, figsize=(0.85 * count, 3.1))
    for ax, (title, (order, value)) in zip(axes, rows.items(), strict=True):
        shown = order[:count].tolist()
        images(ax, pixels[shown], [f"{data.classes[int(y[i])]}: {float(value[i]):.1f}" for i in shown])
        ax.set_title(title, fontsize=10)
    return fig
