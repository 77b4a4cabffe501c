"""What made this result? Parameters, source, data, versions and device, so that a number can be walked back.

A result is current while everything that decides its numbers is what the manifest says; only then may it be reused.
"""

import hashlib
import json
import platform
import subprocess
from importlib import metadata
from pathlib import Path

from lpntk.data import dataset as data
from lpntk.keep.cache import digest
from lpntk.keep.code import PACKAGE, definitions
from lpntk.keep.files import write_json
from lpntk.keep.imported import sources
from lpntk.machine.description import describe_machine
from lpntk.report.escape import markdown

# what decides the result; the rest (commit, machine, seconds, versions) is told, not compared
DECISIVE = ("notebook", "profile", "parameters", "code", "data")
TRAINING = ("training_seconds", "scale.training_seconds", "scale.seconds")  # where notebooks note what training took
REPORTED_VERSIONS = ("torch", "torchvision", "numpy", "scikit-learn", "matplotlib", "papermill")


def describe(
    notebook: Path, profile: str, parameters: dict[str, object], data_digest: str | None = None
) -> dict[str, object]:
    """Return the manifest of a run: everything but its seconds.

    Args:
        notebook: the py:percent source.
        profile: its name.
        parameters: everything the notebook is given, defaults included; ``dataset`` names the data.
        data_digest: of the data, if they were loaded just now.
    """
    versions = {package: metadata.version(package) for package in REPORTED_VERSIONS}
    if data_digest is None and "dataset" in parameters:
        data_digest = data.load(str(parameters["dataset"])).digest
    return {
        "notebook": notebook.name,
        "profile": profile,
        "parameters": {**parameters, **_named(parameters)},
        "code": definitions(notebook),
        "commit": _commit(),
        "data": data_digest,
        "versions": {"python": platform.python_version(), **versions},
        **describe_machine(str(parameters.get("device", "auto"))),
    }


def _commit() -> str | None:
    """Return the commit that is checked out, with a + if files differ from it; None outside a repository."""
    git = lambda *words: subprocess.run(["git", "-C", str(PACKAGE), *words], capture_output=True, text=True, check=True)
    try:
        return git("rev-parse", "HEAD").stdout.strip() + "+" * bool(git("status", "--porcelain", "-uno").stdout)
    except (OSError, subprocess.CalledProcessError):
        return None


def written(notebook: Path, parameters: dict[str, object]) -> dict[str, int]:
    """Return when each file that decides a result was last written: what was edited and put back is seen by it."""
    files = [*sources(notebook), notebook.with_suffix(".ipynb"), Path(str(parameters.get("dataset", "")))]
    return {path.name: path.stat().st_mtime_ns for path in files if path.is_file()}


def _named(parameters: dict[str, object]) -> dict[str, str]:
    """Return the data set by its name alone: the digest says what it holds, and a path is nobody's business."""
    return {"dataset": Path(str(parameters["dataset"])).name} if "dataset" in parameters else {}


def is_current(folder: Path, manifest: dict[str, object]) -> bool:
    """Return whether a finished result in ``folder`` was made by just this, and is as it was made."""
    made = read_manifest(folder)
    return all(made.get(key) == manifest[key] for key in DECISIVE) and is_undamaged(folder)


def is_undamaged(folder: Path) -> bool:
    """Return whether ``folder`` holds a finished result as it was made."""
    return "files" in (made := read_manifest(folder)) and made["files"] == file_hashes(folder)


def is_edited(folder: Path) -> bool:
    """Return whether ``folder`` holds a file that no run has written, or not so."""
    made = read_manifest(folder).get("files")
    made = made if isinstance(made, dict) else {}
    return any(made.get(name) != content for name, content in file_hashes(folder).items())


def read_manifest(folder: Path) -> dict[str, object]:
    """Return the manifest in a folder, empty if there is none or it is damaged."""
    try:
        made = json.loads((folder / "manifest.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return made if isinstance(made, dict) else {}


def save(folder: Path, manifest: dict[str, object], seconds: float) -> None:
    """Write the manifest of a finished run."""
    files = file_hashes(folder)
    write_json(folder / "manifest.json", {**manifest, "seconds": round(seconds, 1), "files": files})


def trained_on(folder: Path) -> dict[str, object]:
    """Return on what the frames of studies were computed, in the place of the machine that the notebook ran on."""
    made_on = [json.loads(path.read_bytes())["made_on"] for path in sorted(folder.glob("frames/*.json"))]
    if not made_on or all(one == made_on[0] for one in made_on):
        return made_on[0] if made_on else {}
    return {key: "; ".join(dict.fromkeys(str(one[key]) for one in made_on)) for key in made_on[0]}


def file_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a result, so that one that was edited or lost is noticed."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def duration(folder: Path, seconds: float) -> str:
    """Return in words how long a result took: the notebook, and what it trained; *kept* if much of it is older."""
    path = folder / "numbers.json"
    numbers = json.loads(path.read_text()) if path.exists() else {}
    trained = next((numbers[key] for key in TRAINING if key in numbers), None)
    kept = " (kept)" if trained is not None and trained > seconds else ""
    return f"notebook {seconds:.0f} s" + ("" if trained is None else f", training {trained:.0f} s{kept}")


def origin(made_by: dict[str, object], took: str) -> str:
    """Return the origin of a result as one line of Markdown for the end of its page; ``took`` as of ``duration``."""
    versions = made_by["versions"]
    parameters = ", ".join(f"{key} = {markdown(value)}" for key, value in made_by["parameters"].items())
    where = f"`notebooks/{made_by['notebook']}` at the profile `{made_by['profile']}` ({parameters})"
    how = f"{markdown(made_by['device'])}; {took}; torch {versions['torch']}, Python {versions['python']}"
    what = f"code {digest(made_by['code'])[:12]}, data {str(made_by['data'])[:12]}"
    return f"---\n*Where this page comes from: {where}; {how}; {what}.*"
