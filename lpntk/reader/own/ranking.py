"""Which samples come first? Ranks of suspicion with their reasons, of redundancy, and the most extreme pairs."""

from collections import Counter
from collections.abc import Callable
from math import ceil

import numpy as np
import pandas as pd

from lpntk.kernel.reading import INTERCHANGEABLE, UNRELATED

NOTABLE = 0.1  # share of samples whose cosine or loss is a reason for suspicion


def joint_rank(cosine: np.ndarray, loss: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return (n,) how suspicious each sample is: the larger of two ranks, by small cosine and by large loss.

    Loss finds flipped labels and misses backdoors, and the cosine the other way round. The mean of both ranks was tried
    and loses what only one of them sees.

    Args:
        cosine: (n,) mean cosines to the class, of which the median of the class is taken off; NaN for a sample alone,
            whose loss alone counts.
        loss: (n,) accumulated losses.
        y: (n,) labels.
    """
    by_loss = pd.Series(loss).rank(pct=True)
    usual = pd.Series(cosine).groupby(np.asarray(y)).transform("median")
    both = np.stack([(usual - cosine).rank(pct=True).fillna(by_loss), by_loss])
    return both.max(axis=0) + both.min(axis=0) / len(by_loss)  # of equals the one that both suspect


def add_ranks(frame: pd.DataFrame, placed: np.ndarray) -> None:
    """Add ``redundancy_rank``, ``suspicion_rank`` and ``reason`` to the samples, rank 1 being the first to look at."""
    cosine, loss = frame["mean_cosine"], frame["difficulty"]
    score = pd.Series(joint_rank(cosine.to_numpy(), loss.to_numpy(), frame["label"].to_numpy()))
    frame["suspicion_rank"] = score.rank(ascending=False, method="first").astype(int)
    last = pd.DataFrame({"placed": placed, "nearest": frame["nearest_cosine"].fillna(-1)})
    order = last.sort_values(["placed", "nearest"], ascending=False, kind="stable").index
    frame.loc[order, "redundancy_rank"] = np.arange(1, len(order) + 1)
    frame["redundancy_rank"] = frame["redundancy_rank"].astype(int)
    middle: Callable[[pd.Series], pd.Series] = lambda column: column.groupby(frame["label"]).transform("median")
    low, high = (cosine - middle(cosine)).quantile(NOTABLE), loss.quantile(1 - NOTABLE)
    reasons = []
    for c, usual, value, common, other, least in zip(
        cosine, middle(cosine), loss, middle(loss), frame["contradictory"], frame["contradictory_cosine"], strict=True
    ):  # fmt: skip
        told = [f"low mean cosine to its class ({c:.2f}, median {usual:.2f})"] if c - usual <= low and c < usual else []
        told += (
            [f"high loss ({value:.3g}, median of its class {common:.2g})"] if value >= high and value > common else []
        )
        told += [f"contradictory to {frame['name'][int(other)]} ({least:.2f})"] if least <= -UNRELATED else []
        told += ["alone in its class: no cosine"] if np.isnan(c) else []
        reasons.append("; ".join(told))
    frame["reason"] = reasons


def extreme_pairs(frame: pd.DataFrame, kind: str, count: int) -> list[tuple[int, int, float]]:
    """Return the pairs of one class that are most ``nearest`` or ``contradictory``: two samples and their cosine.

    Each sample is in one pair at most, and no class has more than its part of the list, but two.
    """
    sign = -1 if kind == "contradictory" else 1
    enough = frame[sign * frame[f"{kind}_cosine"] >= (INTERCHANGEABLE if sign > 0 else UNRELATED)]
    told, seen, most = [], set(), max(2, ceil(count / frame["label"].nunique()))
    of_class: Counter[str] = Counter()
    for i, row in enough.sort_values(f"{kind}_cosine", ascending=sign < 0).iterrows():
        j = int(row[kind])
        if not {i, j} & seen and of_class[row["label"]] < most:
            told.append((i, j, float(row[f"{kind}_cosine"])))
            seen |= {i, j}
            of_class[row["label"]] += 1
        if len(told) == count:
            break
    return told
