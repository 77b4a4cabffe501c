"""What moves the authors' counts? LeNet by their recipe, one thing changed at a time, and ways to look at it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor, nn

from lpntk.data.dataset import Dataset
from lpntk.keep.cache import Cache, digest
from lpntk.keep.keys import computed_key
from lpntk.learn.campaign import Network
from lpntk.learn.models import build
from lpntk.learn.training import accuracy, train

State = dict[str, Tensor]


@dataclass(frozen=True)
class Training:
    """How the networks of one suspect are trained: the recipe, but for what is named.

    Attributes:
        epochs: passes over all training samples.
        after: the name of the training that it goes on from; None starts at the initialisation.
        at: the epoch of that training.
        pixels: inputs in 0..1 as they are in the files, not standardised.
        biases: as torch draws them; otherwise all biases begin at 0.
        changes: options of ``lpntk.learn.training.train`` that differ from the recipe.
    """

    epochs: int
    after: str | None = None
    at: int = 0
    pixels: bool = False
    biases: bool = True
    changes: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, **how: object) -> "Training":
        """Make one of a row of a profile; what is no field changes the recipe."""
        own = {name: how.pop(name) for name in ("epochs", "after", "at", "pixels", "biases") if name in how}
        return cls(**own, changes=how)

    def inputs(self, data: Dataset, x: Tensor) -> Tensor:
        """Return samples (n, c, h, w) of a data set as these networks take them."""
        return data.pixels(x).permute(0, 3, 1, 2).contiguous() if self.pixels else x


@dataclass(frozen=True)
class Grown:
    """One network over a training.

    Attributes:
        seed: of its initialisation and order.
        states: finished epochs of this training -> parameters.
        held_out: finished epochs -> share right of images that it was not trained on.
    """

    seed: int
    states: dict[int, State]
    held_out: dict[int, float]


def grow(
    network: Network, data: Dataset, trainings: Mapping[str, Training], *, seeds: Sequence[int], held_out: int,
    drawn_by: int, cache: Cache, device: str = "auto", **recipe,
) -> dict[str, list[Grown]]:  # fmt: skip
    """Train one network per training and seed on all training samples; every finished one is kept.

    Args:
        network: the architecture.
        data: where it is trained.
        trainings: by name; one that goes on from another stands after it.
        seeds: of initialisation and order; the same in every training, so that these compare in pairs.
        held_out: test images for the accuracy, which nothing else sees.
        drawn_by: the seed that draws them.
        cache: keeps the networks.
        device: as in ``train``.
        **recipe: passed to ``train``: lr, batch_size, ...

    Raises:
        ValueError: if a training goes on from one that does not stand before it.
    """
    rows = torch.randperm(len(data.y_test), generator=torch.Generator().manual_seed(drawn_by))[:held_out]
    found: dict[str, list[Grown]] = {}
    for name, training in trainings.items():
        if training.after and training.after not in found:
            raise ValueError(f"{name} goes on from {training.after}, which must stand before it; put it there")
        x, test = (training.inputs(data, part) for part in (data.x_train, data.x_test[rows]))
        found[name] = []
        for i, seed in enumerate(seeds):
            begin = found[training.after][i].states[training.at] if training.after else None
            options = recipe | dict(training.changes)
            found[name].append(_grown(network, x, data.y_train, (test, data.y_test[rows]), training, seed, begin,
                                      cache, device, options))  # fmt: skip
    return found


def _grown(network, x, y, test, training: Training, seed: int, begin: State | None, cache, device, options) -> Grown:
    def make() -> dict[str, Tensor]:
        model = started(network, seed, training.biases)
        if begin:
            model.load_state_dict(begin)
        moments = range(training.epochs + 1)
        history = train([model], x, y, torch.arange(len(y))[None], seeds=[seed], epochs=training.epochs,
                        checkpoints=moments, presentations=False, device=device, progress="network",
                        **options)  # fmt: skip
        values = {}
        for epoch, (state,) in history.checkpoints.items():
            model.load_state_dict(state)
            values[f"{epoch}/accuracy"] = torch.tensor(accuracy(model, *test))
            values |= {f"{epoch}/state/{name}": value for name, value in state.items()}
        return values

    told = {"seed": seed, "epochs": training.epochs, "biases": training.biases, "options": options}
    told["begin"] = digest([digest(value) for value in begin.values()]) if begin else ""
    key = computed_key(train, build, _grown, device=device, network=asdict(network),
                       data=[digest(t) for t in (x, y, *test)], **told)  # fmt: skip
    states, held_out = {}, {}
    for name, value in cache.artefact("suspect", key, make).items():
        epoch, kind, *rest = name.split("/")
        if kind == "accuracy":
            held_out[int(epoch)] = float(value)
        else:
            states.setdefault(int(epoch), {})[rest[0]] = value
    return Grown(seed, states, held_out)


def started(network: Network, seed: int, biases: bool) -> nn.Module:
    """Return a new network, its biases as drawn or all 0."""
    model = network(seed)
    if not biases:
        for name, p in model.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(p)
    return model
