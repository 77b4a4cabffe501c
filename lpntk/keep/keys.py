"""What decides an artefact besides what was asked for? Where it was computed, by which torch and which source."""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path

import torch

from lpntk.keep.cache import digest
from lpntk.keep.imported import source_hash
from lpntk.machine.device import resolve_device


def computed_key(*by: Callable, device: str | torch.device, **decides: object) -> dict[str, object]:
    """Return the key of an artefact for ``Cache.artefact``; every study makes its keys here.

    A CPU and a CUDA device round differently, and training makes that large: what one computed is not the other's.

    Args:
        *by: functions or classes of this package that compute it; the source of their modules counts, and of all that
            these import.
        device: where it is computed; its type counts, not which of several.
        **decides: everything else that decides the values, as JSON knows it.
    """
    on = resolve_device(device).type
    source = digest([_source(inspect.getsourcefile(maker)) for maker in by])
    return {**decides, "device": on, "torch": torch.__version__, "source": source}


@functools.cache
def _source(path: str) -> str:
    return source_hash(Path(path))
