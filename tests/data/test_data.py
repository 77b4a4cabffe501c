import os
from pathlib import Path

import numpy as np
import pytest
import torch
from rows import each_row

from lpntk.data.dataset import load
from lpntk.data.sources import DataError, import_torchvision

RNG = np.random.default_rng(0)


def arrays(n=20, shape=(6, 6), k=4, **other):
    made = {
        "x_train": RNG.integers(0, 256, (n, *shape), dtype=np.uint8),
        "y_train": np.arange(n) % k,
        "x_test": RNG.integers(0, 256, (n // 2, *shape), dtype=np.uint8),
        "y_test": np.arange(n // 2) % k,
    }
    return {key: value for key, value in {**made, **other}.items() if value is not None}


def saved(tmp_path, **other):
    path = tmp_path / "own.npz"
    np.savez(path, **arrays(**other))
    return str(path)


def test_digits_need_nothing_and_are_always_the_same():
    a, b = load("digits"), load()
    assert (len(a.y_train), len(a.y_test), a.k, a.in_shape) == (1437, 360, 10, (1, 8, 8))
    assert torch.equal(a.x_train, b.x_train)
    assert a.digest == b.digest
    assert a.x_train.mean().abs() < 1e-5
    assert a.x_train.std() == pytest.approx(1, abs=1e-3)
    assert len(torch.unique(torch.cat([a.x_train, a.x_test]).flatten(1), dim=0)) == 1797  # no image in both halves


def test_digits_are_kept_and_made_again_where_what_was_kept_is_damaged(tmp_path, monkeypatch):
    monkeypatch.setenv("LPNTK_CACHE", str(tmp_path))
    first = load("digits")
    (kept,) = tmp_path.iterdir()
    assert load("digits").digest == first.digest
    kept.write_bytes(kept.read_bytes()[:1000])
    assert load("digits").digest == first.digest
    assert np.load(kept)["x_train"].shape == (1437, 8, 8)
    monkeypatch.setenv("LPNTK_CACHE", str(kept / "no-folder"))
    assert load("digits").digest == first.digest


def test_pixels_undo_the_standardisation():
    digits = load()
    pixels = digits.pixels(digits.x_train)
    assert pixels.shape == (1437, 8, 8, 1)
    assert 0 <= pixels.min() < 1e-6
    assert pixels.max() == pytest.approx(1)


def test_a_sample_is_seeded_and_without_replacement():
    digits = load()
    assert torch.equal(digits.sample(100, 3), digits.sample(100, 3))
    assert not torch.equal(digits.sample(100, 3), digits.sample(100, 4))
    assert len(set(digits.sample(100).tolist())) == 100
    with pytest.raises(ValueError, match=r"n must lie in 1\.\.1437"):
        digits.sample(1438)


@each_row(
    ("shape", "expected"),
    [((6, 6), (1, 6, 6)), ((6, 6, 3), (3, 6, 6)), ((3, 6, 6), (3, 6, 6)), ((6, 6, 1), (1, 6, 6)), ((9,), (1, 1, 9))],
)
def test_own_file_in_any_layout(tmp_path, shape, expected):
    own = load(saved(tmp_path, shape=shape))
    assert own.name == "own"
    assert own.k == 4
    assert own.in_shape == expected
    assert own.x_train.dtype == torch.float32
    assert own.y_train.dtype == torch.int64


@each_row("dtype", [np.uint8, np.int32, np.uint64])
def test_labels_of_any_integer_type(tmp_path, dtype):
    given = arrays(n=40, shape=(8, 8), k=4)
    given |= {key: given[key].astype(dtype) for key in ("y_train", "y_test")}
    np.savez(tmp_path / "own.npz", **given)
    assert load(tmp_path / "own.npz").y_train.tolist() == given["y_train"].tolist()


def test_changed_data_have_another_digest(tmp_path):
    first = load(saved(tmp_path)).digest
    assert load(saved(tmp_path)).digest != first


@each_row(
    ("other", "words"),
    [
        ({"y_test": None}, r"own\.npz: expected the arrays .*missing y_test.*np\.savez"),
        ({"y_train": np.arange(20) % 4 - 1}, r"own\.npz: y_train must hold labels in 0\.\.2.*got -1\.\.2; renumber"),
        ({"y_test": np.full(10, 9)}, r"y_test must hold labels in 0\.\.3.*got 9\.\.9"),
        ({"y_train": (np.arange(20) % 4) * 2, "y_test": np.zeros(10, int)}, "has none of 1, 3, 5"),
        ({"y_train": np.zeros(20, int), "y_test": np.zeros(10, int)}, "at least two classes"),
        ({"y_train": np.eye(4)[np.arange(20) % 4]}, r"integer class numbers of shape \(n,\).*argmax"),
        ({"y_train": np.arange(19) % 4}, "same number of samples.*20 and 19"),
        ({"x_train": np.zeros((20, 2, 2, 2, 2))}, r"x_train must have shape .*got \(20, 2, 2, 2, 2\)"),
        ({"x_test": np.zeros((10, 5, 5), np.uint8)}, "must have one shape"),
        ({"x_train": np.full((20, 6, 6), np.nan)}, "x_train holds NaN"),
        (
            {"x_train": np.array([["a"] * 3] * 20)},
            r"x_train must hold uint8 in 0\.\.255 or floats in 0\.\.1; got dtype <U1",
        ),
        ({"x_train": np.ones((20, 6, 6), np.int64)}, "got dtype int64"),
        ({"x_train": np.full((20, 6, 6), 7.0), "x_test": np.zeros((10, 6, 6))}, r"floats in 0\.\.1, got 7\.\.7"),
        ({"x_train": np.zeros((20, 6, 6))}, "must both be uint8 or both be floats"),
        ({"x_train": np.zeros((20, 6, 6, 4), np.uint8)}, r"with c = 1 or 3; got \(20, 6, 6, 4\)"),
        ({"x_train": np.zeros((20, 0, 6), np.uint8)}, "x_train is empty"),
        ({"y_train": np.full(20, 2**40)}, "fewer than its 20 samples; got up to 1099511627776"),
    ],
)
def test_a_bad_file_is_named_with_its_fault_and_the_fix(tmp_path, other, words):
    with pytest.raises(DataError, match=words):
        load(saved(tmp_path, **other))


def test_a_missing_or_truncated_own_file(tmp_path):
    with pytest.raises(DataError, match=r"none\.npz: no such file"):
        load(str(tmp_path / "none.npz"))
    path = Path(saved(tmp_path))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"own\.npz: expected a whole \.npz.*truncated"):
        load(str(path))
    with pytest.raises(DataError, match="no data set 'cifar'"):
        load("cifar")
    other = tmp_path / "one.npz"
    with other.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataError, match=r"one\.npz: expected a whole \.npz"):
        load(other)


def idx(array):
    """The published file format of MNIST: magic number, sizes, bytes."""
    head = bytes([0, 0, 8, array.ndim]) + b"".join(int(size).to_bytes(4, "big") for size in array.shape)
    return head + array.astype(np.uint8).tobytes()


@pytest.fixture
def mnist_folder(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for split, n in (("train", 60_000), ("t10k", 10_000)):
        (raw / f"{split}-images-idx3-ubyte").write_bytes(idx(np.zeros((n, 28, 28), np.uint8)))
        (raw / f"{split}-labels-idx1-ubyte").write_bytes(idx(np.arange(n) % 10))
    return tmp_path


def test_mnist_in_torchvisions_layout(mnist_folder):
    mnist = load("mnist", mnist_folder, download=False)
    assert (len(mnist.y_train), len(mnist.y_test), mnist.in_shape) == (60_000, 10_000, (1, 28, 28))
    assert mnist.mean == (0.1307,)


def test_a_truncated_mnist_file(mnist_folder):
    images = mnist_folder / "MNIST" / "raw" / "train-images-idx3-ubyte"
    images.write_bytes(images.read_bytes()[:1_000_000])
    with pytest.raises(
        DataError,
        match=r"mnist: expected MNIST/raw.*train-images-idx3-ubyte has 1000000 bytes instead of 47040016.*LPNTK_DATA",
    ):
        load("mnist", mnist_folder, download=False)


def test_a_short_mnist_file(mnist_folder):
    labels = mnist_folder / "MNIST" / "raw" / "train-labels-idx1-ubyte"
    labels.write_bytes(idx(np.arange(100) % 10))
    with pytest.raises(DataError, match="expected 60000 train images and labels, got 60000 and 100"):
        load("mnist", mnist_folder, download=False)


def test_a_label_that_mnist_does_not_have(mnist_folder):
    labels = mnist_folder / "MNIST" / "raw" / "train-labels-idx1-ubyte"
    labels.write_bytes(idx(np.arange(60_000) % 10)[:-1] + bytes([77]))
    with pytest.raises(DataError, match=r"MNIST/raw in .*y_train must hold labels in 0\.\.9.*got 0\.\.77.*whole copy"):
        load("mnist", mnist_folder, download=False)


def test_a_lost_or_damaged_file_is_named(mnist_folder, tmp_path):
    (mnist_folder / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="but there is no MNIST/raw/t10k-labels-idx1-ubyte"):
        load("mnist", mnist_folder, download=False)
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for file in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        (folder / file).write_bytes(b"no pickle")
    for download in (False, True):  # nothing is missing, so nothing is fetched
        with pytest.raises(DataError, match=r"MD5 sums of data_batch_1.*test_batch are not those published"):
            load("cifar10", tmp_path, download=download)


@each_row(
    ("name", "given", "words"),
    [
        ("cifar10", {"shape": (32, 32, 3), "k": 11}, r"y_train must hold labels in 0\.\.9.*got 0\.\.10"),
        ("cifar10", {"shape": (32, 32, 3), "k": 9}, "every class 0..9 needs a training sample.* none of 9"),
        ("cifar10", {"shape": (28, 28, 1), "k": 10}, r"expected images of shape \(3, 32, 32\).*got \(1, 28, 28\)"),
        ("mnist", {"shape": (8, 8), "k": 10}, r"expected images of shape \(1, 28, 28\).*got \(1, 8, 8\)"),
    ],
)
def test_a_packed_copy_is_held_to_its_name(tmp_path, name, given, words):
    np.savez(tmp_path / f"{name}.npz", **arrays(n=44, **given))
    with pytest.raises(DataError, match=rf"{name}\.npz: {words}"):
        load(name, tmp_path)


@each_row("name", ["mnist", "cifar10"])
def test_missing_files_say_where_they_were_looked_for(tmp_path, name):
    with pytest.raises(DataError, match=f"{name}: expected .* in .*is missing.*digits"):
        load(name, tmp_path, download=False)


def test_a_packed_copy_is_preferred_and_the_environment_is_read(tmp_path, monkeypatch):
    np.savez(tmp_path / "cifar10.npz", **arrays(n=40, shape=(32, 32, 3), k=10))
    monkeypatch.setenv("LPNTK_DATA", str(tmp_path))
    cifar10 = load("cifar10")
    assert cifar10.in_shape == (3, 32, 32)
    assert cifar10.classes[3] == "cat"


def test_torchvision_imports_beside_this_build_of_torch():
    assert hasattr(import_torchvision().datasets, "MNIST")


@pytest.mark.skipif("LPNTK_DATA" not in os.environ, reason="LPNTK_DATA names no folder with the real MNIST")
def test_the_real_mnist():
    mnist = load("mnist", download=False)
    assert mnist.x_train.mean().abs() < 1e-3
    assert torch.bincount(mnist.y_train).tolist()[:3] == [5923, 6742, 5958]  # published class counts


def test_one_odd_pixel_of_a_constant_channel_stays_small(tmp_path):
    given = arrays(shape=(3, 8, 8))
    x_train, x_test = (given[key].astype(np.float32) / 255 for key in ("x_train", "x_test"))
    x_train[:, 1] = np.float32(0.1)  # its mean in float32 is not 0.1, so its deviation from it is not 0
    x_train[:, 2] = np.float32(0.5) + RNG.choice([0, 2**-24], (20, 8, 8)).astype(np.float32)  # the last bit flickers
    x_test[:, 1:] = x_train[0, 1:]
    x_test[0, 1:, 0, 0] = 0.9
    own = load(saved(tmp_path, x_train=x_train, x_test=x_test))
    assert own.std[1:] == (1, 1)
    assert own.x_test[:, 1:].abs().max() <= 0.8
    x_train[:, 2] = 1e-6 * x_train[:, 0]  # faint, yet not constant
    assert load(saved(tmp_path, x_train=x_train, x_test=x_test)).x_train[:, 2].std() == pytest.approx(1, abs=1e-3)


@each_row("dtype", ["U9", "S9"])
def test_words_as_labels_become_the_names_of_the_classes(tmp_path, dtype):
    names = np.array(["zebra", "ant", "cöw"] if dtype == "U9" else [b"zebra", b"ant", b"cow"])
    own = load(saved(tmp_path, y_train=names[np.arange(20) % 3].astype(dtype), y_test=names[np.arange(10) % 2]))
    assert own.classes == ("ant", "cöw" if dtype == "U9" else "cow", "zebra")
    assert own.y_train[:4].tolist() == [2, 0, 1, 2]
    assert own.y_test[:3].tolist() == [2, 0, 2]
    other = load(saved(tmp_path, y_train=names[np.arange(20) % 3].astype(dtype), y_test=names[np.arange(10) % 3]))
    assert own.digest != other.digest


@each_row(
    ("other", "words"),
    [
        ({"y_test": np.array(["a", "d"] * 5)}, r"y_test holds d, which are not those of y_train; .*leave it out"),
        ({"y_test": np.arange(10) % 2}, r"y_train must hold integer class numbers"),
        (
            {"y_train": np.array([b"\xe4", b"\xf6"] * 10), "y_test": np.array([b"\xe4"] * 10)},
            "no UTF-8 and would all be",
        ),
        ({"y_train": np.array(["a", "b"] * 10, dtype=object)}, r"y_train holds Python objects.*astype\(str\)"),
        (
            {"y_train": np.arange(20) % 3, "y_test": np.arange(10)},
            r"y_test must hold .*got 0\.\.9; what occurs only in",
        ),
        ({"x_test": np.array([np.zeros(3), None] * 5, dtype=object)}, r"x_test holds Python objects.*np\.stack"),
    ],
)
def test_labels_and_objects_that_are_refused(tmp_path, other, words):
    with pytest.raises(DataError, match=words):
        load(saved(tmp_path, **{"y_train": np.array(["a", "b"] * 10), "y_test": np.array(["a", "b"] * 5), **other}))


def test_a_path_as_people_write_it(tmp_path, monkeypatch):
    Path(saved(tmp_path)).rename(tmp_path / "Own.NPZ")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load("~/Own.NPZ").name == "Own"
    (tmp_path / "pictures").mkdir()
    (tmp_path / "unzipped.npz").mkdir()
    with pytest.raises(DataError, match=r"no data set '~/pictures' \(a folder\): expected .*np\.savez"):
        load("~/pictures")
    with pytest.raises(DataError, match=r"unzipped\.npz: it is a folder; expected an \.npz"):
        load("~/unzipped.npz")
    np.savez(tmp_path / "mnist.npz", **arrays(n=40, shape=(28, 28), k=10))
    assert load("mnist", "~").in_shape == (1, 28, 28)
