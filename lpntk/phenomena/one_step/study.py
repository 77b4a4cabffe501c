"""Does equation 1 hold along whole trainings? Networks kept at some epochs, and the steps they are asked about.

Training is plain SGD, so a step on a batch is one that training could make next. Each seed has steps of its own.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from lpntk.data.dataset import Dataset
from lpntk.keep.cache import Cache
from lpntk.keep.keys import computed_key
from lpntk.kernel.signs import errors as errors_of
from lpntk.learn.campaign import Network
from lpntk.learn.models import build
from lpntk.learn.training import accuracy, train
from lpntk.machine.device import resolve_device
from lpntk.phenomena.one_step.readings import changes, errors, readings
from lpntk.phenomena.one_step.step import FORCES


@dataclass(frozen=True)
class Kind:
    """One kind of step.

    Attributes:
        name: of it, in tables and keys.
        size: the number of samples it is made on.
        lr: its learning rate.
        alike: whether the samples are equally wrong and as many of each class, see ``equally_wrong``.
    """

    name: str
    size: int
    lr: float
    alike: bool = False

    @property
    def words(self) -> str:
        """Its name for readers."""
        return "one sample" if self.size == 1 else f"batch of {self.size}" + ", equally wrong" * self.alike

    @property
    def forces(self) -> list[str]:
        """The forces that differ for this kind: for a single sample ``even`` only rescales ``centred``."""
        return [force for force in FORCES if force != "even" or self.size > 1]


@dataclass(frozen=True)
class Study:
    """Networks of one architecture on one data set.

    Attributes:
        network: what to build from each seed.
        data: trained on as a whole; its test samples are those whose predictions change.
        n_test: how many of them are followed, at most.
        cache: keeps checkpoints and measurements.
        device: where it runs.
        training: what ``train`` is told: epochs, lr, batch_size, ...; ``checkpoints`` are the epochs asked about.
    """

    network: Network
    data: Dataset
    n_test: int
    cache: Cache
    device: str
    training: dict[str, object]

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

        return self.kept("one-step-network", (), make, seed=seed)

    def learned(self, seeds: Sequence[int]) -> list[int]:
        """Return the seeds whose network did not diverge.

        Raises:
            FloatingPointError: if there is none.
        """
        found = [seed for seed in seeds if not self.states(seed)["diverged"]]
        if not found:
            raise FloatingPointError(f"all {len(seeds)} networks diverged; lower lr, now {self.training['lr']}")
        return found

    def measured(
        self, measure: Callable, seed: int, epoch: int, size: int, count: int, *, alike: bool = False
    ) -> dict[str, Tensor]:
        """Return what ``measure`` gives for ``count`` steps, see ``each_step``."""
        model = restored(self.network(seed), self.states(seed), epoch).to(resolve_device(self.device))
        return each_step(measure, model, self.data, seed=seed, size=size, count=count, n_test=self.n_test, alike=alike)

    def kept(self, name: str, by: Sequence[Callable], make: Callable, **decides: object) -> dict[str, Tensor]:
        """Keep what is decided by the training, by these functions and by these values."""
        data = [self.data.digest, self.data.mean, self.data.std]
        key = computed_key(*by, train, build, device=self.device, network=asdict(self.network), data=data,
                           training=self.training, **decides)  # fmt: skip
        return self.cache.artefact(name, key, make)


def restored(model: nn.Module, states: dict[str, Tensor], epoch: int) -> nn.Module:
    """Return a network as it was at an epoch, in evaluation mode and float64."""
    head = f"{epoch}/state/"
    model.load_state_dict({name.removeprefix(head): v for name, v in states.items() if name.startswith(head)})
    return model.eval().double()


def each_step(
    measure: Callable,
    model: nn.Module,
    data: Dataset,
    *,
    seed: int,
    size: int,
    count: int,
    n_test: int,
    alike: bool = False,
) -> dict[str, Tensor]:
    """Measure the steps of a seed, with the test samples that the seed follows.

    Args:
        measure: of the network, the samples (size, ...) and labels of a step, and the test samples and labels.
        model: in float64.
        data: the steps are made on its training samples, drawn without repetition.
        seed: of the draws.
        size: samples of a step.
        count: steps.
        n_test: test samples, at most.
        alike: whether the samples of a step are equally wrong.

    Returns:
        What was measured, one step after the other along the first axis, on the CPU.
    """
    on = next(model.parameters()).device
    drawn = lambda y, of, most: torch.from_numpy(np.random.default_rng(of).permutation(len(y))[:most])
    placed = lambda x, y, rows: (x[rows].to(on, torch.float64), y[rows].to(on))
    test = placed(data.x_test, data.y_test, drawn(data.y_test, seed, n_test))
    ranks = by_wrongness(model, data.x_train, data.y_train) if alike else None
    some = lambda i: (
        equally_wrong(ranks, data.y_train, [seed, i], size) if alike else drawn(data.y_train, [seed, i], size)
    )
    steps = [placed(data.x_train, data.y_train, some(i)) for i in range(count)]
    rows = [measure(model, *step, *test) for step in steps]
    return {name: torch.stack([row[name].cpu() for row in rows]) for name in rows[0]}


@torch.no_grad()
def by_wrongness(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return the rank (n,) of each sample by 1 - q_y, 0 for the least wrong; ties in their own order."""
    on = next(model.parameters())
    wrong = [
        errors_of(model(part.to(on)), labels.to(on.device)).gather(1, labels[:, None].to(on.device)).cpu()
        for part, labels in zip(x.split(1024), y.split(1024), strict=True)
    ]
    return torch.cat(wrong).flatten().argsort(stable=True).argsort()


def equally_wrong(ranks: Tensor, y: Tensor, of: Sequence[int], size: int) -> Tensor:
    """Return ``size`` samples, as many of each class: those whose ranks lie nearest that of a random sample.

    Without classes such batches would hold those that are learned equally well, and differ in more than their errors.

    Args:
        ranks: (n,) of ``by_wrongness``.
        y: (n,) labels.
        of: decides the random sample.
        size: samples; fewer where a class has too few.
    """
    far = (ranks - ranks[int(np.random.default_rng(of).integers(len(ranks)))]).abs()
    near, classes = far.argsort(stable=True), y.unique().tolist()
    counts = [size // len(classes) + (i < size % len(classes)) for i in range(len(classes))]
    return torch.cat([near[y[near] == label][:count] for label, count in zip(classes, counts, strict=True)])


def follow(study: Study, seeds: Sequence[int], kinds: Sequence[Kind], steps: int) -> pd.DataFrame:
    """Make ``steps`` steps of every kind at every epoch of every seed.

    Returns:
        One row per step: ``kind``, ``epoch``, ``seed``, ``step``, and what ``readings`` gives, that of each force
        under ``cosine.<force>`` and ``rank.<force>``.
    """
    found = []
    for kind in kinds:
        for epoch in study.training["checkpoints"]:
            for seed in seeds:
                measure = partial(readings, lr=kind.lr)
                make = partial(study.measured, measure, seed, epoch, kind.size, steps, alike=kind.alike)
                told = study.kept("one-step", (readings, each_step, restored), make, n_test=study.n_test, seed=seed,
                                  epoch=epoch, size=kind.size, lr=kind.lr, count=steps, alike=kind.alike)  # fmt: skip
                row = {"kind": kind.name, "epoch": epoch, "seed": seed, "step": range(steps)}
                row |= {name: value for name, value in told.items() if value.ndim == 1}
                for reading in ("cosine", "rank"):
                    row |= {f"{reading}.{force}": told[reading][:, i] for i, force in enumerate(FORCES)}
                found.append(pd.DataFrame(row))
    return pd.concat(found, ignore_index=True)


def sweep(study: Study, seeds: Sequence[int], steps: int, powers: Sequence[int]) -> pd.DataFrame:
    """Make single-sample steps with two learning rates for each power of ten, at the first, middle and last epoch.

    Returns:
        One row per step and learning rate: ``moment``, ``epoch``, ``seed``, ``step``, ``lr``, and what ``errors``
        gives; ``smooth`` stands with the lower of two learning rates.
    """
    lrs, found = [10.0 ** (half / 2) for half in range(2 * powers[0], 2 * powers[1] + 1)], []
    measure = lambda model, x, y, x_test, _: errors(model, x, y, x_test, lrs)
    for moment, epoch in moments(study.training["checkpoints"]).items():
        for seed in seeds:
            make = partial(study.measured, measure, seed, epoch, 1, steps)
            told = study.kept("one-step-sweep", (errors, each_step, restored), make, n_test=study.n_test, seed=seed,
                              epoch=epoch, lrs=lrs, count=steps)  # fmt: skip
            for step in range(steps):
                of = {"moment": moment, "epoch": epoch, "seed": seed, "step": step, "lr": lrs}
                values = {name: pd.Series(value[step].numpy()) for name, value in told.items()}  # a short one gets NaN
                found.append(pd.DataFrame({**of, **values}))
    return pd.concat(found, ignore_index=True)


def shown(study: Study, seed: int, epoch: int, kind: Kind) -> tuple[Tensor, Tensor]:
    """Return the change (m, k) of the probabilities by the first of a seed's steps: as predicted, and true."""

    def measure(model: nn.Module, x: Tensor, y: Tensor, x_test: Tensor, _: Tensor) -> dict[str, Tensor]:
        found = changes(model, x, y, x_test, [kind.lr])
        return {"predicted": kind.lr * found.rate, "true": found.true[0]}

    told = study.measured(measure, seed, epoch, kind.size, 1)
    return told["predicted"][0], told["true"][0]


def moments(epochs: Sequence[int]) -> dict[str, int]:
    """Return the first, the middle and the last of some epochs, by these names."""
    return {"first": epochs[0], "middle": epochs[len(epochs) // 2], "last": epochs[-1]}
