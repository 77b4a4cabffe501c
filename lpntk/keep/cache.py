"""Was this computed before? Artefacts by content: parameters, data and source code decide the name.

An artefact is a folder ``<name>-<digest>`` with ``values.pt`` (named tensors) and ``manifest.json`` (what decided it,
the digest of the values, the seconds it took, and the machine it was made on, which is told and decides nothing). It is
written elsewhere and moved, so a killed run leaves whole artefacts or none. One that is damaged is computed again, with
a warning; one that was made by another key than its name says is refused.
"""

import contextlib
import hashlib
import io
import json
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from lpntk.keep.files import cache_folder, expanded, write_json
from lpntk.machine.description import describe_machine


class CacheError(Exception):
    """An artefact that is not what its name says; the message names the folder and the fix."""


class Damaged(Exception):
    """An artefact that is not whole; the message says what is wrong with it."""


class Cache:
    """A folder of artefacts.

    Args:
        folder: where they lie; by default the environment variable ``LPNTK_CACHE``, else ``.cache`` beside the package.

    Attributes:
        seconds: what the artefacts handed out so far took to compute, whenever that was.
        hits: how many were found, not computed.
    """

    def __init__(self, folder: str | os.PathLike | None = None):
        self.folder = expanded(folder) if folder else cache_folder()
        self.seconds, self.hits = 0.0, 0

    def artefact(self, name: str, key: dict[str, object], make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Return the artefact that ``key`` decides, computed by ``make`` if it is not there.

        Args:
            name: first part of the folder's name, for the eye.
            key: everything that decides the values, as JSON knows it; include ``data`` and ``source``.
            make: computes named tensors.

        Raises:
            CacheError: if the stored artefact was made by another key.
        """
        key = json.loads(json.dumps(key, sort_keys=True))
        place = self.folder / f"{name}-{digest(key)[:24]}"
        if (kept := self._whole(place, key)) is not None:
            values, seconds = kept
            self.hits += 1
        else:
            started = time.perf_counter()
            values = make()
            seconds = time.perf_counter() - started
            try:
                first = self._write(place, key, values, seconds)
            except OSError as error:  # what took hours is not lost for a disk that is full or may not be written
                warnings.warn(f"{place.name} could not be kept, the next run computes it again: {error}", stacklevel=2)
                first = True
            if not first:
                with contextlib.suppress(Damaged):  # it could not be moved away
                    values, seconds = self._read(place, key)  # another process was faster: all must go on from one
        self.seconds += seconds
        return values

    def _whole(self, place: Path, key: dict[str, object]) -> tuple[dict[str, Tensor], float] | None:
        """Return a stored artefact and its seconds; None if there is none or, with a warning, if it was damaged."""
        if not place.exists():
            return None
        try:
            return self._read(place, key)
        except Damaged as fault:
            warnings.warn(f"{fault}; it is computed again", stacklevel=3)
            stays = contextlib.suppress(OSError)  # where none may move it; of two processes, one does
            with stays, tempfile.TemporaryDirectory(prefix=".partial-", dir=self.folder) as away:
                os.rename(place, Path(away) / place.name)
            return None

    def _read(self, place: Path, key: dict[str, object]) -> tuple[dict[str, Tensor], float]:
        try:
            manifest = json.loads((place / "manifest.json").read_bytes())
            made_by, expected, seconds = dict(manifest["key"]), manifest["values"], float(manifest["seconds"])
            stored = (place / "values.pt").read_bytes()
        except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, KeyError) as error:
            raise Damaged(f"{place.name} in the cache is not whole ({type(error).__name__}: {error})") from error
        if made_by != key:
            differing = sorted(k for k in {*key, *made_by} if made_by.get(k) != key.get(k))
            raise CacheError(
                f"the manifest of {place.name} disagrees with what was asked in {differing}; "
                f"remove {place.name} from the cache folder and run again"
            )
        if expected != hashlib.sha256(stored).hexdigest():
            raise Damaged(f"the values of {place.name} in the cache are not those its manifest was written for")
        return torch.load(io.BytesIO(stored), weights_only=True), seconds

    def _write(self, place: Path, key: dict[str, object], values: dict[str, Tensor], seconds: float) -> bool:
        """Write an artefact; return False if another process has written it meanwhile.

        Raises:
            OSError: if it cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=self.folder, ignore_cleanup_errors=True) as own:
            partial = Path(own) / place.name
            partial.mkdir()  # in it, for that one is for no eyes but its owner's
            buffer = io.BytesIO()
            torch.save({k: v.contiguous().clone() for k, v in values.items()}, buffer)
            (partial / "values.pt").write_bytes(buffer.getvalue())
            manifest = {"key": key, "values": hashlib.sha256(buffer.getvalue()).hexdigest(), "seconds": seconds}
            made_on = describe_machine("cuda" if key.get("device") == "cuda" and torch.cuda.is_available() else "cpu")
            write_json(partial / "manifest.json", {**manifest, "made_on": made_on})
            try:
                os.rename(partial, place)
            except OSError:
                if not place.exists():
                    raise
                return False
            return True


def digest(content: object) -> str:
    """Return the SHA-256 of something that JSON knows, or of tensors by their bytes."""
    if isinstance(content, Tensor):
        array = content.detach().cpu().contiguous()
        head = f"{array.dtype} {tuple(array.shape)} ".encode()
        return hashlib.sha256(head + array.numpy().tobytes()).hexdigest()
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
