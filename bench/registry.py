"""Which variants are there, and which can run here?"""

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from bench.peers import NOT_RUN, PEERS
from bench.plain import needed_bytes, plain_layerwise
from bench.variants import OWN, Variant

PLAIN = Variant(
    "plain-layerwise", plain_layerwise, needs=needed_bytes, holds="what enters and leaves the layers", work="plain"
)
VARIANTS = [*OWN, PLAIN, *PEERS]


def by_name(name: str) -> Variant:
    """Return the variant of a name."""
    return {variant.name: variant for variant in VARIANTS}[name]


def missing(variant: Variant) -> str | None:
    """Say why a variant cannot run in this environment; None if it can."""
    if variant.module is not None and find_spec(variant.module) is None:
        return f"{variant.package} is not installed"
    return None


def versions() -> dict[str, str | None]:
    """Return the version of every library that could take part; None where it is not installed."""
    found = {}
    for package in ("torch", "numpy", *[variant.package for variant in VARIANTS if variant.package]):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def never_run() -> dict[str, str]:
    """Return the libraries for which there is no adaptor, and why."""
    return dict(NOT_RUN)
