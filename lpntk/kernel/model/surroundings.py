"""What around a call would change a kernel? Settings of torch that hold for whatever runs inside them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.utils import parametrize


def check_surroundings() -> None:
    """Check that tensors made here hold numbers and may have gradients.

    Raises:
        ValueError: if not; the message says what forbids it.
    """
    if torch.is_inference_mode_enabled():
        raise ValueError("a kernel is made of gradients, which torch.inference_mode forbids; call it outside")
    if torch.get_default_device().type == "meta":
        raise ValueError(
            "the default device is meta, where new tensors hold no numbers; a kernel needs one that holds them:\n"
            "    torch.set_default_device('cpu')  # or leave 'with torch.device(\"meta\")'\n"
            "    kernel_matrix(model, x, y)"
        )


@contextmanager
def uncached() -> Iterator[None]:
    """Go past ``parametrize.cached()``: what a pass without gradients left there has no graph.

    The cache and its switch belong to the process; the switch is turned back by as much as it was turned, and what the
    cache holds stays.
    """
    before = parametrize._cache_enabled
    parametrize._cache_enabled -= before
    try:
        yield
    finally:
        parametrize._cache_enabled += before
