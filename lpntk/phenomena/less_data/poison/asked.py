"""Can all that is asked be planted, scored, removed and shown? Asked before anything is trained.

A mistake in a threat, a rate or a budget would otherwise end a late cell, after hours, or count what is no case as one.
"""

from collections.abc import Mapping, Sequence

from lpntk.phenomena.less_data.poison.study import Setting
from lpntk.phenomena.less_data.poison.threats import CLEAN, THREATS


def check_asked(
    setting: Setting, other: Setting, *, rates: Mapping[str, Sequence[float]], removed: Mapping[str, float],
    shown: Mapping[str, float], budgets: Sequence[float], repeats: int, pilot: int,
) -> None:  # fmt: skip
    """Plant all that will be planted, and compare what the parameters say with each other.

    Args:
        setting: of the study.
        other: of the pilot.
        rates: of ``detection``.
        removed: of ``removal``.
        shown: threat -> the one of its rates that tables show.
        budgets: of ``removal``.
        repeats: of the study.
        pilot: repeats of the pilot.

    Raises:
        ValueError: if something cannot be, or would be judged without a sense.
    """
    for name, value in (("rates", rates), ("removed", removed), ("shown", shown)):
        if not isinstance(value, Mapping):  # papermill hands on as a word what follows -p
            raise ValueError(f"{name} must be a mapping of threats; got {value!r}: papermill takes one by -y or -f")
    for name, count in (("repeats", repeats), ("pilot", pilot), ("scorers", setting.scorers)):
        if count < 1:
            raise ValueError(f"{name} must be at least 1; got {count}: without one there is nothing to compare")
    if unknown := sorted(set(rates) - set(THREATS)):  # clean samples among them: nothing bad can be found there
        raise ValueError(f"rates must name threats, {', '.join(THREATS)}; got {', '.join(unknown)}: take it out")
    if len(rates) < 2:
        raise ValueError(f"a choice by other threats needs two of them; got {', '.join(rates)}: add one to rates")
    for threat, each in rates.items():
        if not each or len(set(each)) < len(each):
            raise ValueError(f"rates must give each threat at least one rate, and none twice; got {threat}: {each}")
    if not shown:
        raise ValueError("shown must name at least one threat and one of its rates; got none")
    for threat, rate in shown.items():
        if rate not in rates.get(threat, ()):
            raise ValueError(f"shown has {threat} at {rate}, which is not in rates, {dict(rates)}: add it there")
    if CLEAN not in removed:
        raise ValueError(f"removed must name {CLEAN}, whose networks decide whether anything can be judged; got "
                         f"{', '.join(removed) or 'nothing'}: add {CLEAN}: 0.05")  # fmt: skip
    if not budgets or budgets[0] != 1 or min(budgets) <= 0:
        raise ValueError(f"budgets must begin with 1.0, which figures show and of clean samples alone is tried, and be "
                         f"above 0; got {list(budgets)}")  # fmt: skip
    most = min(len(half.data.y_train) for half in (setting, other))
    if not 1 <= setting.n <= most:
        raise ValueError(f"n must lie in 1..{most}, half of the training samples, as the pilot has the other half; got "
                         f"{setting.n}")  # fmt: skip
    cases = [(threat, rate) for threat, each in rates.items() for rate in each]
    for threat, rate in dict.fromkeys([*cases, *removed.items()]):
        for repeat in range(repeats):
            bad = _planted(setting, threat, rate, repeat)
            most = budgets[0] if threat == CLEAN else max(budgets)
            if removed.get(threat) == rate and round(most * (bad or round(rate * setting.n))) >= setting.n:
                raise ValueError(f"{most} times the bad samples of {threat} at {rate} are all {setting.n}, and nothing "
                                 "would be left: lower the rate or the budget")  # fmt: skip
    for threat, rate in cases:
        for repeat in range(pilot):
            _planted(other, threat, rate, repeat)


def _planted(setting: Setting, threat: str, rate: float, repeat: int) -> int:
    """Return how many bad samples a repeat has.

    Raises:
        ValueError: if they cannot be planted, no test sample bears a backdoor's square, or a label has too few good
            ones, which ``suspicion`` would refuse only when it comes to this repeat.
    """
    data = setting.poisoned(threat, rate, repeat)
    if data.attack and not len(data.attack[0]):
        raise ValueError("a backdoor needs test samples of another class than the first to be tried on; there are "
                         "none: add some, or take backdoor out of rates and removed")  # fmt: skip
    good = data.y[~data.bad].bincount(minlength=setting.data.k)
    for label in data.y.unique().tolist():
        if good[label] < 2:
            raise ValueError(f"two good samples of each label are asked; of {setting.data.classes[label]!r} there are "
                             f"{int(good[label])} in repeat {repeat} of {threat} at {rate}: raise n, or leave out "
                             "classes with few samples")  # fmt: skip
    return int(data.bad.sum())
