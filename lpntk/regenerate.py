"""Run every notebook at a profile and keep what it found: the way all figures and numbers of the book are made.

    python -m lpntk.regenerate --profile quick [--only 01 02] [--force] [--jobs 2] [--data FOLDER]

Writes ``results/<profile>/<NN-name>/`` with ``notebook.ipynb`` (executed), ``figures/``, ``numbers.json`` and
``manifest.json``. A notebook whose parameters, source and data are unchanged is skipped. A failure stops the run with
exit status 1; what had finished stays.
"""

import argparse
import functools
import os
import signal
import sys
from pathlib import Path

import torch

from lpntk import data, manifest
from lpntk.currency import stale
from lpntk.execute import RegenerationError
from lpntk.pairing import NOTEBOOKS
from lpntk.profile import check_parameters, choose, read_profile
from lpntk.runs import Job, alone, run

ROOT = NOTEBOOKS.parent


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
        RegenerationError: if profile, notebook, parameters or data do not fit together, another process regenerates
            the same profile, or a cell fails.
    """
    settings = read_profile(profile, notebooks)
    chosen = choose(settings, only)
    with alone(results / profile) as partials:
        jobs_of = plan({name: settings[name] for name in chosen}, profile, results / profile, notebooks)
        waiting = []
        for job, digest in jobs_of:
            made_by = manifest.describe(job.source, profile, job.parameters, digest)
            if not force and manifest.is_current(job.folder, made_by):
                print(f"{job.line}: unchanged, kept", flush=True)
            else:
                waiting.append(job)
        run(waiting, jobs, partials)
    return [job.folder for job, _ in jobs_of]


def plan(
    settings: dict[str, dict[str, object]], profile: str, folder: Path, notebooks: Path
) -> list[tuple[Job, str | None]]:
    """Return what there is to do and the digest of its data, once all of it is known to fit together."""
    load = functools.cache(data.load)
    planned = []
    for i, (name, given) in enumerate(settings.items(), 1):
        source, digest = notebooks / f"{name}.py", None
        parameters = check_parameters(source, given)
        if "dataset" in parameters:
            digest = load(parameters["dataset"]).digest
        line = f"[{i}/{len(settings)}] {name} ({profile})"
        planned.append((Job(source, folder / name, profile, parameters, line), digest))
    return planned


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
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="where mnist and cifar10 lie (LPNTK_DATA)")
    options = parser.parse_args(arguments)
    if options.check:
        return check()
    folder = Path(options.data or os.environ.get("LPNTK_DATA") or ".data").expanduser()
    if options.data and not folder.is_dir():
        print(f"regenerate: --data {folder}: no such folder", file=sys.stderr)
        return 1
    os.environ["LPNTK_DATA"] = str(folder.resolve())  # inherited by the notebooks, not recorded in them
    if "LPNTK_CACHE" in os.environ:  # seen from here, not from the folder of the notebooks
        os.environ["LPNTK_CACHE"] = str(Path(os.environ["LPNTK_CACHE"]).expanduser().resolve())
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


if __name__ == "__main__":
    sys.exit(main())
