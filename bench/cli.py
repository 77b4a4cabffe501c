"""What to measure? The command line of the benchmark; ``python bench/run.py --help``."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from bench.cost import gemm_peak, plan
from bench.measure import GIB, Record, measure
from bench.memory import probe
from bench.problem import NETWORKS, QUICK, problem
from bench.profile import listing, profile
from bench.registry import VARIANTS, never_run
from bench.report import cores, environment, table
from bench.variants import Variant
from lpntk.keep.files import data_folder, expanded, write_text
from lpntk.machine.device import resolve_device
from lpntk.machine.precision import exact


def main(arguments: Sequence[str] | None = None, variants: Sequence[Variant] = tuple(VARIANTS)) -> dict:
    """Run the benchmark, print its table and return (and write) its report.

    Args:
        arguments: command line without the program's name.
        variants: what to compare.
    """
    options = _options(arguments)
    chosen = [v for v in variants if options.variants is None or v.name in options.variants]
    say = (lambda text: None) if options.quiet else lambda text: print(text, file=sys.stderr, flush=True)
    report = {
        "environment": environment(options.device),
        "settings": _settings(options),
        "peaks": {},
        "data": {},
        "plans": {},
    }
    report |= {"not_run": never_run(), "records": [], "profiles": []}
    records: list[Record] = []
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
    for threads in options.threads:
        torch.set_num_threads(threads)
        peak = exact(gemm_peak)(512 if options.quick else 4096, device=options.device)
        report["peaks"][str(threads)] = peak
        say(f"{options.device}, {threads} threads: a matrix product reaches {peak / 1e9:.0f} GFLOP/s")
        for network in options.models:
            before: list[Record] = []
            for n in options.n or NETWORKS[network].sizes:
                posed = problem(network, n, options.data, options.device)
                report["data"][network], report["plans"][f"{network} {n}"] = posed.source, plan(posed)
                posed = replace(posed, budget=None if options.budget is None else int(options.budget * GIB))
                shared = {"threads": threads, "repeats": options.repeats, "peak": peak}
                found = measure(posed, chosen, **shared, limit=options.limit, before=before, say=say)
                if options.device.type == "cpu" and not options.no_memory and threads == options.threads[0]:
                    found = [_with_memory(record, options, say) for record in found]
                before += found
                records += found
                if any(record.variant == "ours" and record.status == "ok" for record in found):
                    say(f"{network} n={n} threads={threads}: where the time of ours goes")
                    report["profiles"].append(profile(posed, **shared))
                report["records"] = [record.as_json() for record in records]
                _write(options.out, report)
    print(table(records))
    for found in report["profiles"]:
        largest = max(f["n"] for f in report["profiles"] if f["network"] == found["network"])
        print(f"\n{listing(found, layers=found['n'] == largest)}")
    print()
    for name, reason in never_run().items():
        print(f"{name}: not run, {reason}")
    return report


def _with_memory(record: Record, options: argparse.Namespace, say: callable) -> Record:
    if record.status not in ("ok", "wrong") or record.variant not in {v.name for v in VARIANTS}:
        return record
    say(f"{record.network} n={record.n}: memory of {record.variant}")
    limit = 120 + 3 * record.spent
    found = probe(record.variant, record.network, record.n, record.threads, options.data, limit)
    return replace(record, memory_bytes=found["bytes"], memory_reason=found["reason"])


def _write(out: Path | None, report: dict) -> None:
    if out is not None:
        write_text(out, json.dumps(report, indent=1) + "\n")


def _settings(options: argparse.Namespace) -> dict:
    told = {key: getattr(options, key) for key in ("models", "n", "threads", "repeats", "limit", "budget", "quick")}
    return {**told, "device": options.device.type}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/run.py", description=__doc__)
    parser.add_argument("--models", nargs="+", choices=list(NETWORKS), default=["lenet", "resnet18-16", "resnet18-64"])
    parser.add_argument("--n", nargs="+", type=int, help="numbers of samples; each network has its own by default")
    parser.add_argument("--threads", nargs="+", type=_threads, help="numbers, or 'all'; by default 1 and all")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda[:i], where all threads are used by default")
    parser.add_argument("--variants", nargs="+", help="names; all by default")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=float, default=120.0, help="seconds that a variant may take at one n")
    parser.add_argument(
        "--budget", type=float, metavar="GIB", help="memory that a variant may hold; all there is by default"
    )
    parser.add_argument("--data", metavar="PATH", help="folder of the data sets")
    parser.add_argument("--out", type=expanded, metavar="FILE.json")
    parser.add_argument("--quick", action="store_true", help="tiny networks, one thread, one round: a check, no timing")
    parser.add_argument("--no-memory", action="store_true", help="no memory measurement by a process per variant")
    parser.add_argument("--quiet", action="store_true")
    options = parser.parse_args(arguments)
    try:
        options.device = resolve_device(options.device)
    except ValueError as error:
        parser.error(str(error))
    options.threads = options.threads or ([1, cores()] if options.device.type == "cpu" else [cores()])
    if options.quick:
        options.models, options.n, options.threads, options.repeats = list(QUICK), None, [1], 1
    try:
        options.data = str(data_folder(options.data)) if options.data else None
    except ValueError as error:
        parser.error(str(error))
    options.threads, options.n = sorted(set(options.threads)), sorted(set(options.n)) if options.n else None
    return options


def _threads(text: str) -> int:
    return cores() if text == "all" else int(text)
