"""lpNTK, computed: the kernel of Guo et al. (ICLR 2024), the phenomena it explains, and their regeneration."""

from importlib import import_module

__version__ = "0.1.0"

OFFERED = {
    "kernel_matrix": "kernel.matrix",
    "load": "data.dataset",
    "build": "learn.models",
    "train": "learn.training",
}
__all__ = [*OFFERED]


def __getattr__(name: str) -> object:
    """Find what the package offers by name; importing the package alone stays light.

    Raises:
        AttributeError: if it offers nothing of this name.
    """
    if name not in OFFERED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it offers {', '.join(OFFERED)}")
    return getattr(import_module(f"{__name__}.{OFFERED[name]}"), name)
