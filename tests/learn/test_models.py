import pytest
import torch

from lpntk.learn.models import build, count_parameters


def test_parameter_counts_are_the_published_ones():
    assert count_parameters(build("lenet5", (1, 28, 28), 10, seed=0)) == 44_426
    assert count_parameters(build("lenet", (1, 28, 28), 10, seed=0)) == 1_199_882
    assert count_parameters(build("resnet18", (3, 32, 32), 10, seed=0)) == 11_173_962


@pytest.mark.parametrize("name", ["mlp", "lenet5", "lenet", "resnet18"])
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
