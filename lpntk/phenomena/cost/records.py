"""What did the full benchmark find? Its committed records, ``results/bench/*.json`` as written by ``bench/run.py``.

A relative folder counts from the notebooks, wherever papermill was called. It does so under the name ``Path``: to read
the same file is no other ``all_pairs``, and results that were made by it stay current.
"""

import json
import os
import pathlib
from dataclasses import dataclass

from lpntk.keep.files import as_notebooks_say as Path


@dataclass(frozen=True)
class Timing:
    """Seconds of one variant for the kernel of n samples, the median of its runs."""

    network: str
    parameters: int
    threads: int
    n: int
    variant: str
    seconds: float
    ratio: float | None  # to ``ours`` at the same network, threads and n
    extrapolated: bool  # from a part of the work


@dataclass(frozen=True)
class Report:
    """One file: where it was measured, and what.

    Attributes:
        name: of the file, without its ending.
        hardware: processor, cores, instruction set, versions and date, in words.
        timings: of the variants that ran and gave the right matrix.
        left_out: variant, network, n and reason of the others.
    """

    name: str
    hardware: str
    timings: list[Timing]
    left_out: list[tuple[str, str, int, str]]


def read(folder: str | os.PathLike) -> list[Report]:
    """Return the reports in a folder, sorted by name; none if there is no such folder.

    Raises:
        ValueError: if a file is no report of the benchmark.
    """
    return [_report(path) for path in sorted(Path(folder).glob("*.json"))]


def _report(path: pathlib.Path) -> Report:
    try:
        content = json.loads(path.read_text())
        records, environment = content["records"], content["environment"]
        right = [r for r in records if r["status"] == "ok" and r["seconds"] is not None]
        timings = [
            Timing(
                network=r["network"],
                parameters=r["p"],
                threads=r["threads"],
                n=r["n"],
                variant=r["variant"],
                seconds=r["seconds"],
                ratio=r["ratio_to_ours"],
                extrapolated=r["extrapolated_from"] is not None,
            )
            for r in right
        ]
        left_out = [(r["variant"], r["network"], r["n"], r["reason"] or r["status"]) for r in records if r not in right]
        return Report(path.stem, _hardware(environment), timings, left_out)
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path.name} is no report of bench/run.py ({error!r}); write it anew or remove it") from error


def _hardware(environment: dict) -> str:
    cores, torch = environment["cores"], environment["versions"]["torch"]
    parts = (f"{cores} cores", environment["isa"], environment["system"], f"torch {torch}", environment["date"])
    return ", ".join([environment["cpu"], *parts])


def ratios(timings: list[Timing]) -> dict[str, dict[str, str]]:
    """Return the table of seconds relative to ours: problem by variant; ``~`` marks what is extrapolated."""
    table: dict[str, dict[str, str]] = {}
    for t in timings:
        row = table.setdefault(f"{t.network}, {threads(t.threads)}, n = {t.n}", {})
        shown = (
            f"{t.seconds:.3g} s"
            if t.variant == "ours"
            else "-"
            if t.ratio is None
            else f"{t.ratio:,.{0 if t.ratio > 99 else 2}f}"
        )
        row[t.variant] = ("~" if t.extrapolated else "") + shown
    return table


def threads(count: int) -> str:
    """Return a number of threads in words."""
    return f"{count} thread{'s' if count > 1 else ''}"


def whole_mnist(folder: str | os.PathLike) -> list[dict[str, object]]:
    """Return a row for every committed run of ``bench/mnist.py``, which measures the kernel of all of MNIST.

    Raises:
        ValueError: if a file is no such record.
    """
    return [_row(path) for path in sorted((Path(folder) / "mnist").glob("*.json"))]


def _row(path: pathlib.Path) -> dict[str, object]:
    try:
        record = json.loads(path.read_text())
        parts = record.get("blocks", [record])
        seconds, flops = record["seconds"], sum(part["flops"] for part in parts)
        sizes = [part["n"] for part in parts]
        return {
            "kernel": path.stem,
            "samples": f"{sizes[0]:,}" if len(sizes) == 1 else f"{len(sizes)} x {min(sizes):,} to {max(sizes):,}",
            "threads": record["threads"],
            "seconds": seconds,
            "GFLOP": flops / 1e9,
            "share of the GEMM peak": flops / seconds / record["gemm_peak"],
            "resident GiB": record["peak_resident_bytes"] / 2**30,
            "error": max(part["error"] for part in parts),
            "hardware": _hardware(record["environment"]),
        }
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path.name} is no record of bench/mnist.py ({error!r}); write it anew or remove it"
        ) from error


@dataclass(frozen=True)
class Stacking:
    """A committed run of ``bench/stacking.py``.

    Attributes:
        hardware: in words.
        threads: of torch.
        rows: for a model and a batch size, milliseconds per model and step of each way, and their ratios.
    """

    hardware: str
    threads: int
    rows: list[dict[str, object]]


def stacking(folder: str | os.PathLike) -> dict[str, Stacking]:
    """Return the runs of ``bench/stacking.py``, which measures many models trained as one, by name of the file.

    Raises:
        ValueError: if a file is no such record.
    """
    return {path.stem: _stacking(path) for path in sorted((Path(folder) / "stacking").glob("*.json"))}


def _stacking(path: pathlib.Path) -> Stacking:
    try:
        record = json.loads(path.read_text())
        return Stacking(_hardware(record["environment"]), record["threads"], record["rows"])
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path.name} is no record of bench/stacking.py ({error!r}); write it anew or remove it"
        ) from error


def all_pairs(folder: str | os.PathLike) -> dict[str, float] | None:
    """Return what all pairs of MNIST are to each other, as ``sweep`` read it; None if it was never measured."""
    path = Path(folder) / "mnist" / "all-pairs.json"
    return json.loads(path.read_text())["relations"] if path.exists() else None
