"""Does batch norm matter? Networks with it and without beside each other, and their difference, judged.

A frame here has a column ``norm`` and what the rooms of the questions tell of each network.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from lpntk.report.slopes import mean_interval
from lpntk.report.verdict import UNJUDGED, Verdict, inside


def side_by_side(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the frames of several norms as one, the first column ``norm``."""
    return pd.concat([frame.assign(norm=norm)[["norm", *frame]] for norm, frame in frames.items()], ignore_index=True)


def at_the_end(frame: pd.DataFrame, *, first: bool = False) -> pd.DataFrame:
    """Return the rows of the last ``epoch`` of each norm, which need not be the same; also of the first if asked."""
    last = frame["epoch"] == frame.groupby("norm")["epoch"].transform("max")
    return frame[last | (frame["epoch"] == frame.groupby("norm")["epoch"].transform("min"))] if first else frame[last]


def least_accuracy(accuracy: pd.DataFrame, norm: str) -> float:
    """Return the accuracy on the test part of the worst network of a norm at its end."""
    return float(at_the_end(accuracy[accuracy["norm"] == norm])["test"].min())


def rarity(shares: pd.DataFrame, accuracy: pd.DataFrame, norm: str, rule: Mapping[str, object]) -> str:
    """Return whether contradictory pairs are ``rare``, ``common`` or ``neither`` among all at the end of a training.

    Args:
        shares: a row for each norm, seed, epoch and ``labels``; ``contradictory`` shares.
        accuracy: a row for each norm, seed and epoch; shares of the ``test`` part.
        norm: which.
        rule: ``enough`` by norm, ``rare`` (at most) and ``common`` (at least).
    """
    if not least_accuracy(accuracy, norm) >= rule["enough"][norm]:
        return UNJUDGED
    share = at_the_end(shares[(shares["norm"] == norm) & (shares["labels"] == "all")])["contradictory"].mean()
    return "rare" if share <= rule["rare"] else "common" if share >= rule["common"] else "neither rare nor common"


@dataclass(frozen=True)
class Gap:
    """How much larger a share is without batch norm than with it: mean, ends of its 95 % interval, verdict."""

    mean: float
    low: float
    high: float
    verdict: Verdict


def gap_without(shares: pd.DataFrame, accuracy: pd.DataFrame, rule: Mapping[str, object]) -> Gap:
    """Judge whether as many of all pairs lie beyond a right angle without batch norm (``none``) as with it (``batch``).

    Args:
        shares: as in ``rarity``; ``negative`` shares.
        accuracy: as there.
        rule: ``enough`` by norm, and ``same``, the largest distance that is none.
    """
    end = at_the_end(shares[shares["labels"] == "all"]).pivot(index="seed", columns="norm", values="negative")
    mean, low, high = mean_interval((end["none"] - end["batch"]).dropna())
    learned = all(least_accuracy(accuracy, norm) >= rule["enough"][norm] for norm in ("batch", "none"))
    word = inside(low, high, -rule["same"], rule["same"]) if learned else UNJUDGED
    return Gap(mean, low, high, Verdict(word))
