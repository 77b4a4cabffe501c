"""Does equation 1 hold along whole trainings? Networks kept at some epochs, and the steps they are asked about.

Training is plain SGD, so that a step on a batch is the step that training would make next. The steps are made in
float64, on training samples of their own for each seed and the same at every epoch.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor, nn

from lpntk.data.dataset import Dataset
from lpntk.keep.cache import Cache
from lpntk.keep.keys import computed_key
from lpntk.learn.campaign import Network
from lpntk.learn.models import build
from lpntk.learn.training import accuracy, train
from lpntk.machine.device import resolve_device
from lpntk.phenomena.one_step.readings import changes, errors, readings


@dataclass(frozen=True)
class Kind:
    """One kind of step: its ``name``, the number of samples it is made on (``size``) and its learning rate ``lr``."""

    name: str
    size: int
    lr: float

    @property
    def words(self) -> str:
        """Its name for readers."""
        return "one sample" if self.size == 1 else f"batch of {self.size}"


@dataclass(frozen=True)
class Study:
    """Networks of one architecture on one data set.

    Attributes:
        network: what to build from each seed.
        data: trained on as a whole; its test samples are those whose predictions change.
        n_test: how many of them are followed, at most.
        cache: keeps checkpoints and measurements.
        device: where it runs.
        training: what ``train`` is told: epochs, lr, batch_size, ...; ``checkpoints`` are the epochs
            asked about.
    """

    network: Network
    data: Dataset
    n_test: int
    cache: Cache
    device: str
    training: dict[str, object]

    @property
    def epochs(self) -> list[int]:
        """The epochs asked about."""
        return list(self.training["checkpoints"])

    @property
    def followed(self) -> int:
        """How many test samples are followed."""
        return min(self.n_test, len(self.data.y_test))

    def states(self, seed: int) -> dict[str, Tensor]:
        """Train with this seed for initialisation and order.

        Returns:
            ``diverged`` (1,); and of a network that did not, at each epoch, ``<epoch>/accuracy`` on the whole test set
            and its state ``<epoch>/state/<name>``.
        """

        def make() -> dict[str, Tensor]:
            model, data = self.network(seed), self.data
            everything = torch.arange(len(data.y_train))[None]
            history = train([model], data.x_train, data.y_train, everything, seeds=[seed], on_divergence="mark",
                            device=self.device, progress=f"seed {seed}", **self.training)  # fmt: skip
            kept = {"diverged": history.diverged}
            for epoch, (state,) in history.checkpoints.items() if not history.diverged else ():
                model.load_state_dict(state)
                kept[f"{epoch}/accuracy"] = torch.tensor(accuracy(model, data.x_test, data.y_test))
                kept |= {f"{epoch}/state/{name}": value.cpu() for name, value in state.items()}
            return kept

        return self._kept("one-step-network", make, seed=seed)

    def model(self, seed: int, epoch: int) -> nn.Module:
        """Return the network of a seed at an epoch, in evaluation mode and float64."""
        head = f"{epoch}/state/"
        state = {k.removeprefix(head): v for k, v in self.states(seed).items() if k.startswith(head)}
        model = self.network(seed)
        model.load_state_dict(state)
        return model.eval().to(resolve_device(self.device), torch.float64)

    def test_samples(self, seed: int) -> tuple[Tensor, Tensor]:
        """Return the test samples (m, ...) and labels (m,) that a seed follows."""
        rows = self._drawn(self.data.y_test, seed, self.n_test)
        return self._placed(self.data.x_test[rows], self.data.y_test[rows])

    def batches(self, seed: int, size: int, count: int) -> list[tuple[Tensor, Tensor]]:
        """Return the training samples (size, ...) and labels of ``count`` steps."""
        drawn = [self._drawn(self.data.y_train, [seed, step], size) for step in range(count)]
        return [self._placed(self.data.x_train[rows], self.data.y_train[rows]) for rows in drawn]

    def measured(self, seed: int, epoch: int, kind: Kind, count: int) -> dict[str, Tensor]:
        """Return the ``readings`` of ``count`` steps, one after the other along the first axis: (count, ...)."""

        def make() -> dict[str, Tensor]:
            model, test = self.model(seed, epoch), self.test_samples(seed)
            return stacked(readings(model, x, y, *test, kind.lr) for x, y in self.batches(seed, kind.size, count))

        return self._kept("one-step", make, seed=seed, epoch=epoch, kind=asdict(kind), count=count)

    def swept(self, seed: int, epoch: int, lrs: Sequence[float], count: int) -> dict[str, Tensor]:
        """Return the ``errors`` of ``count`` single-sample steps for several learning rates: (count, lrs)."""

        def make() -> dict[str, Tensor]:
            model, (x_test, _) = self.model(seed, epoch), self.test_samples(seed)
            return stacked(errors(model, x, y, x_test, lrs) for x, y in self.batches(seed, 1, count))

        return self._kept("one-step-sweep", make, seed=seed, epoch=epoch, lrs=list(lrs), count=count)

    def shown(self, seed: int, epoch: int, kind: Kind) -> tuple[Tensor, Tensor]:
        """Return the change (m, k) of the probabilities by the first of a seed's steps: as predicted, and true."""
        ((x, y),) = self.batches(seed, kind.size, 1)
        found = changes(self.model(seed, epoch), x, y, self.test_samples(seed)[0], [kind.lr])
        return kind.lr * found.rate.cpu(), found.true[0].cpu()

    def _kept(self, name: str, make: Callable[[], dict[str, Tensor]], **decides: object) -> dict[str, Tensor]:
        by = [Study, build]
        if name == "one-step-network":  # what is measured may change without a new training
            by = [train, build]
        else:
            decides["n_test"] = self.n_test
        data = [self.data.digest, self.data.mean, self.data.std]
        key = computed_key(*by, device=self.device, network=asdict(self.network), data=data,
                           training=self.training, **decides)  # fmt: skip
        return self.cache.artefact(name, key, make)

    def _drawn(self, y: Tensor, seed: int | list[int], count: int) -> Tensor:
        """Return the rows of ``count`` different samples, all if there are fewer."""
        return torch.from_numpy(np.random.default_rng(seed).permutation(len(y))[:count])

    def _placed(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        on = resolve_device(self.device)
        return x.to(on, torch.float64), y.to(on)


def stacked(rows: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return dictionaries of tensors as one, stacked along a new first axis, on the CPU."""
    rows = list(rows)
    return {name: torch.stack([row[name].cpu() for row in rows]) for name in rows[0]}
