"""Is it an order, does the sign matter, does the dose? Paired tests, and rules that the notebook hands in."""

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from lpntk.learn.history import UNSTABLE
from lpntk.report.slopes import mean_interval
from lpntk.report.verdict import FAILS, HOLDS, IN_PART, UNDECIDED, UNJUDGED, Verdict

Rule = Mapping[str, float]


def by_target(frame: pd.DataFrame) -> pd.DataFrame:
    """Return difficulty, means over runs: a row for each reference and target, a column for each group.

    Args:
        frame: of ``study`` for one choice of targets, with a column ``reference``.
    """
    return frame.pivot_table(index=["reference", "target"], columns="group", values="difficulty", dropna=False).dropna(
        how="all"
    )


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each choice of targets and group.

    ``dose`` (mean over targets), ``negative`` share of kernels with the company, ``difficulty`` (nats, mean over
    targets) and its ``spread`` (sd over targets), ``last_loss``, whether targets were ``learned`` (their mean loss fell
    to half) and runs ``stable`` (at most a tenth unstable) with every reference, and ``unstable`` runs.
    """
    rows = []
    for (choice, group), part in frame.groupby(["targets", "group"], sort=False):
        costs = part.groupby(["reference", "target"])["difficulty"].mean()
        ends = part.groupby("reference")[["first", "last", "unstable"]].mean()
        rows.append({
            "targets": choice, "company": group, "dose": part["dose"].mean(), "negative": part["negative"].mean(),
            "difficulty": costs.mean(), "spread": costs.std(), "last_loss": part["last"].mean(),
            "learned": bool((ends["last"] <= ends["first"] / 2).all()),
            "stable": bool((ends["unstable"] <= UNSTABLE).all()),
            "unstable": int(part.groupby(["reference", "run"])["unstable"].first().sum()),
        })  # fmt: skip
    return pd.DataFrame(rows)


def compare(table: pd.DataFrame, easier: str, harder: str) -> dict[str, float | str]:
    """Test over targets, each its own control, whether one company makes them easier than another.

    Args:
        table: of ``by_target``.
        easier: column that is predicted easier.
        harder: the other column.

    Returns:
        ``difference`` (harder minus easier, nats), ``targets_easier`` (share), ``p`` (one-sided Wilcoxon signed-rank
        test) and ``p_reverse``, that of the opposite; ``low`` and ``high``, the 95 % interval of the difference with
        references as units, as targets of one network are learned together.
    """
    each = table[harder] - table[easier]
    gap, (_, low, high) = each.to_numpy(), mean_interval(each.groupby("reference").mean().dropna().to_numpy())
    p, reverse = (float(stats.wilcoxon(gap, alternative=side).pvalue) for side in ("greater", "less"))
    share = np.where(np.isnan(gap), np.nan, gap > 0).mean()  # of a target never learned in peace nobody can tell
    return {"easier": easier, "harder": harder, "difference": float(gap.mean()), "targets_easier": float(share),
            "p": p, "p_reverse": reverse, "low": low, "high": high}  # fmt: skip


def order(frame: pd.DataFrame, groups: Sequence[str], rule: Rule) -> tuple[Verdict, dict[str, float]]:
    """Judge whether difficulty rises from the first group over the second to the third, over targets (Page's test).

    Args:
        frame: of ``study`` for one choice of targets, with a column ``reference``.
        groups: three of them.
        rule: ``level`` of the tests.

    Returns:
        The verdict, and ``page`` and ``page_reverse``, p of the order and of its reverse.
    """
    table, known = by_target(frame), summary(frame).set_index("company").loc[list(groups)]
    ranked, page, reverse = table[list(groups)].to_numpy(), np.nan, np.nan
    if np.isfinite(ranked).all():
        page, reverse = (float(stats.page_trend_test(one).pvalue) for one in (ranked, ranked[:, ::-1]))
    told = {"page": page, "page_reverse": reverse}
    if np.isnan(page) or not (known["learned"].all() and known["stable"].all()):
        return Verdict(UNJUDGED, "in one of the groups targets were not learned, or runs blew up."), told
    steps = [compare(table, a, b)["p"] for a, b in itertools.pairwise(groups)]
    because = f"Page's test p = {page:.2g}, neighbours " + " and ".join(f"{p:.2g}" for p in steps) + "."
    if page < rule["level"]:
        return Verdict(HOLDS if max(steps) < rule["level"] else IN_PART, because), told
    return Verdict(FAILS if reverse < rule["level"] else UNDECIDED, because), told


def sign(frame: pd.DataFrame, negative: str, control: str, rule: Rule) -> tuple[Verdict, dict[str, float]]:
    """Judge whether company with a negative kernel is harder than a control: a paired t test over targets.

    Args:
        frame: as for ``order``.
        negative: group with negative kernels.
        control: group to compare with.
        rule: ``level`` (two-sided), ``power``, ``small`` (share of the control's difficulty that counts as none),
            ``negative``: share of kernels that must be below zero.

    Returns:
        The verdict, and ``difference`` (nats, mean over targets, each averaged over its runs), ``low`` and ``high`` of
        its interval, ``p``, ``detectable`` (the least difference that such a test finds with that power), ``bound``
        (what counts as none), ``needed`` (so many targets that this interval, around zero, would end below it).
    """
    targets = frame.pivot_table(index=["reference", "target"], columns="group", values="difficulty")
    gap = (targets[negative] - targets[control]).dropna().to_numpy()
    known = summary(frame).set_index("company").loc[[negative, control]]
    difference, low, high = mean_interval(gap, 1 - rule["level"])
    told = {"difference": difference, "low": low, "high": high, "bound": rule["small"] * known["difficulty"].iloc[1],
            "p": float(stats.ttest_1samp(gap, 0).pvalue) if len(gap) > 1 else np.nan,
            "detectable": detectable(gap, rule["level"], rule["power"])}  # fmt: skip
    told["needed"] = float(np.ceil(len(gap) * ((high - low) / 2 / told["bound"]) ** 2))
    share, learned = known["negative"].iloc[0], known["learned"].all() and known["stable"].all()
    if not learned or share < rule["negative"] or len(gap) < 2:
        why = "." if learned else "; targets were not learned, or runs blew up."
        return Verdict(UNJUDGED, f"{share:.0%} of its kernels are negative{why}"), told
    because = f"{difference:+.2f} nats ({low:+.2f} to {high:+.2f}); {told['detectable']:.2f} would have been found."
    return Verdict(FAILS if high < told["bound"] else HOLDS if low > 0 else UNDECIDED, because), told


def detectable(gap: np.ndarray, level: float, power: float) -> float:
    """Return the least mean of (n,) paired differences that a two-sided t test finds with this power, about."""
    if len(gap) < 2:
        return float("nan")
    t = stats.t(len(gap) - 1)
    return float((t.ppf(1 - level / 2) + t.ppf(power)) * gap.std(ddof=1) / np.sqrt(len(gap)))


def dose(frame: pd.DataFrame) -> dict[str, float]:
    """Return how difficulty goes with the dose, the sum of a target's kernels with all that is learned with it.

    Args:
        frame: as for ``order``.

    Returns:
        ``rank``: Spearman's correlation over all targets and groups; ``within``: that over the groups of one target,
        mean over targets, with the ends of its 95 % interval; ``own``, the same without the groups of another label.
    """
    table = frame.groupby(["reference", "target", "group"], as_index=False)[["difficulty", "dose"]].mean()
    table = table[table["group"] != "alone"]  # more of the target, too
    rank = lambda part: float(stats.spearmanr(part["dose"], part["difficulty"]).statistic)
    told = {"rank": rank(table)}
    for name, part in (("within", table), ("own", table[table["group"] != "other"])):
        each = np.array([rank(one) for _, one in part.groupby(["reference", "target"])])
        told |= dict(zip((name, f"{name}_low", f"{name}_high"), mean_interval(each), strict=True))
    return told
