"""How much of the kernel is the label? In the wide limit a factor of the number of classes alone; and what is measured.

    kappa((x,y), (x',y')) -> theta(x, x') s(y)^T s(y') / K,      s(y)^T s(y') / K = 1 (y = y'),  1 - 4/K (otherwise)

The counterpart of theta in a network of finite width is the kernel that the same two inputs would have under one label.
"""

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor, nn

from lpntk.kernel.matrix import kernel_matrix
from lpntk.kernel.reading import UNRELATED, Pairs, cosine, pairs
from lpntk.kernel.signs import factor
from lpntk.phenomena.relations.readings import read
from lpntk.phenomena.relations.study import Trial, finished


def as_one_label(model: nn.Module, x: Tensor, y: Tensor, **options: object) -> Tensor:
    """Return the kernel (n, n) that each pair would have if both samples carried one label.

    Entry (i, j) is the mean of the kernels with the label of i on both and with the label of j on both; for a pair of
    one label it is the kernel itself. As many kernels are computed as there are labels in ``y``, with the options of
    ``kernel_matrix``.
    """
    total = torch.zeros(len(y), len(y), dtype=next(model.parameters()).dtype)
    for label in y.unique():
        kappa = kernel_matrix(model, x, torch.full_like(y, int(label)), **options)
        own = (y == label).to(kappa.dtype)
        total += kappa * (own[:, None] + own[None, :]) / 2
    return total


def measured_factor(kappa: Pairs, one_label: Pairs) -> float:
    """Return the factor that takes the kernel under one label to the kernel: least squares over different labels."""
    a, b = one_label.different.double(), kappa.different.double()
    return float(a @ b / (a @ a))


def predicted_contradiction(one_label: Pairs, k: int, threshold: float = UNRELATED) -> float:
    """Return the share of pairs of different labels that the law makes contradictory.

    Args:
        one_label: cosines that the pairs would have under one label.
        k: classes.
        threshold: a pair is contradictory if its cosine is at most minus this.
    """
    return float((factor(k) * one_label.different <= -threshold).float().mean())


def by_classes(trials: Sequence[Trial]) -> pd.DataFrame:
    """Read factor and contradiction of pairs of different labels, before and after training, by number of classes.

    ``all`` is the contradictory share of all pairs, ``one_label_negative`` that of pairs of different labels that would
    oppose each other even under one label, ``predicted`` what the law makes contradictory.
    """
    rows = []
    for trial in finished(trials):
        for moment, epoch in (("initial", trial.run.epochs[0]), ("trained", trial.run.epochs[-1])):
            kappa, k = trial.kernel(epoch), trial.data.k
            one = as_one_label(trial.run.model(epoch), trial.x, trial.y, device=trial.run.device)
            norm = kappa.diagonal().clamp_min(torch.finfo(kappa.dtype).tiny).sqrt()
            under_one, split = pairs(one, trial.y), pairs(cosine(kappa), trial.y)
            cosines = pairs(one / norm[:, None] / norm[None, :], trial.y)
            everything = read(torch.cat([split.same, split.different]))
            rows.append(
                {
                    "classes": k, "moment": moment, "seed": trial.run.seed,
                    "factor": measured_factor(pairs(kappa, trial.y), under_one), "law": factor(k),
                    "one_label_negative": read(under_one.different)["negative"],
                    "predicted": predicted_contradiction(cosines, k),
                    **read(split.different), "all": everything["contradictory"],
                    "test_accuracy": trial.run.test_accuracy[epoch],
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def widest_gap(table: pd.DataFrame) -> dict[str, float]:
    """Return where, after training, the contradictory share is farthest from what the law makes of ``by_classes``."""
    mean = table[table.moment == "trained"].groupby("classes")[["contradictory", "predicted"]].mean()
    worst = (mean.contradictory - mean.predicted).abs().idxmax()
    return {"classes": int(worst), **mean.loc[worst].to_dict()}
