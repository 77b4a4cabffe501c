"""How much memory may a kernel take, and what if it is not there? A share of what is free, and then smaller blocks."""

import logging
from collections.abc import Callable
from functools import wraps

import torch
from torch import Tensor

from lpntk.kernel.checks import check_number
from lpntk.kernel.tiles import share as distributed
from lpntk.kernel.tiles.blocks import GIB, NoRoomError
from lpntk.machine.device import ran_out, resolve_device

ON_CPU = 2 * GIB
SHARE = 0.75  # of what a CUDA device has free; the rest is for the model, the trial of it, and what libraries keep
HALVINGS = 3

log = logging.getLogger(__name__)


def default_budget(device: torch.device, processes: int = 1) -> int:
    """Return the bytes that a kernel takes by default: 2 GiB; on CUDA up to three quarters of what is free there.

    A power of two, so that a run that goes on later, with a little more or less free, finds its tiles cut alike.
    Processes that share a device share it.
    """
    if device.type != "cuda":
        return ON_CPU
    free, _ = torch.cuda.mem_get_info(device)
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # freed, and kept for what comes
    return 1 << max(1, int(SHARE * free) // processes).bit_length() - 1


def smaller_when_full(compute: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Decorate ``kernel_matrix``: settle its device and budget, and halve the budget where memory runs out.

    Not where processes share the work, as the others would wait for one that begins again.
    """

    @wraps(compute)
    def begun(
        *args: object, memory_budget: int | None = None, device: str | torch.device = "auto", **options: object
    ) -> Tensor:
        _, size = distributed.world()
        device = resolve_device(distributed.local_device(device))
        if memory_budget is None:
            budget = distributed.least(default_budget(device, distributed.sharing()))  # all must cut alike
        else:
            budget = check_number("memory_budget", memory_budget)
            if budget < 1:
                raise ValueError(f"memory_budget is a number of bytes, at least 1; got {budget}")
        for attempt in range(1 + HALVINGS):
            try:
                return compute(*args, memory_budget=budget >> attempt, device=device, **options)
            except NoRoomError:
                if not attempt:
                    raise
                break  # not even two samples would fit
            except (RuntimeError, MemoryError) as error:
                if not ran_out(error):
                    raise
                said = str(error).partition("\n")[0]
            # only here is memory free again: an error keeps alive what its frames held
            if device.type == "cuda":
                torch.cuda.empty_cache()
            log.warning("memory ran out on %s with memory_budget=%d (%s)", device, budget >> attempt, said)
            if size > 1:
                break
        raise torch.OutOfMemoryError(
            f"memory ran out on {device}, at last with memory_budget={budget >> attempt}: {said}; end what else holds "
            "memory there, give a smaller memory_budget (the model and a copy of it in float64 are not counted), or "
            "device='cpu'"
        )

    return begun
