"""On what was it computed? Processor, instruction set and threads: what rounding depends on, and no key names."""

import os

import torch

from lpntk.machine.device import describe_device

# what bounds the instructions of oneDNN and MKL, each of which chooses its own
BOUNDS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR")


def instructions() -> str:
    """Return the instruction set that torch uses on the CPU, such as ``AVX512``, and the bounds that a user has set."""
    bounds = [f"{name}={os.environ[name]}" for name in BOUNDS if os.environ.get(name)]
    return ", ".join([torch.backends.cpu.get_cpu_capability(), *bounds])


def describe_machine(device: str | torch.device = "auto") -> dict[str, object]:
    """Return what computes on a device: the hardware in words, threads of torch, and instruction set of the CPU."""
    return {
        "device": describe_device(device),
        "threads": torch.get_num_threads(),
        "instructions": instructions(),
    }
