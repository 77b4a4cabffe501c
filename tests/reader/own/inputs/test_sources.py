"""Is everybody's data read, is every change told, and is what cannot be used refused before anything trains?"""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rows import each_row

from lpntk.data.sources import DataError
from lpntk.reader.own.command import report
from lpntk.reader.own.inputs.given import parted
from lpntk.reader.own.inputs.sources import read_own

RNG = np.random.default_rng(0)


def pictures(folder, classes=("Äpfel", "Birnen & <b>"), count=30):
    """Images of several sizes and modes; the commonest is 12 x 10 in colour."""
    for c, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            w, h = ((12, 10), (12, 10), (20, 15))[i % 3]
            pixels = RNG.integers(0, 100, (h, w, 3)).astype(np.uint8)
            pixels[..., c] += 120
            image, mode = Image.fromarray(pixels), ("RGB", "RGBA", "P", "L", "16")[i % 5]
            if mode == "16":
                image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
            else:
                image = image.convert(mode)
            image.save(folder / name / f"{i:02d}.png")
    return folder


def table(path, n=60, **columns):
    a = RNG.normal(size=n)
    frame = pd.DataFrame({
        "id": np.arange(7, n + 7), "a": a, "color": RNG.choice(["red", "blue"], n), "same": 1,
        "text": [f"words {i}" for i in range(n)], "class": np.where(a > 0, "so & so", "Übel <i>"),
    })  # fmt: skip
    frame.loc[::10, "a"] = np.nan
    frame.assign(**columns).to_csv(path, index=False)
    return str(path)


def test_an_archive_without_a_test_part_is_split_by_class(tmp_path):
    y = np.repeat([0, 1, 2], [50, 20, 1])
    np.savez(tmp_path / "own.npz", x_train=RNG.random((71, 4, 4)), y_train=y)
    given, again = (read_own(str(tmp_path / "own.npz")) for _ in range(2))
    assert given.data.digest == again.data.digest
    assert np.bincount(given.data.y_test).tolist() == [10, 4]
    assert np.array_equal(y[given.index], given.data.y_train)
    assert given.pictures
    assert "no test part: 14 of 71" in " ".join(given.notes)
    assert not np.array_equal(read_own(str(tmp_path / "own.npz"), seed=1).index, given.index)


def test_the_tiniest_classes_are_split_too():
    assert parted(np.repeat(np.arange(10), 2), 0, "here").sum() == 4
    with pytest.raises(DataError, match="a class with two samples"):
        parted(np.arange(10), 0, "here")


def test_images_of_many_sizes_and_modes_become_one(tmp_path):
    given = read_own(str(pictures(tmp_path / "fruit")))
    assert given.data.in_shape == (3, 10, 12)
    assert set(given.data.classes) == {"Äpfel", "Birnen & <b>"}
    assert given.names[0] == "Birnen & <b>/00.png"  # as ImageFolder sorts them
    told = " ".join(given.notes)
    assert "20 of them had another size" in told
    assert "24 of them were grey" in told
    assert "12 of them were transparent" in told
    assert "12 of them had 16 bits" in told
    mean = given.data.pixels(given.data.x_train).mean(dim=(1, 2))  # (n, 3)
    colored = (mean.amax(dim=1) - mean.amin(dim=1)) > 0.2
    assert (mean.argmax(dim=1)[colored] == 1 - given.data.y_train[colored]).float().mean() > 0.9
    assert read_own(str(tmp_path / "fruit"), size=8).data.in_shape == (3, 8, 8)


def test_parts_of_a_folder_are_found(tmp_path):
    for part in ("train", "test"):
        pictures(tmp_path / "fruit" / part, count=6)
    given = read_own(str(tmp_path / "fruit"))
    assert len(given.data.y_train) == len(given.data.y_test) == 12
    assert given.index.tolist() == list(range(12))


def test_broken_images_are_named_together(tmp_path):
    folder = pictures(tmp_path / "fruit", count=6)
    whole = (folder / "Äpfel" / "00.png").read_bytes()
    (folder / "Äpfel" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "Äpfel" / "none.jpg").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"2 of 14 cannot: Äpfel/cut.png .*; Äpfel/none.jpg .*remove them"):
        report(str(folder), out=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_table_becomes_numbers_and_says_how(tmp_path):
    given = read_own(table(tmp_path / "own.csv"))
    assert list(given.columns) == ["a", "a is missing", "color = blue", "color = red"]
    assert given.data.classes == ("so & so", "Übel <i>")
    assert given.names[0] == f"id {given.index[0] + 7}"
    told = " ".join(given.notes)
    for words in ("name the rows: id", "median of the training part, with a column that tells where: a (6)",
                  "alike or empty: same", "more than 20 different values: text"):  # fmt: skip
        assert words in told
    x = given.data.x_train.flatten(1)
    assert x.mean(dim=0).abs().max() < 1e-5
    assert (x.std(dim=0, correction=0) - 1).abs().max() < 1e-4


@each_row(
    ("columns", "label", "words"),
    [
        ({}, "sort", "a column 'sort' with the classes; got the columns id, a, color, same, text, class"),
        ({"class": RNG.random(60)}, None, "expected classes in 'class'; got 60 different values"),
        ({"class": ["x", None, "y"] * 20}, None, "20 without one .*, first in row 1"),
        ({"class": "x"}, None, "at least two classes"),
        ({"a": np.inf}, None, "finite numbers in 'a'"),
    ],
)
def test_what_is_no_table_of_classes_is_refused(tmp_path, columns, label, words):
    with pytest.raises(DataError, match=words):
        read_own(table(tmp_path / "own.csv", **columns), label=label)


def test_other_wrong_inputs_are_refused_in_a_sentence(tmp_path):
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "latin.csv").write_bytes("größe,label\n1,a\n".encode("latin-1"))
    (tmp_path / "classes" / "one").mkdir(parents=True)
    np.savez(tmp_path / "half.npz", x_train=np.zeros((4, 2, 2)), y_train=[0, 1, 0, 1], x_test=np.zeros((1, 2, 2)))
    np.savez(tmp_path / "uneven.npz", x_train=np.zeros((3, 2, 2)), y_train=[0, 1, 0, 1])
    for name, words in (("empty.csv", "cannot be read"), ("latin.csv", "UTF-8"), ("classes", "none in one"),
                        ("classes/one", "a folder for each class"), ("half.npz", "y_test is missing"),
                        ("uneven.npz", "one row of x_train for each of the 4 labels"), ("nothing.csv", "no such file"),
                        ("nothing", "digits, mnist, .* an .npz file, a folder")):  # fmt: skip
        with pytest.raises(DataError, match=words):
            read_own(str(tmp_path / name))


def test_arrays_that_are_no_lists_and_options_that_would_do_nothing_are_refused(tmp_path):
    np.savez(tmp_path / "scalar.npz", x_train=np.float32(3), y_train=np.int64(1))
    np.savez(tmp_path / "own.npz", x_train=RNG.random((40, 4, 4)), y_train=np.arange(40) % 2)
    for name, options, words in (
        ("scalar.npz", {}, r"arrays of samples; got shapes \(\) and \(\)"),
        ("own.npz", {"label": "kind"}, "--label with a CSV only"),
        ("own.npz", {"size": 8}, "--size with a folder of images only"),
    ):
        with pytest.raises(DataError, match=words):
            read_own(str(tmp_path / name), **options)
    for name, words in (("", "got an empty word"), ("https://example.com/data.zip", "an address; download it first")):
        with pytest.raises(DataError, match=words):
            read_own(name)
    with pytest.raises(DataError, match="--size with a folder"):
        read_own("digits", size=4)
