"""Does pruning by the kernel counter a bias, and does the kernel deserve the credit? Paired over repeats."""

from collections.abc import Mapping

import pandas as pd

from lpntk.phenomena.less_data.bias.study import FAIR, WHOLE
from lpntk.phenomena.less_data.selection.verdict import rivals
from lpntk.report.slopes import mean_interval
from lpntk.report.verdict import UNJUDGED, Verdict, overall

MEASURES = ("test", "rare", "worst")


def versus(frame: pd.DataFrame, other: str, rule: Mapping[str, float], count: str = "epochs") -> pd.DataFrame:
    """Compare the heads by the kernel with another arm by all accuracies at all shares, see ``rivals``.

    Args:
        frame: of ``study``.
        other: arm.
        rule: ``level`` of the paired t tests, which are corrected over shares and accuracies.
        count: ``epochs`` or ``steps``, of which all have equally many.
    """
    told = [measure for measure in MEASURES if frame[measure].notna().all()]  # on small test sets no worst mode
    return rivals(frame, "heads", [other], rule, values=told, count=count)


def judge(frame: pd.DataFrame, found: pd.DataFrame, rule: Mapping[str, float]) -> Verdict:
    """Judge by the accuracy on rare modes whether the heads by the kernel are better than the other arm.

    Args:
        frame: of ``study``.
        found: of ``versus``.
        rule: ``repeats`` and ``test`` accuracy of the fair sample below which nothing can be judged, and accuracy on
            rare modes that the bias must cost (``hurts``).
    """
    if reason := unjudged(frame, rule):
        return Verdict(UNJUDGED, reason)
    rare = found[found["measure"] == "rare"]
    each = [
        f"at {row.share:.0%} {row.difference:+.1%} ({row.low:+.1%} to {row.high:+.1%}; corrected p = {row.p:.2g})"
        for row in rare.itertuples()
    ]
    return Verdict(overall(list(rare["word"])), "difference on rare modes " + ", ".join(each) + ".")


def costs(frame: pd.DataFrame) -> pd.Series:
    """Return what the bias costs on rare modes, a number for each repeat: the fair sample minus the biased set."""
    table = frame[frame["arm"].isin([FAIR, WHOLE])].pivot(index="repeat", columns="arm", values="rare")
    return table[FAIR] - table[WHOLE]


def against_biased(frame: pd.DataFrame, rule: Mapping[str, float]) -> pd.DataFrame:
    """Compare every arm with all of the biased set on rare modes, with equal epochs.

    Returns:
        A row for each arm and share: ``difference`` (mean over repeats, positive where the arm is better), ``low`` and
        ``high`` (its interval at 1 - level, not corrected).
    """
    equal, rows = frame[frame["count"] == "epochs"], []
    whole = equal[equal["arm"] == WHOLE].set_index("repeat")["rare"]
    for (arm, share), part in equal[equal["arm"] != WHOLE].groupby(["arm", "share"], sort=False):
        ends = mean_interval((part.set_index("repeat")["rare"] - whole).to_numpy(), 1 - rule["level"])
        rows.append({"arm": arm, "share": share, **dict(zip(("difference", "low", "high"), ends, strict=True))})
    return pd.DataFrame(rows)


def unjudged(frame: pd.DataFrame, rule: Mapping[str, float]) -> str:
    """Return why nothing can be judged; empty if it can."""
    repeats, fair = frame["repeat"].nunique(), frame.loc[frame["arm"] == FAIR, "test"].mean()
    if repeats < rule["repeats"]:
        return f"{repeats} repeats are fewer than {rule['repeats']}."
    if frame["diverged"].any():
        return f"{int(frame['diverged'].sum())} networks diverged."
    if not fair >= rule["test"]:
        return f"a fair sample gives a test accuracy of {fair:.1%}, below {rule['test']:.0%}."
    if not (cost := costs(frame).mean()) > rule["hurts"]:
        return f"the bias costs {cost:.1%} on rare modes, not above {rule['hurts']:.0%}: there is nothing to counter."
    return ""


def balance(frame: pd.DataFrame, rule: Mapping[str, float]) -> pd.DataFrame:
    """Return the share of rare modes among what each arm keeps: ``mean`` over repeats, ``low`` and ``high``."""
    rows = []
    for (arm, share), part in frame[frame["count"] == "epochs"].groupby(["arm", "share"], sort=False):
        ends = mean_interval(part["rare_kept"].to_numpy(), 1 - rule["level"])
        rows.append({"arm": arm, "share": share, **dict(zip(("mean", "low", "high"), ends, strict=True))})
    return pd.DataFrame(rows)
