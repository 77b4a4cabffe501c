"""Which way did a forward pass go? The operations that autograd noted, and the parameters they read.

Two passes that noted the same operations over the same parameters took the same branches of the model's code.
"""

from collections.abc import Iterator

from torch import Tensor
from torch.autograd.graph import Node


def path(logits: Tensor, names: dict[int, str]) -> int:
    """Return a number that tells the graphs of two passes apart, within one process.

    Args:
        logits: of the pass, with their graph.
        names: of the parameters, by their ``id``.
    """
    seen = {node: i for i, node in enumerate(_nodes(logits))}
    return hash(
        tuple(
            (
                node.name(),
                names.get(id(getattr(node, "variable", None))),
                *(seen.get(child, -1) for child, _ in node.next_functions),
            )
            for node in seen
        )
    )


def leaves(logits: Tensor) -> list[Tensor]:
    """Return the tensors that the graph begins with."""
    return [node.variable for node in _nodes(logits) if hasattr(node, "variable")]


def _nodes(logits: Tensor) -> Iterator[Node]:
    waiting, seen = [logits.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            waiting += [child for child, _ in node.next_functions]
