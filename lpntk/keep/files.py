"""How does a file get its name? Once it is whole and on the disk, so that a killed run never leaves half of one."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]  # of the repository, where the package lies in one


def expanded(path: str | os.PathLike) -> Path:
    """Return a path with its ``~`` replaced, as no shell does inside quotes or behind ``--data=``.

    Raises:
        ValueError: if nobody knows that home.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{path}: there is no home folder that ~ could stand for; write the whole path") from error


def data_folder(said: str | os.PathLike | None = None) -> Path:
    """Return the whole path of the folder of mnist and cifar10.

    Args:
        said: what was given as ``--data``; if nothing, ``LPNTK_DATA`` counts, else ``.data`` in the working directory.

    Raises:
        ValueError: if one is named and is none: found here, a slip costs no time and no download to a wrong place.
    """
    default = Path(".data").resolve()  # which need not be there
    named = said or os.environ.get("LPNTK_DATA") or default
    folder = expanded(named).resolve()
    if folder != default and not folder.is_dir():
        got = "a file, no folder" if folder.exists() else "no such folder"
        raise ValueError(
            f"{'--data' if said else 'LPNTK_DATA'} {named}: {got} ({folder}); name the folder that holds mnist and "
            "cifar10, or make it if they are to be downloaded there"
        )
    return folder


def cache_folder() -> Path:
    """Return where what took long is kept: ``LPNTK_CACHE``, or ``.cache`` in the repository, or the user's cache."""
    own = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "lpntk"
    return expanded(os.environ.get("LPNTK_CACHE") or (ROOT / ".cache" if _in_repository() else own))


def unkept(folder: Path) -> str:
    """Return why nothing can be kept in a folder, or nothing if it can: better told at the start than hours later."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".partial-", dir=folder):
            return ""
    except OSError as error:
        return f"nothing can be kept in {folder} ({error.strerror}): a killed run would train anew; see LPNTK_CACHE"


def as_notebooks_say(folder: str | os.PathLike) -> Path:
    """Return the folder that a notebook means: a relative one counts from ``notebooks`` beside the package, if there.

    Jupyter runs a notebook in its own folder, papermill wherever it was called, and both should find the same.
    """
    return (ROOT / "notebooks" if _in_repository() else Path()) / expanded(folder)


def _in_repository() -> bool:
    """Tell whether the package lies beside its notebooks; an installed one does not."""
    return (ROOT / "notebooks" / "profiles").is_dir()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to, and give the file its name once that is done; of two processes, the last one's stays."""
    partial = path.with_name(f"{path.name}.{socket.gethostname()}.{os.getpid()}.writing")
    try:
        yield partial
        sync(partial)
        rename(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def rename(partial: Path, path: Path) -> None:
    """Give a file that is on the disk its name, for good: the folder is written, too."""
    os.replace(partial, path)
    with suppress(OSError):  # some network file systems do not sync folders
        sync(path.parent)


def sync(path: Path) -> None:
    """Return when the disk has what was written to a file or folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Let an error of the disk name a file and say what to do."""
    try:
        yield
    except OSError as error:
        words = f"{error.strerror}; mend it or give out another place, and run again: finished tiles stand"
        raise type(error)(error.errno, words, error.filename or str(path)) from None


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically: whole under its name, or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, "utf-8")


def write_json(path: Path, content: object) -> None:
    """Write JSON atomically; NaN and infinity, which JSON does not know, are refused."""
    write_text(path, json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n")
