"""Does batch norm matter? Networks with it and without beside each other, and their difference, judged.

A frame here has a column ``norm`` and what the rooms of the questions tell of each network.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan

import pandas as pd

from lpntk.report.slopes import mean_interval
from lpntk.report.verdict import FAILS, HOLDS, IN_PART, UNJUDGED, Verdict, inside


def check_trained(model: str, trained: Mapping[str, Mapping[str, object]]) -> None:
    """Refuse, before anything is trained, what cannot be set side by side.

    Args:
        model: name of the architecture.
        trained: norm -> what is its own in training; ``moments``, numbers of epochs.

    Raises:
        ValueError: if it is not ``resnet18`` with ``batch`` and with ``none``, or all moments of one lie in the second
            half of its training, where freezing is not judged.
    """
    if model != "resnet18" or set(trained) != {"batch", "none"}:
        found = ", ".join(trained) or "none of them"
        raise ValueError(f"expected model resnet18, trained with batch and with none; got {model} with {found}")
    for norm, own in trained.items():
        if not min(own["moments"]) <= max(own["moments"]) / 2:
            found = f"{norm} up to half of its {max(own['moments'])} epochs; got {own['moments']}"
            raise ValueError(f"expected a moment of {found}: add one")


def side_by_side(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the frames of several norms as one, the first column ``norm``."""
    return pd.concat([frame.assign(norm=norm)[["norm", *frame]] for norm, frame in frames.items()], ignore_index=True)


def at_the_end(frame: pd.DataFrame, *, first: bool = False) -> pd.DataFrame:
    """Return the rows of the last ``epoch`` of each norm, which need not be the same; also of the first if asked."""
    last = frame["epoch"] == frame.groupby("norm")["epoch"].transform("max")
    return frame[last | (frame["epoch"] == frame.groupby("norm")["epoch"].transform("min"))] if first else frame[last]


def first_half(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of one norm up to half of its epochs, and of its last epoch."""
    end = frame["epoch"].max()
    return frame[(frame["epoch"] <= end / 2) | (frame["epoch"] == end)]


def least_accuracy(accuracy: pd.DataFrame, norm: str, networks: int) -> float:
    """Return the accuracy on the test part of the worst network of a norm at its end; NaN if not all finished."""
    end = at_the_end(accuracy[accuracy["norm"] == norm])["test"]
    return float(end.min(skipna=False)) if len(end) == networks else float("nan")


def rarity(shares: pd.DataFrame, accuracy: pd.DataFrame, norm: str, rule: Mapping[str, object], networks: int) -> str:
    """Judge whether contradictory pairs are rare at the end, by means over networks, as the table of claims does.

    Args:
        shares: a row for each norm, seed, epoch and ``labels``; ``negative`` and ``contradictory`` shares.
        accuracy: a row for each norm, seed and epoch; shares of the ``test`` part.
        norm: which.
        rule: ``enough`` by norm, and ``rare``.
        networks: of each norm.

    Returns:
        Holds if at most ``rare`` of all pairs are negative, in part if at most as many of those of two labels are
        contradictory, else fails; not judged if a network has not learned ``enough`` or did not finish.
    """
    if not least_accuracy(accuracy, norm, networks) >= rule["enough"][norm]:
        return UNJUDGED
    means = at_the_end(shares[shares["norm"] == norm]).groupby("labels")[["negative", "contradictory"]].mean()
    negative, contradictory = means.loc["all", "negative"], means.loc["different", "contradictory"]
    if isnan(negative) or isnan(contradictory):
        return UNJUDGED
    return HOLDS if negative <= rule["rare"] else IN_PART if contradictory <= rule["rare"] else FAILS


def with_learned(compared: pd.DataFrame, correct: Mapping[str, float], rule: Mapping[str, object]) -> pd.DataFrame:
    """Return comparisons by setting, not judged where the networks are right on less than ``learned`` at the end.

    Args:
        compared: the first level of its index is the setting; ``verdict``.
        correct: setting -> share of the samples.
        rule: ``learned``.
    """
    of = compared.index.get_level_values(0).map(correct)
    return compared.assign(verdict=compared["verdict"].where(of >= rule["learned"], UNJUDGED))


@dataclass(frozen=True)
class Gap:
    """How much larger a share is without batch norm than with it: mean, ends of its 95 % interval, verdict."""

    mean: float
    low: float
    high: float
    verdict: Verdict


def gap_without(shares: pd.DataFrame, accuracy: pd.DataFrame, rule: Mapping[str, object], networks: int) -> Gap:
    """Judge whether as many of all pairs lie beyond a right angle without batch norm (``none``) as with it (``batch``).

    Args:
        shares: as in ``rarity``; ``negative`` shares.
        accuracy: as there.
        rule: ``enough`` by norm, and ``same``, the largest distance that is none.
        networks: of each norm.
    """
    end = at_the_end(shares[shares["labels"] == "all"]).pivot(index="seed", columns="norm", values="negative")
    mean, low, high = mean_interval((end["none"] - end["batch"]).dropna())
    learned = all(least_accuracy(accuracy, norm, networks) >= rule["enough"][norm] for norm in ("batch", "none"))
    word = inside(low, high, -rule["same"], rule["same"]) if learned else UNJUDGED
    return Gap(mean, low, high, Verdict(word))
