"""Does a predictor see forgetting coming? Each run judged by itself."""

import math
from dataclasses import astuple, dataclass

import numpy as np

from lpntk.phenomena.forgetting.judge.metrics import (
    average_precision,
    best_threshold,
    burn_in,
    outcome,
    predict_fitted,
    spread,
    step_averaged,
)
from lpntk.phenomena.forgetting.predict import FREE, PREDICTORS
from lpntk.phenomena.forgetting.walk import Track

WINDOWS = ("early", "middle", "late")  # thirds of a run
SCALES = ("signs", "signs-centred", "kappa", "kappa-centred")  # scores whose zero means never
DRAWS = 10  # of the random predictor
MEASURES = ("precision", "recall", "f1", "best_f1", "ap", "step_precision", "step_recall")


@dataclass(frozen=True)
class Judged:
    """How one setting was predicted; a value per run that did not diverge, NaN where undefined.

    All predictors are judged on the same steps: those after the ``burn_in`` of the run, before which no threshold is
    fitted. ``correlation`` and ``size``, which need none, are over all steps.

    Attributes:
        events: (seeds, 3) events in each window.
        skipped: (seeds,) events in the burn-in, which are not in ``events``.
        at_risk: (seeds,) how often a sample of the previous batch was correct before an update.
        quiet: (seeds,) share of steps without an event.
        diverged: runs left out.
        values: predictor -> measure -> (seeds,): ``precision``, ``recall``, ``f1`` from counts pooled over the run,
            ``best_f1`` with the threshold that hindsight would choose, ``ap`` average precision, ``step_precision`` and
            ``step_recall`` in the step-averaged convention.
        counts: predictor -> (seeds, 3, 3) hits, missed and false predictions in each window; a mean for ``random``.
        correlation: predictor on logits -> (seeds,) of the predicted and the true change of the margin.
        size: predictor on logits -> (seeds,) median absolute predicted change over the true one's.
    """

    events: np.ndarray
    skipped: np.ndarray
    at_risk: np.ndarray
    quiet: np.ndarray
    diverged: int
    values: dict[str, dict[str, np.ndarray]]
    counts: dict[str, np.ndarray]
    correlation: dict[str, np.ndarray]
    size: dict[str, np.ndarray]

    @property
    def total(self) -> np.ndarray:
        """(seeds,) events of each run."""
        return self.events.sum(axis=1)

    def predictions(self, name: str) -> float:
        """Predictions of one predictor in all runs."""
        return float(self.counts[name][:, :, [0, 2]].sum())


@dataclass(frozen=True)
class Steps:
    """What can be predicted, and what is judged of it; (seeds, t, b) over the runs that did not diverge.

    Attributes:
        before: margins before each update.
        after: and after it.
        at_risk: bool, samples that can be forgotten.
        events: bool, those that are.
        counted: (seeds, t, 1) bool, the steps after the burn-in.
    """

    before: np.ndarray
    after: np.ndarray
    at_risk: np.ndarray
    events: np.ndarray
    counted: np.ndarray

    @classmethod
    def of(cls, track: Track) -> "Steps":
        """Return those of a track without diverged runs."""
        before, after = track.before.numpy(), track.after.numpy()
        at_risk = before > 0
        events = at_risk & (after <= 0)
        starts = np.array([burn_in(e) for e in events], dtype=int)  # (seeds,)
        return cls(before, after, at_risk, events, (np.arange(before.shape[1]) >= starts[:, None])[..., None])


def judge(track: Track, *, seed: int = 0) -> Judged:
    """Judge every predictor on every run of a setting.

    Args:
        track: of the setting.
        seed: of the random predictor.
    """
    kept = track.finished()
    steps = Steps.of(kept)
    runs = list(zip(steps.events, steps.at_risk, steps.counted, strict=True))
    told = {name: kept.scores[name].numpy() for name in PREDICTORS if name != "random"}
    each = {name: [_one(name, s, *run) for s, run in zip(told[name], runs, strict=True)] for name in told}
    rng = np.random.default_rng(seed)
    each["random"] = [_mean([_one("random", rng.random(e.shape), e, a, c) for _ in range(DRAWS)]) for e, a, c in runs]
    linear = {name: -told[name] - steps.before for name in ("kernel-logits", "decay", "momentum", "step")}
    pairs = {name: list(zip(c, steps.after - steps.before, steps.at_risk, strict=True)) for name, c in linear.items()}
    events = steps.events & steps.counted
    return Judged(
        events=np.stack([part.sum(axis=(1, 2)) for part in np.array_split(events, len(WINDOWS), axis=1)], axis=1),
        skipped=(steps.events & ~steps.counted).sum(axis=(1, 2)),
        at_risk=(steps.at_risk & steps.counted).sum(axis=(1, 2)),
        quiet=np.array([1 - spread(e[c[:, 0]].any(axis=1))[0] for e, _, c in runs]),
        diverged=int(track.diverged.sum()),
        values={n: {k: np.array([row[k] for row, _ in rows]) for k in MEASURES} for n, rows in each.items()},
        counts={n: np.array([windows for _, windows in rows]) for n, rows in each.items()},
        correlation={n: np.array([np.corrcoef(c[a], t[a])[0, 1] for c, t, a in p]) for n, p in pairs.items()},
        size={n: np.array([np.median(abs(c[a])) / np.median(abs(t[a])) for c, t, a in p]) for n, p in pairs.items()},
    )


def _one(
    name: str, score: np.ndarray, events: np.ndarray, at_risk: np.ndarray, counted: np.ndarray
) -> tuple[dict[str, float], list]:
    """Judge one predictor on one run, (t, b) arrays: its measures, and its counts by window."""
    every = events, at_risk  # a threshold is fitted to the burn-in too
    events, at_risk = events & counted, at_risk & counted
    if name in FREE:
        predicted = at_risk & (score >= 0)
    elif name == "random":  # told the base rate of the run
        predicted = at_risk & (score < events.sum() / max(1, at_risk.sum()))
    else:
        predicted = predict_fitted(score, *every, above=0.0 if name in SCALES else -math.inf)
    whole = outcome(events, predicted)
    seen = at_risk & (score > 0) if name in SCALES else at_risk
    hindsight = at_risk & (score >= best_threshold(score[seen], events[seen]))
    thirds = zip(*(np.array_split(part, len(WINDOWS)) for part in (events, predicted)), strict=True)
    step_precision, step_recall = step_averaged(events[counted[:, 0]], predicted[counted[:, 0]])
    return {
        "precision": whole.precision,
        "recall": whole.recall,
        "f1": whole.f1,
        "best_f1": outcome(events, hindsight).f1,
        "ap": average_precision(score[at_risk], events[at_risk]),
        "step_precision": step_precision,
        "step_recall": step_recall,
    }, [astuple(outcome(e, p)) for e, p in thirds]


def _mean(draws: list[tuple[dict[str, float], list]]) -> tuple[dict[str, float], np.ndarray]:
    """Return the mean of what is defined over draws of ``_one``."""
    values = {measure: spread(np.array([told[measure] for told, _ in draws]))[0] for measure in MEASURES}
    return values, np.mean([windows for _, windows in draws], axis=0)
