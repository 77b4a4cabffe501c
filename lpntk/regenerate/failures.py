"""Which notebooks gave no result, and why? Each is told as it happens and once more at the end; none stops others."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class RegenerationError(Exception):
    """A regeneration that cannot go on; the message names notebook, cell or parameter and the fix."""


class Failures:
    """Why notebooks failed, by the names of their sources."""

    def __init__(self):
        self.reasons: dict[str, str] = {}

    @contextmanager
    def of(self, name: str, line: str) -> Iterator[None]:
        """Note whatever error leaves this block as the reason of a notebook, tell it, and go on behind the block."""
        try:
            yield
        except Exception as error:  # a mistake of ours, too, is no reason to lose the other notebooks
            reason = in_one_line(error)
            self.reasons[name] = reason if reason.startswith(name) else f"{name}: {reason}"
            print(f"{line}: failed, {self.reasons[name]}", flush=True)

    def tell(self, total: int) -> None:
        """Raise what was noted, if anything was.

        Raises:
            RegenerationError: with the reason of every notebook that failed, a line each.
        """
        if len(self.reasons) == 1:
            raise RegenerationError(*self.reasons.values())
        if self.reasons:
            head = f"{len(self.reasons)} of {total} notebooks failed; what the others gave stays"
            raise RegenerationError("\n  ".join([head, *(self.reasons[name] for name in sorted(self.reasons))]))


def in_one_line(error: Exception) -> str:
    """Return what an error says; of one that nobody foresaw also its kind and the line of code that raised it."""
    said = " ".join(str(error).split())
    if isinstance(error, OSError):
        return f"{said}; is the disk full, or may nothing be read or written there?"
    if isinstance(error, RegenerationError | ValueError) and said:  # which are sentences
        return said
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(place.filename).name}, line {place.lineno}"
    return f"{type(error).__name__}: {said or 'it says no more'} ({where})"
