"""What does a page conclude? One word of a few, the same few on every page, and why."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

HOLDS, IN_PART, FAILS, UNDECIDED, UNJUDGED = "holds", "holds in part", "fails", "is undecided", "cannot be judged"
WORDS = (HOLDS, IN_PART, FAILS, UNDECIDED, UNJUDGED)


@dataclass(frozen=True)
class Verdict:
    """What became of a claim by the rule that was stated before.

    Attributes:
        word: one of ``WORDS``. What is undecided or cannot be judged is never said to fail.
        because: the numbers that decided it, as a sentence says them.
    """

    word: str
    because: str = ""

    def __post_init__(self):
        if self.word not in WORDS:
            raise ValueError(f"a verdict is one of {', '.join(WORDS)}; got {self.word!r}")

    def __str__(self) -> str:
        return self.word


def above_zero(low: float, high: float) -> str:
    """Return whether what has this interval lies above zero: a word; without an interval it cannot be judged."""
    return UNJUDGED if math.isnan(low) else HOLDS if low > 0 else FAILS if high < 0 else UNDECIDED


def inside(low: float, high: float, least: float = -math.inf, most: float = math.inf) -> str:
    """Return whether what has this interval lies within two limits: it holds if all does, and fails if nothing does."""
    if math.isnan(low):
        return UNJUDGED
    return HOLDS if least <= low and high <= most else FAILS if high < least or low > most else UNDECIDED


def overall(words: Sequence[str]) -> str:
    """Join the verdicts of several settings: what cannot be judged is left out, mixed ones hold in part.

    It holds if all hold, fails if all fail, holds in part if some hold; otherwise it is undecided. If none can be
    judged, neither can the whole.
    """
    judged = {word for word in words if word != UNJUDGED}
    if not judged:
        return UNJUDGED
    if judged <= {HOLDS}:
        return HOLDS
    if judged <= {FAILS}:
        return FAILS
    return IN_PART if judged & {HOLDS, IN_PART} else UNDECIDED
