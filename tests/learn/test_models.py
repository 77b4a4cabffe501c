import pytest
import torch
from rows import each_row
from torch import nn

from lpntk.learn.models import build, count_parameters


def test_parameter_counts_are_the_published_ones():
    assert count_parameters(build("lenet5", (1, 28, 28), 10, seed=0)) == 44_426
    assert count_parameters(build("lenet", (1, 28, 28), 10, seed=0)) == 1_199_882
    assert count_parameters(build("resnet18", (3, 32, 32), 10, seed=0)) == 11_173_962


@each_row("name", ["mlp", "lenet5", "lenet", "resnet18"])
def test_a_seed_gives_one_network_and_leaves_the_global_state(name):
    state = torch.get_rng_state()
    a, b, c = (build(name, (1, 28, 28), 5, seed=s) for s in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert any(not torch.equal(p, q) for p, q in zip(a.parameters(), c.parameters(), strict=True))
    assert a.eval()(torch.zeros(2, 1, 28, 28)).shape == (2, 5)


def test_impossible_networks_say_so():
    with pytest.raises(ValueError, match="model must be one of"):
        build("vgg", (1, 8, 8), 10, seed=0)
    with pytest.raises(ValueError, match=r"lenet5 cannot take images of shape \(1, 8, 8\).*mlp"):
        build("lenet5", (1, 8, 8), 10, seed=0)
    with pytest.raises(ValueError, match="k must be a number of classes, at least 1; got 0"):
        build("mlp", (1, 8, 8), 0, seed=0)
    with pytest.raises(ValueError, match="hidden must hold widths of at least 1; got 0"):
        build("mlp", (1, 8, 8), 10, seed=0, hidden=(16, 0))


def test_a_resnet_without_norm_begins_as_its_shortcuts():
    """A branch whose scale is 0 adds nothing, so the logits are finite whatever the depth; its scale learns."""
    model = build("resnet18", (3, 16, 16), 10, seed=0, width=4, norm="none")
    assert not any(isinstance(module, nn.BatchNorm2d | nn.GroupNorm) for module in model.modules())
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    block = model[3]
    h = torch.relu(model[0](x))
    assert torch.equal(block(h), h)
    model(x).square().sum().backward()
    assert block.scale.grad.abs() > 0


@each_row("norm", ["batch", "group", "none"])
def test_a_resnet_is_that_of_its_norm(norm):
    kinds = {type(module) for module in build("resnet18", (3, 16, 16), 10, seed=0, width=4, norm=norm).modules()}
    assert {"batch": nn.BatchNorm2d in kinds, "group": nn.GroupNorm in kinds, "none": nn.Identity in kinds}[norm]
    with pytest.raises(ValueError, match="norm must be one of batch, group, none; got 'layer'"):
        build("resnet18", (3, 16, 16), 10, seed=0, norm="layer")
