"""What do networks say of each sample before any is left out? Kernels and other scores, of the same networks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from lpntk.data.dataset import Dataset
from lpntk.keep.cache import Cache
from lpntk.kernel.signs import residual
from lpntk.learn.campaign import Network, train_many
from lpntk.learn.moments import Moments, train_moments
from lpntk.phenomena.less_data.farthest import cosine_of_inputs


@dataclass(frozen=True)
class Scores:
    """What some networks say of n training samples, sums or means over them.

    Attributes:
        y: (n,) labels.
        kernel: (n, n) lpNTK after training.
        initial: (n, n) lpNTK at the initialisation.
        blind: (n, n) kernel without labels, every sign +1 (pNTK), after training.
        pixels: (n, n) cosine of raw inputs; knows no network.
        features: (n, d) inputs of the last layer after training.
        el2n: (n,) norm of the error after a few epochs (Paul et al., 2021).
        grand: (n,) norm of the loss gradient there (the same).
        forgetting: (n,) how often a sample, right when it was last seen, was wrong when seen again; one never right
            counts as more than any (Toneva et al., 2019).
    """

    y: Tensor
    kernel: Tensor
    initial: Tensor
    blind: Tensor
    pixels: Tensor
    features: Tensor
    el2n: Tensor
    grand: Tensor
    forgetting: Tensor


def scores(
    network: Network, data: Dataset, rows: Tensor, *, seeds: Sequence[int], epochs: int, early: int, cache: Cache,
    device: str = "auto", **training: object,
) -> Scores:  # fmt: skip
    """Train networks on some samples and ask them.

    Args:
        network: to build from each seed.
        data: whose training samples are meant.
        rows: (n,) of them that are trained on and scored.
        seeds: networks; every score is their sum or mean, so that no method has more of them than another.
        epochs: of their training.
        early: epochs after which errors and loss gradients are taken.
        cache: keeps the networks.
        device: as in ``train``.
        **training: passed to ``train``: lr, batch_size, ...
    """
    part = replace(data, x_train=data.x_train[rows], y_train=data.y_train[rows])
    x, y = part.x_train, part.y_train
    moments = sorted({0, early, epochs})
    runs = [
        train_moments(network, part, seed=s, moments=moments, cache=cache, device=device, **training) for s in seeds
    ]
    everything = torch.arange(len(y)).expand(len(runs), -1).contiguous()
    seen = train_many(
        network, x, y, everything, seeds=list(seeds), cache=cache, device=device, epochs=epochs, **training
    ).correct  # fmt: skip  (networks, epochs, n)
    lost = (seen[:, :-1] & ~seen[:, 1:]).sum(dim=1) + epochs * ~seen.any(dim=1)
    total = lambda epoch, signs: sum(run.kernel(epoch, x, y, signs).cpu() for run in runs)
    return Scores(
        y=y,
        kernel=total(epochs, "label"),
        initial=total(0, "label"),
        blind=total(epochs, "ones"),
        pixels=cosine_of_inputs(x),
        features=torch.cat([_features(run.model(epochs), x) for run in runs], dim=1),
        el2n=sum(_error(run, early, x, y) for run in runs),
        grand=sum(run.kernel(early, x, y, "error").diagonal().clamp_min(0).sqrt().cpu() for run in runs),
        forgetting=lost.sum(dim=0),
    )


@torch.no_grad()
def _error(run: Moments, epoch: int, x: Tensor, y: Tensor) -> Tensor:
    """Return (n,) norms of one-hot label minus softmax."""
    return torch.linalg.vector_norm(residual(run.model(epoch)(x).softmax(dim=1), y), dim=1)


@torch.no_grad()
def _features(model: nn.Module, x: Tensor) -> Tensor:
    """Return (n, d): what the last linear layer is given."""
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    kept: list[Tensor] = []
    hook = last.register_forward_hook(lambda _m, given, _o: kept.append(given[0]))
    try:
        model(x)
    finally:
        hook.remove()
    return kept[0]
