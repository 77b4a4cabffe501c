"""What do networks say of each sample before any is left out? Kernels and other scores, of the same networks."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache as cached

import torch
from torch import Tensor, nn

from lpntk.keep.cache import Cache, digest
from lpntk.keep.keys import computed_key
from lpntk.kernel.layerwise.gradients import per_sample_gradients
from lpntk.kernel.signs import Signs, residual
from lpntk.learn.campaign import Network
from lpntk.learn.models import build, count_parameters
from lpntk.learn.moments import Moments
from lpntk.learn.training import train
from lpntk.machine.device import resolve_device
from lpntk.machine.precision import exact
from lpntk.phenomena.less_data.within import Within, cosine_of_inputs, rows_of

GRADIENTS = 2**28  # bytes of gradients held at a time


@dataclass(frozen=True)
class Scores:
    """What some networks say of n training samples, sums or means over them.

    Attributes:
        y: (n,) labels.
        kernel: lpNTK after training, within classes, as all kernels here.
        initial: lpNTK at the initialisation.
        blind: kernel without labels, every sign +1 (pNTK), after training.
        pixels: cosine of raw inputs; knows no network.
        features: (n, d) inputs of the last layer after training.
        el2n: (n,) norm of the error after a few epochs (Paul et al., 2021).
        grand: (n,) norm of the loss gradient there (the same).
        forgetting: (n,) how often a sample, right when it was last seen, was wrong when seen again; one never right
            counts as more than any (Toneva et al., 2019).
    """

    y: Tensor
    kernel: Within
    initial: Within
    blind: Within
    pixels: Within
    features: Tensor
    el2n: Tensor
    grand: Tensor
    forgetting: Tensor


def scores(
    network: Network, x: Tensor, y: Tensor, *, seeds: Sequence[int], epochs: int, early: int, cache: Cache,
    device: str = "auto", **training: object,
) -> Scores:  # fmt: skip
    """Train networks on some samples and ask them.

    Args:
        network: to build from each seed.
        x: (n, ...) samples that are trained on and scored.
        y: (n,) their labels.
        seeds: networks; every score is their sum or mean, so that no method has more of them than another.
        epochs: of their training.
        early: epochs after which errors and loss gradients are taken.
        cache: keeps the networks.
        device: as in ``train``.
        **training: passed to ``train``: lr, batch_size, ...
    """
    runs, seen = _trained(network, x, y, seeds, {0, early, epochs}, cache, device, training)  # seen: (runs, epochs, n)
    lost = (seen[:, :-1] & ~seen[:, 1:]).sum(dim=1) + epochs * ~seen.any(dim=1)
    rows = rows_of(y)

    def total(epoch: int, signs: Signs) -> Within:
        return Within(
            rows, cached(lambda c: sum(run.kernel(epoch, x[rows[c]], y[rows[c]], signs).cpu() for run in runs))
        )

    asked = [[_asked(run.model(epoch), x, y, device) for run in runs] for epoch in (early, epochs)]
    return Scores(
        y=y,
        kernel=total(epochs, "label"),
        initial=total(0, "label"),
        blind=total(epochs, "ones"),
        pixels=Within(rows, lambda c: cosine_of_inputs(x[rows[c]])),
        features=torch.cat([features for features, _ in asked[1]], dim=1),
        el2n=sum(torch.linalg.vector_norm(error, dim=1) for _, error in asked[0]),
        grand=sum(
            _gradients(run.model(early), x, error, device) for run, (_, error) in zip(runs, asked[0], strict=True)
        ),
        forgetting=lost.sum(dim=0),
    )


def _trained(
    network: Network, x: Tensor, y: Tensor, seeds: Sequence[int], moments: set[int], cache: Cache, device: str,
    training: dict[str, object],
) -> tuple[list[Moments], Tensor]:  # fmt: skip
    """Return networks with their states at some moments, and (networks, epochs, n) whether each sample was right."""
    seeds, moments = [int(seed) for seed in seeds], sorted(moments)

    def make() -> dict[str, Tensor]:
        models = [network(seed) for seed in seeds]
        everything = torch.arange(len(y)).expand(len(models), -1).contiguous()
        history = train(models, x, y, everything, seeds=seeds, epochs=moments[-1], checkpoints=moments, device=device,
                        progress="networks that score", **training)  # fmt: skip
        states = {
            f"{epoch}/{i}/{name}": value
            for epoch, each in history.checkpoints.items()
            for i, state in enumerate(each)
            for name, value in state.items()
        }
        return {"correct": history.correct, **states}

    key = computed_key(train, build, device=device, network=asdict(network), data=[digest(x), digest(y)], seeds=seeds,
                       moments=moments, training=training)  # fmt: skip
    kept = cache.artefact("scorers", key, make)
    correct = kept.pop("correct")
    states: list[dict[int, dict[str, Tensor]]] = [{epoch: {} for epoch in moments} for _ in seeds]
    for name, value in kept.items():
        epoch, i, parameter = name.split("/")
        states[int(i)][int(epoch)][parameter] = value
    return [
        Moments(network, seed, own, {}, {}, False, device) for seed, own in zip(seeds, states, strict=True)
    ], correct


@exact
@torch.no_grad()
def _asked(model: nn.Module, x: Tensor, y: Tensor, device: str) -> tuple[Tensor, Tensor]:
    """Return (n, d), what the last linear layer is given, and (n, k), one-hot label minus softmax."""
    model, on = model.to(resolve_device(device)), resolve_device(device)
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    kept: list[Tensor] = []
    hook = last.register_forward_hook(lambda _m, given, _o: kept.append(given[0].cpu()))
    try:
        errors = [
            residual(model(a.to(on)).softmax(dim=1).cpu(), b) for a, b in zip(x.split(1024), y.split(1024), strict=True)
        ]
    finally:
        hook.remove()
    return torch.cat(kept), torch.cat(errors)


@exact
def _gradients(model: nn.Module, x: Tensor, s: Tensor, device: str) -> Tensor:
    """Return (n,) norms of the gradients of s^T z."""
    on = resolve_device(device)
    model, at_once = model.to(on), max(1, GRADIENTS // (4 * count_parameters(model)))
    return torch.cat([
        torch.linalg.vector_norm(per_sample_gradients(model, a.to(on), b.to(on)), dim=1).cpu()
        for a, b in zip(x.split(at_once), s.split(at_once), strict=True)
    ])  # fmt: skip
