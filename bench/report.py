"""What came out? A table to read, and one JSON object with everything needed to judge it."""

import datetime
import os
import platform
from collections.abc import Iterable

import torch

from bench.measure import GIB, Record
from bench.registry import versions
from lpntk.machine.device import describe_device

SET = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS")  # cap what is used
HEADINGS = ("variant", "n", "seconds (min-max)", "x ours", "GFLOP", "peak", "memory", "error", "note")


def environment(device: torch.device | str = "cpu") -> dict:
    """Return what the numbers depend on: processor, system and versions, and nothing that names the machine."""
    on = {} if torch.device(device).type == "cpu" else {"device": describe_device(device).removeprefix("CUDA ")}
    return {
        **on,
        "cpu": describe_device("cpu").removeprefix("CPU ").rsplit(",", 1)[0],
        "cores": cores(),
        "isa": torch.backends.cpu.get_cpu_capability(),
        "isa_set": {name: os.environ[name] for name in SET if name in os.environ},
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def table(records: Iterable[Record]) -> str:
    """Return the records as aligned columns, a heading for each network and number of threads."""
    groups: dict[tuple, list[Record]] = {}
    for record in records:
        groups.setdefault((record.network, record.threads, record.p), []).append(record)
    parts = []
    for (network, threads, p), group in groups.items():
        lines = [HEADINGS, *[_cells(record) for record in group]]
        widths = [max(len(line[i]) for line in lines) for i in range(len(HEADINGS))]
        body = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
        parts.append("\n".join([f"{network}, {p} parameters, {threads} threads", *[line.rstrip() for line in body]]))
    return "\n\n".join(parts)


def _cells(record: Record) -> tuple[str, ...]:
    show = lambda value, form: "-" if value is None else form.format(value)
    spread = "-"
    if record.seconds is not None:
        spread = f"{record.seconds:.3g} ({record.seconds_min:.3g}-{record.seconds_max:.3g})"
    note = "" if record.status == "ok" else f"{record.status}: {record.reason}"
    if record.extrapolated_from:
        note = f"{note} extrapolated from {record.extrapolated_from}".strip()
    return (
        record.variant,
        str(record.n),
        spread,
        show(record.ratio_to_ours, "{:.3g}"),
        show(None if record.flops is None else record.flops / 1e9, "{:.4g}"),
        show(record.share_of_peak, "{:.0%}"),
        show(None if record.memory_bytes is None else record.memory_bytes / GIB, "{:.2f} GiB"),
        show(record.error, "{:.1e}"),
        note,
    )
