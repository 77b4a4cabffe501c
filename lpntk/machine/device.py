"""Where does it run? One rule for ``device="auto"`` and one honest description for the manifests."""

import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

KEPT = 31 * 2**20  # bytes of the largest block that a CPU's allocator keeps
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED", "ALLOCATION_FAILED")


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """Return the device to use: ``auto`` is the first CUDA device if there is one, else the CPU.

    Raises:
        ValueError: if a CUDA device is named and none is usable, or the name is unknown.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device must be 'auto', 'cpu' or 'cuda[:i]'; got {device!r}") from error
    if resolved.type not in ("cpu", "cuda"):
        raise ValueError(f"device must be 'auto', 'cpu' or 'cuda[:i]'; got {device!r}")
    if resolved.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device!r} was asked for but torch sees no CUDA device; use device='auto' or 'cpu'")
    return resolved


def keep_freed_memory(device: torch.device) -> None:
    """Make a CPU's allocator keep what is freed, instead of fetching fresh pages for every pass over a network.

    glibc gives memory back to the system above a threshold, and asks it for single blocks above another. Both grow with
    the largest block ever freed, up to 32 MiB: so free one.
    """
    if device.type == "cpu":
        torch.empty(KEPT, dtype=torch.uint8)


def ran_out(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, of which a smaller block may be the cure.

    Only CUDA's allocator has a type of error for it; torch's CPU allocator, cuBLAS and cuDNN say it in words.
    """
    told = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return told or (isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY))


def fetched(found: Iterable[Tensor]) -> list[float]:
    """Return tensors of one number each as numbers, having waited once for the device that they are computed on."""
    found = list(found)
    if len({t.device for t in found}) == 1:
        return torch.stack([t.double() for t in found]).tolist()
    return [float(t) for t in found]


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Draw from a seed on the CPU, and on one CUDA device if it is named, and leave all generators as they were.

    ``torch.manual_seed`` would seed every device there is, and ``fork_rng`` put back only those it was told.
    """
    on = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=on, device_type="cuda"):
        torch.default_generator.manual_seed(seed)
        for cuda in on:
            with torch.cuda.device(cuda):
                torch.cuda.manual_seed(seed)
        yield


@contextmanager
def recurrent_in_evaluation(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Go without cuDNN where a model holds recurrent layers: it has no backward pass for them in evaluation mode."""
    before = torch.backends.cudnn.enabled
    try:
        if device.type == "cuda" and any(isinstance(module, nn.RNNBase) for module in model.modules()):
            torch.backends.cudnn.enabled = False
        yield
    finally:
        torch.backends.cudnn.enabled = before


def empty(n: int, like: Tensor) -> Tensor:
    """Return n uninitialised rows (n, *like.shape[1:]), of the kind of ``like``.

    On the CPU numpy allocates them: it asks the system for huge pages, which are faster to get and to walk over.
    """
    shape = (n, *like.shape[1:])
    if like.device.type != "cpu" or like.dtype not in (torch.float32, torch.float64):
        return like.new_empty(shape)
    return torch.from_numpy(np.empty(shape, np.float32 if like.dtype == torch.float32 else np.float64))


def describe_device(device: str | torch.device = "auto") -> str:
    """Return the hardware in words, such as ``CPU Intel(R) Xeon(R) Processor, 4 threads``."""
    resolved = resolve_device(device)
    if resolved.type == "cuda":
        return f"CUDA {torch.cuda.get_device_name(resolved)}"
    count = torch.get_num_threads()
    return f"CPU {_cpu_name()}, {count} thread{'s' if count > 1 else ''}"


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")  # Linux tells more than the platform module
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
