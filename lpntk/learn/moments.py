"""What was the network at epoch 0, 1, 2, 5, ...? One training with its states kept, and the kernel at any of them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from lpntk.data.dataset import Dataset
from lpntk.keep.cache import Cache, digest
from lpntk.keep.keys import computed_key
from lpntk.kernel.matrix import kernel_matrix
from lpntk.kernel.signs import Signs
from lpntk.learn.campaign import Network
from lpntk.learn.models import build
from lpntk.learn.training import accuracy, train


@dataclass(frozen=True)
class Moments:
    """One network over its training.

    Attributes:
        network: its architecture.
        seed: of its initialisation and order.
        states: number of finished epochs -> parameters and buffers.
        train_accuracy: number of finished epochs -> share right of the labels it was given.
        test_accuracy: the same on the test set.
        diverged: whether its loss or a parameter stopped being finite.
        device: where kernels are computed.
    """

    network: Network
    seed: int
    states: dict[int, dict[str, Tensor]]
    train_accuracy: dict[int, float]
    test_accuracy: dict[int, float]
    diverged: bool
    device: str

    @property
    def epochs(self) -> list[int]:
        """The moments, in order."""
        return sorted(self.states)

    def model(self, epoch: int) -> nn.Module:
        """Return the network as it was after so many epochs, in evaluation mode."""
        model = self.network(self.seed)
        model.load_state_dict(self.states[epoch])
        return model.eval()

    def kernel(self, epoch: int, x: Tensor, y: Tensor, signs: Signs = "label") -> Tensor:
        """Return the kernel (n, n) of samples (n, ...) with labels (n,) at that moment, see ``kernel_matrix``."""
        return kernel_matrix(self.model(epoch), x, y, signs=signs, device=self.device)


def train_moments(
    network: Network,
    data: Dataset,
    *,
    seed: int,
    moments: Sequence[int],
    cache: Cache,
    device: str = "auto",
    **training,
) -> Moments:
    """Train one network on all training samples of a data set and keep its states.

    Args:
        network: what to build.
        data: where it is trained and tested.
        seed: of initialisation and order.
        moments: numbers of finished epochs; the largest is where training ends.
        cache: keeps the states, so that a killed run goes on with the next network.
        device: as in ``train``.
        **training: passed to ``lpntk.learn.training.train``: lr, batch_size, ...
    """
    moments = sorted(set(moments))

    def make() -> dict[str, Tensor]:
        model = network(seed)
        everything = torch.arange(len(data.y_train))[None]
        history = train([model], data.x_train, data.y_train, everything, seeds=[seed], epochs=moments[-1],
                        checkpoints=moments, device=device, on_divergence="mark", progress="network",
                        **training)  # fmt: skip
        values = {"diverged": history.diverged}
        for epoch in (e for e in moments if e in history.checkpoints):  # a diverged run ends early
            (state,) = history.checkpoints[epoch]
            model.load_state_dict(state)
            scores = [accuracy(model, *split) for split in _splits(data)]
            values[f"{epoch}/accuracies"] = torch.tensor(scores)
            values |= {f"{epoch}/state/{name}": value.cpu() for name, value in state.items()}
        return values

    digests = [digest(t) for split in _splits(data) for t in split]
    key = computed_key(train, build, device=device, network=asdict(network), data=digests, seed=seed,
                       moments=moments, training=training)  # fmt: skip
    stored = cache.artefact("moments", key, make)
    diverged = bool(stored.pop("diverged").any())
    states: dict[int, dict[str, Tensor]] = {}
    accuracies: dict[int, tuple[float, float]] = {}
    for name, value in stored.items():
        epoch, kind, *rest = name.split("/")
        if kind == "accuracies":
            accuracies[int(epoch)] = tuple(value.tolist())
        else:
            states.setdefault(int(epoch), {})[rest[0]] = value
    train_accuracy, test_accuracy = ({e: pair[i] for e, pair in accuracies.items()} for i in (0, 1))
    return Moments(network, seed, states, train_accuracy, test_accuracy, diverged, device)


def train_together(
    network: Network,
    x: Tensor,
    y: Tensor,
    *,
    seeds: Sequence[int],
    moments: Sequence[int],
    cache: Cache,
    device: str = "auto",
    **training,
) -> tuple[list[Moments], Tensor]:
    """Train some networks on the same samples, as one stack, and keep their states and what they lost on each sample.

    All else is as in ``train_moments``.

    Returns:
        The m networks, without accuracies, and (m, epochs, n) losses at every presentation.
    """
    seeds, moments = [int(seed) for seed in seeds], sorted({int(moment) for moment in moments})

    def make() -> dict[str, Tensor]:
        everything = torch.arange(len(y)).expand(len(seeds), -1).contiguous()
        history = train([network(seed) for seed in seeds], x, y, everything, seeds=seeds, epochs=moments[-1],
                        checkpoints=moments, device=device, progress="networks", **training)  # fmt: skip
        states = {
            f"{epoch}/{i}/{name}": value
            for epoch, each in history.checkpoints.items()
            for i, state in enumerate(each)
            for name, value in state.items()
        }
        return {"loss": history.loss, **states}

    key = computed_key(train, build, device=device, network=asdict(network), data=[digest(x), digest(y)], seeds=seeds,
                       moments=moments, training=training)  # fmt: skip
    kept = cache.artefact("together", key, make)
    loss, states = kept.pop("loss"), [{moment: {} for moment in moments} for _ in seeds]
    for name, value in kept.items():
        moment, i, parameter = name.split("/")
        states[int(i)][int(moment)][parameter] = value
    runs = zip(seeds, states, strict=True)
    return [Moments(network, seed, own, {}, {}, False, device) for seed, own in runs], loss


def _splits(data: Dataset) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    return (data.x_train, data.y_train), (data.x_test, data.y_test)
