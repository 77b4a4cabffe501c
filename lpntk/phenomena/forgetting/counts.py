"""What may a page quote of the samples? How many are learned, when, and how often they are forgotten."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from lpntk.phenomena.forgetting.events import counts_at_presentations, follow
from lpntk.phenomena.forgetting.walk import Setting, Track


def both_counts(track: Track) -> dict[str, Tensor]:
    """Return the two ways to count, (runs, n) events each, of the runs that did not diverge."""
    kept = track.finished()
    return {
        "after every update": follow(kept.correct).counts,
        "at presentations": counts_at_presentations(kept.correct, kept.batches),
    }


def count_numbers(track: Track) -> dict[str, float]:
    """Return what a page may quote of the samples followed, over samples and runs that did not diverge.

    Means, but of the update that first made a sample correct (0 at the initialisation) median and quartiles, over the
    samples that were ever learned.
    """
    correct = track.finished().correct
    told = follow(correct)
    first = told.first_learned[~told.never_learned].double()
    low, median, high = (
        first.quantile(torch.tensor([0.25, 0.5, 0.75]).double()).tolist() if len(first) else [math.nan] * 3
    )
    return {
        "events_per_sample": float(told.counts.float().mean()),
        "most": float(told.counts.float().mean(dim=0).max()),
        "forgotten": float((told.counts > 0).float().mean()),
        "never_forgotten": float(told.never_forgotten.float().mean()),
        "never_learned": float(told.never_learned.float().mean()),
        "first_learned": median,
        "first_learned_low": low,
        "first_learned_high": high,
        "correct_at_the_end": float(correct[:, -1].float().mean()),
    }


def count_rows(tracks: Mapping[Setting, Track]) -> list[dict[str, object]]:
    """Return one row of ``count_numbers`` per setting."""
    heads = {
        "correct_at_the_end": "correct at the end",
        "never_learned": "never learned",
        "forgotten": "forgotten at least once",
        "never_forgotten": "learned, never forgotten",
    }
    rows = []
    for setting, track in tracks.items():
        told = count_numbers(track)
        row = {"setting": setting.words} | {words: f"{told[key]:.1%}" for key, words in heads.items()}
        first = "{first_learned:.0f} ({first_learned_low:.0f}–{first_learned_high:.0f})".format(**told)
        row |= {"first learned: update, median (quartiles)": first, "runs": int((~track.diverged).sum())}
        rows.append(row | {"events per sample": f"{told['events_per_sample']:.2f}"})
    return rows
