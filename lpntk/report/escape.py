"""How does a page show a name as it is? A file may be called ``a|b <script>.npz``, which is markup to its reader."""

import re


def markdown(value: object) -> str:
    """Return a value as Markdown that says just that, in a line or a cell of a table."""
    return re.sub(r"([\\`*_{}\[\]<>|$&~^#])", r"\\\1", " ".join(str(value).split()))
