"""Run every notebook at a profile and keep what it found: the way all figures and numbers of the book are made.

    python -m lpntk.regenerate --profile quick [--only 01 02] [--force] [--jobs 2] [--data FOLDER]

Writes ``results/<profile>/<NN-name>/`` with ``notebook.ipynb`` (executed), ``figures/``, ``numbers.json`` and
``manifest.json``. A notebook whose parameters, source and data are unchanged is skipped. A failure stops the run with
exit status 1; what had finished stays.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import torch

from lpntk import manifest
from lpntk.execute import RegenerationError, execute, tidy
from lpntk.pairing import NOTEBOOKS
from lpntk.profile import check_parameters, choose, read_profile

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
        RegenerationError: if profile, notebook or parameters do not fit together, or a cell fails.
    """
    settings = read_profile(profile, notebooks)
    chosen = choose(settings, only)
    folders, waiting = [], []
    for i, name in enumerate(chosen, 1):
        source, folder = notebooks / f"{name}.py", results / profile / name
        parameters = check_parameters(source, settings[name])
        if str(parameters.get("dataset", "")).endswith(".npz"):
            parameters["dataset"] = str(Path(parameters["dataset"]).resolve())  # notebooks run in their own folder
        made_by = manifest.describe(source, profile, parameters)
        line = f"[{i}/{len(chosen)}] {name} ({profile})"
        if not force and manifest.is_current(folder, made_by):
            print(f"{line}: unchanged, kept", flush=True)
        else:
            waiting.append(Job(source, folder, parameters, made_by, line))
        folders.append(folder)
    run(waiting, jobs)
    return folders


@dataclass(frozen=True)
class Job:
    """A notebook that has to run: its source, the folder of its result, its parameters and its manifest."""

    source: Path
    folder: Path
    parameters: dict[str, object]
    made_by: dict[str, object]
    line: str

    @property
    def partial(self) -> Path:
        """Where the result grows until it is whole."""
        return self.folder.parent / ".partial" / self.folder.name

    def begin(self) -> tuple[Path, Path, dict[str, object]]:
        """Make room, and return what ``execute`` needs."""
        print(f"{self.line}: running", flush=True)
        shutil.rmtree(self.partial, ignore_errors=True)
        self.partial.mkdir(parents=True)
        return self.source, self.partial, self.parameters

    def finish(self, outcome: Callable[[], float]) -> None:
        """Take what ``execute`` gave, and put the result in its place only if it is whole."""
        failed = self.folder.parent / "failed" / f"{self.folder.name}.ipynb"
        executed = self.partial / "notebook.ipynb"
        try:
            seconds = outcome()
        except RegenerationError as error:
            if not executed.exists():
                raise
            failed.parent.mkdir(exist_ok=True)
            os.replace(executed, failed)
            raise RegenerationError(
                f"{error} (the notebook up to there: {self.folder.parent.name}/failed/{failed.name})"
            ) from None
        took = manifest.duration(self.partial, seconds)
        tidy(executed, self.made_by["parameters"].get("dataset"), manifest.in_words(self.made_by, took))
        manifest.save(self.partial, self.made_by, seconds)
        replace_folder(self.partial, self.folder)
        failed.unlink(missing_ok=True)
        print(f"{self.line}: done in {seconds:.0f} s", flush=True)


def run(waiting: list[Job], jobs: int) -> None:
    """Run notebooks, ``jobs`` at a time. The first failure stops those that have not begun; the others end."""
    if jobs < 2:
        for job in waiting:
            arguments = job.begin()
            job.finish(lambda: execute(*arguments))  # noqa: B023 (called at once)
        return
    failures: list[RegenerationError] = []
    queue = iter(waiting)
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        running = {pool.submit(execute, *job.begin()): job for job in islice(queue, jobs)}
        while running:
            for ended in wait(running, return_when=FIRST_COMPLETED).done:
                try:
                    running.pop(ended).finish(ended.result)
                except RegenerationError as error:
                    failures.append(error)
                for job in [] if failures else islice(queue, 1):
                    running[pool.submit(execute, *job.begin())] = job
    if failures:
        raise failures[0]


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def replace_folder(new: Path, place: Path) -> None:
    """Put ``new`` in the place of an earlier result, which is removed only once the new one stands."""
    old = new.with_name(new.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        os.replace(place, old)
    os.replace(new, place)
    shutil.rmtree(old, ignore_errors=True)


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line, run, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lpntk.regenerate", description="Run the notebooks at a profile.")
    parser.add_argument("--profile", default="quick", help="name of a file in notebooks/profiles (default: quick)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="beginnings of notebook names, such as 01")
    parser.add_argument("--force", action="store_true", help="run what is unchanged too")
    parser.add_argument(
        "--jobs", type=int, default=min(4, cores()), help="notebooks at a time (default: as many as cores, up to four)"
    )
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="where mnist and cifar10 lie (LPNTK_DATA)")
    options = parser.parse_args(arguments)
    folder = options.data or Path(os.environ.get("LPNTK_DATA") or ".data")
    if options.data and not folder.is_dir():
        print(f"regenerate: --data {folder}: no such folder", file=sys.stderr)
        return 1
    os.environ["LPNTK_DATA"] = str(folder.resolve())  # inherited by the notebooks, not recorded in them
    if "OMP_NUM_THREADS" not in os.environ:  # as many threads per notebook however many have to run
        torch.set_num_threads(max(1, cores() // options.jobs))
        os.environ["OMP_NUM_THREADS"] = str(torch.get_num_threads())
    try:
        regenerate(options.profile, only=options.only, force=options.force, jobs=options.jobs)
    except (RegenerationError, ValueError) as error:
        print(f"regenerate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("regenerate: interrupted; what had finished stays", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
