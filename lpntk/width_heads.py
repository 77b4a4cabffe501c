"""Which property of a trained head raises the error? The same body under heads that lack one after another.

========== ========================================= ============================================================
head       what it is                                what is left of the trained one
========== ========================================= ============================================================
own        as trained                                everything
columns    its columns in another order              the products of its rows; which feature an entry meets is chance
entries    all its entries in another order          the entries alone, and with them its norm
fresh      drawn anew, ``width.fresh_head``          nothing
========== ========================================= ============================================================
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lpntk.identity import read
from lpntk.width import Weights, layer_grams

WAYS = ("columns", "entries")


def permuted(head: Tensor, way: str, generator: np.random.Generator) -> Tensor:
    """Return a head (k, width) with its ``columns`` or all its ``entries`` in a random order."""
    if way not in WAYS:
        raise ValueError(f"way must be one of {', '.join(WAYS)}; got {way!r}")
    if way == "columns":
        return head[:, generator.permutation(head.shape[1])]
    return head.flatten()[generator.permutation(head.numel())].view_as(head)


def measure_permuted(
    weights: Weights, x: Tensor, y: Tensor, parametrisation: str, *, seed: Sequence[int]
) -> dict[str, Tensor]:
    """Read one network under permuted heads.

    Args:
        weights: the network.
        x: (n, ...) inputs.
        y: (n,) labels.
        parametrisation: of the gradient.
        seed: words of the seed of the orders.

    Returns:
        ``<parametrisation>/<K>/same.<way>`` -> root mean square, over pairs of different samples of one label, of
        the relative error of kappa I, as ``width_study.summary`` has it for the own and the fresh head.
    """
    head = weights.matrices[-1]
    k, generator = len(head), np.random.default_rng(list(seed))
    grams = layer_grams(weights.with_head(torch.cat([permuted(head, way, generator) for way in WAYS])), x)
    body, first = grams.body(parametrisation), grams.head(parametrisation)  # (n, n, ways k, ways k), (n, n)
    identity = first[..., None, None] * torch.eye(k, dtype=body.dtype)
    same = torch.ones(len(y), len(y), dtype=torch.bool).triu(1) & (y[:, None] == y[None, :])
    told = {}
    for i, way in enumerate(WAYS):
        part = slice(i * k, (i + 1) * k)
        error = read(body[..., part, part] + identity, y).error()
        told[f"{parametrisation}/{k}/same.{way}"] = error[same].square().mean().sqrt()
    return told
