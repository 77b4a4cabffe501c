"""Is what a notebook records read anywhere? Numbers are for pages; all else belongs into a frame."""

import json
import re
from pathlib import Path

from rows import each_row

ROOT = Path(__file__).resolve().parents[2]
RESULTS = [path for path in ROOT.glob("results/*/*/numbers.json") if path.parts[-3] not in ("smoke", "failed")]
PAGES = "\n".join(
    path.read_text("utf-8")
    for path in (*ROOT.glob("book/**/*.md"), ROOT / "book/claims.toml", ROOT / "lpntk/regenerate/manifest.py")
)
WORDS = set(re.findall(r"[\w-]+(?:\.[\w-]+)*", PAGES))


@each_row("path", RESULTS)
def test_every_group_of_numbers_has_a_reader(path):
    notebook = path.parent.name
    source = (ROOT / "notebooks" / f"{notebook}.py").read_text("utf-8")
    read_there = re.findall(r"""(?:record\.text\(|record\.numbers\[)\s*f?["']([^"']+)""", source)
    said = WORDS | set(read_there)
    groups = {key.rpartition(".")[0] or key for key in json.loads(path.read_text())}
    read = lambda group: any(word == group or word.startswith(f"{group}.") for word in said)
    unread = {group for group in groups if not read(group) and not read(group.partition(".")[0])}
    assert not unread, f"recorded and never read: {', '.join(sorted(unread))}; keep them in a frame"
