"""Does a folder give the files that ImageFolder takes, in its order, and is all told that was passed over?"""

import os

import numpy as np
import pytest
from PIL import Image

from lpntk.data.sources import DataError, import_torchvision
from lpntk.reader.own.inputs.sources import read_own
from lpntk.reader.own.inputs.walk import labelled_files

RNG = np.random.default_rng(0)


def picture(file, size=(9, 9), **save):
    file.parent.mkdir(parents=True, exist_ok=True)
    w, h = size
    Image.fromarray(RNG.integers(0, 255, (h, w, 3)).astype(np.uint8)).save(file, **save)


@pytest.fixture
def pets(tmp_path):
    for name in ("cat", "_unsure_", "dog"):
        for i in (1, 10, 2):
            picture(tmp_path / "pets" / name / f"{i}.png")
    return tmp_path / "pets"


def test_files_are_those_of_imagefolder_in_its_order(pets):
    for name in ("b.webp", "c.bmp", "d.JPG", "e.tiff", "inner/a.png", "inner/deep/x.jpeg", "inner-two/b.png"):
        picture(pets / "cat" / name)
    picture(pets / "dog" / "moving.gif")
    (pets / "dog" / "notes.txt").write_text("mine")
    (pets / "dog" / "folder.png").mkdir()  # of a picture's name
    os.symlink(pets / "dog" / "1.png", pets / "cat" / "link.png")
    os.symlink(pets / "dog", pets / "cat" / "linked")
    files, _, notes = labelled_files(pets)
    theirs = import_torchvision().datasets.ImageFolder(str(pets)).samples
    assert [str(file) for file, _ in files["train"]] == [file for file, _ in theirs]
    assert [label for _, label in files["train"]] == [file.relative_to(pets).parts[0] for file, _ in files["train"]]
    assert "dog/moving.gif, dog/notes.txt" in " ".join(notes)


def test_hidden_and_loose_files_are_passed_over_and_told(pets):
    for name in (
        ".ipynb_checkpoints/1.png",
        "cat/.ipynb_checkpoints/2.png",
        "cat/._1.png",
        "loose.png",
        "__MACOSX/a/b.png",
    ):
        picture(pets / name)
    for name in (".DS_Store", "cat/.DS_Store"):
        (pets / name).write_bytes(b"x")
    files, _, notes = labelled_files(pets)
    assert len(files["train"]) == 9
    told = " ".join(notes)
    for name in (
        "cat/.ipynb_checkpoints/2.png",
        "cat/._1.png",
        "loose.png",
        "__MACOSX/a/b.png",
        " .ipynb_checkpoints/1.png",
    ):
        assert name in told
    assert "DS_Store" not in told


def test_what_lies_beside_train_and_test_is_told(tmp_path):
    for part in ("train", "test", "val", "extra"):
        for label in "ab":
            picture(tmp_path / part / label / "0.png")
    files, roots, notes = labelled_files(tmp_path)
    assert {name: root.name for name, root in roots.items()} == {"train": "train", "test": "test"}
    assert [len(each) for each in files.values()] == [2, 2]
    assert notes == ["Not read: extra, val."]


def test_parts_of_other_names_are_no_classes(tmp_path):
    for part in ("training", "testing"):
        for label in "ab":
            picture(tmp_path / part / label / "0.png")
    with pytest.raises(DataError, match=r"folders of such folders \(testing, training\); .* name them train and test"):
        labelled_files(tmp_path)


def test_a_link_to_a_folder_above_is_not_followed(pets):
    os.symlink(pets, pets / "round")
    with pytest.raises(DataError, match="none in round"):
        labelled_files(pets)
    (pets / "round").unlink()
    os.symlink(pets / "cat", pets / "cat" / "again")
    assert len(labelled_files(pets)[0]["train"]) == 9


def test_an_empty_class_says_what_lies_there(pets):
    (pets / "bird").mkdir()
    (pets / "bird" / "a.gif").write_bytes(b"x")
    with pytest.raises(DataError, match=r"none in bird, but files .gif; fill or remove"):
        labelled_files(pets)


def test_names_that_are_no_text_are_written_all_the_same(pets):
    os.rename(pets / "cat" / "1.png", os.fsencode(pets / "cat") + b"/\xff.png")
    given = read_own(str(pets))
    assert any("\ufffd" in name for name in given.names)
    assert all(name.encode("utf-8") for name in given.names)


def test_sixteen_bits_are_brought_to_eight_by_what_is_in_use(tmp_path):
    for c in "ab":
        (tmp_path / "scans" / c).mkdir(parents=True)
        for i in range(8):
            values = RNG.integers(0, 4096, (9, 9)).astype(np.uint16)
            values[0, :2] = 0, 4095
            Image.fromarray(values).save(tmp_path / "scans" / c / f"{i}.png")
    given = read_own(str(tmp_path / "scans"))
    pixels = given.data.pixels(given.data.x_train)
    assert pixels.amax() == pytest.approx(1, abs=1e-5)
    assert len(pixels.mul(255).round().unique()) > 200  # not sixteen
    assert "16 of them had 16 bits: 12 of them are in use" in " ".join(given.notes)


def test_numbers_without_a_known_white_are_refused(tmp_path):
    for c in "ab":
        picture(tmp_path / "own" / c / "0.png")
    Image.fromarray(RNG.random((9, 9)).astype(np.float32)).save(tmp_path / "own" / "a" / "f.tiff")
    with pytest.raises(DataError, match=r"a/f.tiff \(floats, whose white is unknown"):
        read_own(str(tmp_path / "own"))


def test_turned_and_moving_pictures_count_as_they_are_shown(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    for c in "ab":
        for i in range(5):
            picture(tmp_path / "own" / c / f"{i}.jpg", (12, 20), exif=turned)
    frames = [Image.new("RGB", (20, 12), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "own" / "a" / "m.webp", save_all=True, append_images=frames[1:])
    given = read_own(str(tmp_path / "own"))
    assert given.data.in_shape == (3, 12, 20)
    assert "1 of them are animations" in " ".join(given.notes)
    assert "another size" not in " ".join(given.notes)


def test_folders_that_would_be_read_as_one_are_refused(pets, tmp_path):
    for name in (b"\xe4", b"\xf6"):
        picture(pets / os.fsdecode(name) / "1.png")
    with pytest.raises(DataError, match="several that would be read as one class"):
        labelled_files(pets)
    for part in ("train", "Train", "test"):
        picture(tmp_path / "parts" / part / "cat" / "1.png")
    with pytest.raises(DataError, match="differ by more than case; got Train, test, train; join them"):
        labelled_files(tmp_path / "parts")
