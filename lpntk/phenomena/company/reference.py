"""Whose kernel? A network trained on the whole training set, and its kernel over a sample of every class, kept."""

import torch
from torch import Tensor

from lpntk.data.dataset import Dataset
from lpntk.keep.cache import Cache, digest
from lpntk.keep.keys import computed_key
from lpntk.kernel.matrix import kernel_matrix
from lpntk.learn.campaign import Network
from lpntk.learn.models import build
from lpntk.learn.training import accuracy, train


def reference_kernel(
    network: Network, data: Dataset, rows: Tensor, *, seed: int, cache: Cache, device: str = "auto", **training: object
) -> tuple[Tensor, float]:
    """Train one network on the whole training set and return its kernel over some of it, and its test accuracy.

    Returns:
        (n, n) kernel, and the share of the test set that the network gets right.
    """

    def make() -> dict[str, Tensor]:
        model = network(seed)
        everything = torch.arange(len(data.y_train))[None]
        train([model], data.x_train, data.y_train, everything, seeds=[seed], device=device, progress="reference",
              **training)  # fmt: skip
        kappa = kernel_matrix(model, data.x_train[rows], data.y_train[rows], device=device)
        return {"kappa": kappa, "accuracy": torch.tensor(accuracy(model, data.x_test, data.y_test))}

    key = computed_key(
        train, kernel_matrix, build, device=device,
        network=[network.name, network.in_shape, network.k, network.options], data=data.digest,
        normalisation=[data.mean, data.std], rows=digest(rows), seed=seed, training=training,
    )  # fmt: skip
    stored = cache.artefact("kernel", key, make)
    return stored["kappa"], float(stored["accuracy"])
