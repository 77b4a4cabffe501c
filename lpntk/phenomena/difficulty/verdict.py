"""Does difficulty follow the set, beyond noise? Correlations over samples, corrected for it, and handed rules."""

import functools
import itertools
from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

from lpntk.learn.history import UNSTABLE
from lpntk.report.verdict import FAILS, HOLDS, IN_PART, UNDECIDED, UNJUDGED, Verdict, overall

Rule = Mapping[str, float]
LEARNED = 0.5  # a size learned if its mean loss fell to this share of the loss at the first presentation
WAYS = ("rank", "value")  # of correlating: Spearman's, and Pearson's as the paper reports it


def compared(
    networks: pd.DataFrame, samples: pd.DataFrame, rule: Rule, *, seed: int, draws: int = 1000
) -> pd.DataFrame:
    """Correlate difficulties over the samples of each repetition, at every size.

    Args:
        networks: of ``study``.
        samples: of ``study``.
        rule: ``reliable``, the least reliability that a correction may divide by; ``none``, a difference of
            correlations that counts as none; ``level`` of intervals.
        seed: of the bootstrap, which draws repetitions, and samples in each of them.
        draws: of the bootstrap.

    Returns:
        A row for each case, measure, way (``rank`` or ``value``) and size, means over repetitions: ``rho`` with the
        universal set; ``reliability`` at this size and ``whole`` of the universal set (same company, other seed);
        ``corrected`` = rho / sqrt(reliability whole) after Spearman (1904), NaN where one is below ``reliable``;
        ``neither`` (other company, other seed) and ``seed`` (other company, same seed); ``company`` = reliability -
        neither, and ``against`` = reliability - seed. ``_low`` and ``_high`` are ends of intervals. ``seen``: all of
        its networks and the universal ones learned, and at most a tenth was unstable. ``evidence``: nor is it too
        unreliable, nor a single sample, which has no company.
    """
    evidence, rows = learned(networks), []
    for (case, measure, size), part in samples.groupby(["case", "measure", "size"], sort=False):
        for way in WAYS:
            told = np.stack([_correlations(one, way, draws, seed) for _, one in part.groupby("repetition")])
            rho, whole, reliability, same, shares_seed, neither = _bootstrap(told, seed).T  # the first is the estimate
            noise = np.sqrt(np.clip(whole, 0, None) * np.clip(reliability, 0, None))
            sound = min(whole[0], reliability[0]) >= rule["reliable"]
            with np.errstate(divide="ignore", invalid="ignore"):
                corrected = np.where(noise > 0, rho / noise, np.nan) if sound else np.full_like(rho, np.nan)
            row = {"case": case, "measure": measure, "way": way, "size": size, "seen": bool(evidence[case, size])}
            for name, values in (("rho", rho), ("whole", whole), ("reliability", reliability), ("corrected", corrected),
                                 ("neither", neither), ("seed", shares_seed), ("company", same - neither),
                                 ("against", same - shares_seed)):  # fmt: skip
                low, high = _interval(values[1:], rule["level"])
                row |= {name: values[0], f"{name}_low": low, f"{name}_high": high}
            rows.append(row | {"evidence": row["seen"] and sound and row["company"] == row["company"]})
    return pd.DataFrame(rows)


def learned(networks: pd.DataFrame) -> dict[tuple[str, int], bool]:
    """Return (case, size) -> whether its networks are evidence, and those of the universal set with them."""
    own = {}
    for of, part in networks.groupby(["case", "size"], sort=False):
        own[of] = bool((part["last"] <= LEARNED * part["first"]).all() and
                       part["unstable"].sum() <= UNSTABLE * part["models"].sum())  # fmt: skip
    n = networks.groupby("case")["size"].max()
    return {(case, size): sound and own[case, n[case]] for (case, size), sound in own.items()}


def decline(table: pd.DataFrame, repetitions: int, rule: Rule) -> Verdict:
    """Judge whether the corrected correlation with the universal set falls as sets get smaller.

    Args:
        table: the rows of ``compared`` of one case, measure and way.
        repetitions: how many there were.
        rule: ``repetitions``, the fewest; ``flat``, below which a rise or the whole fall counts as none.
    """
    known, why = _evidence(table, repetitions, rule)
    if why:
        return Verdict(UNJUDGED, why)
    sizes = list(known[["corrected", "corrected_low", "corrected_high"]].itertuples(index=False, name=None))
    path = " → ".join(f"{middle:.2f}" for middle, _, _ in sizes)
    because = f"corrected ρ goes {path} from {known['size'].iloc[0]} to {known['size'].iloc[-1]} samples."
    (_, low, high), (_, small_low, small_high) = sizes[0], sizes[-1]
    steps = list(itertools.pairwise(sizes))
    if (
        any(small[1] > large[2] and small[0] > rule["flat"] for large, small in steps)
        or high - small_low < rule["flat"]
    ):
        return Verdict(FAILS, because)
    if not small_high < low:
        return Verdict(UNDECIDED, because)
    falls = all(small[0] < large[0] or large[0] <= rule["flat"] for large, small in steps)
    return Verdict(HOLDS if falls else IN_PART, because)


def direct(table: pd.DataFrame, repetitions: int, rule: Rule, of: str = "company") -> Verdict:
    """Judge whether correlations are higher with the same company, over the sizes of one case, measure and way.

    Args:
        table: as for ``decline``.
        repetitions: how many there were.
        rule: ``repetitions``; ``none``, a difference that counts as none.
        of: ``company``, seeds differing in both pairings, or ``against``: than with other company and the same seed.
    """
    known, why = _evidence(table, repetitions, rule)
    if why:
        return Verdict(UNJUDGED, why)
    words, told = [], []
    for row in known.to_dict("records"):
        value, low, high = row[of], row[f"{of}_low"], row[f"{of}_high"]
        words.append(HOLDS if low > 0 else FAILS if high < rule["none"] else UNDECIDED)
        told.append(f"{value:+.2f} ({low:+.2f} to {high:+.2f}) at {row['size']}")
    return Verdict(overall(words), f"difference {', '.join(told)}.")


def _evidence(table: pd.DataFrame, repetitions: int, rule: Rule) -> tuple[pd.DataFrame, str]:
    """Return the sizes that are evidence, the largest first, and why these cannot be judged; empty if they can."""
    table = table[table["company"].notna()].sort_values("size", ascending=False)
    known = table[table["evidence"]]
    if repetitions < rule["repetitions"]:
        return known, f"{repetitions} repetitions are fewer than {rule['repetitions']}."
    if len(known) < max(2, len(table) / 2):
        sizes = ", ".join(map(str, known["size"])) or "none"
        return known, f"sizes that were learned and measured difficulty reliably: {sizes}."
    return known, ""


def _correlations(one: pd.DataFrame, way: str, draws: int, seed: int) -> np.ndarray:
    """Return (1 + draws, 6) correlations over the samples of a repetition, and over samples drawn anew."""
    weights = _weights(len(one), draws, seed)
    rho = lambda *columns: _weighted(one[list(columns)].to_numpy(), weights, way)
    whole, own = rho("whole", "whole_again", "first", "again"), rho("first", "again", "other")
    mean = (whole[:, 0, 2] + whole[:, 0, 3] + whole[:, 1, 2] + whole[:, 1, 3]) / 4
    told = mean, whole[:, 0, 1], whole[:, 2, 3], own[:, 0, 1], own[:, 1, 2], own[:, 0, 2]
    return np.stack(told, axis=1)


def _weighted(values: np.ndarray, weights: np.ndarray, way: str) -> np.ndarray:
    """Return (draws, c, c) correlations of the columns of (n, c) over the rows where all are finite, ranked once."""
    finite = np.isfinite(values).all(axis=1)
    if finite.sum() < 3:
        return np.full((len(weights), values.shape[1], values.shape[1]), np.nan)
    kept, w = values[finite], weights[:, finite]
    kept = stats.rankdata(kept, axis=0) if way == "rank" else kept
    with np.errstate(divide="ignore", invalid="ignore"):
        kept = (kept - kept.mean(axis=0)) / kept.std(axis=0)
        total = w.sum(axis=1)[:, None]
        mean = w @ kept / total
        products = w @ (kept[:, :, None] * kept[:, None]).reshape(len(kept), -1) / total
        covariance = products.reshape(len(w), *[kept.shape[1]] * 2) - mean[:, :, None] * mean[:, None]
        sd = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
        return covariance / (sd[:, :, None] * sd[:, None])


@functools.lru_cache(maxsize=8)
def _weights(n: int, draws: int, seed: int) -> np.ndarray:
    """Return how often each of n samples counts, (1 + draws, n): once, and then as often as it is drawn."""
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws)
    return np.concatenate([np.ones((1, n)), drawn])


def _bootstrap(told: np.ndarray, seed: int) -> np.ndarray:
    """Return (1 + draws, c) means over (repetitions, 1 + draws, c): of all repetitions, then of repetitions drawn."""
    repetitions, draws = len(told), told.shape[1] - 1
    random = np.random.default_rng([seed, 1])
    which = random.integers(repetitions, size=(draws, repetitions))
    drawn = told[which, random.integers(1, draws + 1, size=which.shape)]  # (draws, repetitions, c)
    return np.concatenate([told[:, :1].mean(axis=0), drawn.mean(axis=1)])


def _interval(values: np.ndarray, level: float) -> tuple[float, float]:
    kept = values[np.isfinite(values)]
    return tuple(np.quantile(kept, [level / 2, 1 - level / 2])) if len(kept) else (np.nan, np.nan)
