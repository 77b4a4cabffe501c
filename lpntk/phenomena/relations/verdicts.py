"""What follows from the tables? The rules that the notebook states before it looks, and what they give."""

from collections.abc import Mapping, Sequence

import pandas as pd

from lpntk.phenomena.relations.drift.agreement import frozen_from, least_correlations

RARE, COMMON = 0.05, 0.5  # shares of contradictory pairs
CLOSE = 0.1  # of a measured factor to 1 - 4/K
RISE = 2.0  # of the contradictions of flipped samples over those of clean pairs of two labels
LEARNED = 0.95  # share of the labels as given that must be learned before flips are judged


def how_common(share: float) -> str:
    """Return ``rare`` (at most 5 %), ``common`` (at least half) or ``neither``."""
    return "rare" if share <= RARE else "common" if share >= COMMON else "neither"


def law(table: pd.DataFrame) -> dict[str, object]:
    """Judge a ``law_table`` at initialisation, over the means of its seeds.

    Returns:
        ``word``: ``holds`` if the factor is close to 1 - 4/K for every number of classes, and contradiction between
        different labels is rare with more than four classes and common with two or three; else ``fails``. ``failed``:
        the numbers of classes at which it does. ``after``: where and how far the contradictory share that the law makes
        of the kernel under one label is from the measured one after training, at most; the law claims nothing there.
    """
    mean = table[table.moment == "initial"].groupby("classes")[["factor", "law", "contradictory"]].mean()
    failed = []
    for k, row in mean.iterrows():
        wanted = {2: "common", 3: "common"}.get(k, "rare" if k > 4 else None)
        as_wanted = wanted in (None, how_common(row.contradictory))
        if abs(row.factor - row.law) > CLOSE or not as_wanted:
            failed.append(int(k))
    trained = table[table.moment == "trained"].groupby("classes")[["contradictory", "predicted"]].mean()
    worst = (trained.contradictory - trained.predicted).abs().idxmax()
    return {
        "word": "fails" if failed else "holds",
        "failed": listed(failed),
        "after.classes": int(worst),
        "after.contradictory": float(trained.contradictory[worst]),
        "after.predicted": float(trained.predicted[worst]),
    }


def flips(table: pd.DataFrame) -> dict[str, object]:
    """Judge a ``flips_table`` at its largest share of flipped labels, at the end of training.

    Returns:
        ``word``: whether learned flips make contradictions. ``cannot be judged`` if some network has learned less than
        95 % of the labels as given; ``yes`` if in every network the share of contradictory pairs is at least twice as
        large between flipped samples and their true class as between clean samples of two labels; else ``no``.
        ``ratio``: the smallest of these ratios; ``common``: ``how_common`` contradictions are among all pairs;
        ``opposed_before``: at the moment before the last, which tells whether they still grow; and the means behind it.
    """
    noisiest = table[table.percent == table.percent.max()]
    *_, before, end = sorted(table.epoch.unique())
    last = noisiest[noisiest.epoch == end]
    shares = last.pivot(index="seed", columns="group", values="contradictory")
    ratio = float((shares.true_class / shares.two_labels).min(skipna=False))  # 0/0 is no rise
    mean, cosines = shares.mean(), last.groupby("group")["mean"].mean()
    opposed = table[(table.epoch == end) & (table.group == "all")].groupby("percent").negative.mean()
    least = float(last.learned.min())
    word = "yes" if ratio >= RISE else "no"
    return {
        "word": word if least >= LEARNED else "cannot be judged",
        "ratio": ratio,
        "common": how_common(mean["all"]),
        "percent": int(last.percent.max()),
        "epochs": int(end),
        "epochs_before": int(before),
        "learned": float(last.learned.mean()),
        "learned_least": least,
        "true_class_mean": float(cosines.true_class),
        "two_labels_mean": float(cosines.two_labels),
        "all": float(mean["all"]),
        "true_class": float(mean.true_class),
        "two_labels": float(mean.two_labels),
        "true_class_opposed": float(last[last.group == "true_class"].negative.mean()),
        "two_labels_opposed": float(last[last.group == "two_labels"].negative.mean()),
        "opposed_before": float(noisiest[(noisiest.epoch == before) & (noisiest.group == "all")].negative.mean()),
        "opposed_without": float(opposed.loc[opposed.index.min()]),
        "opposed": float(opposed.loc[opposed.index.max()]),
    }


def centring(table: pd.DataFrame) -> dict[str, object]:
    """Judge a ``signs_table``: do most pairs of different labels lie beyond a right angle, with centred signs alone?"""
    rows = table[table.labels == "different"].groupby(["signs", "epoch"]).negative.mean()
    moments = {"initial": table.epoch.min(), "trained": table.epoch.max()}
    told = {f"{s}.{word}": float(rows[s, epoch]) for s in ("label", "centred") for word, epoch in moments.items()}
    does = told["centred.initial"] >= COMMON > told["label.initial"]
    return {"word": "does" if does else "does not", **told}


def freezing(table: pd.DataFrame) -> dict[str, object]:
    """Judge a ``drift_table``: the moment from which on cosines (or the kernel itself) may be frozen, and why."""
    told: dict[str, object] = {}
    for of in table.of.unique():
        least = least_correlations(table, of)
        moment = frozen_from(least)
        told[of] = "never" if moment is None else moment
        told |= {f"{of}.{epoch}": value for epoch, value in least.items()}
    epochs = sorted(table.epoch.unique())
    return {**told, "first": epochs[0], "last_but_one": epochs[-2], "end": epochs[-1]}


def listed(values: Sequence[object]) -> str:
    """Return values as words: ``2, 3 and 10``; ``none`` if there are none."""
    if not values:
        return "none"
    *first, last = map(str, values)
    return f"{', '.join(first)} and {last}" if first else last


def in_words(found: Mapping[str, object]) -> str:
    """Return the verdicts as Markdown, from the numbers that the notebook recorded."""
    law, flip, centred, frozen = (_below(found, f"verdict.{name}") for name in ("law", "flips", "centred", "frozen"))
    contradictory = {
        moment: ", ".join(f"{found[f'classes.{moment}.{k}.contradictory.mean']:.2%} (K = {k})" for k in _classes(found))
        for moment in ("initial", "trained")
    }
    ratio = _below(found, f"self.{found['scale.n']}.ratio")["mean"]
    end, early, late = frozen["end"], frozen["first"], frozen["last_but_one"]
    other = _below(found, "verdict.other")
    never = f"at no moment looked at before epoch {end}"
    words = lambda moment: never if moment == "never" else f"from epoch {moment} of {end} on"
    when = {of: words(frozen[of]) for of in ("cosine", "kernel")}
    other_when = words(other["cosine"])
    return f"""
1. The law $1 - 4/K$ **{law["word"]}** at initialisation (K at which it fails: {law["failed"]}). Of the pairs of
   different labels, contradictory are {contradictory["initial"]} before training, and
   {contradictory["trained"]} after it. There it does worst at K = {law["after.classes"]}: it would make
   {law["after.predicted"]:.1%} contradictory, measured are {law["after.contradictory"]:.1%}.
2. Do flipped labels, once learned, make contradictions: **{flip["word"]}**. With {flip["percent"]} % flipped,
   {flip["learned"]:.2%} of the labels as given are learned after {flip["epochs"]} epochs (in the worst network
   {flip["learned_least"]:.1%}), and contradictory are {flip["true_class"]:.2%} of the pairs of a flipped sample with
   its true class, against {flip["two_labels"]:.2%} of the clean pairs of two labels (the smallest ratio of a network:
   {flip["ratio"]:.1f}). Their mean cosines are {flip["true_class_mean"]:.3f} and {flip["two_labels_mean"]:.3f}; beyond
   a right angle lie {flip["true_class_opposed"]:.1%} and {flip["two_labels_opposed"]:.1%}. Among all pairs
   contradictions are **{flip["common"]}** ({flip["all"]:.2%}), and {flip["opposed"]:.1%} lie beyond a right angle
   ({flip["opposed_before"]:.1%} after {flip["epochs_before"]} epochs; {flip["opposed_without"]:.1%} without flips).
3. Centring the signs **{centred["word"]}** make different labels oppose at initialisation: beyond a right angle lie
   {centred["centred.initial"]:.1%} of their pairs with it, {centred["label.initial"]:.1%} without. After training:
   {centred["centred.trained"]:.1%} and {centred["label.trained"]:.1%}.
4. The cosines may be frozen **{when["cosine"]}**, the kernel itself {when["kernel"]}. The smallest correlation with the
   final cosines is {frozen[f"cosine.{early}"]:.2f} at epoch {early} and {frozen[f"cosine.{late}"]:.2f} at epoch {late}.
   With the learning rate schedule *{other["schedule"]}* the cosines may be frozen **{other_when}**, and these two
   correlations are {other[f"cosine.{early}"]:.2f} and {other[f"cosine.{late}"]:.2f}.
5. Of all pairs {found["final.all.positive.mean"]:.2%} have a positive kernel ({found["authors.positive"]:.2%} in the
   authors' notebook). For each sample that is not most similar to itself there are
   {ratio:.2f} that are ({found["authors.self_similarity"]} there), among
   {found["scale.n"]} samples here and {found["authors.n"]} there.
"""


def _below(found: Mapping[str, object], prefix: str) -> dict[str, object]:
    """Return what lies below a prefix; words that stand for NaN and infinity as such."""
    below = {key.removeprefix(f"{prefix}."): value for key, value in found.items() if key.startswith(f"{prefix}.")}
    return {key: float(value) if value in ("nan", "inf", "-inf") else value for key, value in below.items()}


def _classes(found: Mapping[str, object]) -> list[int]:
    return sorted({int(key.split(".")[0]) for key in _below(found, "classes.initial")})
