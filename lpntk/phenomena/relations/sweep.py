"""What do all pairs say, when their matrix only fits on the disk? One pass over its rows, block by block."""

import torch
from torch import Tensor

from lpntk.kernel.reading import shares

SMALL = 0.1  # of the authors' notebook, for a kernel without the factor 1/K


def sweep(kappa: Tensor, y: Tensor, step: int = 1024) -> dict[str, float]:
    """Return what the pairs of different samples are to each other.

    Args:
        kappa: (n, n) symmetric kernel, memory-mapped or not.
        y: (n,) labels.
        step: rows read at a time.

    Returns:
        ``pairs`` (unordered), shares of them that are ``positive``, ``negative`` and ``small`` (below 0.1 in size
        when multiplied by the number of classes, as the authors' public notebook counts), ``own_nearest`` (samples
        whose largest entry is their own, over those for which it is not) and, for pairs of the ``same`` label and of
        ``different`` ones, the shares of ``relations.shares`` and ``negative``. All of them but ``pairs`` are shares of
        ordered pairs, which a symmetric matrix makes the same.

    Raises:
        ValueError: if the matrix is not square or the labels are not as many.
    """
    n, k = len(y), int(y.max()) + 1
    if kappa.shape != (n, n):
        raise ValueError(f"expected a kernel of shape ({n}, {n}) for {n} labels; got {tuple(kappa.shape)}")
    norm = kappa.diagonal().clone().clamp_min(torch.finfo(kappa.dtype).tiny).sqrt()
    count = dict.fromkeys(("positive", "negative", "small", "own"), 0)
    groups: dict[str, dict[str, float]] = {"same": {}, "different": {}}
    numbers = dict.fromkeys(groups, 0)
    for start in range(0, n, step):
        rows = kappa[start : start + step]
        here = torch.arange(start, start + len(rows))
        count["own"] += int((rows.argmax(1) == here).sum())
        other = here[:, None] != torch.arange(n)
        count["positive"] += int(((rows > 0) & other).sum())
        count["negative"] += int((rows < 0).sum())  # never on the diagonal
        count["small"] += int(((k * rows).abs_() < SMALL).logical_and_(other).sum())
        cosines = rows / norm[here, None] / norm
        same = y[here, None] == y
        for name, mask in (("same", same & other), ("different", ~same)):
            values = cosines[mask]
            found = {**shares(values), "negative": int((values < 0).sum()) / max(len(values), 1)}
            for key, share in found.items():
                groups[name][key] = groups[name].get(key, 0.0) + share * len(values)
            numbers[name] += len(values)
    ordered = n * (n - 1)
    total = {key: count[key] / max(ordered, 1) for key in ("positive", "negative", "small")}
    by_label = {
        f"{name}.{key}": value / max(numbers[name], 1) for name, group in groups.items() for key, value in group.items()
    }
    return {"pairs": ordered // 2, "own_nearest": count["own"] / max(n - count["own"], 1), **total, **by_label}
