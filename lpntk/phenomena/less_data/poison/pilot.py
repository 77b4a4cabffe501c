"""Which score of each kind? Chosen by its precision on samples of their own, before it is compared on others."""

from itertools import product

import pandas as pd
import torch

from lpntk.data.dataset import Dataset
from lpntk.data.tasks import part
from lpntk.phenomena.less_data.poison.detectors import AVERAGED, INITIAL, METHODS

KNOWS = "trusted"  # the kernel's score that is told good samples, which no other is
KINDS = {"kernel": "kernel-chosen", "usual": "usual-chosen"}  # group of methods -> name of the one that is chosen
WAYS = ("unknown", "known")  # what is known of the threat: the choice is by all others, or by itself


def halves(data: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """Return the data set with one random half of its training samples and with the other; the test set stays."""
    n = len(data.y_train)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return part(data, order[: n // 2].sort().values), part(data, order[n // 2 :].sort().values)


def choose(pilot: pd.DataFrame) -> pd.DataFrame:
    """Return which score of each kind was most precise.

    Args:
        pilot: of ``detection``, on samples that are not compared; of two threats at least.

    Returns:
        A row for each threat, way (``WAYS``) and kind: the ``method`` with the largest average precision ``ap`` on the
        pilot, the ``second`` and by how much it is behind (``lead``). If the threat is known, means over its rates and
        repeats; if not, means of these over all other threats.

    Raises:
        ValueError: if there is one threat only.
    """
    means = pilot.groupby(["threat", "method"], sort=False)["ap"].mean().unstack("method")
    if len(means) < 2:
        raise ValueError(f"a choice by other threats needs two of them; got {', '.join(means.index)}: add one to rates")
    rows = []
    for kind, name in KINDS.items():
        candidates = [method for method, (_, group) in METHODS.items()
                      if group == kind and method not in (KNOWS, KNOWS + INITIAL, KNOWS + AVERAGED)]  # fmt: skip
        for threat, way in product(means.index, WAYS):
            seen = means.loc[[threat]] if way == "known" else means.drop(threat)
            found = seen[candidates].mean().sort_values(ascending=False, kind="stable")
            (method, second), ap = found.index[:2], found.iloc[0]
            rows.append({"threat": threat, "way": way, "kind": name, "method": method, "ap": ap, "second": second,
                         "lead": ap - found.iloc[1]})  # fmt: skip
    return pd.DataFrame(rows)


def by_choice(frame: pd.DataFrame, choice: pd.DataFrame, way: str) -> pd.DataFrame:
    """Return the rows of the scores chosen in one way, with their kind in the place of the method.

    Args:
        frame: of ``detection``, on the samples that are compared.
        choice: of ``choose``.
        way: of ``WAYS``.
    """
    chosen = choice.loc[choice["way"] == way, ["threat", "kind", "method"]]
    taken = frame.merge(chosen, on=["threat", "method"])
    return taken.assign(method=taken["kind"]).drop(columns="kind")
