"""How do many notebooks run? Each in a process of its own, into a folder of its own, and only a whole result counts."""

import itertools
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from lpntk.kernel.tiles.lock import locked
from lpntk.regenerate import manifest
from lpntk.regenerate.execute import start
from lpntk.regenerate.failures import Failures, RegenerationError
from lpntk.regenerate.own_kernel import environment
from lpntk.regenerate.page.tidied import tidy
from lpntk.regenerate.pairing import ADVICE, disagreement

LONGEST = 50  # letters of the folder of temporary files, or a socket in it has too long a name for the system
GLANCE = 0.1  # seconds between two looks at what has ended


@dataclass
class Job:
    """A notebook that has to run: its source, the folder of its result, its profile and parameters."""

    source: Path
    folder: Path
    profile: str
    parameters: dict[str, object]
    line: str
    partial: Path = field(init=False)
    fault: Path = field(init=False)
    process: subprocess.Popen = field(init=False)

    def begin(self, run: Path, own: Path) -> None:
        """Start the notebook: its result grows in the folder ``run``, what its process needs lies in ``own``.

        Raises:
            RegenerationError: if the notebook was edited while it waited.
        """
        if fault := disagreement(self.source):  # edited while it waited
            raise RegenerationError(f"{fault}; {ADVICE}")
        print(f"{self.line}: running", flush=True)
        self.partial, self.fault, home = (
            run / self.folder.name,
            own / f"{self.folder.name}.fault",
            own / self.folder.name,
        )
        self.partial.mkdir()
        home.mkdir()
        self.made_by, self.written = self._now()
        self.started = time.monotonic()
        self.process = start(self.source, self.partial, self.parameters, self.fault, environment(home))

    def finish(self) -> None:
        """Put the result in its place only if it is whole, and if nothing moved that says what made it.

        Raises:
            RegenerationError: if the run failed, or something moved meanwhile.
        """
        seconds = time.monotonic() - self.started
        failed = self.folder.parent / "failed" / f"{self.folder.name}.ipynb"
        executed = self.partial / "notebook.ipynb"
        if fault := self._fault() or self._moved():
            if executed.exists():
                failed.parent.mkdir(exist_ok=True)
                os.replace(executed, failed)
                fault += f" (the notebook up to there: {self.folder.parent.name}/failed/{failed.name})"
            raise RegenerationError(fault)
        took, made_by = manifest.duration(self.partial, seconds), self.made_by | manifest.trained_on(self.partial)
        tidy(executed, self.parameters.get("dataset"), manifest.origin(made_by, took))
        manifest.save(self.partial, made_by, seconds)
        replace_folder(self.partial, self.folder)
        failed.unlink(missing_ok=True)
        print(f"{self.line}: done in {seconds:.0f} s", flush=True)

    def _now(self) -> tuple[dict[str, object], dict[str, int]]:
        return (
            manifest.describe(self.source, self.profile, self.parameters),
            manifest.written(self.source, self.parameters),
        )

    def _fault(self) -> str:
        """Return why the process gave no result, or nothing if it did."""
        if self.process.returncode == 0:
            return ""
        if self.fault.exists():
            return self.fault.read_text("utf-8")
        ended = f"with exit status {self.process.returncode}"  # minus a signal's number
        return f"{self.source.name}: its process ended {ended}; it may have run out of memory"

    def _moved(self) -> str:
        """Return what was written to while the notebook ran, so that nobody can say which of both made the result."""
        try:
            made_by, written = self._now()
        except (OSError, ValueError, SyntaxError) as error:
            return f"{self.source.name}: its source or data cannot be read any more ({error}); mend them and run again"
        moved = {name for name in {*written, *self.written} if written.get(name) != self.written.get(name)}
        moved |= {key for key in manifest.DECISIVE if made_by[key] != self.made_by[key]} if not moved else set()
        if not moved:
            return ""
        return (
            f"{self.source.name}: {', '.join(sorted(moved))} was written to while it ran: nobody can say what made the "
            "result, so it was not kept; run it again"
        )


def run(waiting: list[Job], jobs: int, partials: Path, failures: Failures) -> None:
    """Run notebooks, ``jobs`` at a time. Whatever interrupts it, Ctrl-C too, kills what runs.

    Args:
        waiting: what to run.
        jobs: how many at a time, at least one.
        partials: a folder in which each call has one of its own.
        failures: takes the reasons of those that give no result.
    """
    queue, running = list(waiting), []
    short = gettempdir() if len(gettempdir()) <= LONGEST else "/tmp"
    own = TemporaryDirectory(prefix="lpntk-", dir=short, ignore_cleanup_errors=True)
    mine = TemporaryDirectory(prefix=f"{os.getpid()}-", dir=partials, ignore_cleanup_errors=True)
    with own, mine:
        try:
            while running or queue:
                while queue and len(running) < jobs:
                    job = queue.pop(0)
                    with failures.of(job.source.name, job.line):
                        job.begin(Path(mine.name), Path(own.name))
                        running.append(job)
                for job in [job for job in running if job.process.poll() is not None]:
                    running.remove(job)
                    with failures.of(job.source.name, job.line):
                        job.finish()
                time.sleep(GLANCE)
        finally:
            for job in running:
                job.process.kill()
            for job in running:
                job.process.wait()


@contextmanager
def alone(folder: Path) -> Iterator[Path]:
    """Hold a profile's folder for this process, put in order what a killed one left, and give room for partial results.

    The system lets go of the lock when the process ends, however it does.

    Raises:
        RegenerationError: if another process holds it, whose number is named.
    """
    partials = folder / ".partial"
    partials.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        try:
            held.enter_context(locked(partials / "lock", str(folder)))
        except BlockingIOError as error:
            raise RegenerationError(error.strerror) from None
        recover(folder, partials)
        yield partials


def recover(folder: Path, partials: Path) -> None:
    """Put what killed runs had finished in its place, bring back what they had moved aside, and clear the rest away."""
    for left in sorted(path for path in partials.iterdir() if path.is_dir()):
        for result in sorted(left.iterdir()):  # a new one before the old one of its name
            place = folder / result.name.removesuffix(OLD)
            if result.name.endswith(OLD) and not place.exists():
                os.replace(result, place)
            elif not result.name.endswith(OLD) and result.is_dir() and manifest.is_undamaged(result):
                replace_folder(result, place)
            elif result.name.endswith(OLD):
                put_away(result, place)
        shutil.rmtree(left, ignore_errors=True)


OLD = ".old"


def replace_folder(new: Path, place: Path) -> None:
    """Put ``new`` in the place of an earlier result, which is removed once the new one stands, or kept if edited."""
    old = new.with_name(new.name + OLD)
    if place.exists():
        os.replace(place, old)
    os.replace(new, place)
    put_away(old, place)


def put_away(old: Path, place: Path) -> None:
    """Remove the earlier result of a place; one that holds what no run has written is kept in ``edited`` beside it."""
    if old.is_dir() and manifest.is_edited(old):
        tails = itertools.chain([""], (f"-{i}" for i in itertools.count(2)))
        kept = next(p for t in tails if not (p := place.parent / "edited" / f"{place.name}{t}").exists())
        kept.parent.mkdir(exist_ok=True)
        os.replace(old, kept)
        print(f"{place.name} held what no run has written; it is kept in {place.parent.name}/edited/{kept.name}")
    shutil.rmtree(old, ignore_errors=True)
