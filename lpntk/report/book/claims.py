"""Which claims of the paper hold? The rules of ``book/claims.toml``, applied to the numbers that runs have left.

A rule is a list of conditions and no code, so that a reader can check it and a test can plant numbers for every word.
"""

import json
import math
import operator
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

VERDICTS = (
    "holds", "holds so far", "holds in part", "is undecided", "fails so far", "fails", "cannot be judged", "not run"
)  # fmt: skip
COMPARISONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "is": operator.eq}
SHOWN_CLASSES = 10  # of every data set shown: guessing costs ln 10 nats at each presentation
SHOWN_PROFILE = "quick"  # stands in a source for the profile that the book shows
FIELD = re.compile(r"\{([^{}:]+)(?::([^{}]*))?\}")

Condition = Sequence[object]  # key, comparison, key or value, and maybe what is said if it is not met


@dataclass(frozen=True)
class Number:
    """One number as it is shown, and where it was read."""

    text: str
    origin: str


@dataclass(frozen=True)
class Result:
    """What one run says of a claim.

    Attributes:
        on: data set and network in words.
        data: data set.
        source: folder or file below ``results``.
        ours: words and numbers, in the order in which they are read.
        scale: the same, of how much was run.
        verdict: a word of ``VERDICTS``; None if the result shows its value and carries no verdict.
        why: why it cannot be judged, else empty.
    """

    on: str
    data: str
    source: str
    ours: tuple[str | Number, ...]
    scale: tuple[str | Number, ...]
    verdict: str | None
    why: str


@dataclass(frozen=True)
class Claim:
    """A claim of the paper beside all that was measured of it; the fields are those of ``book/claims.toml``.

    ``why`` tells on which data sets no result was judged, else it is empty.
    """

    id: str
    short: str
    says: str
    place: str
    paper: str
    link: str
    results: tuple[Result, ...]
    verdict: str
    why: str


def read_numbers(source: str, results: Path) -> dict[str, object]:
    """Return the numbers of a folder or JSON file below ``results`` under dotted keys, its parameters under ``@name``.

    Raises:
        FileNotFoundError: if it was not run.
    """
    path = results / source
    if path.suffix == ".json":
        return dict(_flat(json.loads(path.read_text())))
    numbers = json.loads((path / "numbers.json").read_text())
    given = json.loads((path / "manifest.json").read_text())["parameters"]
    found = numbers | {f"@{name}": value for name, value in given.items()}
    return found | (
        {"@guess": given["epochs"] * math.log(SHOWN_CLASSES)} if isinstance(given.get("epochs"), int) else {}
    )


def judge(rule: Mapping[str, object], numbers: Mapping[str, object], names: Mapping[str, str]) -> tuple[str, str]:
    """Apply the rule of a claim to the numbers of one run.

    Args:
        rule: lists of conditions ``smallest``, ``judged``, ``holds``, ``part``, ``fails``, and the word ``otherwise``;
            or for the last four the key of a ``word``.
        numbers: as ``read`` gives them.
        names: what the first word of a key stands for in these numbers.

    Returns:
        A word of ``VERDICTS``, and why the result cannot be judged, if it cannot.

    Raises:
        ValueError: if the word of a notebook is none of them.
    """
    for condition in (*rule.get("smallest", ()), *rule.get("judged", ())):
        if not met(condition, numbers, names):
            return "cannot be judged", str(condition[3])
    if key := rule.get("word"):
        if (word := _value(str(key), numbers, names)) not in VERDICTS:
            raise ValueError(f"{key} must be one of {', '.join(VERDICTS)}; got {word!r}")
        return str(word), ""
    for word, name in (("holds", "holds"), ("holds in part", "part"), ("fails", "fails")):
        if rule.get(name) and all(met(condition, numbers, names) for condition in rule[name]):
            return word, ""
    asked = [condition[0] for name in ("holds", "part", "fails") for condition in rule.get(name, ())]
    if any(_value(str(key), numbers, names) != _value(str(key), numbers, names) for key in asked):
        return "cannot be judged", "a number that decides is undefined"
    return str(rule["otherwise"]), ""


def met(condition: Condition, numbers: Mapping[str, object], names: Mapping[str, str]) -> bool:
    """Return whether a condition is true of these numbers; one that is undefined (NaN) never is.

    A word on its right is the key of a number, but after ``is`` it is meant itself.
    """
    left, comparison, right = condition[:3]
    key = isinstance(right, str) and comparison != "is"
    return bool(
        COMPARISONS[str(comparison)](_value(str(left), numbers, names), _value(right, numbers, names) if key else right)
    )


def over_results(results: Sequence[Result], data: Sequence[str]) -> tuple[str, str]:
    """Return the verdict of a claim over its results, and on which of its data sets none is judged.

    The rule stands at the top of ``book/claims.toml``.
    """
    counted = [result for result in results if result.verdict is not None]
    judged = [result for result in counted if result.verdict != "cannot be judged"]
    words = {result.verdict for result in judged}
    if not judged:
        return "cannot be judged" if counted else "not run", ""
    missing = [name for name in data if name not in {result.data for result in judged}]
    why = f"no judged result on {' and '.join(missing)}" if missing else ""
    if words in ({"holds"}, {"fails"}):
        return f"{words.pop()}{' so far' if missing else ''}", why
    return "is undecided" if words <= {"fails", "is undecided"} else "holds in part", why


def fill(template: str, numbers: Mapping[str, object], origin: str, strict: bool = True) -> Iterator[str | Number]:
    """Yield the words of a template and the numbers for its ``{key:format}``; a missing one is an error or a dash.

    Raises:
        ValueError: if a number does not fit its format.
    """
    end = 0
    for field in FIELD.finditer(template):
        yield template[end : field.start()]
        end = field.end()
        key, spec = field.groups()
        if not strict and key not in numbers:
            yield "–"
            continue
        value = _value(key, numbers, {})
        try:
            words = format(value, spec or ("," if isinstance(value, int) else ""))
        except ValueError as error:
            raise ValueError(
                f"{origin}: {key} is {value!r}, which claims.toml would show as {spec!r}: {error}"
            ) from error
        yield Number(words, source(key, origin))
    yield template[end:]


def source(key: str, origin: str) -> str:
    """Return where a reader finds a number: the file and the key in it, or how it follows from them."""
    manifest = origin.replace("numbers.json", "manifest.json")
    if key == "@guess":
        return f"{manifest}: epochs, times ln {SHOWN_CLASSES}"
    return f"{manifest}: {key[1:]}" if key.startswith("@") else f"{origin}: {key}"


def load_claims(path: Path, results: Path, shown: Callable[[str], str] = lambda notebook: SHOWN_PROFILE) -> list[Claim]:
    """Read the claims and judge each by what was run.

    Args:
        path: of ``claims.toml``.
        results: folder of all results.
        shown: the profile in the place of ``quick`` for a notebook; it carries no verdict.

    Raises:
        KeyError: if a rule or text names a number that its source does not hold.
    """
    return [_claim(entry, results, shown) for entry in tomllib.loads(path.read_text())["claim"]]


def _claim(entry: Mapping[str, object], results: Path, shown: Callable[[str], str]) -> Claim:
    each = [_result(entry, evidence, results, shown) for evidence in entry.get("evidence", ())]
    found = tuple(sorted(each, key=lambda result: result.verdict is None))  # what carries no verdict comes last
    told = {name: str(entry.get(name, "")) for name in ("id", "short", "says", "place", "paper", "link")}
    verdict, why = over_results(found, entry.get("data", ()))
    return Claim(**told, results=found, verdict=verdict, why=why)


def _result(
    claim: Mapping[str, object], evidence: Mapping[str, object], results: Path, shown: Callable[[str], str]
) -> Result:
    first, _, rest = evidence["source"].partition("/")
    source = f"{shown(rest) if first == SHOWN_PROFILE else first}/{rest}"
    numbers = read_numbers(source, results)
    origin = f"results/{source}" + ("" if source.endswith(".json") else "/numbers.json")
    counts = evidence.get("counts", True)
    verdict, why = judge(claim, numbers, evidence.get("names", {})) if counts else (None, "")
    ours, scale = (tuple(fill(evidence[name], numbers, origin, counts)) for name in ("ours", "scale"))
    return Result(evidence["on"], evidence["data"], source, ours, scale, verdict, why)


def _value(key: str, numbers: Mapping[str, object], names: Mapping[str, str]) -> object:
    first, dot, rest = key.partition(".")
    key = names.get(first, first) + dot + rest
    if key not in numbers:
        raise KeyError(f"no number {key!r} among {len(numbers)} of this source; mend the key in claims.toml or rerun")
    value = numbers[key]
    return float(value) if value in ("nan", "inf", "-inf") else value


def _flat(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
