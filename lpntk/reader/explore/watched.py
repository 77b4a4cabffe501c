"""One network, looked at while it learns: its states, what it lost on each sample and whether it was right."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import torch
from torch import Tensor

from lpntk.data.dataset import Dataset
from lpntk.keep.cache import Cache, digest
from lpntk.keep.keys import computed_key
from lpntk.learn.campaign import Network
from lpntk.learn.models import build
from lpntk.learn.moments import Moments
from lpntk.learn.training import accuracy, train


@dataclass(frozen=True)
class Watched:
    """A network over its training, and the m samples of its training set that are shown, sorted by label.

    Attributes:
        data: what it was trained on.
        rows: (m,) the samples shown, as indices into the training set.
        run: its states.
        loss: (epochs, m) nats, at the presentation in each epoch.
        correct: (epochs, m) bool, whether it was right there.
        n: training samples.
    """

    data: Dataset
    rows: Tensor
    run: Moments
    loss: Tensor
    correct: Tensor
    n: int

    @cached_property
    def x(self) -> Tensor:
        """(m, ...) inputs of the samples shown."""
        return self.data.x_train[self.rows]

    @cached_property
    def y(self) -> Tensor:
        """(m,) their labels."""
        return self.data.y_train[self.rows]

    def kernel(self, epoch: int) -> Tensor:
        """Return the kernel (m, m) of the samples shown after so many epochs."""
        return self.run.kernel(epoch, self.x, self.y).cpu()


def watch(
    network: Network, data: Dataset, *, n: int, shown: int, seed: int, moments: Sequence[int], cache: Cache,
    device: str = "auto", **training: object,
) -> Watched:  # fmt: skip
    """Train one network on some samples and watch a part of them.

    Args:
        network: what to build from the seed.
        data: its training samples are drawn from, its test samples judge.
        n: training samples.
        shown: of them that are watched.
        seed: of the draws, the initialisation and the order.
        moments: numbers of finished epochs; the largest is where training ends.
        cache: keeps the network.
        device: as in ``train``.
        **training: passed to ``train``: lr, batch_size, ...

    Raises:
        ValueError: if more samples shall be shown than are trained on, or fewer than two.
        FloatingPointError: if the network diverges.
    """
    if not 2 <= shown <= n:
        raise ValueError(f"expected shown in 2..{n}, the training samples; got {shown}: lower shown or raise n")
    rows, moments = data.sample(n, seed), sorted({int(moment) for moment in moments})
    x, y = data.x_train[rows], data.y_train[rows]
    drawn = torch.randperm(n, generator=torch.Generator().manual_seed(seed))[:shown].sort().values
    part = drawn[y[drawn].argsort(stable=True)]

    def make() -> dict[str, Tensor]:
        history = train([network(seed)], x, y, torch.arange(n)[None], seeds=[seed], epochs=moments[-1],
                        checkpoints=moments, device=device, progress="network", **training)  # fmt: skip
        values, model = {"loss": history.loss[0], "correct": history.correct[0]}, network(seed)
        for epoch, (state,) in history.checkpoints.items():
            model.load_state_dict(state)
            scores = [accuracy(model, *of) for of in ((x, y), (data.x_test, data.y_test))]
            values |= {f"{epoch}/accuracies": torch.tensor(scores)}
            values |= {f"{epoch}/state/{name}": value.cpu() for name, value in state.items()}
        return values

    decides = [digest(t) for t in (x, y, data.x_test, data.y_test)]
    key = computed_key(watch, train, build, device=device, network=asdict(network), data=decides, seed=seed,
                       moments=moments, training=training)  # fmt: skip
    kept = cache.artefact("watched", key, make)
    loss, correct = kept.pop("loss"), kept.pop("correct")
    states: dict[int, dict[str, Tensor]] = {epoch: {} for epoch in moments}
    scores = {}
    for name, value in kept.items():
        epoch, kind, *parameter = name.split("/")
        if kind == "state":
            states[int(epoch)][parameter[0]] = value
        else:
            scores[int(epoch)] = value.tolist()
    of_train, of_test = ({epoch: pair[i] for epoch, pair in scores.items()} for i in (0, 1))
    run = Moments(network, seed, states, of_train, of_test, False, device)
    return Watched(data, rows[part], run, loss[:, part], correct[:, part], n)
