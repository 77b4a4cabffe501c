"""What does a YAML file say? Read as YAML 1.2 reads it; what two readers would read in two ways is refused.

PyYAML follows YAML 1.1: of two equal keys the last wins silently, ``1e-3`` is a word, ``on`` is true, ``010`` is eight
and ``1:30`` is ninety.
"""

import math
import re
from pathlib import Path
from typing import ClassVar

import yaml
from yaml.constructor import ConstructorError


class PlainLoader(yaml.SafeLoader):
    """A loader of words, numbers, truth values, lists and mappings whose keys are words, each once."""

    yaml_implicit_resolvers: ClassVar = {}
    yaml_constructors: ClassVar = {
        tag: make
        for tag, make in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag.rpartition(":")[2] in ("null", "bool", "int", "float", "str", "seq", "map")
    }

    def construct_document(self, node: yaml.Node) -> object:
        """Return what a document says, once it is known to say it plainly."""
        self._check(node, ())
        return super().construct_document(node)

    def _check(self, node: yaml.Node, above: tuple[yaml.Node, ...]) -> None:
        """Look for keys that are no words or stand twice, and for what holds itself, before merging hides them.

        Raises:
            ConstructorError: if there is one; ``_fault`` words it.
        """  # noqa: DOC501 (it is raised by that name)
        if node in above:
            raise _fault(node, "this holds itself; write it out")
        inside = node.value if isinstance(node, yaml.SequenceNode) else []
        if isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                inside.append(value)
                if not isinstance(key, yaml.ScalarNode) or key.tag.rpartition(":")[2] not in ("str", "merge"):
                    raise _fault(key, f"a key must be a word; got {key.value!s}: write '{key.value!s}' if it is one")
                if key.value in lines:
                    raise _fault(key, f"the key {key.value} stands in line {lines[key.value]} already; keep one")
                lines[key.value] = _line_of(key)
        for value in inside:
            self._check(value, (*above, node))


def _line_of(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _fault(node: yaml.Node, words: str) -> ConstructorError:
    return ConstructorError(None, None, f"line {_line_of(node)}: {words}")


def _truth(loader: PlainLoader, node: yaml.ScalarNode) -> bool:
    if node.value.lower() not in ("true", "false"):
        raise _fault(node, f"{node.value} may be a word or a truth value; write true or false, or '{node.value}'")
    return node.value.lower() == "true"


def _finite(loader: PlainLoader, node: yaml.ScalarNode) -> float:
    value = loader.construct_yaml_float(node)
    if not math.isfinite(value):
        raise _fault(node, f"{node.value} is no finite number; write one")
    return value


def _date(loader: PlainLoader, node: yaml.ScalarNode) -> None:
    raise _fault(node, f"{node.value} is a date; write '{node.value}' if a word is meant")


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"(?i:true|false|yes|no|on|off)", list("tTfFyYnNoO")),
    ("int", r"[-+]?(?:0|[1-9][0-9_]*)|0x[0-9a-fA-F_]+", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*\.[0-9_]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
    ("timestamp", r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ].*)?", list("0123456789")),
    ("merge", r"<<", ["<"]),
):
    PlainLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)
for _tag, _made in (("bool", _truth), ("float", _finite), ("timestamp", _date)):
    PlainLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", _made)


def read_yaml(path: Path) -> object:
    """Return what a file says.

    Raises:
        ValueError: if it is no YAML or may be read in two ways; the message names file, line and fix.
    """
    try:
        return yaml.load(path.read_bytes(), PlainLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = error.problem if isinstance(error, ConstructorError) and not error.context else error
        raise ValueError(f"{path.name} is no YAML that can be read in one way only: {reason}") from error
