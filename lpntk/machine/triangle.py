"""How is a symmetric product computed once? In strips that begin at the diagonal, then mirrored."""

from collections.abc import Iterator

from torch import Tensor

from lpntk.machine.products import add_product, product

STRIPS = 16  # of a large matrix: 1/32 of the work is done twice
THINNEST, THICKEST = 48, 128  # rows of a strip of smaller ones: thinner products lose more than the triangle saves


def strips(n: int) -> Iterator[tuple[int, int]]:
    """Yield first and end rows of the strips of a matrix (n, n)."""
    step = max(THINNEST, min(n // 4, THICKEST), -(-n // STRIPS))
    for start in range(0, n, step):
        yield start, min(start + step, n)


def gram(out: Tensor, a: Tensor, b: Tensor, *, add: bool, rounded: bool = False) -> None:
    """Write ``a @ b.T`` to ``out`` (n_a, n_b), or add it; where ``a is b`` only from the diagonal on.

    Args:
        out: what lies below the diagonal means nothing afterwards, where ``a is b``.
        a: (n_a, c).
        b: (n_b, c).
        add: whether to add it to what is there.
        rounded: whether to multiply numbers rounded to bfloat16.
    """
    for start, stop in strips(len(a)) if a is b else [(0, len(a))]:
        left = start if a is b else 0
        target, rows, columns = out[start:stop, left:], a[start:stop], b[left:].T
        if add:
            add_product(target, rows, columns, rounded=rounded)
        else:
            product(rows, columns, rounded=rounded, out=target)


def mirrored(kappa: Tensor) -> Tensor:
    """Write the upper triangle of a square matrix over the lower one: twice computed is not twice rounded alike."""
    n = len(kappa)
    for start in range(0, n, THICKEST):
        stop = min(start + THICKEST, n)
        kappa[stop:, start:stop] = kappa[start:stop, stop:].T
        block = kappa[start:stop, start:stop]
        block.copy_(block.triu() + block.triu(1).T)
    return kappa
