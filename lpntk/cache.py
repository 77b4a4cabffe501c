"""Was this computed before? Artefacts by content: parameters, data and source code decide the name.

An artefact is a folder ``<name>-<digest>`` with ``values.pt`` (named tensors) and ``manifest.json`` (what decided it,
the digest of the values, the seconds it took). It is written under a temporary name and renamed, so a killed run leaves
whole artefacts or none. One whose manifest disagrees with what was asked, or with its values, is refused.
"""

import functools
import hashlib
import io
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from lpntk.files import cache_folder, write_json
from lpntk.manifest import PACKAGE, source_hash


class CacheError(Exception):
    """An artefact that is not what its name says; the message names the folder and the fix."""


class Cache:
    """A folder of artefacts.

    Args:
        folder: where they lie; by default the environment variable ``LPNTK_CACHE``, else ``.cache`` beside the package.

    Attributes:
        seconds: what the artefacts handed out so far took to compute, whenever that was.
        hits: how many were found, not computed.
    """

    def __init__(self, folder: str | os.PathLike | None = None):
        self.folder = Path(folder) if folder else cache_folder()
        self.seconds, self.hits = 0.0, 0

    def artefact(self, name: str, key: dict[str, object], make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Return the artefact that ``key`` decides, computed by ``make`` if it is not there.

        Args:
            name: first part of the folder's name, for the eye.
            key: everything that decides the values, as JSON knows it; include ``data`` and ``source``.
            make: computes named tensors.

        Raises:
            CacheError: if the stored artefact disagrees with its manifest, or its manifest with ``key``.
        """
        key = json.loads(json.dumps(key, sort_keys=True))
        place = self.folder / f"{name}-{digest(key)[:24]}"
        if place.exists():
            values, seconds = self._read(place, key)
            self.hits += 1
        else:
            started = time.perf_counter()
            values = make()
            seconds = time.perf_counter() - started
            if not self._write(place, key, values, seconds):
                values, seconds = self._read(place, key)  # another process was faster: all must go on from one
        self.seconds += seconds
        return values

    def _read(self, place: Path, key: dict[str, object]) -> tuple[dict[str, Tensor], float]:
        fix = f"remove {place.name} from the cache folder and run again"
        try:
            manifest = json.loads((place / "manifest.json").read_text())
            stored = (place / "values.pt").read_bytes()
        except (OSError, ValueError) as error:
            raise CacheError(f"{place.name} is not whole ({type(error).__name__}); {fix}") from error
        if manifest.get("key") != key:
            differing = sorted(k for k in {*key, *manifest.get("key", {})} if manifest["key"].get(k) != key.get(k))
            raise CacheError(f"the manifest of {place.name} disagrees with what was asked in {differing}; {fix}")
        if manifest.get("values") != hashlib.sha256(stored).hexdigest():
            raise CacheError(f"the values of {place.name} are not those its manifest was written for; {fix}")
        return torch.load(io.BytesIO(stored), weights_only=True), float(manifest["seconds"])

    def _write(self, place: Path, key: dict[str, object], values: dict[str, Tensor], seconds: float) -> bool:
        """Write an artefact; return False if another process has written it meanwhile."""
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=self.folder))
        try:
            buffer = io.BytesIO()
            torch.save({k: v.contiguous().clone() for k, v in values.items()}, buffer)
            (partial / "values.pt").write_bytes(buffer.getvalue())
            manifest = {"key": key, "values": hashlib.sha256(buffer.getvalue()).hexdigest(), "seconds": seconds}
            write_json(partial / "manifest.json", manifest)
            try:
                os.rename(partial, place)
            except OSError:
                if not place.exists():
                    raise
                return False
            return True
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def digest(content: object) -> str:
    """Return the SHA-256 of something that JSON knows, or of tensors by their bytes."""
    if isinstance(content, Tensor):
        array = content.detach().cpu().contiguous()
        head = f"{array.dtype} {tuple(array.shape)} ".encode()
        return hashlib.sha256(head + array.numpy().tobytes()).hexdigest()
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@functools.cache
def module_hash(*modules: str) -> str:
    """Return the SHA-256 over the source of modules of this package and all that they import of it."""
    return digest([source_hash(PACKAGE / f"{module}.py") for module in modules])
