"""Was this study made before, on whatever machine? Its frame lies in the result that was committed, beside its key.

What was trained (``cache.py``) is large and stays where it was trained. The frame of a study is small. While code,
parameters, data, torch and the kind of device are those that made it, what is said of it can be made anew anywhere,
without training again. A frame is always read back from its file: made now or long ago, it is the same to the last
digit. (Frames of before 27 November 2026 have six digits.)
"""

import hashlib
import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

import pandas as pd
from torch import Tensor

from lpntk.keep.cache import Cache, digest
from lpntk.keep.files import replacing, write_json
from lpntk.machine.description import describe_machine


def kept_frame(
    path: Path, key: dict[str, object], cache: Cache, make: Callable[[], pd.DataFrame], results: Path
) -> pd.DataFrame:
    """Return the frame that ``key`` decides, from any result that holds it, else made; and write it to its own place.

    Args:
        path: of the CSV; a JSON beside it holds the key, the digest of the CSV, the seconds that it took, and where.
        key: everything that decides the frame, as JSON knows it.
        cache: its seconds grow by what the frame took, whenever that was.
        make: computes the frame, with this cache.
        results: folder whose results (``profile/notebook``) may hold it.
    """
    key = json.loads(json.dumps(key, sort_keys=True))
    if (found := next(_made(results, path.stem, key), None)) is not None:
        table, made = found
        cache.seconds += made["seconds"]
    else:
        before, frame = cache.seconds, make()
        table = frame.to_csv(index=False, lineterminator="\n").encode()  # all digits: 1/3 stays 1/3
        made = {"key": key, "frame": hashlib.sha256(table).hexdigest(), "seconds": cache.seconds - before,
                "made_on": describe_machine(str(key["device"]))}  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        partial.write_bytes(table)
    write_json(path.with_suffix(".json"), made)
    return pd.read_csv(path)


def _made(results: Path, name: str, key: dict[str, object]) -> Iterator[tuple[bytes, dict[str, object]]]:
    """Yield the CSV, and what stands beside it, of each result that holds this frame; warn of one that is damaged."""
    found = results.glob(f"*/*/frames/{name}.json")
    for path in sorted(found, key=lambda path: ("interactive" in path.parts, path)):  # what is committed comes first
        try:
            made, table = json.loads(path.read_bytes()), path.with_suffix(".csv").read_bytes()
            if made["key"] != key:
                continue
            whole = made["frame"] == hashlib.sha256(table).hexdigest() and made["seconds"] >= 0
        except (OSError, ValueError, TypeError, KeyError):
            whole = False
        if whole:
            yield table, made
        else:
            where = "/".join(path.with_suffix(".csv").parts[-4:])
            warnings.warn(f"{where} is not the frame that was written there, and is not taken", stacklevel=3)


def told(value: object) -> object:
    """Return what a key says of an argument: the digest of data and tensors, the fields of a dataclass."""
    if isinstance(value, Tensor):
        return digest(value)
    if is_dataclass(value):
        if isinstance(own := getattr(value, "digest", None), str):
            return own
        return {field.name: told(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Cache):
        return None
    if isinstance(value, dict):
        return {name: told(part) for name, part in value.items()}
    return [told(part) for part in value] if isinstance(value, list | tuple) else value
