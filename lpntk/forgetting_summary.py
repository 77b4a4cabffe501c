"""Does the kernel see forgetting coming? Each run judged by itself, runs compared in pairs, the verdict by its rule."""

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np

from lpntk.forgetting_metrics import average_precision, best_threshold, outcome, predict_fitted, step_averaged
from lpntk.forgetting_predict import FREE, PREDICTORS
from lpntk.forgetting_walk import Track

WINDOWS = ("early", "middle", "late")  # thirds of a run
SCALES = ("signs", "kappa", "kappa-centred")  # scores whose zero means never
MIN_SEEDS, MIN_EVENTS = 5, 30  # below either nothing is judged
SHARE, LEVEL = 0.9, 0.05
MEASURES = ("precision", "recall", "f1", "best_f1", "ap", "step_precision", "step_recall")


@dataclass(frozen=True)
class Judged:
    """How one setting was predicted; a value per run that did not diverge, NaN where undefined.

    Attributes:
        events: (seeds, 3) events in each window.
        at_risk: (seeds,) how often a sample of the previous batch was correct before an update.
        quiet: (seeds,) share of steps without an event.
        diverged: runs left out.
        values: predictor -> measure -> (seeds,): ``precision``, ``recall``, ``f1`` from counts pooled over the run,
            ``best_f1`` with the threshold that hindsight would choose, ``ap`` average precision, ``step_precision`` and
            ``step_recall`` in the step-averaged convention.
        counts: predictor -> (seeds, 3, 3) hits, missed and false predictions in each window.
        correlation: predictor on logits -> (seeds,) of the predicted and the true change of the margin.
        size: predictor on logits -> (seeds,) median absolute predicted change over the true one's.
    """

    events: np.ndarray
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


def judge(track: Track, *, seed: int = 0) -> Judged:
    """Judge every predictor on every run of a setting.

    Args:
        track: of the setting.
        seed: of the random predictor.
    """
    runs = (~track.diverged).nonzero()[:, 0].tolist()
    before, after = track.before.numpy()[runs], track.after.numpy()[runs]  # (seeds, t - 1, b)
    at_risk = before > 0
    events = at_risk & (after <= 0)
    told = {name: track.scores[name].numpy()[runs] for name in PREDICTORS if name != "random"}
    told["random"] = np.random.default_rng(seed).random(before.shape)
    each = {name: [_one(name, s, e, a) for s, e, a in zip(told[name], events, at_risk, strict=True)] for name in told}
    linear = {name: -told[name] - before for name in ("kernel-logits", "decay", "momentum", "step")}
    pairs = {name: list(zip(c, after - before, at_risk, strict=True)) for name, c in linear.items()}
    return Judged(
        events=np.stack([part.sum(axis=(1, 2)) for part in np.array_split(events, len(WINDOWS), axis=1)], axis=1),
        at_risk=at_risk.sum(axis=(1, 2)),
        quiet=1 - events.any(axis=2).mean(axis=1),
        diverged=int(track.diverged.sum()),
        values={n: {k: np.array([row[k] for row, _ in rows]) for k in MEASURES} for n, rows in each.items()},
        counts={n: np.array([windows for _, windows in rows]) for n, rows in each.items()},
        correlation={n: np.array([np.corrcoef(c[a], t[a])[0, 1] for c, t, a in p]) for n, p in pairs.items()},
        size={n: np.array([np.median(abs(c[a])) / np.median(abs(t[a])) for c, t, a in p]) for n, p in pairs.items()},
    )


def _one(name: str, score: np.ndarray, events: np.ndarray, at_risk: np.ndarray) -> tuple[dict[str, float], list]:
    """Judge one predictor on one run, (t, b) arrays: its measures, and its counts by window."""
    if name in FREE:
        predicted = at_risk & (score > 0)
    elif name == "random":  # told the base rate of the run
        predicted = at_risk & (score < events.sum() / max(1, at_risk.sum()))
    else:
        predicted = predict_fitted(score, events, at_risk, above=0.0 if name in SCALES else -math.inf)
    whole = outcome(events, predicted)
    seen = at_risk & (score > 0) if name in SCALES else at_risk
    hindsight = at_risk & (score >= best_threshold(score[seen], events[seen]))
    thirds = zip(*(np.array_split(part, len(WINDOWS)) for part in (events, predicted)), strict=True)
    step_precision, step_recall = step_averaged(events, predicted)
    return {
        "precision": whole.precision,
        "recall": whole.recall,
        "f1": whole.f1,
        "best_f1": outcome(events, hindsight).f1,
        "ap": average_precision(score[at_risk], events[at_risk]),
        "step_precision": step_precision,
        "step_recall": step_recall,
    }, [astuple(outcome(e, p)) for e, p in thirds]


def window_f1(judged: Judged, name: str, *, draws: int = 1000, seed: int = 0) -> np.ndarray:
    """Return F1 by window, (3, 3): of the counts of all runs, and the ends of its 95 % bootstrap interval over runs.

    A single run has too few events in a third of its steps for an F1 of its own.

    Args:
        judged: a setting.
        name: of the predictor.
        draws: resamplings of the runs.
        seed: of these.
    """
    counts = judged.counts[name]  # (seeds, windows, 3)
    runs = np.random.default_rng(seed).integers(len(counts), size=(draws, len(counts)))
    told = []
    for hits, missed, false in (np.moveaxis(c, -1, 0) for c in (counts.sum(axis=0), counts[runs].sum(axis=1))):
        with np.errstate(invalid="ignore"):
            told.append(np.where(hits + missed > 0, 2 * hits / (2 * hits + missed + false), np.nan))
    whole, drawn = told  # (windows,), (draws, windows)
    ends = [np.nanquantile(d, [0.025, 0.975]) if np.isfinite(d).any() else (np.nan, np.nan) for d in drawn.T]
    return np.column_stack([whole, np.array(ends)])


@dataclass(frozen=True)
class Comparison:
    """One predictor against another over the runs of a setting.

    Attributes:
        wins: runs in which the first has the larger value.
        losses: runs in which the second has.
        runs: with a value for both.
        events: in these runs together.
        difference: mean of first minus second.
        p: one-sided Wilcoxon signed-rank test over runs, in the direction of the greater number of runs.
    """

    wins: int
    losses: int
    runs: int
    events: int
    difference: float
    p: float

    @property
    def verdict(self) -> str:
        """``better``, ``worse``, ``undecided`` or ``cannot be judged``, by the rule that the notebook states."""
        if self.runs < MIN_SEEDS or self.events < MIN_EVENTS:
            return "cannot be judged"
        if max(self.wins, self.losses) < SHARE * self.runs or self.p >= LEVEL:
            return "undecided"
        return "better" if self.wins > self.losses else "worse"


def overall(verdicts: Sequence[str]) -> str:
    """Return ``holds`` if all that could be judged are ``better``, ``holds in part`` if some are, else ``fails``."""
    judged = [verdict for verdict in verdicts if verdict != "cannot be judged"]
    if not judged:
        return "cannot be judged"
    won = judged.count("better")
    return "holds" if won == len(judged) else "holds in part" if won else "fails"


def compare(judged: Judged, first: str, second: str, measure: str = "f1", against: str | None = None) -> Comparison:
    """Compare two predictors run by run.

    Args:
        judged: one setting.
        first: a predictor.
        second: another one.
        measure: see ``Judged.values``.
        against: measure of the second, if it is another one (``best_f1`` is the hindsight of a fitted threshold).
    """
    from scipy.stats import wilcoxon  # slow to import

    a, b = judged.values[first][measure], judged.values[second][against or measure]
    both = np.isfinite(a) & np.isfinite(b)
    gap = (a - b)[both]
    wins, losses = int((gap > 0).sum()), int((gap < 0).sum())
    side = "greater" if wins >= losses else "less"
    return Comparison(
        wins=wins,
        losses=losses,
        runs=len(gap),
        events=int(judged.total[both].sum()),
        difference=float(gap.mean()) if len(gap) else math.nan,
        p=float(wilcoxon(gap, alternative=side).pvalue) if gap.any() else 1.0,
    )
