"""Where in training is forgetting foreseen? F1 by thirds of the runs of a setting."""

from collections.abc import Mapping, Sequence

import numpy as np

from lpntk.phenomena.forgetting.judge.summary import WINDOWS, Judged
from lpntk.phenomena.forgetting.walk import Setting


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


def window_numbers(judged: Judged, shown: Sequence[str]) -> dict[str, object]:
    """Return events by third of a run, and the F1 of some predictors with its bootstrap interval."""
    told: dict[str, object] = {f"{w}.events": int(n) for w, n in zip(WINDOWS, judged.events.sum(axis=0), strict=True)}
    for name in shown:
        for window, ends in zip(WINDOWS, window_f1(judged, name), strict=True):
            told |= {f"{window}.{name}.{end}": value for end, value in zip(("f1", "low", "high"), ends, strict=True)}
    return told


def window_words(judged: Mapping[Setting, Judged], shown: Sequence[str]) -> dict[str, str]:
    """Return events and F1 in each third, a list of the settings in words; and where the margin beats the kernel."""
    each = {setting: window_numbers(told, shown) for setting, told in judged.items()}
    told, ahead = {}, []
    for window in WINDOWS:
        told[f"{window}.events"] = ", ".join(str(found[f"{window}.events"]) for found in each.values())
        for name in shown:
            f1 = [found[f"{window}.{name}.f1"] for found in each.values()]
            told[f"{window}.{name}"] = ", ".join(f"{v:.2f}" if np.isfinite(v) else "undefined" for v in f1)
        for setting, found in each.items():
            margin, kernel = found[f"{window}.margin.f1"], found[f"{window}.kernel.f1"]
            if margin > kernel:
                events = found[f"{window}.events"]
                ahead.append(f"{window} at lr {setting.lr:g} ({margin:.2f} against {kernel:.2f}, {events} events)")
    return told | {"margin_ahead": "; ".join(ahead) or "nowhere"}
