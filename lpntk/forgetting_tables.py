"""What may a page quote of the predictions? Means and spreads over runs, as numbers and as rows of tables."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from lpntk.forgetting import follow
from lpntk.forgetting_predict import PREDICTORS
from lpntk.forgetting_summary import MEASURES, WINDOWS, Comparison, Judged, compare, window_f1
from lpntk.forgetting_walk import Setting, Track


def spread(values: np.ndarray) -> tuple[float, float, int]:
    """Return mean and standard deviation of what is defined, and how many that are; NaN of none."""
    values = values[np.isfinite(values)]
    if not len(values):
        return math.nan, math.nan, 0
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else math.nan, len(values)


def numbers(judged: Judged) -> dict[str, object]:
    """Return what a page may quote of a setting, under dotted keys; what is left out stands in its tables."""
    told: dict[str, object] = {
        "events": int(judged.total.sum()),
        "runs_with_events": int((judged.total > 0).sum()),
        "base_rate": float(judged.total.sum() / max(1, judged.at_risk.sum())),
        "quiet_steps": spread(judged.quiet)[0],
        "diverged": judged.diverged,
    }
    told |= {f"{name}.f1": spread(values["f1"])[0] for name, values in judged.values.items()}
    for name in ("kernel", "momentum", "step", "signs", "margin"):
        told |= {
            f"{name}.f1_sd": spread(judged.values[name]["f1"])[1],
            f"{name}.ap": spread(judged.values[name]["ap"])[0],
        }
    for name in ("kernel", "kappa", "margin"):
        told |= {f"{name}.{m}": spread(judged.values[name][m])[0] for m in MEASURES if m not in ("f1", "ap")}
    for name in ("kernel-logits", "momentum", "step"):
        told[f"{name}.correlation"] = spread(judged.correlation[name])[0]
        told[f"{name}.size"] = spread(judged.size[name])[0]
    return told


def rate_numbers(
    judged: Mapping[Setting, Judged], compared: Mapping[Setting, Mapping[str, Comparison]]
) -> dict[str, str]:
    """Return learning rates, F1, events and verdicts of some settings, each as one list in words."""
    told = {
        "lr": [f"{setting.lr:g}" for setting in judged],
        "events": [str(int(one.total.sum())) for one in judged.values()],
        "verdicts": [compared[setting]["margin"].verdict for setting in judged],
        "hindsight": [compared[setting]["hindsight"].verdict for setting in judged],
    }
    for name in ("kernel", "momentum", "step", "margin"):
        told[name] = [text(one.values[name]["f1"]) for one in judged.values()]
    return {key: ", ".join(words) for key, words in told.items()}


def window_numbers(judged: Judged, shown: Sequence[str]) -> dict[str, object]:
    """Return events by third of a run, and the F1 of some predictors with its bootstrap interval."""
    told: dict[str, object] = {f"{w}.events": int(n) for w, n in zip(WINDOWS, judged.events.sum(axis=0), strict=True)}
    for name in shown:
        for window, ends in zip(WINDOWS, window_f1(judged, name), strict=True):
            told |= {f"{window}.{name}.{end}": value for end, value in zip(("f1", "low", "high"), ends, strict=True)}
    return told


def comparisons(judged: Judged) -> dict[str, Comparison]:
    """Return the comparisons shown: the paper's predictor against the margin, the true step against the kernel."""
    return {
        "margin": compare(judged, "kernel", "margin"),
        "hindsight": compare(judged, "kernel", "margin", against="best_f1"),
        "ap": compare(judged, "kernel", "margin", "ap"),
        "cost": compare(judged, "step", "kernel-logits"),
    }


def comparison_numbers(told: Mapping[str, Comparison]) -> dict[str, object]:
    """Return the verdicts of ``comparisons`` and what they rest on."""
    margin = {f"margin.{key}": getattr(told["margin"], key) for key in ("wins", "runs", "difference", "p")}
    return {f"{name}.verdict": comparison.verdict for name, comparison in told.items()} | margin


def verdict_line(setting: Setting, judged: Judged, told: Mapping[str, Comparison]) -> str:
    """Return one line of Markdown: the paper's predictor against the fitted margin at one setting."""
    f1 = {name: text(judged.values[name]["f1"]) for name in ("kernel", "margin")}
    return (
        f"- {setting.words}: F1 of the kernel {f1['kernel']}, of the fitted margin {f1['margin']} "
        f"({int(judged.total.sum())} events, higher in {told['margin'].wins} of {told['margin'].runs} runs, "
        f"$p$ = {told['margin'].p:.2g}): **{told['margin'].verdict}**; against the margin's best threshold in "
        f"hindsight: {told['hindsight'].verdict}"
    )


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


def overview_rows(
    judged: Mapping[Setting, Judged], compared: Mapping[Setting, Mapping[str, Comparison]]
) -> list[dict[str, object]]:
    """Return one row per setting: events, F1 of the main predictors, and the verdicts of ``comparisons``."""
    against = {"kernel against margin": "margin", "against its hindsight": "hindsight", "by AP": "ap"}
    return [
        {
            "setting": setting.words,
            "events": int(told.total.sum()),
            "of": int(told.at_risk.sum()),
            **{PREDICTORS[n]: text(told.values[n]["f1"]) for n in ("kernel", "momentum", "step", "signs", "margin")},
            **{words: compared[setting][name].verdict for words, name in against.items()},
        }
        for setting, told in judged.items()
    ]


def part_rows(
    judged: Mapping[Setting, Judged], compared: Mapping[Setting, Mapping[str, Comparison]]
) -> list[dict[str, object]]:
    """Return one row per setting: what the kernel sees of the true change of the margin, and what that costs."""
    rows = []
    for setting, told in judged.items():
        row: dict[str, object] = {"real update": setting.short}
        for name, words in (("kernel-logits", "kernel"), ("momentum", "kernel + momentum"), ("step", "true step")):
            row[f"correlation: {words}"] = text(told.correlation[name])
        row["size: kernel"] = text(told.size["kernel-logits"])
        cost = compared[setting]["cost"]
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
