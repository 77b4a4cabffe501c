"""What follows from the frames? The rules that the notebook states before it looks, and what they give."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lpntk.phenomena.relations.authors import AUTHORS
from lpntk.phenomena.relations.drift import frozen_from, least_correlations
from lpntk.report.slopes import mean_interval
from lpntk.report.verdict import FAILS, HOLDS, IN_PART, UNDECIDED, UNJUDGED, Verdict, inside

Rule = Mapping[str, float]  # name of a threshold -> its value, as the notebook states it


def how_common(share: float, rule: Rule) -> str:
    """Return ``rare`` (at most ``rule["rare"]``), ``common`` (at least ``rule["common"]``) or ``neither``."""
    return "rare" if share <= rule["rare"] else "common" if share >= rule["common"] else "neither"


def law(table: pd.DataFrame, rule: Rule) -> Verdict:
    """Judge ``law.by_classes`` at initialisation, over the means of its seeds.

    It holds if the factor is at most ``close`` from 1 - 4/K for every number of classes, and contradiction between
    different labels is rare with more than four classes and common with two or three; ``because`` names those at which
    it does not.
    """
    mean = table[table.moment == "initial"].groupby("classes")[["factor", "law", "contradictory"]].mean()
    failed = []
    for k, row in mean.iterrows():
        wanted = "common" if k < 4 else "rare"
        if abs(row.factor - row.law) > rule["close"] or (k != 4 and how_common(row.contradictory, rule) != wanted):
            failed.append(int(k))
    return Verdict(FAILS if failed else HOLDS, listed(failed))


def flips_at_end(table: pd.DataFrame) -> dict[str, float]:
    """Read ``readings.by_flips`` at its largest share of flipped labels, at the end of training.

    Returns:
        ``ratio``, the smallest of a network, of the contradictory shares of flipped samples with their true class and
        of clean pairs of two labels; ``learned`` and ``learned_least`` of the labels as given; contradictory shares
        (``all``, ``true_class``, ``two_labels``), mean cosines (``*_mean``) and shares beyond a right angle
        (``*_opposed``), means over seeds; and ``opposed``: that of all pairs, ``opposed_before`` at the moment before
        the last, which tells whether they still grow, ``opposed_without`` of networks without flips.
    """
    *_, before, end = sorted(table.epoch.unique())
    mean = table.groupby(["percent", "epoch", "group"])[["contradictory", "mean", "negative", "learned"]].mean()
    few, most = table.percent.min(), table.percent.max()
    last = table[(table.percent == most) & (table.epoch == end)]
    shares = last.pivot(index="seed", columns="group", values="contradictory")
    told = {"percent": int(most), "epochs": int(end), "epochs_before": int(before)}
    told |= {"ratio": (shares.true_class / shares.two_labels).min(skipna=False),  # 0/0 is no rise
             "learned": last.learned.mean(), "learned_least": last.learned.min()}  # fmt: skip
    told["all"] = mean.loc[(most, end, "all"), "contradictory"]
    for group in ("true_class", "two_labels"):
        row = mean.loc[most, end, group]
        told |= {group: row.contradictory, f"{group}_mean": row["mean"], f"{group}_opposed": row.negative}
    at = {"opposed": (most, end), "opposed_before": (most, before), "opposed_without": (few, end)}
    return told | {name: mean.loc[(*place, "all"), "negative"] for name, place in at.items()}


def flips(table: pd.DataFrame, rule: Rule) -> Verdict:
    """Judge by ``flips_at_end`` whether learned flips make contradictions.

    It cannot be judged if some network has learned less than ``learned`` of the labels as given; it holds if in every
    network contradictions are at least ``times`` as frequent with the true class as between clean samples.
    """
    found = flips_at_end(table)
    if not found["learned_least"] >= rule["learned"]:
        return Verdict(UNJUDGED, f"a network has learned {found['learned_least']:.1%}")
    return Verdict(HOLDS if found["ratio"] >= rule["times"] else FAILS, f"the smallest ratio is {found['ratio']:.1f}")


def beyond(table: pd.DataFrame) -> dict[str, float]:
    """Return the shares of pairs of two labels beyond a right angle in ``readings.by_signs``, by signs and moment."""
    rows = table[table.labels == "different"].groupby(["signs", "epoch"]).negative.mean()
    moments = {"initial": table.epoch.min(), "trained": table.epoch.max()}
    return {f"{s}.{word}": float(rows[s, epoch]) for s in ("label", "centred") for word, epoch in moments.items()}


def centring(table: pd.DataFrame, rule: Rule) -> Verdict:
    """Judge ``readings.by_signs``: is opposition common at initialisation with centred signs, and with them alone?"""
    found = beyond(table)
    centred, label = found["centred.initial"], found["label.initial"]
    word = HOLDS if centred >= rule["common"] > label else FAILS
    return Verdict(word, f"{centred:.1%} of their pairs with it, {label:.1%} without")


def freezing(table: pd.DataFrame, accuracy: pd.DataFrame, rule: Rule, of: str = "cosine") -> Verdict:
    """Judge ``drift.to_the_end``: may cosines (or the kernel itself) be frozen, and from when on?

    Args:
        table: of ``drift.to_the_end``.
        accuracy: of ``study.accuracies``, the same networks.
        rule: ``frozen``, the least correlation; ``accuracy``, the least one on the test part of every network.
        of: ``cosine`` or ``kernel``.
    """
    end, least = table.epoch.max(), accuracy[accuracy.epoch == accuracy.epoch.max()].test.min()
    if not least >= rule["accuracy"]:
        return Verdict(UNJUDGED, f"a network is right on {least:.1%} of the test part")
    moment = frozen_from(least_correlations(table, of), rule["frozen"])
    if moment is None:
        return Verdict(FAILS, f"at no moment looked at before epoch {end}")
    return Verdict(HOLDS, f"from epoch {moment} of {end} on")


def frozen(table: pd.DataFrame, judged: Verdict, rule: Rule) -> dict[str, object]:
    """Return what stands behind ``freezing``: the moment, and the least correlations.

    Returns:
        ``cosine``: the moment, ``never``, or that it cannot be judged; the moments ``first``, ``last_but_one`` and
        ``end``; ``cosine.EPOCH`` the least correlation at the first two, the mean over networks, and ``network``, that
        of the worst network at the moment (at the last but one where there is none).
    """
    least = least_correlations(table)
    *earlier, end = sorted(least)
    first, last = earlier[0], earlier[-1]
    moment = frozen_from(least, rule["frozen"])
    worst = table[(table.of == "cosine") & (table.epoch == (last if moment is None else moment))]
    word = judged.word if judged.word == UNJUDGED else "never" if moment is None else moment
    told = {"cosine": word, "first": first, "last_but_one": last, "end": end}
    told["network"] = worst[["pearson", "spearman"]].min().min()
    return told | {f"cosine.{epoch}": least[epoch] for epoch in (first, last)}


CELL = ["training", "epoch", "look"]  # what the networks of one cell share


def theirs(table: pd.DataFrame, column: str, rule: Mapping[str, object]) -> pd.DataFrame:
    """Judge whether the mean of a column is the authors', a row per cell of networks.

    Args:
        table: a row per cell and network: ``CELL``, ``held_out`` (accuracy) and the column.
        column: ``negative`` or ``ratio``; ``rule`` has the ends of what is theirs.
        rule: and ``learned``, the least accuracy of a network that can be judged.

    Returns:
        ``mean``, the ends ``low`` and ``high`` of its 95 % interval, and ``word``: it holds if these lie between the
        ends of the rule, fails if they lie outside, is undecided otherwise.
    """
    (least, most), rows = rule[column], {}
    for cell, group in table.groupby(CELL, sort=False):
        mean, low, high = mean_interval(group[column])
        learned = group.held_out.min() >= rule["learned"]
        word = inside(low, high, least, most) if learned else UNJUDGED
        rows[cell] = {"mean": mean, "low": low, "high": high, "word": word}
    return _by_cell(rows, ["mean", "low", "high", "word"])


def moves(table: pd.DataFrame, rule: Mapping[str, object]) -> pd.DataFrame:
    """Compare every cell's negative share with that of its base, network by network.

    The base of a look is that with the signs of the label at the same network; of a training, the recipe after as many
    epochs; of the recipe, its last epoch. Distances are those of logarithms (base 10) to the authors' share; half a
    pair is added, so that none has one. A cell with a network that has not ``learned`` by the rule moves nothing.

    Returns:
        A row per cell with a base: its name ``against``, the mean difference ``nearer`` of the distances (negative:
        nearer to theirs), its 95 % interval ``low`` to ``high``, and ``word``: towards, away or undecided.
    """
    share = (table.negative_pairs + 0.5) / (table.pairs + 1)
    far = table.assign(far=np.abs(np.log10(share / AUTHORS["negative"]))).set_index([*CELL, "seed"]).far.sort_index()
    last, rows = table[table.training == "recipe"].epoch.max(), {}
    table = table[table.groupby(CELL).held_out.transform("min") >= rule["learned"]]
    for cell in dict.fromkeys(zip(*(table[name] for name in CELL), strict=True)):
        training, epoch, how = cell
        base = (
            (training, epoch, "label") if how != "label" else ("recipe", last if training == "recipe" else epoch, how)
        )
        if base == cell or base not in far.index.droplevel("seed"):
            continue
        mean, low, high = mean_interval((far[cell] - far[base]).dropna())
        word = "towards" if high < 0 else "away" if low > 0 else "undecided"
        rows[cell] = {
            "against": f"{base[0]} {base[1]}, {base[2]}",
            "nearer": mean,
            "low": low,
            "high": high,
            "word": word,
        }
    return _by_cell(rows, ["against", "nearer", "low", "high", "word"])


def _by_cell(rows: Mapping[tuple, Mapping[str, object]], columns: list[str]) -> pd.DataFrame:
    """Return a row per cell, of which there may be none."""
    return pd.DataFrame(list(rows.values()), pd.MultiIndex.from_tuples(list(rows), names=CELL), columns)


def nearest(shares: pd.DataFrame, last: int) -> list[tuple[str, int, str]]:
    """Return the cells whose ratio is asked among all samples: the recipe's last, and the learned one nearest.

    Args:
        shares: of ``theirs`` for the negative share.
        last: epoch of the recipe.
    """
    recipe = ("recipe", last, "label")
    plain = shares[
        (shares.word != UNJUDGED) & (shares.index.get_level_values("look") == "label") & (shares["mean"] > 0)
    ]
    if plain.empty:
        return [recipe]
    return list(dict.fromkeys([recipe, np.abs(np.log10(plain["mean"] / AUTHORS["negative"])).idxmin()]))


def near_theirs(shares: pd.DataFrame, ratios: pd.DataFrame) -> Verdict:
    """Judge whether some cell has both of the authors' counts, from ``theirs`` of the share and of the ratio."""
    judged = shares[shares.word != UNJUDGED]
    if judged.empty:
        return Verdict(UNJUDGED, "no network has learned")
    if ratios.empty:
        return Verdict(UNJUDGED, "no ratio among all training samples was taken")
    both = [cell for cell in ratios.index if ratios.word[cell] == shares.word[cell] == HOLDS]
    one = [*judged.index[judged.word == HOLDS], *ratios.index[ratios.word == HOLDS]]
    words = {*judged.word, *ratios.word}
    word = HOLDS if both else IN_PART if one else FAILS if words <= {FAILS, UNJUDGED} else UNDECIDED
    cells = listed(list(dict.fromkeys(" ".join(map(str, cell)) for cell in both or one)))
    return Verdict(word, f"with {'both' if both else 'one of them'}: {cells}")


def listed(values: Sequence[object]) -> str:
    """Return values as words: ``2, 3 and 10``; ``none`` if there are none."""
    *first, last = map(str, values or ["none"])
    return f"{', '.join(first)} and {last}" if first else last
