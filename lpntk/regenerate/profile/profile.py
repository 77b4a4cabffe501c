"""What does a profile ask for? Its notebooks, each with all its parameters, checked before anything starts."""

import ast
import re
from pathlib import Path

import nbformat
import papermill

from lpntk.data.sources import own_file
from lpntk.regenerate.failures import RegenerationError
from lpntk.regenerate.pairing import ADVICE, NOTEBOOKS, disagreement
from lpntk.regenerate.profile.parameters import check_counts, check_parameter_types
from lpntk.regenerate.profile.plain_yaml import read_yaml

PLAIN_NAME = re.compile(r"\w[\w.-]*")  # a name that is no path
TAKEN = ("bench", "interactive")  # folders of results that no profile makes


def read_profile(profile: str, notebooks: Path = NOTEBOOKS) -> dict[str, dict[str, object]]:
    """Return the parameters of every notebook at a profile: its own over those of ``all``; null spares it one of these.

    Raises:
        RegenerationError: if there is no such profile, or it does not say plainly what is to run.
    """
    check_name(profile, "profile")
    path = notebooks / "profiles" / f"{profile}.yml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.yml")))
        raise RegenerationError(f"no profile {profile!r}: expected one of {known}, or write {path.name} beside them")
    try:
        content = read_yaml(path)
    except (ValueError, OSError) as error:
        raise RegenerationError(str(error)) from error
    tables = isinstance(content, dict) and all(isinstance(own, dict | None) for own in content.values())
    if not tables or not set(content) - {"all"}:
        raise RegenerationError(f"{path.name} must name at least one notebook, each with its parameters below it")
    shared = content.pop("all", None) or {}
    for name in content:
        check_name(name, f"notebook in {path.name}")
    settings = {}
    for name, own in sorted(content.items()):
        spared = {key for key, value in (own or {}).items() if value is None and key in shared}
        settings[name] = {key: value for key, value in {**shared, **(own or {})}.items() if key not in spared}
    if any("results" in own for own in settings.values()):
        raise RegenerationError(f"{path.name} sets results, but the folder of a result follows from the profile")
    return settings


def check_name(name: str, what: str) -> None:
    """Refuse what would lead out of the folder that a name stands for.

    Raises:
        RegenerationError: if the name is a path, or that of a folder which others fill.
    """
    if not PLAIN_NAME.fullmatch(name):
        raise RegenerationError(
            f"{name!r} is no name of a {what}: expected letters, digits, '_', '-' and '.', not first; it is no path"
        )
    if what == "profile" and name in TAKEN:
        raise RegenerationError(f"results/{name} is no folder of a profile's results; choose another name than {name}")


def choose_notebooks(settings: dict[str, object], only: list[str] | None) -> list[str]:
    """Return the notebook names to run, in order; all without ``only``.

    Raises:
        RegenerationError: if it chooses nothing, or all by an empty word, such as an unset variable of a shell leaves.
    """
    if only is None:
        return list(settings)
    if isinstance(only, str) or not only or not all(only):
        raise RegenerationError(
            f"only must be a list of beginnings of notebook names, such as 01; got {only!r}: leave it away to run all"
        )
    for start in only:
        if not any(name.startswith(start) for name in settings):
            raise RegenerationError(f"--only {start!r} fits no notebook of the profile: {', '.join(settings)}")
    return [name for name in settings if name.startswith(tuple(only))]


def check_parameters(source: Path, given: dict[str, object]) -> dict[str, object]:
    """Return the notebook's parameters with the profile's values; papermill itself would let mistakes pass.

    Raises:
        RegenerationError: if notebook, parameters and data do not fit together.
    """
    if not source.exists():
        raise RegenerationError(f"the profile names {source.stem}, but there is no {source.name}; correct the profile")
    if fault := disagreement(source):
        raise RegenerationError(f"{fault}; {ADVICE}")
    path = source.with_suffix(".ipynb")
    if not any("parameters" in cell.metadata.get("tags", []) for cell in nbformat.read(path, as_version=4).cells):
        raise RegenerationError(f"{source.name} has no cell tagged 'parameters'; tag the cell with its defaults")
    known = papermill.inspect_notebook(str(path))
    if unknown := sorted(set(given) - set(known)):
        raise RegenerationError(
            f"{source.name} knows no parameter {', '.join(unknown)}; it has {', '.join(known)}: correct the profile"
        )
    if given.get("data"):
        raise RegenerationError(
            f"{source.name}: data is for one's own at the command line (papermill -p data ...), and nothing would tell "
            "when it changes: a profile names its samples by dataset; correct the profile"
        )
    try:
        defaults = {name: ast.literal_eval(entry["default"]) for name, entry in known.items()}
        ast.parse(source.read_text("utf-8"))
    except (ValueError, SyntaxError) as error:
        raise RegenerationError(f"{source.name}: parameters must be plain values, and cells Python: {error}") from error
    parameters = {**defaults, **given}
    parameters.pop("results", None)  # the folder is no property of the result
    try:
        check_parameter_types(given, defaults)
        if "dataset" in parameters:
            check_counts(parameters, given)
            if own := own_file(parameters["dataset"]):
                parameters["dataset"] = str(own.resolve())  # notebooks run in their own folder
    except ValueError as error:
        raise RegenerationError(f"{source.name}: {error}; correct the profile") from error
    return parameters
