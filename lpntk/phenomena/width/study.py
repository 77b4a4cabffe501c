"""What does the width do to the kernel at initialisation? Errors, factors and what the theorem predicts for them.

Each network is an artefact of the cache, so that a killed run resumes. One draw serves both parametrisations (they are
one function) and every number of classes K: a network of K classes has the first K rows of the head and sees samples of
the first K classes.
"""

import itertools
from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from lpntk.data.dataset import Dataset
from lpntk.keep.cache import Cache
from lpntk.keep.keys import computed_key
from lpntk.kernel.signs import factor
from lpntk.phenomena.width.identity import moments_from_fresh_rows, read
from lpntk.phenomena.width.networks import PARAMETRISATIONS, Weights, draw, fresh_head, layer_grams

FRESH = 1  # the word that makes the fresh head's seed another one than the network's


def balanced(data: Dataset, per_class: int, seed: int) -> Tensor:
    """Return the indices of ``per_class`` training samples of every class, (k per_class,), sorted by class.

    Raises:
        ValueError: if a class has fewer.
    """
    order = torch.randperm(len(data.y_train), generator=torch.Generator().manual_seed(seed))
    rows = [order[data.y_train[order] == label][:per_class] for label in range(data.k)]
    if fewest := [label for label, found in enumerate(rows) if len(found) < per_class]:
        raise ValueError(f"class {fewest[0]} has {len(rows[fewest[0]])} samples, not {per_class}: lower per_class")
    return torch.cat(rows)


def measure(
    weights: Weights, x: Tensor, y: Tensor, ks: Sequence[int], parametrisations: Sequence[str], *, seed: Sequence[int]
) -> dict[str, Tensor]:
    """Read one network: its own head, and a fresh one drawn independently of everything else.

    Returns:
        ``<parametrisation>/<K>/<quantity>`` -> number. Errors are root mean squares over pairs of different samples.
    """
    rows = max(ks)
    fresh = fresh_head(weights, rows, seed=seed)
    grams = layer_grams(weights.with_head(torch.cat([weights.matrices[-1][:rows], fresh])), x)
    told = {}
    for parametrisation in parametrisations:
        body, first = grams.body(parametrisation), grams.head(parametrisation)
        for k in ks:
            seen = y < k
            part = [t[seen][:, seen] for t in (body[..., :k, :k], body[..., rows : rows + k, rows : rows + k], first)]
            for name, value in summary(*part, y[seen]).items():
                told[f"{parametrisation}/{k}/{name}"] = value
    return told


def summary(body: Tensor, fresh: Tensor, first: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Summarise the blocks of all pairs of different samples.

    Args:
        body: (n, n, K, K) part of the layers below the head.
        fresh: the same for a fresh head.
        first: (n, n) the head's own part, a multiple of the identity.
        y: (n,) labels.
    """
    k = body.shape[-1]
    upper = torch.ones(len(y), len(y), dtype=torch.bool).triu(1)
    same = y[:, None] == y[None, :]
    identity = first[..., None, None] * torch.eye(k, dtype=body.dtype)
    own, redrawn, moments = read(body + identity, y), read(fresh + identity, y), moments_from_fresh_rows(fresh)
    centre = first + moments.trace
    told = {"theta.min": own.theta[upper].min(), "share": (moments.trace[upper] / centre[upper]).mean()}
    told["directions"] = moments.trace[upper].square().mean() / moments.square[upper].mean()
    for name, group in (("same", upper & same), ("different", upper & ~same)):
        f = factor(k, name == "same")
        rms = lambda values, group=group: values[group].square().mean().sqrt()
        predicted = moments.error_square(k, f) / (k * own.theta**2 + own.rest**2)
        told |= {
            f"{name}.raw": rms(own.error()),  # ||kappa I - Theta||
            f"{name}.rescaled": rms(own.error(multiple=f)),  # ||kappa I - f Theta||
            f"{name}.pntk": rms(own.error("pntk")),
            f"{name}.fresh": rms(redrawn.error(multiple=f)),
            f"{name}.predicted": predicted[group].mean().clamp_min(0).sqrt(),
            f"{name}.factor": own.kappa[group].sum() / own.theta[group].sum(),
            f"{name}.negative": (own.kappa[group] < 0).double().mean(),
        }
    return told


def initial(
    data: Dataset,
    *,
    depths: Sequence[int],
    widths: Sequence[int],
    ks: Sequence[int],
    seeds: int,
    seed: int,
    per_class: int,
    cache: Cache,
) -> pd.DataFrame:
    """Measure networks at their initialisation, ``seeds`` of every width and depth, each on inputs of its own.

    Returns:
        One row per network, parametrisation and K, with a column per quantity of ``summary``.

    Raises:
        ValueError: if more classes are asked for than there are.
    """
    if max(ks) > data.k:
        raise ValueError(f"{data.name} has {data.k} classes; ks go up to {max(ks)}: leave the larger ones out")
    rows = []
    for s, depth, width in tqdm(
        list(itertools.product(range(seed, seed + seeds), depths, widths)), desc="widths", leave=False
    ):

        def make(s: int = s, depth: int = depth, width: int = width) -> dict[str, Tensor]:
            chosen = balanced(data, per_class, seed=s)
            weights = draw(data.x_train[0].numel(), width, depth, max(ks), seed=[s, depth, width])
            x, y = data.x_train[chosen], data.y_train[chosen]
            return measure(weights, x, y, ks, PARAMETRISATIONS, seed=[s, depth, width, FRESH])

        key = computed_key(initial, device="cpu", data=data.digest, normalisation=[data.mean, data.std],
                           depth=depth, width=width, seed=s, ks=list(ks), per_class=per_class)  # fmt: skip
        rows += as_rows(cache.artefact("width", key, make), {"depth": depth, "width": width, "seed": s})
    return pd.DataFrame(rows)


def as_rows(told: dict[str, Tensor], of: dict[str, object]) -> list[dict[str, object]]:
    """Turn what ``measure`` returned into one row per parametrisation and K."""
    rows: dict[tuple[str, str], dict[str, object]] = {}
    for name, value in told.items():
        parametrisation, k, quantity = name.split("/")
        row = rows.setdefault((parametrisation, k), {**of, "parametrisation": parametrisation, "k": int(k)})
        row[quantity] = float(value)
    return list(rows.values())
