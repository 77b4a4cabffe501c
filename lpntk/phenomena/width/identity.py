"""How far is an eNTK block from a multiple of the identity, and what does the kernel make of it?

Measured, on blocks Theta of shape (..., K, K): their mean diagonal theta, what is left of them, and the kernels that
contract them. Predicted: the second moments over an independent random head, exact for every width (this book's
page on Theorem 1, "The exact second moments").
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from lpntk.kernel.signs import sign_vectors


@dataclass(frozen=True)
class Readings:
    """What is read off the blocks of pairs of samples; all tensors of one shape.

    Attributes:
        theta: trace / K, the multiple of the identity nearest to the block.
        rest: Frobenius norm of the block minus theta I.
        kappa: lpNTK, s(y)^T Theta s(y') / K.
        pntk: the label-blind kernel, 1^T Theta 1 / K.
        k: classes.
    """

    theta: Tensor
    rest: Tensor
    kappa: Tensor
    pntk: Tensor
    k: int

    def error(self, kernel: str = "kappa", multiple: float = 1.0) -> Tensor:
        """Return ||kernel I - multiple Theta||_F / ||Theta||_F, from parts that do not cancel.

        Args:
            kernel: ``kappa`` or ``pntk``.
            multiple: 1, or what the kernel should be a multiple of.
        """
        off = getattr(self, kernel) - multiple * self.theta
        square = self.k * off**2 + (multiple * self.rest) ** 2
        return (square / (self.k * self.theta**2 + self.rest**2)).sqrt()


def read(blocks: Tensor, y: Tensor) -> Readings:
    """Read the blocks (n, n, K, K) of all pairs of n samples with labels (n,) below K.

    Raises:
        ValueError: if a label has no row in a block.
    """
    k = blocks.shape[-1]
    if int(y.max()) >= k:
        raise ValueError(f"labels must be below the {k} rows of a block; got {int(y.max())}: leave those samples out")
    theta = blocks.diagonal(dim1=-2, dim2=-1).mean(-1)
    rest = (blocks - theta[..., None, None] * torch.eye(k, dtype=blocks.dtype)).flatten(-2).norm(dim=-1)
    zeros = blocks.new_zeros(len(y), k)
    kernels = [torch.einsum("ic,ijcd,jd->ij", s, blocks, s) for s in (sign_vectors(zeros, y, "label"),
                                                                      sign_vectors(zeros, y, "ones"))]  # fmt: skip
    return Readings(theta, rest, *kernels, k)


@dataclass(frozen=True)
class Moments:
    """What the second moments of a block depend on: s^2 M, for a head of entries with variance s^2.

    Attributes:
        trace: s^2 tr M.
        square: s^4 ||M||_F^2.
        twice: s^4 tr(M^2); equals ``square`` where M is symmetric.
        diagonal: s^4 sum of M_jj^2, needed unless the head is Gaussian.
        kurtosis: excess kurtosis of the head's entries, 0 if Gaussian.
    """

    trace: Tensor
    square: Tensor
    twice: Tensor
    diagonal: Tensor | float = 0.0
    kurtosis: float = 0.0

    def variance(self, c: Tensor) -> Tensor:
        """Return Var sum_cd C_cd v_c^T M v_d of a coefficient matrix C (K, K)."""
        last = self.kurtosis * self.diagonal * (c.diagonal() ** 2).sum()
        return (c**2).sum() * self.square + (c * c.T).sum() * self.twice + last

    def error_square(self, k: int, multiple: float) -> Tensor:
        """Return E ||kappa I - f Theta||_F^2 of pairs whose signs agree by f = s(y) . s(y') / K."""
        f2 = multiple**2
        kernel = (1 - f2 / k) * self.square + f2 * (1 - 1 / k) * self.twice
        kernel = kernel + self.kurtosis * self.diagonal * (1 - f2) / k
        rest = (k - 1) * ((k + 1) * self.square + self.twice + self.kurtosis * self.diagonal)
        return k * kernel + f2 * rest

    @property
    def spread(self) -> Tensor:
        """s^2 ||M||_F, to be divided by theta: the rho of the theorem."""
        return self.square.sqrt()

    @property
    def directions(self) -> Tensor:
        """(tr M)^2 / ||M||_F^2, between 0 and the width: over how many directions the body's part averages."""
        return self.trace**2 / self.square


def moments_from_fresh_rows(body: Tensor) -> Moments:
    """Estimate the moments without bias from the body's part (..., p, p) for p fresh Gaussian rows of the head."""
    p = body.shape[-1]
    off = ~torch.eye(p, dtype=torch.bool)
    pairs = p * (p - 1)
    return Moments(
        trace=body.diagonal(dim1=-2, dim2=-1).mean(-1),
        square=(body**2 * off).sum((-2, -1)) / pairs,
        twice=(body * body.mT * off).sum((-2, -1)) / pairs,
    )
