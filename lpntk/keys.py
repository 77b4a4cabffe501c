"""What decides an artefact besides what was asked for? Where it was computed, by which torch and which source."""

import torch

from lpntk.cache import module_hash
from lpntk.device import resolve_device


def computed_key(*modules: str, device: str | torch.device, **decides: object) -> dict[str, object]:
    """Return the key of an artefact for ``Cache.artefact``; every study makes its keys here.

    A CPU and a CUDA device round differently, and training makes that large: what one computed is not the other's.

    Args:
        *modules: of this package that compute it, see ``module_hash``.
        device: where it is computed; its type counts, not which of several.
        **decides: everything else that decides the values, as JSON knows it.
    """
    on = resolve_device(device).type
    return {**decides, "device": on, "torch": torch.__version__, "source": module_hash(*modules)}
