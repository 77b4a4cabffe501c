"""What if all that the authors' code marks goes? Two marks, told by its code, beside as many samples at random.

``selfmax``: another of its class is more similar to a sample than it is to itself. ``contradictory``: it has a negative
kernel with another of its class; their lines are commented out, and drop both.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor
from tqdm.auto import tqdm

from lpntk.phenomena.less_data.poison.study import Setting, scored, stream_of, taught
from lpntk.phenomena.less_data.selection.study import WHOLE
from lpntk.phenomena.less_data.selection.verdict import holm
from lpntk.report.slopes import mean_interval
from lpntk.report.verdict import FAILS, HOLDS, UNDECIDED, UNJUDGED, inside

MARKS = {"selfmax": "another is more similar", "contradictory": "a negative kernel within the class"}
RANDOM = "-random"  # end of the name of an arm: as many samples as the mark drops, at random


def dropped(setting: Setting, threats: Mapping[str, float], repeats: int) -> pd.DataFrame:
    """Drop all that a mark tells, learn the rest anew, and test.

    Args:
        setting: of the study.
        threats: threat, or ``clean``, -> share of bad samples.
        repeats: of everything.

    Returns:
        As ``removal``, but for the budget: the arms are ``all`` samples, each mark, and for each mark as many samples
        at random. ``of_bad`` is the share of the bad ones that an arm drops, NaN of clean samples. A mark that tells
        no sample keeps all; one that would leave a class without any is not tried, and has no row.
    """
    told = []
    for threat, rate in tqdm(threats.items(), desc="trainings", leave=False):
        samples, kept = [], []
        for repeat in range(repeats):
            data, scores = setting.poisoned(threat, rate, repeat), scored(setting, threat, rate, repeat)
            drawn = setting.seeds(repeat)[3]
            arms = {WHOLE: torch.arange(setting.n)}
            for mark in MARKS:
                left = (scores[mark] <= 0).nonzero()[:, 0]
                if len(data.y[left].unique()) == len(data.y.unique()):
                    order = torch.randperm(setting.n, generator=stream_of(drawn, mark))
                    arms |= {mark: left, mark + RANDOM: order[: len(left)].sort().values}
            of = {"repeat": repeat, "threat": threat, "rate": rate}
            kept += [(of | {"arm": arm, "of_bad": _share_of_bad(data.bad, rows)}, rows) for arm, rows in arms.items()]
            samples.append(data)
        told += taught(setting, samples, kept)
    return pd.DataFrame(told)


def _share_of_bad(bad: Tensor, kept: Tensor) -> float:
    return float(1 - bad[kept].sum() / bad.sum()) if bad.any() else float("nan")


def against_chance(frame: pd.DataFrame, rule: Mapping[str, float], reason: str) -> pd.DataFrame:
    """Compare the networks without what a mark tells with those of all samples, and with random ones, repeat by repeat.

    Args:
        frame: of ``dropped``.
        rule: ``level`` of the tests, ``margin`` of test accuracy that counts as none.
        reason: why nothing can be judged, or empty.

    Returns:
        A row for each threat and mark that was tried in every repeat: ``dropped``, the share of samples, ``of_bad``,
        ``gain`` over all samples with its interval at 1 - 2 level (``low``, ``high``) and ``hurts_not``, ``holds`` if
        that lies above minus the margin, ``fails`` if below; ``apart`` from random ones with its interval
        (``apart_low``, ``apart_high``), ``p`` of a paired t test, corrected after Holm over all rows, and ``word``:
        ``holds`` if the mark is better than chance, ``fails`` if worse. Nothing can be judged of a mark that drops
        nothing.
    """
    level, rows = 1 - 2 * rule["level"], []
    for threat, part in frame.groupby("threat", sort=False):
        table = part.pivot(index="repeat", columns="arm", values="last")
        for mark in [mark for mark in MARKS if mark in table and table[mark].notna().all()]:
            gain, low, high = mean_interval((table[mark] - table[WHOLE]).to_numpy(), level)
            apart = (table[mark] - table[mark + RANDOM]).to_numpy()
            mean, apart_low, apart_high = mean_interval(apart, level)
            own = part[part["arm"] == mark]
            of = {"threat": threat, "mark": mark, "dropped": 1 - own["share"].mean()}
            told = own[["of_bad", "last", "success"]].mean().to_dict()
            p = float(stats.ttest_1samp(apart, 0).pvalue) if apart.std() > 0 else float(mean == 0)
            rows.append({**of, **told, "gain": gain, "low": low, "high": high,
                         "hurts_not": inside(low, high, -rule["margin"]), "apart": mean, "apart_low": apart_low,
                         "apart_high": apart_high, "p": p})  # fmt: skip
    found = pd.DataFrame(rows)
    found["p"] = holm(found["p"].to_numpy())
    found["word"] = np.where(found["p"] < rule["level"], np.where(found["apart"] > 0, HOLDS, FAILS), UNDECIDED)
    found.loc[(found["dropped"] == 0) | (reason != ""), ["hurts_not", "word"]] = UNJUDGED
    return found
