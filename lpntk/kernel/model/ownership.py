"""Does every row that a layer sees belong to the sample that it is taken to belong to? Seen for all of a batch.

The backward pass is taken again with the samples weighted at random: what comes back to a layer's rows must be weighted
alike. And a sample's logits must be those that it has in other company.
"""

import torch
from torch import Tensor, nn

from lpntk.machine.device import ran_out
from lpntk.machine.precision import tolerance

PARTS = 16  # of a batch: two samples that exchange something are in one of them once in so many times


class UnexplainedError(ValueError):
    """What the layers record does not explain the gradients, though every sample may have one of its own."""


def weights_at_random(n: int) -> Tensor:
    """Return (n,) random numbers, the same for every call with this n; no two alike, or a swap would not be seen."""
    return torch.randn(n, generator=torch.Generator().manual_seed(n), device="cpu")


def check_rows(
    model: nn.Module,
    logits: Tensor,
    s: Tensor,
    rows: list[tuple[str, float, Tensor, torch.autograd.graph.GradientEdge]],
    because: str,
) -> None:
    """Check that the gradients of layers' outputs are grouped by sample.

    Args:
        model: that was run.
        logits: (n, k), with a graph.
        s: (n, k) vectors that were sent back.
        rows: of every layer its name, the norm of its inputs, the gradient that came, and where.
        because: the operation that calls for it, for the message.

    Raises:
        UnexplainedError: if they are not, or the graph cannot be walked twice.
        RuntimeError: if memory runs out.
    """
    n = len(s)
    e = weights_at_random(n).to(s)
    try:
        found = torch.autograd.grad((logits * (s * e[:, None])).sum(), [edge for *_, edge in rows], allow_unused=True)
    except RuntimeError as error:
        if ran_out(error):
            raise
        raise UnexplainedError(f"after {because} rows are looked at once more, which failed: {error}") from error
    loose = tolerance(model, s.device)
    norms = [g.reshape(n, -1).norm(dim=1) * size / n**0.5 for _, size, g, _ in rows]  # about those of the gradients
    floor = loose / 30 * torch.stack([norm.square().mean() for norm in norms]).sum().sqrt()
    for (name, size, g, _), again, norm in zip(rows, found, norms, strict=True):
        g = g.reshape(n, -1)
        off = (again.reshape(n, -1) - e[:, None].to(g) * g).norm(dim=1) * size / n**0.5
        if not (off <= loose * e.abs() * norm + floor).all():
            raise UnexplainedError(
                f"the rows that {name!r} sees are not those of its samples in turn: in a batch of {n} {because} puts "
                "some elsewhere; keep operations off the batch axis"
            )


def check_company(model: nn.Module, x: Tensor, logits: Tensor, because: str) -> None:
    """Check that samples have the same logits in other batches, of ``PARTS`` each has a part; say ``because`` of what.

    Raises:
        UnexplainedError: if they differ.
    """
    n = len(x)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(n), device="cpu").to(x.device)
    with torch.no_grad():
        apart = torch.cat([model(x[part].clone()) for part in order.chunk(PARTS)])
    difference = (logits[order] - apart).abs().max()
    if not difference <= tolerance(model, x.device) * logits.abs().max():
        raise UnexplainedError(
            f"logits within a batch of {n} and within parts of it differ by {float(difference):.2g}: the model "
            f"mixes samples in larger batches, perhaps by {because}; call model.eval(), and keep operations off the "
            "batch axis"
        )
