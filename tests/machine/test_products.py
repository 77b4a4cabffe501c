"""Long products, cut into parts as on CUDA, are those of double precision."""

import itertools

import pytest
import torch
from rows import each_row

from lpntk.machine.products import product

LENGTH = 100


def operands(*batch):
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*batch, *shape, generator=generator)
    return draw(5, LENGTH), draw(7, LENGTH).mT  # as the kernel has them: both along the rows that are summed over


CUTS = [*itertools.product([(), (3,)], [1, 7, 32, 50, 99, 100, 101], [1, 4 * 35, 2**20])]


@each_row(("batch", "part", "at_once"), CUTS)
def test_parts_add_up(batch, part, at_once, monkeypatch):
    monkeypatch.setattr("lpntk.machine.products.AT_ONCE", at_once)
    a, b = operands(*batch)
    want = a.double() @ b.double()
    assert torch.allclose(product(a, b, part=part).double(), want, rtol=1e-6, atol=1e-5)
    room = torch.full((*batch, 6, 9), torch.nan)
    into = room[..., :5, 1:8]  # a strip of a larger matrix
    assert product(a, b, part=part, out=into) is into
    assert torch.allclose(into.double(), want, rtol=1e-6, atol=1e-5)
    assert room[..., :5, 0].isnan().all()


@each_row("batch", [(), (3,)])
def test_rounded_parts_are_summed_in_float32(batch):
    a, b = operands(*batch)
    want = a.bfloat16().double() @ b.bfloat16().double()
    got = product(a, b, rounded=True, part=32)
    assert got.dtype == torch.float32
    assert torch.allclose(got.double(), want, rtol=1e-6, atol=1e-5)
    assert not torch.allclose(got.double(), a.double() @ b.double(), rtol=1e-6, atol=1e-5)


def test_parts_keep_what_a_sum_term_by_term_loses():
    """One large term, and many that are each too small to move the sum."""
    a = torch.full((1, 2**16), 2.0**-13)
    a[0, 0] = 1.0
    want = float(a.double() @ a.double().T)
    one_by_one = torch.zeros(())
    for term in (a[0] * a[0]).unbind():
        one_by_one += term
    assert float(one_by_one) == 1.0 < want
    assert float(product(a, a.T, part=2**9)) == pytest.approx(want, rel=1e-5)
