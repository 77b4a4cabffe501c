"""What does a notebook leave behind? Numbers under dotted keys, figures and frames as files, beside the executed one.

A notebook opens one ``Results``; everything the book later shows comes from it.
"""

import inspect
import math
import os
import struct
from collections.abc import Callable

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Image
from matplotlib.figure import Figure

from lpntk.keep import files
from lpntk.keep.cache import Cache
from lpntk.keep.files import as_notebooks_say, replacing, write_json
from lpntk.keep.frames import kept_frame, told
from lpntk.keep.keys import computed_key

DPI, SHOWN = 150, 100  # dots per inch of the file, and as shown


class Results:
    """Numbers and figures of one run of one notebook.

    Args:
        folder: where they go; made if missing. A relative one counts from the folder of the notebooks.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = as_notebooks_say(folder)
        (self.folder / "figures").mkdir(parents=True, exist_ok=True)
        self.numbers: dict[str, float | int | str] = {}

    def number(self, key: str, value: object) -> None:
        """Record one number (or word) under a dotted key, such as ``rho.256``, and write the file anew.

        Raises:
            ValueError: if the key is malformed or was recorded before.
            TypeError: if the value is no number, truth value or string.
        """
        self._add(key, value)
        write_json(self.folder / "numbers.json", self.numbers)

    def update(self, prefix: str, values: dict[str, object]) -> None:
        """Record several numbers below one prefix."""
        for key, value in values.items():
            self._add(f"{prefix}.{key}", value)
        write_json(self.folder / "numbers.json", self.numbers)

    def frame(self, name: str, frame: pd.DataFrame) -> None:
        """Save the data behind figures and tables as ``frames/<name>.csv``, six digits of each number."""
        path = self.folder / "frames" / f"{name}.csv"
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as partial:
            frame.to_csv(partial, index=False, float_format="%.6g", lineterminator="\n")

    def study(
        self, name: str, study: Callable[..., pd.DataFrame], *args: object, cache: Cache, device: str, **asked: object
    ) -> pd.DataFrame:
        """Return the frame of a study, from a result that holds it or made now; it is saved as by ``frame``.

        Args:
            name: of the frame.
            study: what makes it; ``cache`` and ``device`` are handed on if it asks for them, all that follows always.
            *args: what decides it: networks, data, tensors.
            cache: keeps what is trained.
            device: as in ``train``.
            **asked: what else decides it.
        """
        key = computed_key(study, device=device, args=told(args), asked=told(asked))
        known = inspect.signature(study).parameters
        on = {name: value for name, value in (("cache", cache), ("device", device)) if name in known}
        make = lambda: study(*args, **on, **asked)
        return kept_frame(self.folder / "frames" / f"{name}.csv", key, cache, make, files.ROOT / "results")

    def text(self, key: str, spec: str) -> str:
        """Return a recorded number as a sentence says it, ``undefined`` where it is none (a mean over nothing, say).

        Args:
            key: as it was recorded.
            spec: how to write a number, such as ``.1%``.
        """
        value = float(self.numbers[key])
        return format(value, spec) if math.isfinite(value) else "undefined"

    def _add(self, key: str, value: object) -> None:
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

    def figure(self, name: str, figure: Figure) -> Image:
        """Save a figure as ``figures/<name>.png``, opaque, close it, and return the very file for display."""
        path = self.folder / "figures" / f"{name}.png"
        with replacing(path) as partial:
            look = {"dpi": DPI, "bbox_inches": "tight", "facecolor": "white"}
            figure.savefig(partial, format="png", metadata={"Software": None}, **look)
        plt.close(figure)
        width, _ = struct.unpack(">II", path.read_bytes()[16:24])  # the PNG's header
        return Image(filename=path, width=round(width * SHOWN / DPI))
