"""What is alike within a class? A kernel of which only the blocks of samples of one label are known, or are asked.

All of MNIST has 3.6 billion pairs and a tenth of them within classes: ten blocks that fit into memory.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

STRIP = 512  # rows of a kernel in a file that are read at a time


@dataclass(frozen=True)
class OneClass:
    """The samples of one label, m of them.

    Attributes:
        rows: (m,) which samples these are.
        own: (m,) similarity of each to itself.
        row: its place among them -> (m,) similarities to all of them.
    """

    rows: Tensor
    own: np.ndarray
    row: Callable[[int], np.ndarray]

    def inverse_norms(self) -> np.ndarray:
        """Return (m,) factors that turn similarities into cosines.

        Raises:
            ValueError: if a sample is not similar to itself.
        """
        if not (self.own > 0).all():
            bad = int((~(self.own > 0)).argmax())
            raise ValueError(
                f"sample {int(self.rows[bad])} has kernel {self.own[bad]:g} with itself, and so no cosine; leave it out"
            )
        return 1 / np.sqrt(self.own)

    def strips(self) -> Iterator[np.ndarray]:
        """Yield (<= STRIP, m) similarities, all rows in order."""
        for start in range(0, len(self.rows), STRIP):
            yield np.stack([self.row(i) for i in range(start, min(start + STRIP, len(self.rows)))])

    def most_similar(self, scale: np.ndarray | None) -> int:
        """Return the place of the sample with the largest ``own``; with factors, of the largest mean cosine."""
        if scale is None:
            return int(self.own.argmax())
        sums = np.concatenate([(strip * scale).sum(axis=1) for strip in self.strips()])
        return int((sums * scale).argmax())


@dataclass(frozen=True)
class Within:
    """A kernel within classes.

    Attributes:
        rows: for each class, in the order of labels, which samples it has.
        block: number of the class -> (m, m) kernel of these, made when it is asked for.
    """

    rows: list[Tensor]
    block: Callable[[int], Tensor]

    @staticmethod
    def of(kappa: "Kernel", y: Tensor) -> "Within | Dense":
        """Return a kernel as one within classes.

        Raises:
            ValueError: if it does not fit the labels.
        """
        if not isinstance(kappa, Within):
            return Dense(kappa, y)
        if [part.tolist() for part in kappa.rows] != [part.tolist() for part in rows_of(y)]:
            raise ValueError("these blocks are of other classes than the labels say")
        return kappa

    def classes(self) -> Iterator[OneClass]:
        """Yield one class after the other."""
        for c, rows in enumerate(self.rows):
            block = self.block(c).numpy()
            yield OneClass(rows, block.diagonal(), block.__getitem__)


class Dense:
    """A kernel of all pairs, seen class by class.

    Args:
        kappa: (n, n) tensor, or array that numpy maps from a file.
        y: (n,) labels.

    Raises:
        ValueError: if it does not fit the labels.
    """

    def __init__(self, kappa: Tensor | np.ndarray, y: Tensor):
        if tuple(kappa.shape) != (len(y), len(y)):
            raise ValueError(f"kappa must be (n, n) with one row per label, n = {len(y)}; got {tuple(kappa.shape)}")
        self.kappa, self.rows = kappa.numpy() if isinstance(kappa, Tensor) else kappa, rows_of(y)

    def classes(self) -> Iterator[OneClass]:
        """Yield one class after the other."""
        own = np.array(self.kappa.diagonal())
        for rows in self.rows:
            at = rows.numpy()
            yield OneClass(rows, own[at], lambda i, at=at: np.array(self.kappa[at[i]])[at])


Kernel = Tensor | np.ndarray | Within


def rows_of(y: Tensor) -> list[Tensor]:
    """Return which samples each label has, in the order of labels."""
    return [(y == label).nonzero()[:, 0] for label in y.unique()]


def cosine_of_inputs(x: Tensor) -> Tensor:
    """Return the cosines (n, n) of raw inputs (n, ...): a kernel that knows no network."""
    flat = torch.nn.functional.normalize(x.flatten(1).double())
    return (flat @ flat.T).fill_diagonal_(1)
