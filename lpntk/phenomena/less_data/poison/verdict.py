"""Is poison found, does the kernel deserve the credit, and what does removing it restore? By handed rules."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from lpntk.phenomena.less_data.poison.detectors import MAIN
from lpntk.phenomena.less_data.poison.study import ORACLE
from lpntk.phenomena.less_data.selection.study import WHOLE
from lpntk.phenomena.less_data.selection.verdict import holm, paired
from lpntk.report.slopes import mean_interval
from lpntk.report.verdict import FAILS, HOLDS, UNDECIDED, UNJUDGED, Verdict, overall

ORDER = BETTER, EQUAL, WORSE, OPEN = "better", "equal", "worse", "undecided"


def against(frame: pd.DataFrame, others: list[str], rule: Mapping[str, float], method: str = MAIN) -> pd.DataFrame:
    """Compare the average precision of one method with others, repeat by repeat.

    Args:
        frame: of ``detection``.
        others: methods.
        rule: ``level`` of the tests, ``close``: difference of average precision that counts as none.
        method: which.

    Returns:
        A row for each threat, rate and other: ``ap`` of the method, ``difference`` with its interval at 1 - 2 level
        (``low``, ``high``), ``p`` of a paired t test, corrected after Holm over all rows, and a ``word``: ``better`` or
        ``worse`` if p is below the level, else ``equal`` if the interval lies within ``close``, else ``undecided``.
    """
    table = frame.pivot(index="repeat", columns=["threat", "rate", "method"], values="ap")
    told = []
    for threat, rate in frame[["threat", "rate"]].drop_duplicates().itertuples(index=False):
        for other in others:
            own = table[threat, rate, method]
            apart = (own - table[threat, rate, other]).to_numpy()
            mean, low, high = mean_interval(apart, 1 - 2 * rule["level"])
            told.append({"threat": threat, "rate": rate, "other": other, "ap": own.mean(), "difference": mean,
                         "low": low, "high": high, "p": paired(apart)})  # fmt: skip
    found = pd.DataFrame(told)
    found["p"] = holm(found["p"].to_numpy())
    small = (found["low"] > -rule["close"]) & (found["high"] < rule["close"])
    told_apart = np.where(found["difference"] > 0, BETTER, WORSE)
    found["word"] = np.where(found["p"] < rule["level"], told_apart, np.where(small, EQUAL, OPEN))
    return found


def judge(found: pd.DataFrame, other: str, reason: str, *, equal: str) -> Verdict:
    """Join the words of all threats and rates against one other method.

    Args:
        found: of ``against``.
        other: which.
        reason: why nothing can be judged, or empty.
        equal: the verdict where both are equal.
    """
    if reason:
        return Verdict(UNJUDGED, reason)
    words = found.loc[found["other"] == other, "word"]
    told = {BETTER: HOLDS, WORSE: FAILS, EQUAL: equal, OPEN: UNDECIDED}
    counted = ", ".join(f"{word} in {(words == word).sum()}" for word in told)
    return Verdict(overall([told[word] for word in words]), f"{counted} of {len(words)} cases against {other}.")


def restored(frame: pd.DataFrame, rule: Mapping[str, float]) -> pd.DataFrame:
    """Return what every arm brings back, a row for each threat, arm and budget.

    Args:
        frame: of ``removal``.
        rule: ``level`` of the intervals.

    Returns:
        Means of ``last`` and ``success``; ``gain`` of accuracy over removing nothing, with its interval at 1 - 2 level
        (``low``, ``high``); ``share`` of the gap between nothing and the oracle removed, NaN where the interval of that
        gap is not above 0: then there is nothing to restore.
    """
    told = []
    for threat, part in frame.groupby("threat", sort=False):
        table = part.pivot(index="repeat", columns=["arm", "budget"], values="last")
        gap = table[ORACLE, 1.0] - table[WHOLE, 0.0] if ORACLE in set(part["arm"]) else None
        whole, least, _ = mean_interval(gap.to_numpy(), 1 - 2 * rule["level"]) if gap is not None else (np.nan,) * 3
        for (arm, budget), rows in part.groupby(["arm", "budget"], sort=False):
            gain, low, high = mean_interval((table[arm, budget] - table[WHOLE, 0.0]).to_numpy(), 1 - 2 * rule["level"])
            told.append({"threat": threat, "arm": arm, "budget": budget, "last": rows["last"].mean(),
                         "success": rows["success"].mean(), "gain": gain, "low": low, "high": high,
                         "share": gain / whole if least > 0 else np.nan})  # fmt: skip
    return pd.DataFrame(told)
