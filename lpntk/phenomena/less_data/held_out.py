"""What do networks say of samples that they have not learned? Cross-validation, and what cleanlab makes of it."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from lpntk.learn.training import train
from lpntk.machine.device import resolve_device
from lpntk.machine.precision import exact

FOLDS = 5  # of the cross-validation, each with a network of its own
MISSING = "expected cleanlab, whose opinion of the labels is asked; it is not installed: pip install .[book]"


def out_of_sample(
    make: Callable[[int], nn.Module], x: Tensor, y: Tensor, k: int, *, seed: int, device: str, **training: object
) -> Tensor:
    """Return (n, k) probabilities of classes, each sample's by a network that has not learned it.

    The networks of all folds learn equally many samples: of a longer rest the last, at most one a class, are left out.
    Folds are stratified by the labels as given.
    """
    from sklearn.model_selection import StratifiedKFold  # slow to import

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed % 2**32)
    parts = [tuple(map(torch.from_numpy, both)) for both in folds.split(np.zeros(len(y)), y.numpy())]
    size = min(len(learned) for learned, _ in parts)
    draw = torch.Generator().manual_seed(seed)
    subsets = torch.stack([learned[torch.randperm(len(learned), generator=draw)[:size]] for learned, _ in parts])
    seeds = np.random.SeedSequence(seed).generate_state(FOLDS).tolist()
    networks = [make(own) for own in seeds]
    train(networks, x, y, subsets, seeds=seeds, device=device, **training)
    chances = torch.empty(len(y), k)
    for network, (_, rest) in zip(networks, parts, strict=True):
        chances[rest] = logits(network, x[rest], device).softmax(dim=1)
    return chances


@exact
@torch.no_grad()
def logits(network: nn.Module, x: Tensor, device: str) -> Tensor:
    """Return (n, k) logits of a network in evaluation mode, on the CPU."""
    on = resolve_device(device)
    network.to(on)
    found = torch.cat([network(part.to(on)).cpu() for part in x.split(512)])
    network.to("cpu")
    return found


def label_quality(y: np.ndarray, chances: np.ndarray) -> np.ndarray:
    """Return (n,) label quality scores of cleanlab, small if a label is suspicious.

    Raises:
        ModuleNotFoundError: if it is not installed; it is an optional dependency.
    """
    try:
        from cleanlab.rank import get_label_quality_scores
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(MISSING) from error
    return get_label_quality_scores(y, chances)


def label_issues(y: np.ndarray, chances: np.ndarray) -> np.ndarray:
    """Return the samples that cleanlab lists as label issues, worst first; arguments and errors as ``label_quality``.

    Raises:
        ModuleNotFoundError: if it is not installed.
    """
    try:
        from cleanlab.filter import find_label_issues
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(MISSING) from error
    return np.asarray(find_label_issues(y, chances, return_indices_ranked_by="self_confidence", n_jobs=1), int)
