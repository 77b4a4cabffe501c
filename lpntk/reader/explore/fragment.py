"""How does an explorer live on a page? As HTML that holds its answers, style and script, and asks for nothing."""

import html
import json
import re
from pathlib import Path

FRONT = Path(__file__).with_name("front")
HELD = re.compile(r'<script type="application/json" id="explorer-(\w+)-data">(.*?)</script>', re.DOTALL)


def script(view: str) -> str:
    """Return the module that draws an explorer."""
    return "\n".join((FRONT / f"{part}.js").read_text("utf-8") for part in (view, "core"))


def styles() -> str:
    """Return how all explorers look."""
    return (FRONT / "explorer.css").read_text("utf-8")


def fragment(view: str, data: dict[str, object]) -> str:
    """Return HTML that shows an explorer without Python; without scripts, a sentence tells what it shows first.

    Args:
        view: name of its script in ``front/``.
        data: ``given``, ``choice``, ``state`` and ``answers``, the states of other choices by their key.
    """
    name, said = f"explorer-{view}", html.escape(str(data["state"]["said"]))
    held = json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    return (
        f'<div class="lpntk-explorer" id="{name}"><noscript><p>With JavaScript this is a picture to play with. '
        f"What it shows first: {said}</p></noscript></div>\n<style>{styles()}</style>\n"
        f'<script type="application/json" id="{name}-data">{held}</script>\n'
        f'<script type="module">\n{script(view)}\nmount("{name}");\n</script>\n'
    )


def read_fragment(text: str) -> tuple[str, dict[str, object]]:
    """Return view and data of a fragment.

    Raises:
        ValueError: if the text is none.
    """
    if not (found := HELD.search(text)):
        raise ValueError("expected the HTML of an explorer; got a text without its data: run the notebook anew")
    return found[1], json.loads(found[2])


def renewed(text: str) -> str:
    """Return a fragment with its data and today's script and style: a run decides what is shown, not how.

    Raises:
        ValueError: if the text is no fragment.
    """
    return fragment(*read_fragment(text))
