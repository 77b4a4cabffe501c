"""What does a page say of forgetting? Rows of its tables, the numbers that it quotes, and sentences of its verdict."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lpntk.phenomena.forgetting.judge import COUNTS, THIRDS, rates
from lpntk.phenomena.forgetting.predict import PREDICTORS
from lpntk.phenomena.forgetting.walk import Setting
from lpntk.report.spread import over_seeds, words_of_runs

MAIN = ("kernel", "momentum", "step", "signs", "signs-centred", "margin")


def of(frame: pd.DataFrame, *settings: Setting) -> pd.DataFrame:
    """Return the rows of some settings, in their order."""
    return pd.concat([frame[frame["setting"] == setting.words] for setting in settings])


def f1(frame: pd.DataFrame) -> pd.DataFrame:
    """Return F1 in words, (settings, predictors)."""
    text = words_of_runs(frame, ["setting", "predictor"], ["f1"], "{:.2f}")["f1"].unstack()
    return text.loc[frame["setting"].unique(), list(PREDICTORS)]


def events(frame: pd.DataFrame) -> pd.DataFrame:
    """Return per setting, over its runs: sums of ``events``, ``skipped`` and ``at_risk``, mean of ``quiet``."""
    groups = frame[frame["predictor"] == "kernel"].groupby("setting", sort=False)  # those of any other are the same
    return groups[["events", "skipped", "at_risk"]].sum().astype(int).join(groups["quiet"].mean())


def overview(frame: pd.DataFrame, compared: pd.DataFrame) -> pd.DataFrame:
    """Return a row per setting: events, F1 of the main predictors, and verdicts on the paper's one."""
    heads = {"events": "events", "skipped": "in the burn-in", "at_risk": "of"}
    verdicts = {"margin": "kernel against margin", "hindsight": "against its hindsight", "ap": "by AP"}
    told = events(frame)[list(heads)].rename(columns=heads).join(f1(frame)[list(MAIN)].rename(columns=PREDICTORS))
    return told.join(compared["verdict"].unstack()[list(verdicts)].rename(columns=verdicts)).reset_index()


def predictors(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a row per predictor of one setting: every measure."""
    heads = {"precision": "precision", "recall": "recall", "f1": "F1", "best_f1": "F1 in hindsight", "ap": "AP",
             "step_precision": "step-averaged precision", "step_recall": "step-averaged recall"}  # fmt: skip
    told = words_of_runs(frame, ["predictor"], list(heads), "{:.2f}").rename(columns=heads, index=PREDICTORS)
    told.insert(0, "events", int(events(frame)["events"].iloc[0]))
    return told.reset_index()


def parts(frame: pd.DataFrame, compared: pd.DataFrame) -> pd.DataFrame:
    """Return a row per setting: what the kernel sees of the true change of the margin, and what that costs."""
    heads = {
        ("correlation", "kernel-logits"): "correlation: kernel",
        ("correlation", "momentum"): "correlation: kernel + momentum",
        ("correlation", "step"): "correlation: true step",
        ("size", "kernel-logits"): "size: kernel",
    }
    text = words_of_runs(frame, ["setting", "predictor"], ["correlation", "size"], "{:.2f}").unstack(sort=False)
    told, cost = text[list(heads)].set_axis(list(heads.values()), axis=1), compared.xs("cost", level="comparison")
    told.insert(0, "real update", frame.groupby("setting")["recipe"].first())
    return told.assign(**{
        "F1 lost by the kernel": cost["difference"].map("{:.2f}".format),
        "true step against kernel": cost["verdict"],
    })  # fmt: skip


def conventions(frame: pd.DataFrame, shown: Sequence[str]) -> pd.DataFrame:
    """Return a row per setting and predictor: precision and recall, pooled and averaged over steps."""
    heads = {"precision": "precision, pooled", "step_precision": "precision, step-averaged",
             "recall": "recall, pooled", "step_recall": "recall, step-averaged"}  # fmt: skip
    kept, shared = frame[frame["predictor"].isin(shown)], events(frame)
    told = words_of_runs(kept, ["setting", "predictor"], list(heads), "{:.2f}").rename(columns=heads)
    told.insert(0, "predictions", predictions(kept).map("{:.0f}".format))
    shared = pd.DataFrame({"steps without events": shared["quiet"].map("{:.0%}".format), "events": shared["events"]})
    return shared.join(told.rename(index=PREDICTORS, level="predictor")).reset_index()


def predictions(frame: pd.DataFrame) -> pd.Series:
    """Return how often each predictor predicted an event, over all runs of a setting; by setting and predictor."""
    return frame.groupby(["setting", "predictor"], sort=False)[["hits", "false"]].sum().sum(axis=1)


def thirds(frame: pd.DataFrame, shown: Sequence[str], *, draws: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Return F1 by thirds of a run, of the counts of all runs: one run has too few events in a third.

    Args:
        frame: of ``judge``.
        shown: predictors.
        draws: resamplings of the runs.
        seed: of these.

    Returns:
        A row per setting, third and predictor: ``events``, ``f1``, and ``low`` and ``high``, the ends of its 95 %
        bootstrap interval over runs.
    """
    rows = []
    kept = frame[frame["predictor"].isin(shown)]
    for (setting, name), runs in kept.groupby(["setting", "predictor"], sort=False):
        runs = runs[~runs["diverged"]]
        drawn = np.random.default_rng(seed).integers(max(1, len(runs)), size=(draws, len(runs)))
        for third in THIRDS:
            counts = runs[[f"{kind}_{third}" for kind in COUNTS]].to_numpy()  # (runs, 3)
            again = rates(*counts[drawn].sum(axis=1).T)["f1"]
            low, high = np.nanquantile(again, [0.025, 0.975]) if np.isfinite(again).any() else (np.nan, np.nan)
            whole = counts.sum(axis=0)
            row = {"setting": setting, "third": third, "predictor": name, "events": round(whole[:2].sum())}
            rows.append(row | {"f1": float(rates(*whole)["f1"]), "low": low, "high": high})
    return pd.DataFrame(rows)


def numbers(frame: pd.DataFrame, keys: Sequence[str]) -> dict[str, float]:
    """Return what a page quotes of one setting: its events, and means and spreads over runs.

    Args:
        frame: of ``judge``, the rows of the setting.
        keys: such as ``kernel.f1`` for a mean of a predictor, ``kernel.f1_sd`` for its standard deviation.
    """
    split = [key.removesuffix("_sd").split(".") for key in keys]
    mean, sd = over_seeds(frame, ["predictor"], list({column for _, column in split}))
    tables = [sd if key.endswith("_sd") else mean for key in keys]
    told = {key: float(t.loc[name, c]) for key, t, (name, c) in zip(keys, tables, split, strict=True)}
    return {"events": int(events(frame)["events"].iloc[0])} | told


def sentences(frame: pd.DataFrame, compared: pd.DataFrame) -> str:
    """Return a list in Markdown, a line per setting: the paper's predictor against the fitted margin."""
    lines = []
    for setting, text in f1(frame).iterrows():
        told = compared.loc[(setting, "margin")]
        lines.append(
            f"- {setting}: F1 of the kernel {text['kernel']}, of the fitted margin {text['margin']} "
            f"({told['events']} events, higher in {told['wins']} of {told['runs']} runs, $p$ = {told['p']:.2g}): "
            f"**{told['verdict']}**; against the margin's best threshold in hindsight: "
            f"{compared.loc[(setting, 'hindsight'), 'verdict']}"
        )
    return "\n".join(lines)
