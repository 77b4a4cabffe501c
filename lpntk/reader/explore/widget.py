"""How does one picture live in two places? As a widget whose answers Python gives, and as HTML that holds them.

An explorer shows the ``state`` that belongs to a ``choice``. In Jupyter a kernel answers: a change of the choice calls
a Python function. On a page from the disk no kernel runs: there all answers stand in the fragment, or a formula gives
them. The script is the same.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import anywidget
import traitlets

from lpntk.keep.files import replacing
from lpntk.reader.explore.fragment import fragment, script, styles

LIMIT = 10**6  # bytes of a page

Choice = dict[str, object]


class Explorer(anywidget.AnyWidget):
    """One explorer.

    Args:
        view: name of its script in ``front/``.
        given: what no choice changes: images, names, axes.
        answer: what is shown for a choice; raises ValueError for one that cannot be.
        choices: those whose answers a fragment holds; the first is shown first. Where the script has a formula, one.
        first: the choice that is shown first instead.
    """

    _esm = traitlets.Unicode().tag(sync=True)
    _css = traitlets.Unicode().tag(sync=True)
    given = traitlets.Dict().tag(sync=True)
    choice = traitlets.Dict().tag(sync=True)
    state = traitlets.Dict().tag(sync=True)

    def __init__(
        self, view: str, given: dict[str, object], answer: Callable[[Choice], dict[str, object]],
        choices: Iterable[Choice], first: Choice | None = None,
    ):  # fmt: skip
        self.view, self._ask, self._choices = view, answer, list(choices)
        first = first or self._choices[0]
        super().__init__(_esm=script(view), _css=styles(), given=given, choice=first)

    @traitlets.observe("choice")
    def _answer(self, change: dict[str, object]) -> None:
        self.state = self._ask(change["new"])

    def fragment(self) -> str:
        """Return HTML that shows the same without Python, as ``fragment.fragment`` makes it."""
        answers = {key(choice): self._ask(choice) for choice in self._choices}
        data = {"given": self.given, "choice": self.choice, "state": self.state, "answers": answers}
        return fragment(self.view, data)

    def save(self, folder: Path) -> "Explorer":
        """Write the fragment as ``<view>.html`` into a folder, and return the explorer.

        Raises:
            ValueError: if it is too large for a page.
        """
        text = self.fragment().encode()
        if len(text) > LIMIT:
            raise ValueError(
                f"the explorer {self.view} takes {len(text) / 1e6:.2f} MB; expected at most {LIMIT / 1e6:g} MB, what a "
                "page may take: show fewer samples (shown) or fewer moments"
            )
        with replacing(folder / f"{self.view}.html") as partial:
            partial.write_bytes(text)
        return self

    def _repr_mimebundle_(self, **options: object) -> tuple[dict, dict]:
        """Return the live widget and, for whoever reads the notebook without a kernel, the fragment."""
        data, metadata = super()._repr_mimebundle_(**options)
        return data | {"text/html": self.fragment()}, metadata


def key(choice: Choice) -> str:
    """Return the name under which a fragment holds the answer to a choice; the script makes the same."""
    return "/".join(str(value) for value in choice.values())


def within(choice: Choice, name: str, values: Sequence) -> object:
    """Return what was chosen.

    Raises:
        ValueError: if it is none of the values.
    """
    if (value := choice.get(name)) not in values:
        told = f"{values[0]} to {values[-1]}" if isinstance(values, range) else ", ".join(map(str, values))
        raise ValueError(f"expected a {name} among {told}; got {value!r}")
    return value
