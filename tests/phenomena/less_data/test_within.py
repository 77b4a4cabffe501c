"""Are blocks within classes asked as a kernel of all pairs would be?"""

import pytest
import torch
from rows import each_row

from lpntk.phenomena.less_data.farthest import clusters, hierarchical, nested, own_nearest
from lpntk.phenomena.less_data.within import Within, rows_of

Y = torch.arange(60) % 3


def kernel(seed=0):
    phi = torch.randn(60, 4, generator=torch.Generator().manual_seed(seed))
    return phi @ phi.T


def within(kappa, y=Y):
    rows = rows_of(y)
    return Within(rows, lambda c: kappa[rows[c]][:, rows[c]])


@each_row("ask", [
    lambda k: clusters(k, Y, 0.2), lambda k: clusters(k, Y, 0.2, cosine=True),
    lambda k: clusters(k, Y, 0.6, first=own_nearest(k, Y)), lambda k: hierarchical(k, Y, [0.2])[0],
])  # fmt: skip
def test_blocks_give_the_clusters_of_the_whole(ask):
    kappa = kernel()
    blocks, whole = ask(within(kappa)), ask(kappa)
    assert torch.equal(blocks.heads, whole.heads)
    assert torch.equal(blocks.of, whole.of)


@each_row("first", [False, True])
def test_one_pass_gives_the_clusters_of_every_ratio(first):
    kappa, ratios = kernel(1), [0.1, 0.9, 0.5, 0.5]
    given = own_nearest(kappa, Y) if first else None
    for found, ratio in zip(nested(kappa, Y, ratios, first=given), ratios, strict=True):
        alone = clusters(kappa, Y, ratio, first=given)
        assert torch.equal(found.heads, alone.heads)
        assert torch.equal(found.of, alone.of)


def test_one_tree_is_cut_at_every_ratio():
    kappa, ratios = kernel(2), [0.8, 0.2]
    for found, ratio in zip(hierarchical(kappa, Y, ratios), ratios, strict=True):
        assert torch.equal(found.of, hierarchical(kappa, Y, [ratio])[0].of)


def test_blocks_of_other_classes_are_refused():
    with pytest.raises(ValueError, match="of other classes than the labels say"):
        clusters(within(kernel()), (Y + 1) % 2, 0.2)
