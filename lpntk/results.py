"""What does a notebook leave behind? Numbers under dotted keys and figures as files, beside the executed notebook.

A notebook opens one ``Results``; everything the book later shows comes from it.
"""

import json
import math
import os
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure


class Results:
    """Numbers and figures of one run of one notebook.

    Args:
        folder: where they go; made if missing.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        (self.folder / "figures").mkdir(parents=True, exist_ok=True)
        self.numbers: dict[str, float | int | str] = {}

    def number(self, key: str, value: object) -> None:
        """Record one number (or word) under a dotted key, such as ``rho.256``, and write the file anew.

        Raises:
            ValueError: if the key is malformed or was recorded before.
            TypeError: if the value is no number, truth value or string.
        """
        if not all(part and part.replace("-", "_").replace("_", "a").isalnum() for part in key.split(".")):
            raise ValueError(f"a key is words of letters, digits, '-' and '_' joined by dots; got {key!r}")
        if key in self.numbers:
            raise ValueError(f"the number {key!r} was recorded already; give each number its own key")
        if hasattr(value, "item"):
            value = value.item()
        if not isinstance(value, bool | int | float | str):
            raise TypeError(f"{key!r} must be a number, a truth value or a string; got {type(value).__name__}")
        if isinstance(value, float) and not math.isfinite(value):
            value = str(value)  # JSON knows no NaN; a page shows the word
        self.numbers[key] = value
        write_json(self.folder / "numbers.json", self.numbers)

    def update(self, prefix: str, values: dict[str, object]) -> None:
        """Record several numbers below one prefix."""
        for key, value in values.items():
            self.number(f"{prefix}.{key}", value)

    def figure(self, name: str, figure: Figure) -> Figure:
        """Save a figure as ``figures/<name>.png``, opaque, and return it for display (once: it is closed)."""
        path = self.folder / "figures" / f"{name}.png"
        partial = path.with_suffix(".partial.png")
        figure.savefig(partial, dpi=150, bbox_inches="tight", facecolor="white", metadata={"Software": None})
        os.replace(partial, path)
        plt.close(figure)
        return figure


def write_json(path: Path, content: object) -> None:
    """Write JSON atomically: whole under its name, or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n")
    os.replace(partial, path)
