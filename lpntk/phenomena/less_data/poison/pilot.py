"""Which score of each kind? Chosen by its precision on samples of their own, before it is compared on others."""

import pandas as pd
import torch

from lpntk.data.dataset import Dataset
from lpntk.data.tasks import part
from lpntk.phenomena.less_data.poison.detectors import AVERAGED, INITIAL, METHODS

KNOWS = "trusted"  # the score that is told good samples, which no other is
KINDS = {"kernel": "kernel-chosen", "usual": "usual-chosen"}  # group of methods -> name of the one that is chosen
ANY = "any"  # threat: all of them, for who does not know which it is


def halves(data: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """Return the data set with one random half of its training samples and with the other; the test set stays."""
    n = len(data.y_train)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return part(data, order[: n // 2].sort().values), part(data, order[n // 2 :].sort().values)


def choose(pilot: pd.DataFrame) -> pd.DataFrame:
    """Return which score of each kind was most precise.

    Args:
        pilot: of ``detection``, on samples that are not compared.

    Returns:
        A row for each threat, and for ``any`` of them, and each kind: the ``method`` with the largest average precision
        ``ap``, a mean over rates and repeats; for ``any`` a mean of the threats' means.
    """
    means = pilot.groupby(["threat", "method"], sort=False)["ap"].mean().unstack("method")
    means.loc[ANY] = means.mean()
    rows = []
    for kind, name in KINDS.items():
        candidates = [method for method, (_, group) in METHODS.items()
                      if group == kind and method not in (KNOWS, KNOWS + INITIAL, KNOWS + AVERAGED)]  # fmt: skip
        for threat, found in means[candidates].iterrows():
            rows.append({"threat": threat, "kind": name, "method": found.idxmax(), "ap": found.max()})
    return pd.DataFrame(rows)


def by_choice(frame: pd.DataFrame, choice: pd.DataFrame, *, known: bool) -> pd.DataFrame:
    """Return the rows of the chosen scores, with their kind in the place of the method.

    Args:
        frame: of ``detection``, on the samples that are compared.
        choice: of ``choose``.
        known: whether the threat is known, and so each has a score of its own; else that for any.
    """
    if known:
        chosen = choice[choice["threat"] != ANY]
        taken = frame.merge(chosen[["threat", "kind", "method"]], on=["threat", "method"])
    else:
        taken = frame.merge(choice.loc[choice["threat"] == ANY, ["kind", "method"]], on="method")
    return taken.assign(method=taken["kind"]).drop(columns="kind")
