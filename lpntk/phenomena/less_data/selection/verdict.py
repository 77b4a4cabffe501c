"""Does leaving samples out hurt, and does the kernel deserve the credit? Paired over repeats, by handed rules."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd
from scipy import stats

from lpntk.phenomena.less_data.selection.study import FEWER, WHOLE
from lpntk.report.slopes import mean_interval
from lpntk.report.verdict import FAILS, HOLDS, IN_PART, UNDECIDED, UNJUDGED, Verdict, inside, overall

Rule = Mapping[str, float]
ROUNDING = 1e-9  # accuracies and precisions that differ by less are equal: a float32 or a sum in another order


def against_all(frame: pd.DataFrame, rule: Rule, *, fewer: bool = False) -> pd.DataFrame:
    """Compare every arm with all samples, repeat by repeat.

    Args:
        frame: of ``study``.
        rule: ``margin`` of test accuracy that counts as none, ``level`` of a one-sided test.
        fewer: whether with all samples in as few steps as the share gets, where the frame has that.

    Returns:
        A row for each arm, share and count: ``kept``, ``last`` (mean accuracy), ``difference`` to all samples with the
        ends ``low`` and ``high`` of its interval at 1 - 2 level, ``by_best`` (what the best epoch, chosen on the test
        set, would add), ``word``: ``holds`` if leaving out does not hurt by more than the margin, ``fails`` if it does.
    """
    whole = frame[frame["arm"] == (FEWER if fewer else WHOLE)].set_index(["share", "repeat"])["last"]
    parts = frame[frame["arm"] != WHOLE]
    if fewer:  # what keeps what it keeps has no share of its own
        parts = parts[(parts["arm"] != FEWER) & parts["share"].isin(whole.index.levels[0])]
    rows = []
    for (count, arm, share), part in parts.groupby(["count", "arm", "share"], sort=False):
        apart = part.set_index("repeat")["last"] - whole[share if fewer else 1.0]
        mean, low, high = mean_interval(apart.to_numpy(), 1 - 2 * rule["level"])
        word = inside(low, high, -rule["margin"])
        of = {"count": count, "arm": arm, "share": share, "kept": part["kept"].mean(), "last": part["last"].mean()}
        by_best = (part["best"] - part["last"]).mean()
        rows.append({**of, "difference": mean, "low": low, "high": high, "by_best": by_best, "word": word})
    return pd.DataFrame(rows)


def hurts_not(
    frame: pd.DataFrame, compared: pd.DataFrame, rule: Rule, arm: str, others: Sequence[pd.DataFrame] = ()
) -> Verdict:
    """Judge whether an arm does not hurt at any share of at least ``least``, with equal epochs.

    Args:
        frame: of ``study``.
        compared: of ``against_all``.
        rule: ``repeats`` and ``test`` accuracy of all samples below which nothing can be judged, ``least`` share.
        arm: which.
        others: frames, as ``unjudged`` takes them.
    """
    if reason := unjudged(frame, rule, *others):
        return Verdict(UNJUDGED, reason)
    seen = compared[(compared["arm"] == arm) & (compared["count"] == "epochs") & (compared["share"] >= rule["least"])]
    each = [
        f"at {share:.0%} {difference:+.2%} ({low:+.2%} to {high:+.2%})"
        for share, difference, low, high in seen[["share", "difference", "low", "high"]].itertuples(index=False)
    ]
    return Verdict(overall(list(seen["word"])), "difference to all samples " + ", ".join(each) + ".")


def rivals(
    frame: pd.DataFrame, arm: str, others: Sequence[str], rule: Rule, *, values: Sequence[str] = ("last",),
    count: str = "epochs",
) -> pd.DataFrame:  # fmt: skip
    """Compare one arm with others at every share: paired t tests, corrected after Holm.

    Args:
        frame: of ``study``, or another with its columns ``repeat``, ``arm``, ``share``, ``count`` and those compared.
        arm: which.
        others: arms.
        rule: ``level`` of the tests.
        values: columns that are compared.
        count: ``epochs`` or ``steps``, of which all have equally many.

    Returns:
        A row for each share, other arm and column (``measure``): ``difference`` (mean, positive where the arm is
        better) with the ends ``low`` and ``high`` of its interval at 1 - level, not corrected, ``p`` (corrected over
        all rows), ``word``: ``holds`` if it is better, ``fails`` if worse.
    """
    table = frame[frame["count"] == count].pivot(index="repeat", columns=["share", "arm"], values=list(values))
    rows = []
    for share in sorted(set(frame.loc[frame["arm"] == arm, "share"]), reverse=True):
        for other, value in product(others, values):
            apart = (table[value, share, arm] - table[value, share, other]).to_numpy()
            mean, low, high = mean_interval(apart, 1 - rule["level"])
            rows.append({"share": share, "other": other, "measure": value, "difference": mean, "low": low,
                         "high": high, "p": paired(apart)})  # fmt: skip
    found = pd.DataFrame(rows)
    found["p"] = holm(found["p"].to_numpy())
    better = np.where(found["difference"] > 0, HOLDS, FAILS)
    found["word"] = np.where(found["p"] < rule["level"], better, UNDECIDED)
    return found


def superior(frame: pd.DataFrame, rule: Rule) -> pd.DataFrame:
    """Ask of every arm whether it is better than all samples: one-sided paired t tests, corrected after Holm.

    Args:
        frame: of ``study``.
        rule: ``level`` of the tests, ``repeats`` below which none is better.

    Returns:
        A row for each arm, share and count: ``difference`` (mean, positive where fewer samples do better), ``p``
        (corrected over all rows), ``word``: ``holds`` if it is better, else ``is undecided``.
    """
    whole = frame[frame["arm"] == WHOLE].set_index("repeat")["last"]
    rows = []
    parts = frame[~frame["arm"].isin([WHOLE, FEWER])]
    for (count, arm, share), part in parts.groupby(["count", "arm", "share"], sort=False):
        apart = (part.set_index("repeat")["last"] - whole).to_numpy()
        p = paired(apart, "greater")
        rows.append({"count": count, "arm": arm, "share": share, "difference": apart.mean(), "p": p})
    found = pd.DataFrame(rows)
    found["p"] = holm(found["p"].to_numpy())
    shown = (found["p"] < rule["level"]) & (whole.index.nunique() >= rule["repeats"])
    found["word"] = np.where(shown, HOLDS, UNDECIDED)
    return found


def credit(frame: pd.DataFrame, found: pd.DataFrame, rule: Rule) -> Verdict:
    """Judge whether the arm is better than every rival: at a share it fails if it is worse than one of them."""
    if reason := unjudged(frame, rule):
        return Verdict(UNJUDGED, reason)
    words = []
    for _, part in found.groupby("share"):
        told = set(part["word"])
        words.append(FAILS if FAILS in told else HOLDS if told == {HOLDS} else UNDECIDED)
    better, worse = ((found["word"] == word).sum() for word in (HOLDS, FAILS))
    return Verdict(overall(words), f"better in {better} and worse in {worse} of {len(found)} comparisons.")


def title(hurt: Verdict, deserved: Verdict) -> Verdict:
    """Join both: it holds if both hold, in part if leaving out does not hurt somewhere, and fails if it hurts."""
    if hurt.word == HOLDS == deserved.word:
        return Verdict(HOLDS)
    return Verdict(IN_PART if hurt.word in (HOLDS, IN_PART) else hurt.word)


def unjudged(frame: pd.DataFrame, rule: Rule, *others: pd.DataFrame) -> str:
    """Return why nothing can be judged; empty if it can.

    Args:
        frame: of ``study``.
        rule: ``repeats`` and ``test`` accuracy of all samples, both at least.
        *others: frames of which no network may have ``diverged`` either.
    """
    whole = frame[frame["arm"] == WHOLE]
    if (repeats := whole["repeat"].nunique()) < rule["repeats"]:
        return f"{repeats} repeats are fewer than {rule['repeats']}."
    if whole["last"].mean() < rule["test"]:
        return f"with all samples the test accuracy is {whole['last'].mean():.1%}, below {rule['test']:.0%}."
    diverged = sum(int(part["diverged"].sum()) for part in (frame, *others))
    return f"{diverged} networks diverged." if diverged else ""


def paired(apart: np.ndarray, alternative: str = "two-sided") -> float:
    """Return the p value of a t test that paired differences (repeats,) are 0 in the mean; 0 or 1 if all are equal.

    NaN of one repeat or none: equal to itself alone, it tells nothing.

    Args:
        apart: the differences.
        alternative: ``two-sided``, or ``greater`` where only a mean above 0 counts.
    """
    if len(apart) < 2:
        return float("nan")
    apart = np.where(np.abs(apart) < ROUNDING, 0, apart)
    if np.ptp(apart) < ROUNDING:
        return float(apart.mean() <= 0 if alternative == "greater" else apart.mean() == 0)
    return float(stats.ttest_1samp(apart, 0, alternative=alternative).pvalue)


def holm(p: np.ndarray) -> np.ndarray:
    """Return p values corrected for their number after Holm."""
    order = np.argsort(p)
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(1, np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p)))))
    return corrected
