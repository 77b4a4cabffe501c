"""Do kernel and training still give the numbers they gave? If they must not, raise VERSION beside them.

To write golden.json anew, with a raised VERSION and a reason in the commit:

    PYTHONPATH=.:tests/helpers python tests/kernel/test_golden.py
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from cases import BY_NAME, samples

from lpntk.data.dataset import load
from lpntk.keep.cache import Cache
from lpntk.kernel import matrix as kernels
from lpntk.kernel.matrix import kernel_matrix
from lpntk.kernel.signs import SIGNS
from lpntk.learn import training
from lpntk.learn.campaign import Network, train_many
from lpntk.learn.moments import train_moments
from lpntk.learn.training import train
from lpntk.phenomena.company.reference import reference_kernel

GOLDEN = Path(__file__).with_name("golden.json")
KERNELS = ("mlp", "lenet5", "resnet-batchnorm", "transformer", "norms", "lstm-output")
TRAININGS = ("mlp", "mlp-two-classes", "lenet5", "resnet-batchnorm", "conv-grouped", "prelu")
STUDIES = ("train_many", "dropout", "reference_kernel", "train_moments")


def kernel_numbers(name):
    case = BY_NAME[name]
    x, y, _, _ = samples(case)
    return {signs: kernel_matrix(case.make(0), x, y, signs=signs, device="cpu").tolist() for signs in SIGNS}


def training_numbers(name):
    case, models = BY_NAME[name], [BY_NAME[name].make(seed) for seed in (0, 1)]
    x, y, _, _ = samples(case)
    subsets = torch.tensor([[0, 1, 2, 3], [2, 3, 4, 5]])
    history = train(models, x, y, subsets, seeds=[3, 4], epochs=2, lr=0.05, batch_size=2, momentum=0.9,
                    weight_decay=5e-4, schedule="cosine", way="single", device="cpu")  # fmt: skip
    return {"loss": history.loss.tolist(), "distance": history.distance.tolist()}


def study_numbers(name):
    """What the studies build upon, from an empty cache."""
    samples, network = load("digits"), Network("mlp", (1, 8, 8), 10, {"hidden": [16]})
    sgd = {"lr": 0.05, "batch_size": 64, "momentum": 0.9, "weight_decay": 5e-4, "device": "cpu"}
    with TemporaryDirectory() as folder:
        cache = Cache(folder)
        if name == "train_many":
            subsets = torch.arange(60).view(3, 20)
            history = train_many(
                network, samples.x_train, samples.y_train, subsets, seeds=[1, 2, 3], cache=cache, epochs=2, way=1, **sgd
            )
            return {"loss": history.loss.tolist()}
        if name == "dropout":  # in one stack, as no stack would
            lenet, subsets = Network("lenet", (1, 8, 8), 10), torch.arange(12).view(3, 4)
            sgd |= {"batch_size": 2, "epochs": 2}
            found = train_many(
                lenet, samples.x_train, samples.y_train, subsets, seeds=[1, 2, 3], cache=cache, way=3, **sgd
            )
            return {"loss": found.loss.tolist()}
        if name == "reference_kernel":
            rows = torch.arange(12)
            kappa, accuracy = reference_kernel(network, samples, rows, seed=1, cache=cache, epochs=1, **sgd)
            return {"kernel": kappa.tolist(), "accuracy": accuracy}
        found = train_moments(network, samples, seed=1, moments=[0, 1], cache=cache, **sgd)
        states = {
            f"{epoch} {name}": float(p.norm()) for epoch, kept in found.states.items() for name, p in kept.items()
        }
        return {**states, "train": [*found.train_accuracy.values()], "test": [*found.test_accuracy.values()]}


def numbers():
    return {
        "kernel version": getattr(kernels, "VERSION", 1),
        "training version": getattr(training, "VERSION", 1),
        "kernel": {name: kernel_numbers(name) for name in KERNELS},
        "training": {name: training_numbers(name) for name in TRAININGS},
        "studies": {name: study_numbers(name) for name in STUDIES},
    }


def assert_same(got, want):
    for key, values in want.items():
        a, b = torch.tensor(got[key], dtype=torch.float64), torch.tensor(values, dtype=torch.float64)
        assert (a - b).norm() <= 1e-5 * b.norm(), (
            f"{key} differs by {float((a - b).norm() / b.norm()):.2g}: if that is meant, raise VERSION and write "
            "tests/kernel/golden.json anew"
        )


@pytest.mark.parametrize("name", KERNELS)
def test_the_kernel_gives_the_numbers_it_gave(name):
    assert_same(kernel_numbers(name), json.loads(GOLDEN.read_text())["kernel"][name])


@pytest.mark.parametrize("name", TRAININGS)
def test_training_gives_the_numbers_it_gave(name):
    assert_same(training_numbers(name), json.loads(GOLDEN.read_text())["training"][name])


@pytest.mark.parametrize("name", STUDIES)
def test_what_studies_build_upon_gives_the_numbers_it_gave(name):
    assert_same(study_numbers(name), json.loads(GOLDEN.read_text())["studies"][name])


def test_the_numbers_are_those_of_the_versions():
    golden = json.loads(GOLDEN.read_text())
    assert (golden["kernel version"], golden["training version"]) == (kernels.VERSION, training.VERSION)


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(numbers()))
