"""How does its prediction look? Curves, ablation, windows, and the margin beside the change that was predicted."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve

from lpntk.phenomena.forgetting.judge.metrics import spread
from lpntk.phenomena.forgetting.judge.summary import WINDOWS, Judged, Steps
from lpntk.phenomena.forgetting.judge.windows import window_f1
from lpntk.phenomena.forgetting.predict import PREDICTORS
from lpntk.phenomena.forgetting.walk import Setting, Track
from lpntk.report.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION

LOOKS = {
    "kernel": (BLUE, "o"),
    "kernel-logits": (SKY, "o"),
    "momentum": (ORANGE, "^"),
    "step": ("black", "D"),
    "signs": (GREEN, "s"),
    "signs-centred": (PURPLE, "P"),
    "margin": (VERMILION, "v"),
    "random": (GREY, "x"),
}


def predictors(judged: Mapping[Setting, Judged], shown: Sequence[str] = tuple(PREDICTORS)) -> Figure:
    """Draw F1 of every predictor, a panel for each setting: a dot for each run, a bar at the mean."""
    columns = min(2, len(judged))
    rows = -(-len(judged) // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(4.6 * columns, 0.27 * len(shown) * rows + 0.9), squeeze=False,
                             sharey=True, sharex=True)  # fmt: skip
    for ax in axes.flat[len(judged) :]:
        ax.axis("off")
    for ax, (setting, told) in zip(axes.flat, judged.items(), strict=False):
        for i, name in enumerate(shown):
            values = told.values[name]["f1"]
            color = LOOKS.get(name, (GREY, "o"))[0]
            ax.plot(values, [i] * len(values), "o", ms=4, color=color, alpha=0.5, clip_on=False)
            ax.plot(spread(values)[0], i, "|", ms=13, mew=2.5, color=color, clip_on=False)
        ax.set_title(f"{setting.words}: {int(told.total.sum())} events")
        ax.set_xlim(0, 1)
        ax.grid(axis="y", lw=0.3)
        ax.tick_params(labelbottom=True)
        ax.set_xlabel("F1, pooled over the steps of a run")
    axes[0, 0].set_yticks(range(len(shown)), [PREDICTORS[name] for name in shown])
    axes[0, 0].invert_yaxis()
    return fig


def curves(tracks: Mapping[Setting, Track], judged: Mapping[Setting, Judged], shown: Sequence[str]) -> Figure:
    """Draw precision against recall over all thresholds, all runs of a setting pooled, a panel for each.

    On the steps after the burn-in, as everything that is judged.
    """
    fig, axes = plt.subplots(1, len(tracks), figsize=(4.4 * len(tracks), 4.2), squeeze=False, sharey=True)
    for ax, (setting, track) in zip(axes.flat, tracks.items(), strict=True):
        kept = track.finished()
        steps = Steps.of(kept)
        at_risk = steps.at_risk & steps.counted
        happened = steps.events[at_risk]
        if happened.any():
            for name in shown:
                precision, recall, _ = precision_recall_curve(happened, kept.scores[name].numpy()[at_risk])
                ap = spread(judged[setting].values[name]["ap"])[0]
                ax.step(recall, precision, where="post", color=LOOKS[name][0], lw=1.6, clip_on=False,
                        ls="--" if name == "step" else "-", label=f"{PREDICTORS[name]}: {ap:.2f}")  # fmt: skip
        base = happened.mean() if len(happened) else math.nan
        ax.axhline(base, color=GREY, ls=":", label=f"base rate: {base:.4f}")
        ax.set_title(f"{setting.words}: {happened.sum()} events")
        ax.set_xlabel("recall")
        ax.set_xlim(0, 1)
        ax.set_ylim(0, 1.02)
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), title="mean AP of the runs", fontsize=9)
    axes[0, 0].set_ylabel("precision")
    return fig


def ablation(judged: Mapping[Setting, Judged], shown: Sequence[str]) -> Figure:
    """Draw F1 against what is added to the real update: mean of the runs, bars one sd; events below the names."""
    fig, ax = plt.subplots(figsize=(7.0, 4.0))
    for j, name in enumerate(shown):
        color, marker = LOOKS[name]
        means, sds, _ = zip(*(spread(told.values[name]["f1"]) for told in judged.values()), strict=True)
        places = np.arange(len(judged)) + (j - (len(shown) - 1) / 2) * 0.13
        ax.errorbar(places, means, yerr=sds, fmt=marker, color=color, ms=7, capsize=3, label=PREDICTORS[name])
    names = [f"{s.short}\n{int(told.total.sum())} events".replace("+ ", "+\n") for s, told in judged.items()]
    ax.set_xticks(range(len(judged)), names)
    ax.set_ylim(0, 1.05)
    ax.set_ylabel("F1, pooled over the steps of a run")
    fig.legend(loc="outside upper center", ncols=3)
    return fig


def windows(judged: Mapping[Setting, Judged], shown: Sequence[str]) -> Figure:
    """Draw F1 early, in the middle and late in training, all runs pooled, bars a 95 % bootstrap interval over runs.

    A panel for each setting; below each third its number of events.
    """
    fig, axes = plt.subplots(1, len(judged), figsize=(3.3 * len(judged), 3.6), squeeze=False, sharey=True)
    for ax, (setting, told) in zip(axes.flat, judged.items(), strict=True):
        for j, name in enumerate(shown):
            color, marker = LOOKS[name]
            f1, low, high = window_f1(told, name).T
            places = np.arange(len(WINDOWS)) + (j - (len(shown) - 1) / 2) * 0.09
            ax.errorbar(places, f1, yerr=[f1 - low, high - f1], fmt=f"{marker}-", lw=1, color=color, ms=6, capsize=2,
                        label=PREDICTORS[name])  # fmt: skip
        ax.set_xticks(range(len(WINDOWS)), [f"{w}\n{n}" for w, n in zip(WINDOWS, told.events.sum(axis=0), strict=True)])
        ax.set_xlabel("third of the run, and its events")
        ax.set_title(setting.words)
        ax.set_ylim(0, 1.05)
    axes[0, 0].set_ylabel("F1")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return fig


def margins(tracks: Mapping[Setting, Track], predictor: str = "kernel-logits", others: int = 4000) -> Figure:
    """Draw the predicted loss of margin against the margin: an event is predicted on or above the diagonal.

    The steps after the burn-in.

    Args:
        tracks: a panel for each setting.
        predictor: on logits.
        others: of the samples without an event, evenly chosen, about so many are drawn; events are drawn all.
    """
    fig, axes = plt.subplots(1, len(tracks), figsize=(4.4 * len(tracks), 4.0), squeeze=False, sharex=True, sharey=True)
    small = 10.0 ** math.floor(math.log10(max(setting.lr for setting in tracks)))  # logarithmic beyond
    for ax, (setting, track) in zip(axes.flat, tracks.items(), strict=True):
        kept = track.finished()
        steps = Steps.of(kept)
        at_risk = steps.at_risk & steps.counted
        x, happened = steps.before[at_risk], steps.events[at_risk]
        y = x + kept.scores[predictor].numpy()[at_risk]  # before minus predicted margin after
        calm = np.flatnonzero(~happened)
        calm = calm[:: max(1, len(calm) // others)]
        ax.scatter(x[calm], y[calm], s=5, color=GREY, alpha=0.35, lw=0, rasterized=True, label="kept")
        ax.scatter(x[happened], y[happened], s=9, color=VERMILION, lw=0, rasterized=True, label="forgotten")
        line = np.linspace(0, x.max(initial=small), 1000)
        ax.plot(line, line, color="black", lw=0.8, label="predicted loss = margin")
        ax.set_xscale("symlog", linthresh=small)
        ax.set_yscale("symlog", linthresh=small)
        ax.set_title(f"{setting.words}: {happened.sum()} events")
        ax.set_xlabel("margin before the update, logits")
    axes[0, 0].set_ylabel("loss of margin predicted by the kernel, logits")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, markerscale=2)
    return fig
