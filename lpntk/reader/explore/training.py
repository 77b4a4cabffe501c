"""What becomes of the kernel while the network learns? Its matrix, its spectrum and its relations, epoch by epoch."""

from functools import cache

import torch
from torch import Tensor

from lpntk.kernel.reading import by_class, cosine, pairs, shares
from lpntk.phenomena.relations.drift import effective_rank, spectrum
from lpntk.reader.explore.images import matrix_png
from lpntk.reader.explore.watched import Watched
from lpntk.reader.explore.widget import Explorer, within

RELATIONS = ("interchangeable", "weak", "unrelated", "contradictory")
EIGENVALUES = 20  # eigenvalues that are shown


def through_training(watched: Watched) -> Explorer:
    """Return the explorer of a kernel through training.

    Args:
        watched: the network and the samples; its moments are the stops of the slider.
    """
    epochs, y = watched.run.epochs, watched.y
    kernel = cache(watched.kernel)
    order = by_class(y, cosine(kernel(epochs[-1])))  # one order for all epochs, or nothing could be followed

    def answer(choice: dict[str, object]) -> dict[str, object]:
        """Return everything that is shown of the chosen ``epoch``."""
        epoch = within(choice, "epoch", epochs)
        cosines, held = cosine(kernel(epoch)), spectrum(kernel(epoch))
        groups = vars(pairs(cosines, y))
        parts = {"one label": groups["same"], "two labels": groups["different"], "all": torch.cat([*groups.values()])}
        state = {
            "epoch": epoch,
            "matrix": matrix_png(cosines[order][:, order]),
            "spectrum": [float(f"{value:.3g}") for value in held[:EIGENVALUES].tolist()],
            "rank": round(effective_rank(held), 1),
            "shares": {name: [round(shares(values)[of], 5) for of in RELATIONS] for name, values in parts.items()},
            "mean": {name: _mean(values) for name, values in parts.items()},
            "train": watched.run.train_accuracy[epoch],
            "test": watched.run.test_accuracy[epoch],
        }
        return state | {"said": _epoch_said(state)}

    counts = y.bincount(minlength=watched.data.k).tolist()
    given = {
        "epochs": epochs, "classes": list(watched.data.classes), "counts": counts, "relations": list(RELATIONS),
        "about": f"One network; {len(y)} of the {watched.n} samples that it learned, in one order throughout: by class "
                 "and, inside a class, by how near they are to it in the end.",
    }  # fmt: skip
    return Explorer("training", given, answer, [{"epoch": epoch} for epoch in epochs])


def _mean(values: Tensor) -> float | None:
    return round(float(values.double().mean()), 3) if len(values) else None


def _epoch_said(state: dict[str, object]) -> str:
    """Return the sentences that tell of an epoch."""
    one, two = (dict(zip(RELATIONS, state["shares"][name], strict=True)) for name in ("one label", "two labels"))
    when = f"After {state['epoch']} epoch{'s' * (state['epoch'] > 1)}" if state["epoch"] else "Before training"
    return (
        f"{when}: test accuracy {state['test']:.1%}. Of the pairs of one label "
        f"{one['interchangeable']:.1%} are interchangeable, of those of two {two['contradictory']:.1%} contradictory. "
        f"The largest eigenvalue holds {state['spectrum'][0]:.0%}; effective rank {state['rank']}."
    )
