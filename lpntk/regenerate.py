"""Run every notebook at a profile and keep what it found: the way all figures and numbers of the book are made.

    python -m lpntk.regenerate --profile quick [--only 01 02] [--force] [--data FOLDER]

Writes ``results/<profile>/<NN-name>/`` with ``notebook.ipynb`` (executed), ``figures/``, ``numbers.json`` and
``manifest.json``. A notebook whose parameters, source and data are unchanged is skipped. A failure stops the run with
exit status 1; what had finished stays.
"""

import argparse
import ast
import os
import re
import shutil
import sys
import time
from pathlib import Path

import nbformat
import papermill
import yaml
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError

from lpntk import manifest
from lpntk.pairing import NOTEBOOKS, disagreement

ROOT = NOTEBOOKS.parent


class RegenerationError(Exception):
    """A regeneration that cannot go on; the message names notebook, cell or parameter and the fix."""


def regenerate(
    profile: str,
    *,
    only: list[str] | None = None,
    force: bool = False,
    results: Path = ROOT / "results",
    notebooks: Path = NOTEBOOKS,
) -> list[Path]:
    """Run the notebooks of a profile and return the folders of their results.

    Args:
        profile: name of a file in ``notebooks/profiles``, without its ending.
        only: beginnings of notebook names, such as ``01`` or ``01-kernel``; all by default.
        force: run even what is current.
        results: folder above the profiles.
        notebooks: folder of the paired notebooks and of ``profiles/``.

    Raises:
        RegenerationError: if profile, notebook or parameters do not fit together, or a cell fails.
    """
    settings = read_profile(profile, notebooks)
    chosen = choose(settings, only)
    folders = []
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
            print(f"{line}: running", flush=True)
            seconds = run(source, folder, parameters, made_by)
            print(f"{line}: done in {seconds:.0f} s", flush=True)
        folders.append(folder)
    return folders


def read_profile(profile: str, notebooks: Path = NOTEBOOKS) -> dict[str, dict[str, object]]:
    """Return the parameters of every notebook at a profile: its own over those of ``all``."""
    path = notebooks / "profiles" / f"{profile}.yml"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.yml")))
        raise RegenerationError(f"no profile {profile!r}: expected one of {known}, or write {path.name} beside them")
    try:
        content = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise RegenerationError(f"{path.name} is no YAML: {error}") from error
    tables = isinstance(content, dict) and all(isinstance(own, dict | None) for own in content.values())
    if not tables or not set(content) - {"all"}:
        raise RegenerationError(f"{path.name} must name at least one notebook, each with its parameters below it")
    shared = content.pop("all", None) or {}
    settings = {name: {**shared, **(own or {})} for name, own in sorted(content.items())}
    if any("results" in own for own in settings.values()):
        raise RegenerationError(f"{path.name} sets results, but the folder of a result follows from the profile")
    return settings


def choose(settings: dict[str, object], only: list[str] | None) -> list[str]:
    """Return the notebook names to run, in order."""
    if not only:
        return list(settings)
    for start in only:
        if not any(name.startswith(start) for name in settings):
            raise RegenerationError(f"--only {start!r} fits no notebook of the profile: {', '.join(settings)}")
    return [name for name in settings if name.startswith(tuple(only))]


def check_parameters(source: Path, given: dict[str, object]) -> dict[str, object]:
    """Return the notebook's parameters with the profile's values; papermill itself would let mistakes pass."""
    if not source.exists():
        raise RegenerationError(f"the profile names {source.stem}, but there is no {source.name}; correct the profile")
    if fault := disagreement(source):
        raise RegenerationError(f"{fault}; run `make pair` so that both say the same")
    path = source.with_suffix(".ipynb")
    if not any("parameters" in cell.metadata.get("tags", []) for cell in nbformat.read(path, as_version=4).cells):
        raise RegenerationError(f"{source.name} has no cell tagged 'parameters'; tag the cell with its defaults")
    known = papermill.inspect_notebook(str(path))
    if unknown := sorted(set(given) - set(known)):
        raise RegenerationError(
            f"{source.name} knows no parameter {', '.join(unknown)}; it has {', '.join(known)}: correct the profile"
        )
    try:
        defaults = {name: ast.literal_eval(entry["default"]) for name, entry in known.items()}
        ast.parse(source.read_text())
    except (ValueError, SyntaxError) as error:
        raise RegenerationError(f"{source.name}: parameters must be plain values, and cells Python: {error}") from error
    parameters = {**defaults, **given}
    parameters.pop("results", None)  # the folder is no property of the result
    return parameters


def run(source: Path, folder: Path, parameters: dict[str, object], made_by: dict[str, object]) -> float:
    """Execute one notebook beside its place and move the result there only when it is whole; return the seconds."""
    partial = folder.parent / ".partial" / folder.name
    failed = folder.parent / "failed" / f"{folder.name}.ipynb"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    executed, started = partial / "notebook.ipynb", time.perf_counter()
    try:
        papermill.execute_notebook(
            str(source.with_suffix(".ipynb")),
            str(executed),
            parameters={**parameters, "results": str(partial.resolve())},
            kernel_name="python3",
            progress_bar=False,
            cwd=str(source.parent),
        )
    except PapermillExecutionError as error:
        failed.parent.mkdir(exist_ok=True)
        os.replace(executed, failed)
        raise RegenerationError(
            f"{source.name}, cell {error.cell_index}: {error.ename}: {error.evalue} "
            f"(the notebook up to there: {failed.parent.parent.name}/failed/{failed.name})"
        ) from error
    except (DeadKernelError, CellTimeoutError) as error:
        raise RegenerationError(f"{source.name}: its kernel died ({error}); it may have run out of memory") from error
    if not (partial / "numbers.json").exists():
        raise RegenerationError(f"{source.name} recorded no number; call Results(results).number(...) in it")
    seconds = time.perf_counter() - started
    tidy(executed, made_by, seconds)
    manifest.save(partial, made_by, seconds)
    replace_folder(partial, folder)
    failed.unlink(missing_ok=True)
    return seconds


def tidy(path: Path, made_by: dict[str, object], seconds: float) -> None:
    """Make an executed notebook fit for a page: no local paths or progress bars, links as seen from its new place,
    and a last line that says where it comes from.
    """
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.metadata["tags"] = ["injected-parameters", "hide-input"]
            lines = [line for line in cell.source.splitlines() if not line.startswith(("results = ", "dataset = "))]
            cell.source = "\n".join([*lines, f"dataset = {made_by['parameters'].get('dataset')!r}"])
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"\]\(\.\./", "](../../../", cell.source)
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    origin = nbformat.v4.new_markdown_cell(manifest.in_words(made_by, seconds))
    origin.id = "origin"
    notebook.cells.append(origin)
    nbformat.write(notebook, path)


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
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="where mnist and cifar10 lie (LPNTK_DATA)")
    options = parser.parse_args(arguments)
    folder = options.data or Path(os.environ.get("LPNTK_DATA") or ".data")
    if options.data and not folder.is_dir():
        print(f"regenerate: --data {folder}: no such folder", file=sys.stderr)
        return 1
    os.environ["LPNTK_DATA"] = str(folder.resolve())  # inherited by the notebooks, not recorded in them
    try:
        regenerate(options.profile, only=options.only, force=options.force)
    except (RegenerationError, ValueError) as error:
        print(f"regenerate: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("regenerate: interrupted; what had finished stays", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
