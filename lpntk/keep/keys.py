"""What decides an artefact besides what was asked for? Where it was computed, by which torch and which code."""

from collections.abc import Callable

import torch

from lpntk.keep.cache import digest
from lpntk.keep.code import definitions_of
from lpntk.machine.device import resolve_device


def computed_key(*by: Callable, device: str | torch.device, **decides: object) -> dict[str, object]:
    """Return the key of an artefact for ``Cache.artefact``; every study makes its keys here.

    A CPU and a CUDA device round differently, and training makes that large: what one computed is not the other's.

    Args:
        *by: functions or classes of this package that compute it; all definitions that these reach count, up to the
            borders that a version stands for (``code.py``).
        device: where it is computed; its type counts, not which of several.
        **decides: everything else that decides the values, as JSON knows it.
    """
    on = resolve_device(device).type
    code = digest([definitions_of(maker) for maker in by])
    return {**decides, "device": on, "torch": torch.__version__, "code": code}
