"""Does a predictor see forgetting coming? Every run judged by itself: one row per setting, run and predictor.

Events are rare, so precision, recall and F1 come from counts pooled over the steps of a run; what these do not define
is NaN. All predictors are judged on the same steps: those after the burn-in, before which no threshold can be fitted.
"""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score

from lpntk.phenomena.forgetting.predict import FREE, PREDICTORS
from lpntk.phenomena.forgetting.walk import Setting, Track

EVERY = 10  # steps between two fits of a threshold
DRAWS = 10  # of the random predictor
THIRDS = ("early", "middle", "late")  # of a run
COUNTS = ("hits", "missed", "false")
SCALES = ("signs", "signs-centred", "kappa", "kappa-centred")  # scores whose zero means never
LINEAR = ("kernel-logits", "decay", "momentum", "step")  # scores that hold a change of the margin in logits
COLUMNS = (
    *("setting", "recipe", "lr", "run", "diverged", "predictor", "events", "skipped", "at_risk", "quiet", *COUNTS),
    *(f"{kind}_{third}" for third in THIRDS for kind in COUNTS),
    *("precision", "recall", "f1", "best_f1", "ap", "step_precision", "step_recall", "correlation", "size"),
)


def judge(tracks: Mapping[Setting, Track], *, seed: int = 0) -> pd.DataFrame:
    """Judge every predictor on every run.

    Args:
        tracks: of each setting.
        seed: of the random predictor.

    Returns:
        A row per setting, run and predictor; of a run that ``diverged`` only its name. ``setting`` and ``recipe`` are
        words, ``events``, ``at_risk`` and ``quiet`` (the share of steps without an event) belong to the steps that are
        judged, ``skipped`` are the events of the burn-in. ``hits``, ``missed`` and ``false`` predictions are counted
        in the whole run and in thirds (``hits_early``; means of the draws of ``random``). ``best_f1`` has the threshold
        that hindsight would choose, ``ap`` is the average precision, ``step_precision`` and ``step_recall`` are those
        of ``step_averaged``. Of predictors on logits, over all steps: ``correlation`` of the predicted and the true
        change of the margin, and ``size``, the median absolute change predicted over the true one.
    """
    rows = []
    for setting, track in tracks.items():
        rng = np.random.default_rng(seed)
        named = {"setting": setting.words, "recipe": setting.short, "lr": setting.lr}
        for run, (diverged, *steps) in enumerate(zip(track.diverged.tolist(), *watched(track), strict=True)):
            scores = {name: score[run].numpy() for name, score in track.scores.items()}
            margins = track.before[run].numpy(), track.after[run].numpy()
            told = {} if diverged else _judge_run(scores, *margins, *steps, rng)
            one = {**named, "run": run, "diverged": diverged}
            rows += [{**one, "predictor": name, **told.get(name, {})} for name in PREDICTORS]
    return pd.DataFrame(rows, columns=COLUMNS)


def beginning(track: Track, updates: int) -> Track:
    """Return the first updates of trainings, as if these had ended there; all of them if there are no more."""
    kept = {"correct": updates + 1, "batches": updates}  # of all else, one for each update but the first
    cut = {name: value if name == "diverged" else value[:, : kept.get(name, updates - 1)]
           for name, value in track.tensors().items()}  # fmt: skip
    return Track.join([cut])


def watched(track: Track) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what is looked at, bool: the samples at risk (m, t, b), those forgotten, and the steps judged (m, t, 1).

    At risk is a sample that is correct before the update; none of a run that diverged. Judged is what comes after the
    burn-in of a run.
    """
    at_risk = (track.before.numpy() > 0) & ~track.diverged.numpy()[:, None, None]
    events = at_risk & (track.after.numpy() <= 0)
    starts = np.array([burn_in(happened) for happened in events])
    return at_risk, events, np.arange(events.shape[1])[:, None] >= starts[:, None, None]


def _judge_run(
    scores: Mapping[str, np.ndarray], before: np.ndarray, after: np.ndarray, at_risk: np.ndarray, events: np.ndarray,
    judged: np.ndarray, rng: np.random.Generator,
) -> dict[str, dict[str, float]]:  # fmt: skip
    """Return predictor -> its columns; all arrays (t, b), but judged (t, 1)."""
    each_step = events[judged[:, 0]].any(axis=1)
    shared = {
        "events": int((events & judged).sum()),
        "skipped": int((events & ~judged).sum()),
        "at_risk": int((at_risk & judged).sum()),
        "quiet": 1 - each_step.mean() if len(each_step) else math.nan,
    }
    told = {name: _judge_one(name, score, at_risk, events, judged) for name, score in scores.items()}
    draws = [_judge_one("random", rng.random(events.shape), at_risk, events, judged) for _ in range(DRAWS)]
    told["random"] = pd.DataFrame(draws).mean().to_dict()
    truth = (after - before)[at_risk]
    for name in LINEAR:
        change = (-scores[name] - before)[at_risk]
        told[name]["correlation"] = np.corrcoef(change, truth)[0, 1]
        told[name]["size"] = np.median(abs(change)) / np.median(abs(truth))
    return {name: shared | row for name, row in told.items()}


def _judge_one(
    name: str, score: np.ndarray, at_risk: np.ndarray, events: np.ndarray, judged: np.ndarray
) -> dict[str, float]:
    """Return counts and measures of one predictor on one run."""
    every, events, at_risk = (events, at_risk), events & judged, at_risk & judged
    if name in FREE:
        predicted = at_risk & (score >= 0)
    elif name == "random":  # told the base rate of the run
        predicted = at_risk & (score < events.sum() / max(1, at_risk.sum()))
    else:  # fitted to the burn-in too
        predicted = predict_fitted(score, *every, above=0.0 if name in SCALES else -math.inf)
    told = count(events, predicted)
    thirds = (np.array_split(whole, len(THIRDS)) for whole in (events, predicted))
    for third, *part in zip(THIRDS, *thirds, strict=True):
        told |= {f"{kind}_{third}": number for kind, number in count(*part).items()}
    told |= rates(*(told[kind] for kind in COUNTS))
    seen = at_risk & (score > 0) if name in SCALES else at_risk
    hindsight = at_risk & (score >= best_threshold(score[seen], events[seen]))
    told["best_f1"] = rates(**count(events, hindsight))["f1"]
    told["ap"] = average_precision_score(events[at_risk], score[at_risk]) if events.any() else math.nan
    told["step_precision"], told["step_recall"] = step_averaged(events[judged[:, 0]], predicted[judged[:, 0]])
    return told


def count(events: np.ndarray, predicted: np.ndarray) -> dict[str, int]:
    """Count events that were predicted, those that were not, and predictions without one, over bools of one shape."""
    parts = (events & predicted, events & ~predicted, ~events & predicted)
    return {kind: int(part.sum()) for kind, part in zip(COUNTS, parts, strict=True)}


def rates(hits: np.ndarray, missed: np.ndarray, false: np.ndarray) -> dict[str, np.ndarray]:
    """Return precision, recall and F1 of counts, numbers or arrays of one shape.

    Precision is NaN where nothing was predicted, recall and F1 are NaN where nothing happened.
    """
    hits, missed, false = (np.asarray(part, float) for part in (hits, missed, false))
    happened, predicted = (np.where(n > 0, n, math.nan) for n in (hits + missed, hits + false))
    return {"precision": hits / predicted, "recall": hits / happened, "f1": 2 * hits / (happened + hits + false)}


def step_averaged(events: np.ndarray, predicted: np.ndarray) -> tuple[float, float]:
    """Return precision and recall averaged over (t, b) steps, one without predictions (or events) counting as 1.

    The convention of the authors' public code: the fewer the events, the nearer to 1, whatever was predicted. NaN
    without steps.
    """
    if not len(events):
        return math.nan, math.nan
    hits = (events & predicted).sum(axis=1)  # (t,)
    of = predicted.sum(axis=1), events.sum(axis=1)
    precision, recall = (float(np.where(n > 0, hits / n.clip(1), 1.0).mean()) for n in of)
    return precision, recall


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
    score: np.ndarray, events: np.ndarray, at_risk: np.ndarray, *, every: int = EVERY, above: float = -math.inf
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
