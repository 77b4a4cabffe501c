"""What does a network say of somebody's samples? One training, one kernel for each class, a row for each sample."""

from dataclasses import dataclass
from math import ceil

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lpntk.data.dataset import Dataset
from lpntk.keep.cache import Cache, digest
from lpntk.keep.keys import computed_key
from lpntk.kernel.matrix import kernel_matrix
from lpntk.learn.training import train
from lpntk.phenomena.less_data.farthest import head_count
from lpntk.phenomena.less_data.held_out import logits
from lpntk.reader.own.inputs.given import Given
from lpntk.reader.own.kernels import check_room, every_class
from lpntk.reader.own.network import Learner
from lpntk.reader.own.ranking import add_ranks

KEPT_SHARES = (0.9, 0.7, 0.5, 0.3)  # shares of every class that are listed
STEPS, EPOCHS, BATCH = 1000, (10, 100), (8, 128)  # of a training; the last two are lowest and highest numbers
RATES = (0.1, 0.03, 0.01)  # learning rates, the next one where a network diverged
NEAREST, COMPARED = 10, 2000  # nearest samples whose labels are told, among so many at most


@dataclass(frozen=True)
class Found:
    """What was found.

    Attributes:
        samples: a row for each training sample, see ``book/your-data.md`` for the columns.
        classes: a row for each class: ``class``, ``train``, ``test``, ``accuracy`` (test), ``cosine`` (median of
            means), ``clusters``, ``largest``.
        accuracy: share of test samples that are right.
        bar: what it must reach for samples to be ranked.
        kept: share -> rows of training samples that stand for their classes, sorted; none if nothing was learned.
        training: words and numbers on the training.
        network: in evaluation mode.
    """

    samples: pd.DataFrame
    classes: pd.DataFrame
    accuracy: float
    bar: float
    kept: dict[float, np.ndarray]
    training: dict[str, object]
    network: nn.Module

    @property
    def learned(self) -> bool:
        """Whether the network learned enough to rank samples by it."""
        return self.accuracy >= self.bar


def asked(
    given: Given, by: Learner, *, epochs: int | None, budget: int, device: str, seed: int, cache: Cache
) -> Found:  # fmt: skip
    """Train, ask the kernel of every class, and rank.

    Args:
        given: the data.
        by: the network.
        epochs: of training; by default as many as give about 1000 steps.
        budget: bytes for a kernel and its computation; what is larger goes to a file in the cache for a while.
        device: as in ``train``.
        seed: of initialisation and order.
        cache: keeps the network and what is found in each class.

    Raises:
        ValueError: if the disk cannot hold the kernel of the largest class.
        FloatingPointError: if the network diverged at every learning rate.
    """
    data = given.data
    y = data.y_train
    check_room(y, budget, cache.folder)
    network = by.make(seed)
    training, loss = _trained(network, by, data, epochs, device, seed, cache)
    network.eval()
    wrong = _wrong(network, data.x_test, data.y_test, device)
    most = int(torch.bincount(y).max()) / len(y)
    bar = min(2 * most, (1 + most) / 2)
    found, placed, heads = every_class(network, by.decides, data, budget, device, cache)
    frame = pd.DataFrame({
        "index": given.index, "name": list(given.names), "label": [data.classes[c] for c in y.tolist()],
        **found, "difficulty": loss.numpy(),
    })  # fmt: skip
    accuracy = 1 - int(wrong.sum()) / len(wrong)
    if learned := accuracy >= bar:
        add_ranks(frame, placed)
    first = lambda share: np.sort(np.concatenate([order[: head_count(len(order), share)] for order in heads]))
    kept = {share: first(share) for share in KEPT_SHARES} if learned else {}
    classes = pd.DataFrame([
        {"class": name, "train": int(mine.sum()), "test": int(tested.sum()),
         "accuracy": 1 - int(wrong[tested].sum()) / int(tested.sum()) if tested.any() else None,
         "cosine": float(np.nanmedian(frame["mean_cosine"][mine])) if mine.sum() > 1 else None,
         "clusters": frame["cluster"][mine].nunique(), "largest": int(frame["cluster_size"][mine].max())}
        for c, name in enumerate(data.classes) for mine, tested in [((y == c).numpy(), data.y_test == c)]
    ])  # fmt: skip
    return Found(frame, classes, accuracy, bar, kept, training, network)


def labels_near(found: Found, data: Dataset, rows: np.ndarray, device: str, seed: int) -> list[dict[str, int]]:
    """Return what the most similar training samples of some are labelled, by a kernel that knows no labels.

    Returns:
        m dictionaries: class -> how many of the ten nearest have it, the most frequent first.
    """
    among = torch.randperm(len(data.y_train), generator=torch.Generator().manual_seed(seed))[:COMPARED]
    mine = torch.as_tensor(rows)
    near = kernel_matrix(found.network, data.x_train[mine], data.y_train[mine], data.x_train[among],
                         data.y_train[among], signs="ones", normalize=True, device=device)  # fmt: skip
    near[mine[:, None] == among] = -torch.inf
    labels = data.y_train[among][near.topk(min(NEAREST, len(among) - 1), dim=1).indices]
    return [pd.Series([data.classes[c] for c in row]).value_counts().to_dict() for row in labels.tolist()]


def _trained(
    network: nn.Module, by: Learner, data: Dataset, epochs: int | None, device: str, seed: int, cache: Cache
) -> tuple[dict[str, object], Tensor]:
    """Train a network, or load what it is given; return how, and (n,) the loss of each sample summed over epochs.

    Raises:
        FloatingPointError: if it diverged at every learning rate.
    """
    x, y = data.x_train, data.y_train
    if by.state is not None:
        network.load_state_dict(by.state)
        return {"epochs": 0}, losses(network.eval(), x, y, device)
    batch = min(max(len(y) // 40, BATCH[0]), BATCH[1])
    epochs = epochs or min(max(ceil(STEPS / ceil(len(y) / batch)), EPOCHS[0]), EPOCHS[1])

    def make() -> dict[str, Tensor]:
        for rate in RATES:
            own = by.make(seed)
            told = {"epochs": epochs, "lr": rate, "batch_size": batch, "schedule": "cosine"}
            history = train([own], x, y, torch.arange(len(y))[None], seeds=[seed], device=device, progress="network",
                            on_divergence="mark", **told)  # fmt: skip
            if not history.unstable.any():
                state = {f"state/{name}": value.cpu() for name, value in own.state_dict().items()}
                return {"loss": history.loss[0].sum(dim=0), "rate": torch.tensor(rate, dtype=torch.float64), **state}
        raise FloatingPointError(
            f"expected a network that learns; it diverged at the learning rates {', '.join(map(str, RATES))}; look for "
            "features or pixels of huge values, or train it yourself and give --checkpoint"
        )

    key = computed_key(_trained, device=device, network=by.decides, data=data.digest, labels=digest(y), seed=seed,
                       epochs=epochs, batch=batch)  # fmt: skip
    kept = cache.artefact("own-network", key, make)
    network.load_state_dict({name.partition("/")[2]: value for name, value in kept.items() if name[:6] == "state/"})
    return {"epochs": epochs, "rate": float(kept["rate"]), "batch": batch}, kept["loss"]


def losses(network: nn.Module, x: Tensor, y: Tensor, device: str) -> Tensor:
    """Return (n,) losses of a network as it is, nats."""
    return cross_entropy(logits(network, x, device), y, reduction="none")


def _wrong(network: nn.Module, x: Tensor, y: Tensor, device: str) -> Tensor:
    return logits(network, x, device).argmax(dim=1) != y
