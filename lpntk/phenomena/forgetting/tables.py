"""What may a page quote of the predictions? Means and spreads over runs, as numbers and as rows of tables."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from lpntk.phenomena.forgetting.judge.compare import Comparison, compare
from lpntk.phenomena.forgetting.judge.metrics import spread
from lpntk.phenomena.forgetting.judge.summary import MEASURES, Judged
from lpntk.phenomena.forgetting.predict import PREDICTORS
from lpntk.phenomena.forgetting.walk import Setting

MAIN = ("kernel", "momentum", "step", "signs", "signs-centred", "margin")


def numbers(judged: Judged) -> dict[str, object]:
    """Return what a page may quote of a setting, under dotted keys; what is left out stands in its tables."""
    told: dict[str, object] = {
        "events": int(judged.total.sum()),
        "burn_in_events": int(judged.skipped.sum()),
        "runs_with_events": int((judged.total > 0).sum()),
        "base_rate": float(judged.total.sum() / max(1, judged.at_risk.sum())),
        "quiet_steps": spread(judged.quiet)[0],
        "diverged": judged.diverged,
    }
    told |= {f"{name}.f1": spread(values["f1"])[0] for name, values in judged.values.items()}
    told |= {f"{name}.predictions": judged.predictions(name) for name in ("kernel", "kappa", "margin")}
    for name in ("kernel", "kernel-logits", "momentum", "step", "signs", "signs-centred", "margin"):
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
    """Return ``f1_numbers`` and the verdicts of some settings, each as one list in words."""
    names = {"verdicts": "margin", "hindsight": "hindsight"}
    told = {key: ", ".join(compared[setting][name].verdict for setting in judged) for key, name in names.items()}
    return told | f1_numbers(judged, ("kernel", "momentum", "step", "margin"))


def f1_numbers(judged: Mapping[Setting, Judged], shown: Sequence[str]) -> dict[str, str]:
    """Return learning rates, events (with those of the burn-in) and F1 of some settings, each as one list in words."""
    told = {
        "lr": [f"{setting.lr:g}" for setting in judged],
        "events": [str(int(one.total.sum())) for one in judged.values()],
        "burn_in_events": [str(int(one.skipped.sum())) for one in judged.values()],
    }
    told |= {name: [text(one.values[name]["f1"]) for one in judged.values()] for name in shown}
    return {key: ", ".join(words) for key, words in told.items()}


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
        {
            "predictor": words,
            "events": f"{judged.total.sum()}",
            **{head: text(judged.values[name][m]) for m, head in heads.items()},
        }
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
            "in the burn-in": int(told.skipped.sum()),
            "of": int(told.at_risk.sum()),
            **{PREDICTORS[n]: text(told.values[n]["f1"]) for n in MAIN},
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
            "events": f"{told.total.sum()}",
            "predictor": PREDICTORS[name],
            "predictions": f"{told.predictions(name):.0f}",
            **{
                f"{measure}, {words}": text(told.values[name][prefix + measure])
                for measure in ("precision", "recall")
                for words, prefix in (("pooled", ""), ("step-averaged", "step_"))
            },
        }
        for setting, told in judged.items()
        for name in shown
    ]
