"""What does a network say of somebody's samples? One training, one kernel for each class, a row for each sample."""

from collections import Counter
from collections.abc import Callable
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
from lpntk.kernel.reading import INTERCHANGEABLE, UNRELATED
from lpntk.learn.training import train
from lpntk.machine.device import resolve_device
from lpntk.machine.precision import exact
from lpntk.phenomena.less_data.farthest import head_count
from lpntk.reader.own.given import Given
from lpntk.reader.own.kernels import check_room, every_class
from lpntk.reader.own.network import Learner

KEPT_SHARES = (0.9, 0.7, 0.5, 0.3)  # shares of every class that are listed
STEPS, EPOCHS, BATCH = 1000, (10, 100), (8, 128)  # of a training; the last two are lowest and highest numbers
RATES = (0.1, 0.03, 0.01)  # learning rates, the next one where a network diverged
NOTABLE = 0.1  # share of samples whose cosine or loss is a reason for suspicion
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
        _rank(frame, placed)
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

    Args:
        found: whose network is asked.
        data: the samples.
        rows: (m,) training samples.
        device: as in ``kernel_matrix``.
        seed: of the draw of samples that are compared with.

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
        return {"epochs": 0}, _losses(network.eval(), x, y, device)
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


@exact
@torch.no_grad()
def _logits(network: nn.Module, x: Tensor, device: str) -> Tensor:
    on = resolve_device(device)
    network.to(on)
    found = torch.cat([network(part.to(on)).cpu() for part in x.split(512)])
    network.to("cpu")
    return found


def _losses(network: nn.Module, x: Tensor, y: Tensor, device: str) -> Tensor:
    return cross_entropy(_logits(network, x, device), y, reduction="none")


def _wrong(network: nn.Module, x: Tensor, y: Tensor, device: str) -> Tensor:
    return _logits(network, x, device).argmax(dim=1) != y


def joint_rank(cosine: np.ndarray, loss: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return (n,) how suspicious each sample is: the larger of two ranks, by small cosine and by large loss.

    Loss finds flipped labels and misses backdoors, and the cosine the other way round. The mean of both ranks was tried
    and loses what only one of them sees.

    Args:
        cosine: (n,) mean cosines to the class, of which the median of the class is taken off; NaN for a sample alone,
            whose loss alone counts.
        loss: (n,) accumulated losses.
        y: (n,) labels.
    """
    by_loss = pd.Series(loss).rank(pct=True)
    usual = pd.Series(cosine).groupby(np.asarray(y)).transform("median")
    both = np.stack([(usual - cosine).rank(pct=True).fillna(by_loss), by_loss])
    return both.max(axis=0) + both.min(axis=0) / len(by_loss)  # of equals the one that both suspect


def _rank(frame: pd.DataFrame, placed: np.ndarray) -> None:
    """Add ``redundancy_rank``, ``suspicion_rank`` and ``reason`` to the samples, rank 1 being the first to look at."""
    cosine, loss = frame["mean_cosine"], frame["difficulty"]
    score = pd.Series(joint_rank(cosine.to_numpy(), loss.to_numpy(), frame["label"].to_numpy()))
    frame["suspicion_rank"] = score.rank(ascending=False, method="first").astype(int)
    last = pd.DataFrame({"placed": placed, "nearest": frame["nearest_cosine"].fillna(-1)})
    order = last.sort_values(["placed", "nearest"], ascending=False, kind="stable").index
    frame.loc[order, "redundancy_rank"] = np.arange(1, len(order) + 1)
    frame["redundancy_rank"] = frame["redundancy_rank"].astype(int)
    middle: Callable[[pd.Series], pd.Series] = lambda column: column.groupby(frame["label"]).transform("median")
    low, high = (cosine - middle(cosine)).quantile(NOTABLE), loss.quantile(1 - NOTABLE)
    reasons = []
    for c, usual, value, common, other, least in zip(
        cosine, middle(cosine), loss, middle(loss), frame["contradictory"], frame["contradictory_cosine"], strict=True
    ):  # fmt: skip
        told = [f"low mean cosine to its class ({c:.2f}, median {usual:.2f})"] if c - usual <= low and c < usual else []
        told += (
            [f"high loss ({value:.3g}, median of its class {common:.2g})"] if value >= high and value > common else []
        )
        told += [f"contradictory to {frame['name'][int(other)]} ({least:.2f})"] if least <= -UNRELATED else []
        told += ["alone in its class: no cosine"] if np.isnan(c) else []
        reasons.append("; ".join(told))
    frame["reason"] = reasons


def extreme_pairs(frame: pd.DataFrame, kind: str, count: int) -> list[tuple[int, int, float]]:
    """Return the pairs of one class that are most ``nearest`` or ``contradictory``: two samples and their cosine.

    Each sample is in one pair at most, and no class has more than its part of the list, but two.
    """
    sign = -1 if kind == "contradictory" else 1
    enough = frame[sign * frame[f"{kind}_cosine"] >= (INTERCHANGEABLE if sign > 0 else UNRELATED)]
    told, seen, most = [], set(), max(2, ceil(count / frame["label"].nunique()))
    of_class: Counter[str] = Counter()
    for i, row in enough.sort_values(f"{kind}_cosine", ascending=sign < 0).iterrows():
        j = int(row[kind])
        if not {i, j} & seen and of_class[row["label"]] < most:
            told.append((i, j, float(row[f"{kind}_cosine"])))
            seen |= {i, j}
            of_class[row["label"]] += 1
        if len(told) == count:
            break
    return told
