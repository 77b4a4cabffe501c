"""What are two labelled samples to each other in the wide limit? Their signs, the law 1 - 4/K, the angle, and one step.

In the limit a block of the tangent kernel is a number times the identity, and for one linear layer it is that exactly.
Both samples have the number 1 with themselves and ``alike`` with each other; the script has the same formulas.
"""

import math

import torch

from lpntk.kernel.signs import factor, residual, sign_vectors
from lpntk.reader.explore.widget import Explorer

BEGINNING = {"classes": 10, "one": 3, "other": 5, "alike": 0.8, "learned": 0.0, "step": 1.0}
RANGES = {"classes": (2, 20), "alike": (-0.95, 0.95), "learned": (0, 0.95), "step": (0, 3)}


def of_vectors(choice: dict[str, object]) -> dict[str, object]:
    """Return everything that is shown of two samples.

    Args:
        choice: ``classes`` K; ``one`` and ``other``, their labels; ``alike``, the cosine of the inputs; ``learned``,
            how far both predictions have gone from 1/K to 1 at their labels; ``step``, learning rate times the kernel
            of a sample with itself, of one step on the first.

    Returns:
        ``signs`` (2 rows of 1 and -1), ``factor`` (their inner product over K), ``cosine`` of both updates and their
        ``angle`` in degrees, ``before`` and ``after`` (probabilities of both), ``said``.

    Raises:
        ValueError: if something is out of its range.
    """
    for name, (low, high) in RANGES.items():
        if not low <= choice[name] <= high:
            raise ValueError(f"expected {name} in {low} to {high}; got {choice[name]!r}")
    k, y = int(choice["classes"]), torch.tensor([choice["one"], choice["other"]])
    if not 0 <= int(y.min()) <= int(y.max()) < k:
        raise ValueError(f"expected labels in 0 to {k - 1}, as there are {k} classes; got {y.tolist()}")
    alike, step = float(choice["alike"]), float(choice["step"])
    signs = (sign_vectors(torch.zeros(2, k, dtype=torch.double), y) * math.sqrt(k)).round()
    share = factor(k, same=bool(y[0] == y[1]))
    p = 1 / k + choice["learned"] * (1 - 1 / k)
    logits = torch.zeros(2, k, dtype=torch.double)
    logits[[0, 1], y] = math.log(p * (k - 1) / (1 - p))
    before = logits.softmax(dim=1)
    push = residual(before[:1], y[:1])  # (1, k), what the step makes the first sample's logits larger by
    after = (logits + step * torch.tensor([[1.0], [alike]], dtype=torch.double) * push).softmax(dim=1)
    state = {
        "signs": signs.int().tolist(), "factor": share, "cosine": alike * share,
        "angle": math.degrees(math.acos(alike * share)), "before": before.tolist(), "after": after.tolist(),
    }  # fmt: skip
    return state | {"said": _vectors_said(state, choice)}


def _vectors_said(state: dict[str, object], choice: dict[str, object]) -> str:
    """Return the sentences that tell of two samples, as the script says them."""
    labels = (choice["one"], choice["other"])
    (a, b), (c, d) = ([state[when][i][labels[i]] for when in ("before", "after")] for i in (0, 1))
    return (
        f"The signs give the factor {state['factor']:.2f}, the updates stand at {state['angle']:.0f}°. One step on the "
        f"first sample takes its label from {a:.1%} to {b:.1%}, and that of the second from {c:.1%} to {d:.1%}."
    )


def two_vectors() -> Explorer:
    """Return the explorer of two vectors."""
    given = {
        "ranges": RANGES,
        "about": "Exact for a network that learns in its last layer alone; the limit for a wide one before training.",
    }
    return Explorer("vectors", given, of_vectors, [BEGINNING])
