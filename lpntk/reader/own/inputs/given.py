"""What is handed on of somebody's data, whatever it came from; and the test part that is split off where none is."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lpntk.data.dataset import Dataset
from lpntk.data.sources import DataError

TESTED_SHARE = 0.2  # share that is split off


@dataclass(frozen=True)
class Given:
    """Samples, and how a reader finds them in what was given.

    Attributes:
        data: as a network learns them.
        index: (n,) place of every training sample in what was given.
        names: n names of training samples.
        counted: words for what ``index`` counts.
        notes: sentences on what was changed while reading.
        pictures: whether the samples are images that a page can show.
        columns: names of the features of a table.
    """

    data: Dataset
    index: np.ndarray
    names: Sequence[str]
    counted: str
    notes: Sequence[str]
    pictures: bool
    columns: Sequence[str] = ()


def parted(y: np.ndarray, seed: int, where: str) -> np.ndarray:
    """Return (n,) bool, the test part of labels (n,): a fifth of every class, drawn at random.

    A class of one or two samples gives none, unless all classes are that small: then one of each two is.

    Raises:
        DataError: if no class has two samples.
    """
    draw, test = np.random.default_rng(seed), np.zeros(len(y), bool)
    order = draw.permutation(len(y))
    groups = [order[y[order] == label] for label in np.unique(y)]
    for rows in groups:
        test[rows[: round(TESTED_SHARE * len(rows))]] = True
    if not test.any():
        spare = [rows[0] for rows in groups if len(rows) > 1]
        test[spare[: max(1, round(TESTED_SHARE * len(y)))]] = True
        if not spare:
            raise DataError(
                f"{where}: expected a class with two samples or more, one to learn from and one to test with; got "
                f"{len(y)} samples of {len(groups)} classes; add samples, or check the labels"
            )
    return test


def told_split(test: np.ndarray, seed: int) -> str:
    """Return the sentence that says which part was split off."""
    return (
        f"There was no test part: {int(test.sum())} of {len(test)} samples were drawn as one, about "
        f"{TESTED_SHARE:.0%} of every class (seed {seed}). They are neither ranked nor listed."
    )


def printable(name: str | os.PathLike) -> str:
    """Return a name as text, whatever bytes a disk holds it in."""
    return os.fsencode(name).decode("utf-8", "replace")


def few_of(words: Sequence[str], count: int = 5) -> str:
    """Return the first words, and how many more there are."""
    more = f" and {len(words) - count} more" if len(words) > count else ""
    return ", ".join(words[:count]) + more
