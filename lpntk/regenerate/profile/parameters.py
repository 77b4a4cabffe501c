"""Does a parameter fit its notebook and its data? By the type of its default, and by what the data set holds.

Found here, a mistake costs no time; in a notebook it ends a late cell, or no cell at all.
"""

from lpntk.data import dataset as data
from lpntk.data.sources import TRAIN_TEST, DataError

COUNTED = {  # what counts samples or classes, by the name that all notebooks share: its least and its largest value
    "n_train": ("k + 1", None),  # at most: all where there are fewer
    "n": ("k + 1", "train"),  # of n > k samples two share a label
    "n_class": ("1", "smallest"),
    "n_timed": ("2", "train"),
    "n_test": ("1", None),  # at most
    "per_class": ("1", "smallest"),
    "followed": ("1", "n"),
    "count": ("1", "share"),
    "ks": ("2", "k"),
    "classes": ("2", "k"),
    "batch_size": ("1", None),
}
MEANING = {
    "train": "samples of the training set",
    "smallest": "samples of the smallest class",
    "n": "n",
    "share": "samples of each class among n, on average, less the target",
    "k": "classes of the data set",
}


def check_parameter_types(given: dict[str, object], defaults: dict[str, object]) -> None:
    """Compare each value with the default in the notebook: an int may stand for a float, anything for None.

    Raises:
        ValueError: if one is of another type; the message names it.
    """
    for name, value in given.items():
        _check_type(name, value, defaults[name])


def _check_type(name: str, value: object, default: object) -> None:
    if default is None:
        return
    if not (type(value) is type(default) or (type(default) is float and type(value) is int)):
        kinds = {int: "a whole number", float: "a number", str: "a word", bool: "true or false", list: "a list"}
        expected = kinds.get(type(default), "a mapping")
        got = "nothing" if value is None else f"{value!r} ({kinds.get(type(value), 'a mapping')})"
        raise ValueError(f"{name} must be {expected}, such as {default!r}; got {got}")
    if isinstance(default, dict):
        for key in value.keys() & default.keys():
            _check_type(f"{name}.{key}", value[key], default[key])
    if isinstance(default, list) and default:
        pattern = next((d for d in default if isinstance(d, float)), default[0])  # whole numbers fit among floats
        for i, element in enumerate(value):
            _check_type(f"{name}[{i}]", element, pattern)


def check_counts(parameters: dict[str, object], given: dict[str, object]) -> None:
    """Compare what counts samples or classes with the data set.

    Args:
        parameters: of a notebook, defaults included, of the right types.
        given: those that are no defaults. Numbers of classes which are defaults are left to the notebook: it passes
            over those that the data have not.

    Raises:
        ValueError: if one is too small or too large, or there are no such data; the message names it.
    """
    holds = _held(str(parameters["dataset"]))
    if type(parameters.get("n_train")) is int:  # and n of these
        holds["train"] = min(holds["train"], parameters["n_train"])
    if "n" in parameters:
        holds |= {"n": parameters["n"], "share": parameters["n"] // holds["k"] - 1}
    for name, (least, most) in COUNTED.items():
        if name not in parameters or (name == "classes" and name not in given):
            continue
        low = holds["k"] + 1 if least == "k + 1" else int(least)
        high = holds.get(most, float("inf"))
        values = parameters[name] if isinstance(parameters[name], list) else [parameters[name]]
        for value in values:
            if value is not None and not (type(value) is int and low <= value <= high):
                lower = f"at least {low}" + (" (classes + 1)" if least == "k + 1" else "")
                upper = f" and at most {high} ({MEANING[most]})" if most in holds else ""
                raise ValueError(
                    f"{name} must be a whole number of {lower}{upper} for the data set {parameters['dataset']}; "
                    f"got {value!r}"
                )


def _held(dataset: str) -> dict[str, int]:
    """Return how many training samples and classes there are, and how many of the smallest class.

    Raises:
        DataError: if the data set cannot be read, nor is one whose size is known.
    """
    try:
        samples = data.load(dataset, download=False)
    except DataError:
        if dataset not in TRAIN_TEST:
            raise
        train, k = TRAIN_TEST[dataset][0], 10  # still to be fetched: as published
        return {"train": train, "k": k, "smallest": train // k}
    smallest = int(samples.y_train.bincount(minlength=samples.k).min())
    return {"train": len(samples.y_train), "k": samples.k, "smallest": smallest}
