"""Run every notebook at a profile and keep what it found: the way all figures and numbers of the book are made.

    python -m lpntk.regenerate --profile quick [--only 01 02] [--force] [--jobs 2] [--data FOLDER]

Writes ``results/<profile>/<NN-name>/`` with ``notebook.ipynb`` (executed), ``figures/``, ``numbers.json`` and
``manifest.json``. A notebook whose parameters, source and data are unchanged is skipped. One that fails stops no other;
the end tells which failed and why, with exit status 1.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from lpntk.data import dataset as data
from lpntk.keep.currency import NOTEBOOKS, stale
from lpntk.keep.files import ROOT, cache_folder, data_folder, unkept
from lpntk.regenerate import manifest
from lpntk.regenerate.failures import Failures, RegenerationError
from lpntk.regenerate.profile.profile import check_parameters, choose_notebooks, read_profile
from lpntk.regenerate.runs import Job, alone, run


def regenerate(
    profile: str,
    *,
    only: list[str] | None = None,
    force: bool = False,
    jobs: int = 1,
    results: Path = ROOT / "results",
    notebooks: Path = NOTEBOOKS,
) -> list[Path]:
    """Run the notebooks of a profile and return the folders of their results.

    Args:
        profile: name of a file in ``notebooks/profiles``, without its ending.
        only: beginnings of notebook names, such as ``01`` or ``01-kernel``; all by default.
        force: run even what is current.
        jobs: notebooks that run at a time, each in a process of its own.
        results: folder above the profiles.
        notebooks: folder of the paired notebooks and of ``profiles/``.

    Raises:
        RegenerationError: if there is no such profile or notebook, another process regenerates the same profile, or
            notebooks failed, all of which are named: their parameters or data do not fit, a cell fails, ...
        ValueError: if ``jobs`` is no number of notebooks.
    """
    if type(jobs) is not int or jobs < 1:
        raise ValueError(f"jobs must be a whole number of at least 1, the notebooks that run at a time; got {jobs!r}")
    settings = read_profile(profile, notebooks)
    chosen = choose_notebooks(settings, only)
    failures = Failures()
    with alone(results / profile) as partials:
        wanted = {name: settings[name] for name in chosen}
        waiting = plan_runs(wanted, profile, results / profile, notebooks, failures, force=force)
        run(waiting, jobs, partials, failures)
    failures.tell(len(chosen))
    return [results / profile / name for name in chosen]


def plan_runs(
    settings: dict[str, dict[str, object]],
    profile: str,
    folder: Path,
    notebooks: Path,
    failures: Failures,
    *,
    force: bool,
) -> list[Job]:
    """Return what has to run: all that fits together and, unless it is forced, is not current."""
    digest_of, waiting = _digests(), []
    for i, (name, given) in enumerate(settings.items(), 1):
        source, digest = notebooks / f"{name}.py", None
        line = f"[{i}/{len(settings)}] {name} ({profile})"
        with failures.of(source.name, line):
            parameters = check_parameters(source, given)
            if "dataset" in parameters:
                digest = digest_of(parameters["dataset"])
            job = Job(source, folder / name, profile, parameters, line)
            if not force and manifest.is_current(job.folder, manifest.describe(source, profile, parameters, digest)):
                print(f"{line}: unchanged, kept", flush=True)
            else:
                waiting.append(job)
    return waiting


def _digests() -> Callable[[str], str]:
    """Return what loads a data set once, or says once more why it cannot: looking for it anew may take minutes."""
    known: dict[str, str | data.DataError] = {}

    def digest(name: str) -> str:
        if name not in known:
            try:
                known[name] = data.load(name).digest
            except data.DataError as error:
                known[name] = error
        if isinstance(known[name], data.DataError):
            raise known[name]
        return known[name]

    return digest


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, run, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lpntk.regenerate", description="Run the notebooks at a profile.")
    parser.add_argument("--profile", default="quick", help="name of a file in notebooks/profiles (default: quick)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="beginnings of notebook names, such as 01")
    parser.add_argument("--force", action="store_true", help="run what is unchanged too")
    parser.add_argument(
        "--jobs",
        type=_at_least_one,
        default=min(4, cores()),
        help="notebooks at a time (default: as many as cores, up to four)",
    )
    parser.add_argument("--check", action="store_true", help="run nothing; list what earlier code made")
    parser.add_argument("--data", metavar="FOLDER", help="where mnist and cifar10 lie (LPNTK_DATA)")
    options = parser.parse_args(arguments)
    for stream in filter(lambda stream: hasattr(stream, "reconfigure"), (sys.stdout, sys.stderr)):
        stream.reconfigure(errors="backslashreplace")  # a reason may hold letters that the terminal has not
    if options.check:
        return check()
    try:  # inherited by the notebooks, which run in another folder; not recorded in them
        os.environ["LPNTK_DATA"] = str(data_folder(options.data))
        if os.environ.get("LPNTK_CACHE"):
            os.environ["LPNTK_CACHE"] = str(cache_folder().resolve())
    except ValueError as error:
        print(f"regenerate: {error}", file=sys.stderr)
        return 1
    if fault := unkept(cache_folder()):  # it may still hold what is read
        print(f"regenerate: {fault}", file=sys.stderr, flush=True)
    if "OMP_NUM_THREADS" not in os.environ:  # as many threads per notebook however many have to run
        torch.set_num_threads(max(1, cores() // options.jobs))
        os.environ["OMP_NUM_THREADS"] = str(torch.get_num_threads())
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does
    try:
        regenerate(options.profile, only=options.only, force=options.force, jobs=options.jobs)
    except (RegenerationError, ValueError) as error:
        print(f"regenerate: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"regenerate: {error}; is the disk full, or may nothing be written there? What had finished stays",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("regenerate: interrupted; what had finished stays", file=sys.stderr)
        return 130
    return 0


def check(results: Path = ROOT / "results") -> int:
    """List the results that earlier code made, with the definitions that changed since; return 1 if there are any."""
    found = stale(results)
    for name, names in found.items():
        print(f"{name}: {', '.join(names)}")
    print(f"{len(found)} of {len(list(results.glob('*/*/manifest.json')))} results were made by earlier code")
    return int(bool(found))


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)
