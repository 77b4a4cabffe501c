"""What may a page quote of the predictions? Means and spreads over runs, as numbers and as rows of tables."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from lpntk.forgetting import follow
from lpntk.forgetting_predict import PREDICTORS
from lpntk.forgetting_summary import MEASURES, WINDOWS, Judged, compare, window_f1
from lpntk.forgetting_walk import Setting, Track


def spread(values: np.ndarray) -> tuple[float, float, int]:
    """Return mean and standard deviation of what is defined, and how many that are; NaN of none."""
    values = values[np.isfinite(values)]
    if not len(values):
        return math.nan, math.nan, 0
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else math.nan, len(values)


def numbers(judged: Judged) -> dict[str, object]:
    """Return what a page may quote of a setting, under dotted keys."""
    rate = judged.total / np.maximum(1, judged.at_risk)
    told: dict[str, object] = {
        "events": int(judged.total.sum()),
        "at_risk": int(judged.at_risk.sum()),
        "base_rate": float(judged.total.sum() / max(1, judged.at_risk.sum())),
        "base_rate_sd": spread(rate)[1],
        "quiet_steps": spread(judged.quiet)[0],
        "diverged": judged.diverged,
    }
    told |= {f"events.{w}": int(n) for w, n in zip(WINDOWS, judged.events.sum(axis=0), strict=True)}
    for name, values in judged.values.items():
        for measure in MEASURES:
            mean, sd, defined = spread(values[measure])
            told |= {f"{name}.{measure}": mean, f"{name}.{measure}_sd": sd, f"{name}.{measure}_runs": defined}
        for window, (f1, low, high) in zip(WINDOWS, window_f1(judged, name), strict=True):
            told |= {f"{name}.{window}.f1": f1, f"{name}.{window}.low": low, f"{name}.{window}.high": high}
    for name in judged.correlation:
        told |= {
            f"{name}.correlation": spread(judged.correlation[name])[0],
            f"{name}.size": spread(judged.size[name])[0],
        }
    return told


def text(values: np.ndarray) -> str:
    """Return ``mean ± sd`` of what is defined; how many runs that are, if not all."""
    mean, sd, defined = spread(values)
    if not defined:
        return "undefined"
    words = f"{mean:.2f}" + (f" ± {sd:.2f}" if math.isfinite(sd) else "")
    return words if defined == len(values) else f"{words} ({defined} runs)"


def predictor_rows(judged: Judged) -> list[dict[str, str]]:
    """Return one row per predictor of one setting."""
    heads = {"precision": "precision", "recall": "recall", "f1": "F1", "best_f1": "F1 in hindsight", "ap": "AP",
             "step_precision": "step-averaged precision", "step_recall": "step-averaged recall"}  # fmt: skip
    return [
        {"predictor": words, **{head: text(judged.values[name][m]) for m, head in heads.items()}}
        for name, words in PREDICTORS.items()
    ]


def overview_rows(judged: Mapping[Setting, Judged]) -> list[dict[str, object]]:
    """Return one row per setting: events, F1 of the main predictors, and the verdicts."""
    return [
        {
            "setting": setting.words,
            "events": int(told.total.sum()),
            "of": int(told.at_risk.sum()),
            **{PREDICTORS[n]: text(told.values[n]["f1"]) for n in ("kernel", "momentum", "step", "signs", "margin")},
            "kernel against margin": compare(told, "kernel", "margin").verdict,
            "against its hindsight": compare(told, "kernel", "margin", against="best_f1").verdict,
            "by AP": compare(told, "kernel", "margin", "ap").verdict,
        }
        for setting, told in judged.items()
    ]


def part_rows(judged: Mapping[Setting, Judged]) -> list[dict[str, object]]:
    """Return one row per setting: what the kernel sees of the true change of the margin, and what that costs."""
    rows = []
    for setting, told in judged.items():
        row: dict[str, object] = {"real update": setting.short}
        for name, words in (("kernel-logits", "kernel"), ("momentum", "kernel + momentum"), ("step", "true step")):
            row[f"correlation: {words}"] = text(told.correlation[name])
        row["size: kernel"] = text(told.size["kernel-logits"])
        cost = compare(told, "step", "kernel-logits")
        rows.append(
            {**row, "F1 lost by the kernel": f"{cost.difference:.2f}", "true step against kernel": cost.verdict}
        )
    return rows


def convention_rows(judged: Mapping[Setting, Judged], shown: Sequence[str]) -> list[dict[str, str]]:
    """Return one row per setting and predictor: precision and recall, pooled and averaged over steps."""
    return [
        {
            "setting": setting.words,
            "steps without events": f"{spread(told.quiet)[0]:.0%}",
            "predictor": PREDICTORS[name],
            **{
                f"{measure}, {words}": text(told.values[name][prefix + measure])
                for measure in ("precision", "recall")
                for words, prefix in (("pooled", ""), ("step-averaged", "step_"))
            },
        }
        for setting, told in judged.items()
        for name in shown
    ]


def count_numbers(track: Track) -> dict[str, float]:
    """Return what a page may quote of the events of the samples followed: means over samples and runs."""
    correct = track.correct[~track.diverged]
    told = follow(correct)
    return {
        "events_per_sample": float(told.counts.float().mean()),
        "most": float(told.counts.float().mean(dim=0).max()),
        "forgotten": float((told.counts > 0).float().mean()),
        "never_forgotten": float(told.never_forgotten.float().mean()),
        "never_learned": float(told.never_learned.float().mean()),
        "correct_at_the_end": float(correct[:, -1].float().mean()),
    }


def count_rows(tracks: Mapping[Setting, Track]) -> list[dict[str, object]]:
    """Return one row of ``count_numbers`` per setting."""
    heads = {
        "correct_at_the_end": "correct at the end",
        "never_learned": "never learned",
        "forgotten": "forgotten at least once",
        "never_forgotten": "learned, never forgotten",
    }
    rows = []
    for setting, track in tracks.items():
        told = count_numbers(track)
        row = {"setting": setting.words} | {words: f"{told[key]:.1%}" for key, words in heads.items()}
        rows.append(row | {"events per sample": f"{told['events_per_sample']:.2f}"})
    return rows
