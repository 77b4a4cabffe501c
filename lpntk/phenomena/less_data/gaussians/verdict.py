"""Do networks that learn biased halves do as well on fair samples?"""

from collections.abc import Mapping

import pandas as pd

from lpntk.phenomena.less_data.gaussians.study import ONE, WHOLE
from lpntk.report.slopes import mean_interval
from lpntk.report.verdict import FAILS, HOLDS, UNJUDGED, Verdict, inside, overall


def compared(frame: pd.DataFrame, rule: Mapping[str, float]) -> pd.DataFrame:
    """Compare every way with all points at the last epoch, repeat by repeat.

    Args:
        frame: of ``study``.
        rule: ``margin`` of test accuracy that counts as none, ``level`` of a one-sided test.

    Returns:
        A row for each noise and way: ``kept``, ``test`` (mean), ``difference`` to all points with the ends ``low`` and
        ``high`` of its interval at 1 - 2 level, ``word``: ``holds`` if it does not hurt by more than the margin,
        ``fails`` if it does.
    """
    last = frame[frame["epoch"] == frame["epoch"].max()].set_index("repeat")
    rows = []
    for (noise, arm), part in last.groupby(["noise", "arm"], sort=False):
        whole = last[(last["noise"] == noise) & (last["arm"] == WHOLE)]["test"]
        mean, low, high = mean_interval((part["test"] - whole).to_numpy(), 1 - 2 * rule["level"])
        word = inside(low, high, -rule["margin"])
        rows.append({"noise": noise, "arm": arm, "kept": part["kept"].mean(), "test": part["test"].mean(),
                     "difference": mean, "low": low, "high": high, "word": word})  # fmt: skip
    return pd.DataFrame(rows)


def verdict(frame: pd.DataFrame, found: pd.DataFrame, noise: float, rule: Mapping[str, float]) -> Verdict:
    """Judge one noise by the rule of the notebook.

    Args:
        frame: of ``study``.
        found: of ``compared``.
        noise: which.
        rule: ``repeats`` and ``test`` accuracy with all points, below which nothing can be judged.
    """
    arms, repeats = found[found["noise"] == noise].set_index("arm"), frame["repeat"].nunique()
    whole = arms.loc[WHOLE, "test"]
    if repeats < rule["repeats"]:
        return Verdict(UNJUDGED, f"{repeats} repeats are fewer than {rule['repeats']}.")
    if whole < rule["test"]:
        return Verdict(UNJUDGED, f"with all points the test accuracy is {whole:.1%}, below {rule['test']:.0%}.")
    if arms.loc[ONE, "word"] == HOLDS:
        return Verdict(UNJUDGED, "one point of each class does as well: nothing that is kept could hurt.")
    ways = arms.drop([WHOLE, ONE])
    worst = ways["difference"].min()
    return Verdict(
        overall(list(ways["word"])),
        f"of {len(ways)} ways to keep a part, {(ways['word'] == HOLDS).sum()} do not hurt by more than "
        f"{rule['margin']:.1%} and {(ways['word'] == FAILS).sum()} do; the largest loss is {-worst:.2%}.",
    )
