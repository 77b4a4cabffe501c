"""How good is a prediction of rare events? Precision, recall and F1 from pooled counts, undefined where they are."""

import math
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score

NAN = math.nan
EVERY = 10  # steps between two fits of a threshold


def spread(values: np.ndarray) -> tuple[float, float, int]:
    """Return mean and standard deviation of what is defined, and how many that are; NaN of none."""
    values = values[np.isfinite(values)]
    if not len(values):
        return NAN, NAN, 0
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else NAN, len(values)


@dataclass(frozen=True)
class Outcome:
    """Counts over any number of samples and steps; what they do not define is NaN.

    Attributes:
        hits: events that were predicted.
        missed: events that were not.
        false: predictions without an event.
    """

    hits: int
    missed: int
    false: int

    @property
    def events(self) -> int:
        """Events that happened."""
        return self.hits + self.missed

    @property
    def precision(self) -> float:
        """Of what was predicted, the share that happened; NaN if nothing was predicted."""
        return self.hits / (self.hits + self.false) if self.hits + self.false else NAN

    @property
    def recall(self) -> float:
        """Of what happened, the share that was predicted; NaN if nothing happened."""
        return self.hits / self.events if self.events else NAN

    @property
    def f1(self) -> float:
        """2 hits / (2 hits + missed + false); NaN if nothing happened, 0 if events happened and none was hit."""
        return 2 * self.hits / (2 * self.hits + self.missed + self.false) if self.events else NAN


def outcome(events: np.ndarray, predicted: np.ndarray) -> Outcome:
    """Count over arrays of one shape, bool."""
    return Outcome(
        hits=int((events & predicted).sum()),
        missed=int((events & ~predicted).sum()),
        false=int((~events & predicted).sum()),
    )


def step_averaged(events: np.ndarray, predicted: np.ndarray) -> tuple[float, float]:
    """Return precision and recall averaged over steps, a step without predictions (or events) counting as 1.

    The convention of the authors' public code, to be shown beside the pooled counts: the fewer the events, the
    nearer to 1 it stands, whatever was predicted.

    Args:
        events: (t, b) bool.
        predicted: (t, b) bool.

    Returns:
        Both, NaN without steps.
    """
    if not len(events):
        return NAN, NAN
    hits = (events & predicted).sum(axis=1)  # (t,)
    each = [np.where(of.any(axis=1), hits / of.sum(axis=1).clip(1), 1.0) for of in (predicted, events)]
    return float(each[0].mean()), float(each[1].mean())


def best_threshold(score: np.ndarray, events: np.ndarray) -> float:
    """Return the threshold whose predictions ``score >= threshold`` have the largest F1; infinite without events.

    Args:
        score: (n,) larger for what is more likely.
        events: (n,) bool.
    """
    if not events.any():
        return math.inf
    happened, everything = np.sort(score[events]), np.sort(score)
    predicted = len(score) - np.searchsorted(everything, happened)  # the best threshold is the score of an event
    hits = len(happened) - np.searchsorted(happened, happened)
    return float(happened[(2 * hits / (predicted + len(happened))).argmax()])


def burn_in(events: np.ndarray, every: int = EVERY) -> int:
    """Return how many first steps of (t, b) no fit can predict: up to the first fit after the first event, or all t."""
    found = np.flatnonzero(events.any(axis=1))
    return min(len(events), (int(found[0]) // every + 1) * every) if len(found) else len(events)


def predict_fitted(
    score: np.ndarray,
    events: np.ndarray,
    at_risk: np.ndarray,
    *,
    every: int = EVERY,
    above: float = -math.inf,
) -> np.ndarray:
    """Predict each step with the threshold that was best on earlier steps; nothing in the ``burn_in``.

    Args:
        score: (t, b).
        events: (t, b) bool.
        at_risk: (t, b) bool: samples that can be forgotten.
        every: steps between two fits.
        above: scores up to this are never predicted, such as 0 for an inverse scale.

    Returns:
        (t, b) bool.
    """
    predicted = np.zeros_like(events)
    for start in range(every, len(events), every):
        seen = at_risk[:start]
        threshold = best_threshold(score[:start][seen], events[:start][seen])
        now = slice(start, start + every)
        predicted[now] = at_risk[now] & (score[now] >= threshold) & (score[now] > above)
    return predicted


def average_precision(score: np.ndarray, events: np.ndarray) -> float:
    """Return the area under the precision-recall steps (n,); NaN without events. The base rate is that of chance."""
    return float(average_precision_score(events, score)) if events.any() else NAN
