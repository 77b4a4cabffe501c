"""Is the error of second order, and is the size of the error needed? By the thresholds that the notebook states."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lpntk.phenomena.one_step.study import Kind
from lpntk.report.spread import words
from lpntk.report.verdict import FAILS, HOLDS, IN_PART, UNJUDGED, Verdict

STEP = ["moment", "epoch", "seed", "step"]


def small(swept: pd.DataFrame, rule: Mapping[str, float]) -> pd.Series:
    """Return at which learning rates a slope is fitted, row by row of ``study.sweep``.

    The error is there less than ``rule["small"]`` of the change, and more than ``rule["roundings"]`` of float64.
    """
    rounding = rule["roundings"] * np.finfo(float).eps
    return (swept["error"] < rule["small"] * swept["change"]) & (swept["error"] > rounding)


def slopes(swept: pd.DataFrame, fitted: pd.Series) -> pd.DataFrame:
    """Fit the slope of every step on log axes.

    Args:
        swept: of ``study.sweep``.
        fitted: which of its rows are used.

    Returns:
        One row per step: the least-squares slope of ``error`` and ``rms``, NaN with fewer than three points; and
        ``smooth``, the mean slope between neighbours over samples without a kink.
    """
    found = []
    for of, rows in swept.assign(fitted=fitted).groupby(STEP, sort=False):
        used = np.log(rows.loc[rows["fitted"], ["lr", "error", "rms"]])
        fit = lambda name, used=used: np.polyfit(used["lr"], used[name], 1)[0] if len(used) >= 3 else np.nan
        both = rows["fitted"] & rows["fitted"].shift(-1, fill_value=False)
        row = {"error": fit("error"), "rms": fit("rms"), "smooth": rows["smooth"][both].mean()}
        found.append(dict(zip(STEP, of, strict=True)) | row)
    return pd.DataFrame(found)


def order(found: pd.DataFrame, rule: Mapping[str, float]) -> Verdict:
    """Is the mean slope without kinks ``rule["order"]``, up to ``rule["tolerance"]``, at every moment of training?"""
    off = (found.groupby("moment")["smooth"].mean() - rule["order"]).abs()
    word = UNJUDGED if off.isna().any() else HOLDS if (off <= rule["tolerance"]).all() else FAILS
    return Verdict(word, ", ".join(words(found, ["moment"], ["smooth"], "{:.3f}")["smooth"]))


def kept(steps: pd.DataFrame, kinds: Sequence[Kind]) -> pd.DataFrame:
    """Return one row per kind of step and substitute: of what the full error tells, the least share over epochs.

    It is a share of means over seeds and steps, in direction (``cosine``) and in order (``rank``); NaN if it is not
    known of an epoch.
    """
    found = []
    for kind in kinds:
        means = steps[steps["kind"] == kind.name].groupby("epoch").mean(numeric_only=True)
        for force in kind.forces[1:]:
            share = lambda name, of=means, force=force: (of[f"{name}.{force}"] / of[f"{name}.error"]).min(skipna=False)
            found.append({"kind": kind.name, "force": force, "cosine": share("cosine"), "rank": share("rank")})
    return pd.DataFrame(found)


def needed(kept: pd.DataFrame, rule: Mapping[str, float]) -> list[str]:
    """Is what a substitute leaves away needed? Return a verdict for every row of ``kept``.

    It fails if the substitute keeps ``rule["kept"]`` in both measures, and holds in part if it keeps ``rule["part"]``.
    """
    judged = lambda least: FAILS if least >= rule["kept"] else IN_PART if least >= rule["part"] else HOLDS
    least = kept[["cosine", "rank"]].min(axis=1, skipna=False)
    return [UNJUDGED if np.isnan(share) else judged(share) for share in least]
