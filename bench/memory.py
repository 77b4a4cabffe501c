"""How much memory does a variant take? A fresh process each: the peak of a process never goes down again."""

import json
import re
import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]


def available_bytes(device: torch.device | str = "cpu") -> int | None:
    """Return the memory of a device that can still be had; None where the system does not tell."""
    if torch.device(device).type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # freed but kept
        return torch.cuda.mem_get_info(device)[0] + kept
    return _kilobytes("/proc/meminfo", "MemAvailable")


def resident_bytes() -> int | None:
    """Return what this process holds now."""
    return _kilobytes("/proc/self/status", "VmRSS")


def peak_bytes() -> int | None:
    """Return the most this process ever held.

    Read where the kernel counts it per address space. ``getrusage`` would do for a process started by hand, but in
    one started by a large parent it also remembers the parent's peak.
    """
    return _kilobytes("/proc/self/status", "VmHWM")


def probe(variant: str, network: str, n: int, threads: int, root: str | None, limit: float) -> dict:
    """Run one variant once in a process of its own.

    Args:
        variant: name of a variant.
        network: name of a network.
        n: number of samples.
        threads: threads it may use.
        root: folder of the data sets.
        limit: seconds after which it is given up.

    Returns:
        ``bytes``, peak less what was held before, or None with a ``reason``.
    """
    arguments = [variant, network, str(n), str(threads), *([root] if root else [])]
    command = [sys.executable, "-W", "ignore", "-m", "bench.memory", *arguments]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return {"bytes": None, "reason": f"took more than {limit:.0f} s"}
    if done.returncode:
        return {"bytes": None, "reason": f"the process ended with status {done.returncode}"}
    return json.loads(done.stdout.strip().splitlines()[-1])


def _kilobytes(file: str, field: str) -> int | None:
    path = Path(file)
    found = re.search(rf"^{field}:\s+(\d+) kB", path.read_text(), re.MULTILINE) if path.exists() else None
    return int(found.group(1)) * 1024 if found else None


def _main(variant: str, network: str, n: str, threads: str, root: str | None = None) -> None:
    from bench.problem import problem
    from bench.registry import by_name

    torch.set_num_threads(int(threads))
    chosen, full = by_name(variant), problem(network, int(n), root)
    chosen.compute(problem(network, 2, root))  # imports, and the buffers that come with a first call
    before = resident_bytes()
    chosen.compute(full)
    peak = peak_bytes()
    if before is None or peak is None:
        print(json.dumps({"bytes": None, "reason": "this system does not report a peak"}))
    else:
        print(json.dumps({"bytes": peak - before, "reason": None}))


if __name__ == "__main__":
    _main(*sys.argv[1:])
