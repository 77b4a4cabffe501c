"""Are data found by name, without a network: by stand-ins for torchvision's classes and for the library datasets?"""

import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from lpntk.data.sources import DataError
from lpntk.reader.own.inputs import named
from lpntk.reader.own.inputs.sources import read_own

RNG = np.random.default_rng(0)


class Fashion:
    """Data that are not there until they are downloaded, as torchvision says it."""

    classes = ("shirt", "bag", "coat")
    there = False

    def __init__(self, root, train, download):
        if not download and not Fashion.there:
            raise RuntimeError("Dataset not found")
        Fashion.there = True
        n = 30 if train else 9
        self.data = torch.from_numpy(RNG.integers(0, 255, (n, 28, 28)).astype(np.uint8))
        self.targets = torch.arange(n) % 3


class Offline(Fashion):
    def __init__(self, root, train, download):
        raise RuntimeError("Name or service not known" if download else "Dataset not found")


class Houses:
    def __init__(self, root, split, download):
        self.data = RNG.integers(0, 255, (20, 3, 32, 32)).astype(np.uint8)
        self.labels = np.arange(20) % 10


def test_a_name_of_torchvision_is_downloaded_or_a_sentence_says_what_to_do(monkeypatch, tmp_path):
    stub = SimpleNamespace(datasets=SimpleNamespace(FashionMNIST=Fashion, SVHN=Houses, KMNIST=Offline))
    monkeypatch.setattr(named, "import_torchvision", lambda: stub)
    given = read_own("FashionMNIST", root=str(tmp_path))
    assert given.data.in_shape == (1, 28, 28)
    assert given.data.classes == ("bag", "coat", "shirt")
    assert [given.data.classes[c] for c in given.data.y_train[:3]] == ["shirt", "bag", "coat"]
    assert len(given.data.y_test) == 9
    assert read_own("svhn", root=str(tmp_path)).data.in_shape == (3, 32, 32)
    with pytest.raises(DataError, match=r"KMNIST: expected it in .* or from the network; got Name or service .*--root"):
        read_own("kmnist", root=str(tmp_path))


class ClassLabel:
    names = ("cat/wild", "dog", "a bird")


class Value:
    pass


class Rows(list):
    def __init__(self, rows, features):
        super().__init__(rows)
        self.features = features

    def to_pandas(self):
        return pd.DataFrame(list(self))


Picture = type("Image", (), {})


def pictures(n):
    modes = ("RGB", "L", "CMYK")
    rows = [{"image": Image.fromarray(RNG.integers(0, 255, (9, 9, 3)).astype(np.uint8)).convert(modes[i % 3]),
             "label": (0, 2, 1, 0)[i % 4]} for i in range(n)]  # fmt: skip
    return Rows(rows, {"image": Picture(), "label": ClassLabel()})


@pytest.fixture
def hub(monkeypatch):
    def load(name):
        if name not in there:
            raise ConnectionError("couldn't reach the hub")
        return there[name]

    there = {}
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load))
    return there


def test_images_of_the_hub_keep_their_rows_and_the_names_of_their_classes(hub):
    hub["zoo/animals"] = {"train": pictures(40), "test": pictures(8)}
    given = read_own("hf:zoo/animals")
    assert set(given.data.classes) == {"cat/wild", "dog", "a bird"}
    labels = [(0, 2, 1, 0)[i % 4] for i in given.index]
    assert [given.data.classes[c] for c in given.data.y_train] == [ClassLabel.names[c] for c in labels]
    assert sorted(given.index) == list(range(40))
    assert (len(given.data.y_test), given.data.name) == (8, "zoo/animals")


def test_tables_of_the_hub_are_read_as_any_other(hub):
    rows = [{"a": float(RNG.normal()), "word": "uv"[i % 2], "label": i % 3} for i in range(60)]
    features = {"a": Value(), "word": Value(), "label": ClassLabel()}
    hub["zoo/table"] = {"train": Rows(rows, features), "test": Rows(rows, features)}
    given = read_own("hf:zoo/table")
    assert list(given.columns) == ["a", "word = u", "word = v"]
    assert [given.data.classes[c] for c in given.data.y_train] == [ClassLabel.names[i % 3] for i in given.index]
    assert "Not read: test." in given.notes


def test_what_the_hub_does_not_give_is_said(hub, monkeypatch):
    unknown = Rows([{"image": None, "label": -1}], {"image": Picture(), "label": ClassLabel()})
    two = Rows([], {"image": Picture(), "fine": ClassLabel(), "coarse": ClassLabel()})
    tables = {f"table/{c}": {"train": Rows([{"a": i, "label": (0, c)[i == 5]} for i in range(20)],
                                           {"a": Value(), "label": ClassLabel()})} for c in (-1, None, 9)}  # fmt: skip
    hub |= tables
    for name in tables:
        with pytest.raises(DataError, match="row 5 of train has none"):
            read_own(f"hf:{name}")
    hub |= {"no/labels": {"train": unknown}, "two/labels": {"train": two}, "no/train": {"all": two}}
    for name, words in (("no/labels", "row 0 of train has none"), ("two/labels", "fine .* coarse .*--label"),
                        ("no/train", "a part `train`; got all"), ("not/there", "couldn't reach the hub")):  # fmt: skip
        with pytest.raises(DataError, match=words):
            read_own(f"hf:{name}")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match="pip install datasets"):
        read_own("hf:no/labels")
