"""Which way did a forward pass go? The operations that autograd noted, and the parameters they read.

Two passes that noted the same operations over the same parameters took the same branches of the model's code.
"""

from collections.abc import Iterable, Iterator

from torch import Tensor
from torch.autograd.graph import Node

ALIKE = {"ReshapeAliasBackward0": "ViewBackward0"}  # watched by a dispatch mode, torch notes the one as the other


def path(graph: list[Node], names: dict[int, str]) -> int:
    """Return a number that tells the graphs of two passes apart, within one process."""
    seen = {node: i for i, node in enumerate(graph)}
    return hash(
        tuple(
            (
                ALIKE.get(node.name(), node.name()),
                names.get(id(getattr(node, "variable", None))),
                *(seen.get(child, -1) for child, _ in node.next_functions),
            )
            for node in seen
        )
    )


def leaves(graph: Iterable[Node]) -> list[Tensor]:
    """Return the tensors that a graph begins with."""
    return [node.variable for node in graph if hasattr(node, "variable")]


def nodes(end: Tensor | Node) -> Iterator[Node]:
    """Yield the nodes of the graph that ends in logits, or in a node."""
    waiting, seen = [end.grad_fn if isinstance(end, Tensor) else end], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            waiting += [child for child, _ in node.next_functions]
