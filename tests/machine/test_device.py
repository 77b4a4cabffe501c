"""What must hold on any device, tried without one: whose random numbers, whose cache, how much memory."""

import math

import pytest
import torch
from rows import each_row

from lpntk.data.dataset import load
from lpntk.learn import moments
from lpntk.learn.campaign import Network, train_many
from lpntk.learn.models import build
from lpntk.machine.device import fetched, seeded
from lpntk.phenomena.company import reference
from lpntk.phenomena.forgetting import study as forgetting_study
from lpntk.phenomena.forgetting.walk import Setting
from lpntk.phenomena.one_step.study import Study
from lpntk.phenomena.width import training as width_training

NETWORK = Network("mlp", (1, 8, 8), 10, {"hidden": (8,)})


@pytest.fixture
def generators(monkeypatch):
    """The states of three CUDA devices' generators, which nobody has."""
    states, current = {i: torch.tensor([i], dtype=torch.uint8) for i in range(3)}, [0]
    index = lambda device: current[-1] if device.index is None else device.index

    class On:
        def __init__(self, device):
            self.index = index(device)

        def __enter__(self):
            current.append(self.index)

        def __exit__(self, *_):
            current.pop()

    def put(i, seed):
        states[i] = torch.tensor([seed], dtype=torch.uint8)

    monkeypatch.setattr(torch.cuda, "device", On)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: states[index(device)].clone())
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: states.update({index(device): state}))
    monkeypatch.setattr(torch.cuda, "manual_seed", lambda seed: put(current[-1], seed))
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: [put(i, seed) for i in states])
    return lambda: [int(state) for state in states.values()]


def test_building_a_network_leaves_the_generators_of_all_devices(generators):
    build("lenet", (1, 14, 14), 10, seed=7)
    assert generators() == [0, 1, 2]


@each_row(("device", "inside"), [("cuda:1", [0, 9, 2]), ("cuda", [9, 1, 2]), ("cpu", [0, 1, 2])])
def test_a_seed_is_of_the_cpu_and_one_device(generators, device, inside):
    state = torch.get_rng_state()
    with seeded(9, torch.device(device)):
        assert generators() == inside
        drawn = torch.rand(3)
    assert generators() == [0, 1, 2]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(drawn, torch.rand(3, generator=torch.Generator().manual_seed(9)))


class Asked(Exception):
    """The key of an artefact, instead of the artefact."""


class Asking:
    def artefact(self, name, key, make):
        raise Asked(name, key)


STUDIES = {
    "history": lambda data, options: train_many(NETWORK, data.x_train, data.y_train, torch.arange(8)[None], seeds=[0],
                                              epochs=1, lr=0.1, **options),
    "moments": lambda data, options: moments.train_moments(NETWORK, data, seed=0, moments=[1], lr=0.1, **options),
    "kernel": lambda data, options: reference.reference_kernel(NETWORK, data, torch.arange(4), seed=0, epochs=1, lr=0.1,
                                                               **options),
    "width-trained": lambda data, options: width_training.trained(
        data, depths=[1], widths=[8], seeds=1, seed=0, n=20, lr={"ntk": 0.1}, epochs=[1], per_class=1, **options),
    "forgetting": lambda data, options: forgetting_study.study(
        NETWORK, data.x_train, data.y_train, [Setting("plain", 0.1)], seeds=1, seed=0, steps=2, batch_size=4,
        followed=4, dropout=0.0, width=1, **options),
    "one-step-network": lambda data, options: Study(
        NETWORK, data, 4, training={"epochs": 1, "lr": 0.1, "checkpoints": [0]}, **options).states(0),
}  # fmt: skip


@each_row("name", STUDIES)
def test_what_a_cpu_trained_is_not_taken_for_what_a_cuda_device_would(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for kind in (torch.Tensor, torch.nn.Module):  # nothing can be moved to a device that nobody has
        monkeypatch.setattr(kind, "to", lambda self, *_, **__: self)
    keys = {}
    for device in ("cpu", "cuda:0", "cuda:1"):
        with pytest.raises(Asked) as asked:
            STUDIES[name](load("digits"), {"cache": Asking(), "device": device})
        asked_for, keys[device] = asked.value.args
        assert asked_for == name
    assert keys["cpu"] != keys["cuda:0"] == keys["cuda:1"]
    assert {k for k in keys["cpu"] if keys["cpu"][k] != keys["cuda:0"][k]} == {"device"}
    assert keys["cpu"]["torch"] == torch.__version__


def test_numbers_are_fetched_as_they_are():
    found = [torch.tensor(1 / 3), torch.tensor(2**60 + 0.0, dtype=torch.float64), torch.tensor(True), torch.tensor(7)]
    assert fetched(found) == [float(t) for t in found]
    assert fetched([]) == []
    assert math.isnan(fetched([torch.tensor(math.nan)])[0])
