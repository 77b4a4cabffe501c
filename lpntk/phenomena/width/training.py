"""What does training do to the law of the width? The same readings of networks while they learn real data.

At every checkpoint a network is read with its own head and with a fresh one, whose rows are independent, of the initial
variance and know nothing of the features: A1 and A2 of the theorem's page hold again. What is left of a larger error
under the fresh head is the features' own.
"""

import itertools
import warnings
from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from lpntk.data.dataset import Dataset
from lpntk.keep.cache import Cache
from lpntk.keep.keys import computed_key
from lpntk.learn.training import DivergenceWarning, accuracy, train
from lpntk.phenomena.width.networks import draw, module, weights_of
from lpntk.phenomena.width.study import FRESH, as_rows, balanced, measure


def trained(
    data: Dataset,
    *,
    depths: Sequence[int],
    widths: Sequence[int],
    seeds: int,
    seed: int,
    n: int,
    lr: dict[str, float],
    epochs: Sequence[int],
    per_class: int,
    cache: Cache,
    device: str = "auto",
    **training: object,
) -> pd.DataFrame:
    """Train networks of several widths and read them as they learn.

    Args:
        data: training samples, of which ``per_class`` of each class are the inputs of the kernel.
        depths: numbers of hidden layers.
        widths: of every hidden layer.
        seeds: networks per depth, width and parametrisation.
        seed: the first of them.
        n: training samples, at least those of the kernel.
        lr: parametrisation -> learning rate.
        epochs: finished epochs at which to read; the last is where training ends.
        per_class: inputs of each class.
        cache: keeps what was measured.
        device: where to train.
        **training: passed to ``lpntk.learn.training.train``: batch_size, momentum, ...

    Returns:
        One row per network and checkpoint: columns of ``study.summary`` at K = data.k, ``epoch``, ``train`` and
        ``test`` accuracy, ``diverged``. A diverged network has readings at the checkpoints where it was finite only.
    """
    rows = []
    cases = list(itertools.product(range(seed, seed + seeds), depths, lr.items(), widths))
    for s, depth, (parametrisation, rate), width in tqdm(cases, desc="training", leave=False):

        def make(s=s, depth=depth, parametrisation=parametrisation, rate=rate, width=width) -> dict[str, Tensor]:
            weights = draw(data.x_train[0].numel(), width, depth, data.k, seed=[s, depth, width])
            return _train_and_read(
                data, module(weights, parametrisation), parametrisation, s, n=n, lr=rate, checkpoints=sorted(epochs),
                per_class=per_class, fresh=[s, depth, width, FRESH], device=device, **training,
            )  # fmt: skip

        key = computed_key(trained, device=device, data=data.digest, normalisation=[data.mean, data.std],
                           depth=depth, width=width, seed=s, parametrisation=parametrisation, n=n, lr=rate,
                           epochs=sorted(epochs), per_class=per_class, training=training)  # fmt: skip
        told = cache.artefact("width-trained", key, make)
        for epoch in sorted(epochs):
            of = {"depth": depth, "width": width, "seed": s, "epoch": epoch}
            of |= {name: float(told[f"{epoch}:{name}"]) for name in ("train", "test", "diverged")}
            here = {
                name.partition(":")[2]: v for name, v in told.items() if name.startswith(f"{epoch}:") and "/" in name
            }
            rows += as_rows(here, of) or [{**of, "parametrisation": parametrisation, "k": data.k}]
    return pd.DataFrame(rows)


def _train_and_read(
    data: Dataset,
    model: torch.nn.Module,
    parametrisation: str,
    seed: int,
    *,
    n: int,
    lr: float,
    checkpoints: list[int],
    per_class: int,
    fresh: list[int],
    device: str,
    **training: object,
) -> dict[str, Tensor]:
    chosen = balanced(data, per_class, seed)
    rest = torch.randperm(len(data.y_train), generator=torch.Generator().manual_seed(seed))
    rest = rest[~torch.isin(rest, chosen)][: max(0, n - len(chosen))]
    rows = torch.cat([chosen, rest])  # the inputs of the kernel are among what is learned
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DivergenceWarning)  # marked below, and reported by the page
        history = train(
            [model], data.x_train, data.y_train, rows[None], seeds=[seed], epochs=checkpoints[-1], lr=lr,
            checkpoints=checkpoints, way="single", on_divergence="mark", device=device, **training,
        )  # fmt: skip
    told = {}
    for epoch in checkpoints:
        state = (history.checkpoints.get(epoch) or [None])[0]
        finite = state is not None and all(bool(v.isfinite().all()) for v in state.values())
        told[f"{epoch}:diverged"] = torch.tensor(not finite)
        told[f"{epoch}:train"] = told[f"{epoch}:test"] = torch.tensor(float("nan"))
        if not finite:
            continue
        model.load_state_dict(state)
        told[f"{epoch}:train"] = torch.tensor(accuracy(model, data.x_train[rows], data.y_train[rows]))
        told[f"{epoch}:test"] = torch.tensor(accuracy(model, data.x_test, data.y_test))
        x, y = data.x_train[chosen], data.y_train[chosen]
        weights = weights_of(model)
        read = measure(weights, x, y, [data.k], [parametrisation], seed=fresh)
        told |= {f"{epoch}:{name}": value for name, value in read.items()}
    return told
