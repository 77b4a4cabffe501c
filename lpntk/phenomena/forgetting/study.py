"""How well are events predicted, and what does each part of the real update cost? Trainings over seeds and settings.

Finished blocks of seeds are kept, so a killed run resumes.
"""

import itertools
from collections.abc import Sequence
from dataclasses import asdict

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from lpntk.keep.cache import Cache, digest
from lpntk.keep.keys import computed_key
from lpntk.kernel.checks import check_labels
from lpntk.learn.campaign import Network
from lpntk.learn.models import build
from lpntk.learn.stacks import stackable
from lpntk.machine.device import resolve_device
from lpntk.phenomena.forgetting.walk import Setting, Track, draw_batches, walk


def by_rate(lrs: Sequence[float], momentum: float, weight_decay: float, dropout: bool) -> list[Setting]:
    """Return plain SGD and the whole recipe at every learning rate."""
    whole = {"momentum": momentum, "weight_decay": weight_decay, "dropout": dropout}
    return [Setting(recipe, lr, **parts) for lr in lrs for recipe, parts in (("plain", {}), ("all", whole))]


def by_part(lr: float, momentum: float, weight_decay: float, dropout: bool) -> list[Setting]:
    """Return plain SGD, each part of the recipe alone, and the whole of it, at one learning rate."""
    parts = {"momentum": momentum, "weight_decay": weight_decay, "dropout": dropout}
    alone = [Setting(name.replace("_", " "), lr, **{name: value}) for name, value in parts.items() if value]
    return [Setting("plain", lr), *alone, Setting("all", lr, **parts)]


def with_dropout(model: nn.Module, p: float) -> nn.Module:
    """Return a chain of layers with dropout after each hidden linear layer; a network that has its own stays as it is.

    Raises:
        ValueError: if there is neither dropout nor a hidden linear layer to put it after.
    """
    if any(isinstance(module, nn.modules.dropout._DropoutNd) for module in model.modules()):
        return model
    layers = []
    if isinstance(model, nn.Sequential):
        for before, layer in itertools.pairwise([nn.Identity(), *model]):
            layers += [layer, nn.Dropout(p)] if isinstance(before, nn.Linear) else [layer]
    if not any(isinstance(layer, nn.Dropout) for layer in layers):
        raise ValueError("the network has no hidden linear layer to put dropout after; use dropout=0")
    return nn.Sequential(*layers)


def study(
    network: Network, x: Tensor, y: Tensor, chosen: Sequence[Setting], *, seeds: int, seed: int, steps: int,
    batch_size: int, followed: int, dropout: float, width: int, cache: Cache, device: str = "auto",
) -> dict[Setting, Track]:  # fmt: skip
    """Walk through every setting with ``seeds`` initialisations and orders, the same ones in each setting.

    Args:
        network: to build from each seed.
        x: (n, ...) training inputs.
        y: (n,) labels.
        chosen: the settings; one that is there twice is run once.
        seeds: trainings per setting.
        seed: of the first; the others count on from it.
        steps: updates of each.
        batch_size: samples of each update.
        followed: samples followed through every update, from the first on.
        dropout: probability, put into a network that brings none (see ``with_dropout``); 0 leaves it as it is.
        width: trainings that run as one stack, and are kept as one artefact; other networks than chains run one by one.
        cache: keeps finished blocks.
        device: ``auto``, ``cpu`` or ``cuda[:i]``.

    Raises:
        ValueError: if a number cannot be, with what it could be.
    """
    if steps < 2 or not 1 <= followed <= len(x) or seeds < 1 or width < 1:
        raise ValueError(
            f"expected steps >= 2, followed in 1..{len(x)}, seeds >= 1 and width >= 1; "
            f"got {steps}, {followed}, {seeds} and {width}"
        )
    check_labels(x, y, network.k, "x", "y")
    on = resolve_device(device)
    make = lambda s: with_dropout(network(s), dropout) if dropout else network(s)
    width = width if stackable(make(seed), x) else 1
    key = computed_key(
        walk, draw_batches, with_dropout, build, device=on, network=asdict(network), data=[digest(x), digest(y)],
        walk=[steps, batch_size, followed, dropout],
    )  # fmt: skip
    blocks = [list(range(start, min(start + width, seed + seeds))) for start in range(seed, seed + seeds, width)]
    parts: dict[Setting, list] = {setting: [] for setting in chosen}
    for setting, block in tqdm(list(itertools.product(parts, blocks)), desc="forgetting", leave=False):

        def run(setting: Setting = setting, block: list[int] = block) -> dict[str, Tensor]:
            batches = torch.stack([draw_batches(len(x), batch_size, steps, s) for s in block])
            models = [make(s).to(on) for s in block]
            return walk(models, x.to(on), y.to(on), batches.to(on), followed, setting, seeds=block).tensors()

        parts[setting].append(cache.artefact("forgetting", {**key, **asdict(setting), "seeds": block}, run))
    return {setting: Track.join(found) for setting, found in parts.items()}
