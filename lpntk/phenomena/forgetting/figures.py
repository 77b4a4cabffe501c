"""How does the prediction look? F1, curves, margins beside predicted losses, the ablation, thirds of a run."""

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve

from lpntk.phenomena.forgetting.judge import THIRDS, watched
from lpntk.phenomena.forgetting.predict import PREDICTORS
from lpntk.phenomena.forgetting.walk import Setting, Track
from lpntk.report.panels import dots, legend_above
from lpntk.report.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION
from lpntk.report.spread import over_seeds

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


def predictors(frame: pd.DataFrame) -> Figure:
    """Draw F1 of every predictor, a panel for each setting: a dot for each run, a bar at the mean."""
    groups = list(frame.groupby("setting", sort=False))
    columns = min(2, len(groups))
    rows = -(-len(groups) // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(4.6 * columns, 0.27 * len(PREDICTORS) * rows + 0.9), squeeze=False,
                             sharey=True, sharex=True)  # fmt: skip
    for ax in axes.flat[len(groups) :]:
        ax.axis("off")
    for ax, (setting, runs) in zip(axes.flat, groups, strict=False):
        for i, name in enumerate(PREDICTORS):
            values = runs.loc[runs["predictor"] == name, "f1"]
            dots(ax, values, i, color=LOOKS.get(name, (GREY,))[0], clip_on=False)
        ax.set(title=f"{setting}: {_events(runs)} events", xlim=(0, 1), xlabel="F1, pooled over the steps of a run")
        ax.grid(axis="y", lw=0.3)
        ax.tick_params(labelbottom=True)
    axes[0, 0].set_yticks(range(len(PREDICTORS)), list(PREDICTORS.values()))
    axes[0, 0].invert_yaxis()
    return fig


def curves(tracks: Mapping[Setting, Track], frame: pd.DataFrame, shown: Sequence[str]) -> Figure:
    """Draw precision against recall over all thresholds, all runs of a setting pooled, a panel for each.

    On the steps after the burn-in, as everything that is judged; the frame tells the mean of the runs' AP.
    """
    fig, axes = plt.subplots(1, len(tracks), figsize=(4.4 * len(tracks), 4.2), squeeze=False, sharey=True)
    ap = over_seeds(frame, ["setting", "predictor"], ["ap"])[0]["ap"]
    for ax, (setting, track) in zip(axes.flat, tracks.items(), strict=True):
        judged, happened = _judged(track)
        for name in shown if happened.any() else ():
            precision, recall, _ = precision_recall_curve(happened, track.scores[name].numpy()[judged])
            ax.step(recall, precision, where="post", color=LOOKS[name][0], lw=1.6, clip_on=False,
                    ls="--" if name == "step" else "-",
                    label=f"{PREDICTORS[name]}: {ap[setting.words, name]:.2f}")  # fmt: skip
        base = happened.mean() if len(happened) else math.nan
        ax.axhline(base, color=GREY, ls=":", label=f"base rate: {base:.4f}")
        ax.set(title=f"{setting.words}: {happened.sum()} events", xlabel="recall", xlim=(0, 1), ylim=(0, 1.02))
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), title="mean AP of the runs", fontsize=9)
    axes[0, 0].set_ylabel("precision")
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
        judged, happened = _judged(track)
        x = track.before.numpy()[judged]
        y = x + track.scores[predictor].numpy()[judged]  # before minus predicted margin after
        calm = np.flatnonzero(~happened)
        calm = calm[:: max(1, len(calm) // others)]
        ax.scatter(x[calm], y[calm], s=5, color=GREY, alpha=0.35, lw=0, rasterized=True, label="kept")
        ax.scatter(x[happened], y[happened], s=9, color=VERMILION, lw=0, rasterized=True, label="forgotten")
        line = np.linspace(0, x.max(initial=small), 1000)
        ax.plot(line, line, color="black", lw=0.8, label="predicted loss = margin")
        ax.set_xscale("symlog", linthresh=small)
        ax.set_yscale("symlog", linthresh=small)
        ax.set(title=f"{setting.words}: {happened.sum()} events", xlabel="margin before the update, logits")
    axes[0, 0].set_ylabel("loss of margin predicted by the kernel, logits")
    legend_above(fig, axes[0, 0], markerscale=2)
    return fig


def ablation(frame: pd.DataFrame, shown: Sequence[str]) -> Figure:
    """Draw F1 against what is added to the real update: mean of the runs, bars one sd; events below the names."""
    fig, ax = plt.subplots(figsize=(7.0, 4.0))
    mean, sd = (table["f1"].unstack(sort=False) for table in over_seeds(frame, ["setting", "predictor"], ["f1"]))
    for name, place in _beside(shown, 0.13):
        _markers(ax, name, place, mean[name], sd[name], ms=7, capsize=3)
    groups = frame.groupby("setting", sort=False)
    names = [f"{runs['recipe'].iloc[0]}\n{_events(runs)} events".replace("+ ", "+\n") for _, runs in groups]
    ax.set_xticks(range(len(names)), names)
    ax.set(ylim=(0, 1.05), ylabel="F1, pooled over the steps of a run")
    legend_above(fig, ax, ncols=3)
    return fig


def thirds(told: pd.DataFrame) -> Figure:
    """Draw F1 early, in the middle and late in training, all runs pooled, bars a 95 % bootstrap interval over runs.

    A panel for each setting; below each third its number of events.

    Args:
        told: of ``tables.thirds``.
    """
    shown = told["predictor"].unique()
    groups = told.groupby("setting", sort=False)
    fig, axes = plt.subplots(1, len(groups), figsize=(3.3 * len(groups), 3.6), squeeze=False, sharey=True)
    for ax, (setting, rows) in zip(axes.flat, groups, strict=True):
        for name, place in _beside(shown, 0.09):
            one = rows[rows["predictor"] == name]
            _markers(ax, name, place, one["f1"], [one["f1"] - one["low"], one["high"] - one["f1"]], "-", lw=1, ms=6,
                     capsize=2)  # fmt: skip
        ax.set_xticks(range(len(THIRDS)), [f"{t}\n{n}" for t, n in zip(one["third"], one["events"], strict=True)])
        ax.set(title=setting, xlabel="third of the run, and its events", ylim=(0, 1.05))
    axes[0, 0].set_ylabel("F1")
    legend_above(fig, axes[0, 0])
    return fig


def _beside(shown: Sequence[str], apart: float) -> list[tuple[str, float]]:
    """Return each predictor and how far from the middle its markers stand."""
    return [(name, (j - (len(shown) - 1) / 2) * apart) for j, name in enumerate(shown)]


def _markers(ax: Axes, name: str, place: float, f1: pd.Series, bars: object, line: str = "", **look: object) -> None:
    color, marker = LOOKS[name]
    ax.errorbar(np.arange(len(f1)) + place, f1, yerr=bars, fmt=marker + line, color=color, label=PREDICTORS[name],
                **look)  # fmt: skip


def _judged(track: Track) -> tuple[np.ndarray, np.ndarray]:
    """Return which samples are judged, (m, t, b) bool, and of these, of all runs, which are forgotten."""
    at_risk, events, after_burn_in = watched(track)
    judged = at_risk & after_burn_in
    return judged, events[judged]


def _events(runs: pd.DataFrame) -> int:
    return int(runs.loc[runs["predictor"] == "kernel", "events"].sum())
