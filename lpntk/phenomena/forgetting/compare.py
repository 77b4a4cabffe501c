"""Which predictor is better, and does the kernel beat the margin? Runs compared in pairs, by the rule of the notebook.

A rule is a mapping: with fewer ``runs`` or ``events`` nothing can be judged; at least a ``share`` of the runs must
agree, and p must lie below a ``level``.
"""

from collections.abc import Mapping

import pandas as pd

from lpntk.report.verdict import FAILS, HOLDS, UNDECIDED, UNJUDGED, Verdict, overall

# comparison -> (predictor, measure), (the other, its measure)
AGAINST = {
    "margin": (("kernel", "f1"), ("margin", "f1")),
    "hindsight": (("kernel", "f1"), ("margin", "best_f1")),  # the margin knows what no fit could
    "ap": (("kernel", "ap"), ("margin", "ap")),
    "cost": (("step", "f1"), ("kernel-logits", "f1")),
}
MEANS = {"better": HOLDS, "worse": FAILS, "undecided": UNDECIDED, UNJUDGED: UNJUDGED}  # for the claim


def compare(frame: pd.DataFrame, rule: Mapping[str, float]) -> pd.DataFrame:
    """Compare predictors run by run, in every setting.

    Args:
        frame: of ``judge``.
        rule: as the notebook states it.

    Returns:
        A row per setting and name in ``AGAINST``, which are its index. ``runs`` have a value for both, ``events`` are
        theirs, ``wins`` and ``losses`` the runs in which the first has the larger or the smaller value, ``difference``
        is the mean of first minus second, ``p`` that of a two-sided Wilcoxon signed-rank test over runs, ``verdict``
        one of ``better``, ``worse``, ``undecided`` and ``cannot be judged``.
    """
    from scipy.stats import wilcoxon  # slow to import

    rows = []
    for setting, runs in frame.groupby("setting", sort=False):
        wide = runs.pivot(index="run", columns="predictor")
        for name, ((first, a), (second, b)) in AGAINST.items():
            gap = (wide[a, first] - wide[b, second]).dropna()
            row = {"setting": setting, "comparison": name, "runs": len(gap), "wins": int((gap > 0).sum())}
            row |= {"losses": int((gap < 0).sum()), "events": int(wide.loc[gap.index, ("events", first)].sum())}
            row |= {"difference": gap.mean(), "p": float(wilcoxon(gap).pvalue) if gap.any() else 1.0}
            rows.append(row | {"verdict": _word(row, rule)})
    return pd.DataFrame(rows).set_index(["setting", "comparison"])


COMPARED = ["setting", "runs", "wins", "losses", "events", "difference", "p", "verdict"]


def between(first: pd.DataFrame, second: pd.DataFrame, rule: Mapping[str, float]) -> pd.DataFrame:
    """Compare the paper's predictor in two frames of ``judge`` run by run, in every setting of both, as ``compare``.

    The runs must be the same trainings, foretold in two ways: so ``events`` are those of either. A run that diverged
    in one of them is left out.

    Raises:
        ValueError: if they are not, by their events, or a run is there twice.
    """
    from scipy.stats import wilcoxon  # slow to import

    one, other = (
        frame[frame["predictor"] == "kernel"].set_index(["setting", "run"]).sort_index() for frame in (first, second)
    )
    if not (one.index.is_unique and other.index.is_unique):
        raise ValueError("a frame holds a run of one setting twice; give each run once")
    if not one.index.equals(other.index):
        raise ValueError("both frames must be of the same trainings; their settings or runs differ")
    finished = ~(one["diverged"].astype(bool) | other["diverged"].astype(bool))
    one, other = one[finished], other[finished]
    if not one["events"].eq(other["events"]).all():
        raise ValueError("both frames must be of the same trainings; their events differ")
    rows = []
    for setting, gaps in (one["f1"] - other["f1"]).groupby("setting", sort=False):
        gap = gaps.dropna()
        row = {"setting": setting, "runs": len(gap), "wins": int((gap > 0).sum()), "losses": int((gap < 0).sum())}
        row |= {"events": int(one.loc[gap.index, "events"].sum()), "difference": gap.mean()}
        row |= {"p": float(wilcoxon(gap).pvalue) if gap.any() else 1.0}
        rows.append(row | {"verdict": _word(row, rule)})
    return pd.DataFrame(rows, columns=COMPARED).set_index("setting")


def _word(row: Mapping[str, float], rule: Mapping[str, float]) -> str:
    if row["runs"] < rule["runs"] or row["events"] < rule["events"]:
        return UNJUDGED
    if max(row["wins"], row["losses"]) < rule["share"] * row["runs"] or row["p"] >= rule["level"]:
        return "undecided"
    return "better" if row["wins"] > row["losses"] else "worse"


def verdict(frame: pd.DataFrame, rule: Mapping[str, float]) -> Verdict:
    """Return whether the kernel predicts forgetting better than the fitted margin in the settings of a frame.

    It holds if the kernel is better in all that can be judged, holds in part if in some, fails if it is worse in all;
    otherwise it is undecided, and if no setting can be judged, neither can the whole.
    """
    words = compare(frame, rule).xs("margin", level="comparison")["verdict"]
    counted = words.value_counts()
    because = ", ".join(f"{word} in {n}" for word, n in counted.items()) + f" of {len(words)} settings"
    return Verdict(overall([MEANS[word] for word in words]), because)
