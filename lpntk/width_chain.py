"""What multiplies the error in training? The steps from the trained head back to the initialisation, one at a time.

    after / before = (own / columns) (columns / entries) (entries / fresh) (fresh / before)

The first is what the head's alignment with the features does, the second the products of its rows, the third its norm
and the distribution of its entries, the last the features. The parts depend on the order in which they are taken away.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from pandas.io.formats.style import Styler

from lpntk.tables import table
from lpntk.width_report import setting, settings
from lpntk.width_tables import short
from lpntk.width_verdict import ratio_interval

HEADS = {"raw": "own", "columns": "columns permuted", "entries": "entries permuted", "fresh": "fresh"}
STEPS = ("alignment", "rows", "entries", "features")


@dataclass(frozen=True)
class Chain:
    """Errors of pairs of one label at the end of training, at one setting and width.

    Attributes:
        depth: hidden layers.
        parametrisation: of the networks.
        width: of their hidden layers.
        before: mean error at the initialisation, with the own head.
        errors: head, a key of ``HEADS`` -> mean error over seeds.
        factors: step, one of ``STEPS`` -> geometric mean over seeds and its 95 % interval.
    """

    depth: int
    parametrisation: str
    width: int
    before: float
    errors: dict[str, float]
    factors: dict[str, tuple[float, float, float]]


def chains(frame: pd.DataFrame) -> list[Chain]:
    """Take every setting and width of ``width_training.trained`` apart; diverged networks are left out."""
    first, last, found = frame["epoch"].min(), frame["epoch"].max(), []
    for depth, parametrisation in settings(frame):
        here = frame[(frame["depth"] == depth) & (frame["parametrisation"] == parametrisation)]
        for width, part in here.groupby("width"):
            end = part[(part["epoch"] == last) & (part["diverged"] == 0)].set_index("seed")
            start = part[(part["epoch"] == first) & part["seed"].isin(end.index)].set_index("seed")["same.raw"]
            ends = [end[f"same.{head}"] for head in HEADS]
            ratios = [ratio_interval(low, high) for high, low in zip(ends, [*ends[1:], start], strict=True)]
            errors = {head: float(values.mean()) for head, values in zip(HEADS, ends, strict=True)}
            factors = dict(zip(STEPS, ratios, strict=True))
            found.append(Chain(depth, parametrisation, int(width), float(start.mean()), errors, factors))
    return found


def numbers(found: Sequence[Chain]) -> dict[str, dict[str, float]]:
    """Return ``heads.<setting>.<width>`` -> numbers, once more under ``wide`` for the greatest width."""
    told, wide = {}, max(chain.width for chain in found)
    for chain in found:
        values = {"before": chain.before, **{f"error.{head}": error for head, error in chain.errors.items()}}
        for step, (value, low, high) in chain.factors.items():
            values |= {f"{step}": value, f"{step}.low": low, f"{step}.high": high}
        key = f"heads.{setting(chain.depth, chain.parametrisation)}"
        told |= {f"{key}.{name}": values for name in (str(chain.width), *["wide"] * (chain.width == wide))}
    return told


def errors(found: Sequence[Chain]) -> Styler:
    """Return one row per setting and width: the error before training, and after it under every head."""
    rows = [
        {"setting": short(chain.depth, chain.parametrisation), "width": chain.width, "before": chain.before}
        | {words: chain.errors[head] for head, words in HEADS.items()}
        for chain in found
    ]
    return table(rows, index="setting", formats={name: "{:.3f}" for name in ("before", *HEADS.values())})


def factors(found: Sequence[Chain]) -> Styler:
    """Return one row per setting at the greatest width: by what each step multiplies the error."""
    wide = max(chain.width for chain in found)
    rows = [
        {"setting": short(chain.depth, chain.parametrisation)}
        | {step: f"{value:.2f} ({low:.2f} to {high:.2f})" for step, (value, low, high) in chain.factors.items()}
        for chain in found
        if chain.width == wide
    ]
    return table(rows, index="setting", formats="{}")
