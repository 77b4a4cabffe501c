"""Do clusters have a long tail, and is it that of a power law?"""

from collections.abc import Mapping

import pandas as pd

from lpntk.phenomena.less_data.clusters.power_law import power_law
from lpntk.phenomena.less_data.clusters.study import SETTING, at_end
from lpntk.report.verdict import FAILS, HOLDS, IN_PART, UNJUDGED, Verdict


def power_laws(found: pd.DataFrame, *, draws: int, seed: int) -> pd.DataFrame:
    """Return exponent ``alpha`` and probability ``p`` of a power law for every clustering at the last moment.

    Args:
        found: of ``by_cluster``.
        draws: see ``power_law``.
        seed: of these.
    """
    rows = []
    for setting, part in at_end(found).groupby(SETTING):
        alpha, p = power_law(part["size"].to_numpy(), draws=draws, seed=seed)
        rows.append({**dict(zip(SETTING, setting, strict=True)), "alpha": alpha, "p": p})
    return pd.DataFrame(rows)


def verdict(shapes: pd.DataFrame, networks: pd.DataFrame, laws: pd.DataFrame, rule: Mapping[str, float]) -> Verdict:
    """Judge by the rule of the notebook.

    Args:
        shapes: of ``shape``.
        networks: of ``study``.
        laws: of ``power_laws``.
        rule: ``gini`` and ``top`` that every network must reach, ``networks`` and ``test`` accuracy below which nothing
            can be judged, ``power_law`` probability from which that law is not ruled out.
    """
    end = shapes["epoch"].max()
    last = shapes[(shapes["epoch"] == end) & (shapes["kind"] == "kernel")]
    accuracy = networks[networks["epoch"] == end]["test"]
    if len(last) < rule["networks"]:
        return Verdict(UNJUDGED, f"{len(last)} networks are fewer than {rule['networks']}.")
    if accuracy.min() < rule["test"]:
        return Verdict(UNJUDGED, f"a network has a test accuracy of {accuracy.min():.1%}, below {rule['test']:.0%}.")
    unequal, heavy = last["gini"] >= rule["gini"], last["top"] >= rule["top"]
    word = HOLDS if (unequal & heavy).all() else FAILS if not (unequal | heavy).any() else IN_PART
    pixels = shapes[shapes["kind"] == "pixels"].iloc[0]
    p = laws[laws["kind"] == "kernel"]["p"]
    out = int((p < rule["power_law"]).sum())
    law = f"is ruled out in {out} of {len(p)} networks" if out else "cannot be ruled out"
    span = lambda values, form: f"{values.min():{form}} to {values.max():{form}}"
    return Verdict(
        word,
        f"Gini {span(last['gini'], '.2f')} (pixels {pixels['gini']:.2f}). The largest tenth of the clusters holds "
        f"{span(last['top'], '.0%')} of the samples (pixels {pixels['top']:.0%}). A power law {law}.",
    )
