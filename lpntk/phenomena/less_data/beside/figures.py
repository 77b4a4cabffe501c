"""Figures: clusters with what is left out of them, Data-IQ beside cluster size, scores of pairs beside each other."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lpntk.data.dataset import Dataset
from lpntk.phenomena.less_data.beside.pairs import PAIRS, SCORES
from lpntk.phenomena.less_data.beside.samples import AMBIGUOUS, EASY, HARD
from lpntk.report.panels import images
from lpntk.report.plots import BLUE, GREEN, ORANGE, VERMILION

COLORS = {EASY: BLUE, AMBIGUOUS: ORANGE, HARD: VERMILION}


def left_out(samples: pd.DataFrame, data: Dataset, rows: np.ndarray, count: int = 9) -> Figure:
    """Draw the head of the largest cluster of each class in the first network, and members that are left out.

    Args:
        samples: of ``samples.study``.
        data: whose training samples they are.
        rows: (n,) which of them.
        count: members at most.
    """
    part = samples[samples["seed"] == samples["seed"].iloc[0]]
    largest = part.sort_values("size", ascending=False).drop_duplicates("label").sort_values("label")
    fig, axes = plt.subplots(len(largest), 1, figsize=(0.62 * (count + 1), 0.86 * len(largest)), squeeze=False)
    for ax, (_, one) in zip(axes[:, 0], largest.iterrows(), strict=True):
        of = part[(part["label"] == one["label"]) & (part["cluster"] == one["cluster"])]
        shown = np.concatenate([of[of["head"]]["sample"], of[~of["head"]]["sample"].head(count)]).astype(int)
        words = ["head", *[""] * (len(shown) - 1)]
        images(ax, data.pixels(data.x_train[rows[shown]]), words, [GREEN] * len(shown))
        ax.set_xlim(0, count + 1)
    return fig


def data_iq(samples: pd.DataFrame) -> Figure:
    """Draw the samples of the first network by confidence and variability; larger dots stand for larger clusters.

    Args:
        samples: of ``samples.study``.
    """
    part = samples[samples["seed"] == samples["seed"].iloc[0]]
    fig, ax = plt.subplots(figsize=(6.4, 4.2))
    for group, color in COLORS.items():
        mine = part[part["group"] == group]
        ax.scatter(mine["variability"], mine["confidence"], s=4 + 0.15 * mine["size"], color=color, alpha=0.35, lw=0,
                   label=group)  # fmt: skip
    heads = part[part["head"]]
    ax.plot(heads["variability"], heads["confidence"], "k+", ms=5, mew=0.8, label="heads")
    ax.set(xlabel="variability", ylabel="confidence")
    legend = ax.legend(loc="lower left", fontsize=9)
    for handle in legend.legend_handles[:3]:
        handle.set_sizes([40])
    return fig


def correlations(found: pd.DataFrame) -> Figure:
    """Draw the mean rank correlation of every two scores, a panel for each kind of pairs.

    Args:
        found: of ``pairs.study``.
    """
    fig, axes = plt.subplots(1, len(PAIRS), figsize=(3.3 * len(PAIRS), 3.9), sharey=True)
    for ax, (pairs, title) in zip(axes, PAIRS.items(), strict=True):
        matrix = pd.DataFrame(np.eye(len(SCORES)), list(SCORES), list(SCORES))
        for (one, other), rho in found[found["pairs"] == pairs].groupby(["one", "other"])["rho"].mean().items():
            matrix.loc[one, other] = matrix.loc[other, one] = rho
        ax.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1)
        for (i, j), rho in np.ndenumerate(matrix.to_numpy()):
            ax.text(
                j, i, f"{rho:.2f}", ha="center", va="center", fontsize=9, color="white" if abs(rho) > 0.7 else "black"
            )
        ax.set_xticks(range(len(SCORES)), SCORES.values(), rotation=40, ha="right")
        ax.set_yticks(range(len(SCORES)), SCORES.values())
        ax.tick_params(length=0)
        ax.set_title(title)
    return fig
