"""Who is faster? Variants take turns in one process, so that a slow minute of the machine hits them all alike."""

import contextlib
import math
import re
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import torch

from bench.cost import flops
from bench.memory import available_bytes
from bench.problem import Problem
from bench.reference import Reference
from bench.registry import missing
from bench.variants import CannotComputeError, Computed, Variant
from lpntk.machine.precision import exact

GIB = 2**30


@dataclass
class Record:
    """One line of the table: one variant on one problem."""

    network: str
    threads: int
    n: int
    p: int
    variant: str
    status: str = "ok"  # ok, wrong, skipped, failed
    reason: str | None = None
    seconds: float | None = None  # the median; of the whole kernel, extrapolated or not
    seconds_min: float | None = None
    seconds_max: float | None = None
    repeats: int = 0
    extrapolated_from: str | None = None
    ratio_to_ours: float | None = None
    flops: float | None = None
    share_of_peak: float | None = None
    memory_bytes: int | None = None
    memory_reason: str | None = None
    error: float | None = None
    spent: float = math.inf  # seconds of the shortest run, not extrapolated; the machine may stall in others

    def as_json(self) -> dict:
        """Return the fields that say something."""
        return {**asdict(self), "spent": self.spent if self.repeats else None}


def measure(
    problem: Problem,
    variants: Sequence[Variant],
    *,
    threads: int,
    repeats: int,
    limit: float,
    peak: float,
    before: Sequence[Record] = (),
    say: Callable[[str], None] = lambda text: None,
) -> list[Record]:
    """Time all variants on one problem, round by round, and compare each with the float64 reference.

    Args:
        problem: network and samples.
        variants: what to time; the first one named ``ours`` is the measure of the rest.
        threads: threads of torch.
        repeats: rounds; a variant leaves once it has used up ``limit`` seconds.
        limit: seconds a variant may take; it is skipped if a smaller ``n`` predicts more for one run.
        peak: FLOP/s of the machine's matrix product with these threads.
        before: records of smaller problems with the same network and threads.
        say: told what is being done.
    """
    torch.set_num_threads(threads)
    records = {v.name: Record(problem.network, threads, problem.n, problem.p, v.name) for v in variants}
    for variant in variants:
        _set_aside(records[variant.name], variant, problem, limit, before)
        if not before and records[variant.name].status == "ok":
            _warm_up(variant, problem)
    seconds: dict[str, list[float]] = {v.name: [] for v in variants}
    used = dict.fromkeys(seconds, 0.0)
    latest: dict[str, Computed] = {}
    for turn in range(repeats):
        first = turn % len(variants)  # nobody always comes after the same neighbour
        for variant in (*variants[first:], *variants[:first]):
            record = records[variant.name]
            if record.status != "ok" or used[variant.name] >= limit:
                continue
            say(f"{problem.network} n={problem.n} threads={threads} round {turn + 1}: {variant.name}")
            started = time.perf_counter()
            taken = _run(variant, problem, record, latest)
            used[variant.name] += time.perf_counter() - started
            seconds[variant.name] += [] if taken is None else [taken]
    reference = Reference(problem)
    for variant in variants:
        if records[variant.name].status == "ok":
            _settle(records[variant.name], variant, problem, seconds[variant.name], latest, reference, peak)
    ours = records["ours"].seconds if "ours" in records else None
    for record in records.values():
        if ours and record.seconds is not None:
            record.ratio_to_ours = record.seconds / ours
    return list(records.values())


def _set_aside(record: Record, variant: Variant, problem: Problem, limit: float, before: Sequence[Record]) -> None:
    """Skip what is not installed, does not fit or would take too long."""
    reason, needed, available = missing(variant), variant.needs(problem), available_bytes(problem.device)
    if reason is None and problem.budget is not None and needed > problem.budget:
        reason = f"{variant.holds} needs {needed / GIB:.1f} GiB, the budget is {problem.budget / GIB:.1f} GiB"
    if reason is None and available is not None and needed > 0.9 * available:
        reason = f"{variant.holds} needs {needed / GIB:.1f} GiB, {available / GIB:.1f} GiB available"
    earlier = [r for r in before if r.variant == variant.name and r.status in ("ok", "wrong") and r.n < problem.n]
    if reason is None and earlier:
        last = max(earlier, key=lambda r: r.n)
        growth = (problem.n / last.n) ** 2 if last.extrapolated_from is None else 1.0
        if last.spent * growth > limit:
            reason = f"predicted {last.spent * growth:.0f} s for a run, limit {limit:.0f} s"
    if reason is not None:
        record.status, record.reason = "skipped", reason


def _warm_up(variant: Variant, problem: Problem) -> None:
    """Import what the variant imports, so that no timing includes it."""
    with contextlib.suppress(Exception):  # it fails again when it is timed, and is reported then
        _compute(variant, problem.first(2))


def _compute(variant: Variant, problem: Problem) -> Computed:
    """Compute, and wait until a device is done; there float32 is float32, where torch would round convolutions."""
    if problem.device.type != "cuda":
        return variant.compute(problem)
    computed = exact(variant.compute)(problem)
    torch.cuda.synchronize(problem.device)
    return computed


def _run(variant: Variant, problem: Problem, record: Record, latest: dict[str, Computed]) -> float | None:
    latest.pop(variant.name, None)
    on_device, held = problem.device.type == "cuda", 0
    if on_device:
        torch.cuda.reset_peak_memory_stats(problem.device)
        held = torch.cuda.memory_allocated(problem.device)
    start = time.perf_counter()
    try:
        computed = _compute(variant, problem)
    except CannotComputeError as error:
        record.status, record.reason = "skipped", str(error)
        return None
    except Exception as error:  # a peer may fail in any way; the others go on
        record.status, record.reason = "failed", describe(error)
        return None
    taken = time.perf_counter() - start
    if on_device:
        record.memory_bytes = torch.cuda.max_memory_allocated(problem.device) - held
    latest[variant.name] = computed
    record.extrapolated_from, record.spent = computed.extrapolated_from, min(record.spent, taken)
    return taken * computed.of / computed.done


def _settle(
    record: Record,
    variant: Variant,
    problem: Problem,
    seconds: list[float],
    latest: dict[str, Computed],
    reference: Reference,
    peak: float,
) -> None:
    record.seconds, record.repeats = statistics.median(seconds), len(seconds)
    record.seconds_min, record.seconds_max = min(seconds), max(seconds)
    record.flops = flops(problem, variant.work)
    if record.flops is not None:
        record.share_of_peak = record.flops / record.seconds / peak
    record.error = reference.error(latest[variant.name])
    if not record.error <= variant.tolerance:
        record.status = "wrong"
        record.reason = f"relative error {record.error:.1e} exceeds {variant.tolerance:.0e}"


def describe(error: Exception) -> str:
    """Return type and first line of an error, folders left out."""
    line = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {re.sub(r'(/[^/ ]+){2,}', '<path>', line)}"[:200]
