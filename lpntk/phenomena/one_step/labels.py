"""When does the label's sign help to tell a step, and when does it hurt? Signs against no label, by batch and epoch.

The signs of lpNTK are compared with *ones*, which is pNTK: the difference of both is all that labels add.

Why they may fail in a batch: if the pushes of n samples were of one length and at right angles, the sum with weights w
and the sum without would have the cosine ``(sum w) / sqrt(n sum w^2)``, the root of ``active`` of ``readings``.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from lpntk.phenomena.one_step.study import Kind
from lpntk.report.slopes import mean_interval
from lpntk.report.verdict import FAILS, HOLDS, UNDECIDED, UNJUDGED, Verdict, above_zero, overall

WORDS = {HOLDS: "help", FAILS: "hurt", UNDECIDED: "undecided", UNJUDGED: "unknown"}


def gains(steps: pd.DataFrame, kinds: Sequence[Kind], rule: Mapping[str, float]) -> pd.DataFrame:
    """Compare the signs with ones, network by network.

    Args:
        steps: of ``study.follow``.
        kinds: of the steps to judge.
        rule: ``level``, the error of all intervals together; each gets an equal part of it.

    Returns:
        A row for each kind and epoch: ``kind``, ``size``, ``epoch``; ``gain``, the cosine of the signs with the true
        change less that of ones, mean over networks of their mean over steps, with the ends ``low`` and ``high`` of its
        t interval over networks; ``word``: ``holds`` above 0, ``fails`` below.
    """
    cells = [(kind, epoch) for kind in kinds for epoch in sorted(steps["epoch"].unique())]
    rows = []
    for kind, epoch in cells:
        part = steps[(steps["kind"] == kind.name) & (steps["epoch"] == epoch)]
        each = (part["cosine.label"] - part["cosine.ones"]).groupby(part["seed"]).mean().dropna()
        gain, low, high = mean_interval(each.to_numpy(), 1 - rule["level"] / len(cells))
        rows.append({"kind": kind.name, "size": kind.size, "epoch": epoch, "gain": gain, "low": low, "high": high,
                     "word": above_zero(low, high)})  # fmt: skip
    return pd.DataFrame(rows)


def verdict(found: pd.DataFrame) -> Verdict:
    """Do labels help at every size and epoch? It fails if they hurt at every one; see ``report.verdict.overall``."""
    counted = {told: int((found["word"] == word).sum()) for word, told in WORDS.items()}
    told = ", ".join(f"{told} in {count}" for told, count in counted.items() if count)
    return Verdict(
        overall(list(found["word"])), f"of {len(found)} pairs of a batch size and an epoch, the labels {told}"
    )


def concentration(steps: pd.DataFrame, kind: Kind) -> pd.Series:
    """Return how the cosine of the centred signs goes with the share of samples that make a batch, seed by seed.

    It is Spearman's correlation of ``cosine.centred`` and ``active`` over the steps of one kind at the last epoch, so
    that neither size nor epoch can make it.
    """
    rows = steps[(steps["kind"] == kind.name) & (steps["epoch"] == steps["epoch"].max())]
    each = {seed: part["active"].corr(part["cosine.centred"], method="spearman") for seed, part in rows.groupby("seed")}
    return pd.Series(each)


def paired(
    steps: pd.DataFrame, more: tuple[Kind, str], less: tuple[Kind, str], rule: Mapping[str, float]
) -> tuple[Verdict, dict]:
    """Is one cosine with the true change larger than another at the last epoch?

    Args:
        steps: of ``study.follow``.
        more: the kind of step and the force, such as ``centred``.
        less: those it is compared with.
        rule: ``level``, the error of the interval.

    Returns:
        The verdict, and ``more`` and ``less``, the mean cosines over networks, with ``difference``, ``low`` and
        ``high`` of the t interval, paired by network.
    """
    last = steps[steps["epoch"] == steps["epoch"].max()]
    a, b = (last[last["kind"] == kind.name].groupby("seed")[f"cosine.{force}"].mean() for kind, force in (more, less))
    difference, low, high = mean_interval((a - b).dropna().to_numpy(), 1 - rule["level"])
    numbers = {"more": a.mean(), "less": b.mean(), "difference": difference, "low": low, "high": high}
    return Verdict(above_zero(low, high), f"a cosine of {a.mean():.2f} instead of {b.mean():.2f}"), numbers
