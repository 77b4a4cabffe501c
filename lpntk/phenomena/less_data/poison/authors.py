"""What if all goes that two criteria of the authors' code tell? Beside it, as many samples at random.

``selfmax``: another of its class is more similar to a sample than it is to itself; the code keeps a share of the rest.
``contradictory``: it has a negative kernel with another of its class; lines that are commented out drop both.
"""

from collections.abc import Mapping
from itertools import product

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from lpntk.phenomena.less_data.poison.study import Setting, scored, stream_of, taught
from lpntk.phenomena.less_data.poison.threats import CLEAN
from lpntk.phenomena.less_data.poison.verdict import BETTER, OPEN, WORSE
from lpntk.phenomena.less_data.selection.study import WHOLE
from lpntk.phenomena.less_data.selection.verdict import holm, paired
from lpntk.report.slopes import mean_interval
from lpntk.report.verdict import UNJUDGED, inside

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
        no sample, or would leave a class without any, is not tried, and has no row.
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
                if len(left) < setting.n and len(data.y[left].unique()) == len(data.y.unique()):
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
    """Compare the networks without what a mark tells with random ones, and with those of all samples, by repeat.

    Args:
        frame: of ``dropped``.
        rule: ``level`` of the tests, ``margin`` of test accuracy that counts as none, ``drops``: share of samples of
            which a mark must drop as many in every repeat to be judged.
        reason: why nothing can be judged, or empty.

    Returns:
        A row for each threat and mark: ``repeats`` in which it was tried; means over them: ``dropped``, the share of
        samples, ``of_bad``, ``last`` accuracy, ``success`` of a backdoor and ``chance_success`` without random ones;
        ``apart``, the difference of accuracy to random ones, and ``gain``, that to all samples, each with its interval
        at 1 - 2 level (``apart_low``, ``apart_high``, ``low``, ``high``), not corrected. ``p`` of a paired t test of
        ``apart``, corrected after Holm over all that is judged, and ``word``: ``better`` or ``worse`` than chance, or
        ``undecided``. ``hurts_not``, of clean samples alone: ``holds`` if the interval of ``gain`` lies above minus the
        margin, ``fails`` if below.
    """
    level, rows = 1 - 2 * rule["level"], []
    every = frame["repeat"].nunique()
    for (threat, part), mark in product(frame.groupby("threat", sort=False), MARKS):
        arms = {arm: of.set_index("repeat") for arm, of in part.groupby("arm")}
        own, chance = (arms.get(arm, arms[WHOLE][:0]) for arm in (mark, mark + RANDOM))
        apart, gain = (own["last"] - other.loc[own.index, "last"] for other in (chance, arms[WHOLE]))
        mean, apart_low, apart_high = mean_interval(apart.to_numpy(), level)
        gained, low, high = mean_interval(gain.to_numpy(), level)
        judged = not reason and len(own) == every and (1 - own["share"]).min() >= rule["drops"]
        rows.append({"threat": threat, "mark": mark, "repeats": len(own), "dropped": 1 - own["share"].mean(),
                     **own[["of_bad", "last", "success"]].mean(), "chance_success": chance["success"].mean(),
                     "apart": mean, "apart_low": apart_low, "apart_high": apart_high,
                     "p": paired(apart.to_numpy()) if judged else np.nan, "word": UNJUDGED,
                     "gain": gained, "low": low, "high": high,
                     "hurts_not": inside(low, high, -rule["margin"]) if judged and threat == CLEAN else UNJUDGED,
                     })  # fmt: skip
    found = pd.DataFrame(rows)
    judged = found["p"].notna()
    found.loc[judged, "p"] = holm(found.loc[judged, "p"].to_numpy())
    told = np.where(found["p"] < rule["level"], np.where(found["apart"] > 0, BETTER, WORSE), OPEN)
    found["word"] = found["word"].where(~judged, told)
    return found
