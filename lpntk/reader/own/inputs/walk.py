"""Which files of a folder are samples? Those that torchvision's ImageFolder takes, in its order; the rest is told."""

import os
from collections.abc import Iterator
from pathlib import Path

from lpntk.data.sources import DataError
from lpntk.reader.own.inputs.given import few_of, printable

PICTURES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # what ImageFolder takes
TEST_PARTS = ("test", "val", "valid", "validation")
REPORTS = "lpntk-report-"  # what an earlier run left in the folder is no class
NO_CLASS = ("__MACOSX",)  # what archives of a Mac bring along
Labelled = list[tuple[Path, str]]


def labelled_files(path: Path) -> tuple[dict[str, Labelled], dict[str, Path], list[str]]:
    """Return every image with its class by part, the folder of each part, and sentences on what was passed over.

    Raises:
        DataError: if there is no class, one without an image, or parts of unknown names.
    """
    roots, notes = _train_and_test(path)
    files, hidden, others = {}, [], []
    for part, root in roots.items():
        files[part] = _labelled(root, hidden, others)
        loose = [p for p in root.iterdir() if _is_picture(p) and p.is_file() and p.name[0] != "."]
        if loose:
            notes.append(f"Passed over, as they lie in no folder of a class: {few_of(_names(loose, path))}.")
    if others:
        notes.append(f"Passed over, as ImageFolder does, for the ending of the name: {few_of(_names(others, path))}.")
    if hidden:
        notes.append(
            f"Passed over, as hidden: {few_of(_names(hidden, path))}. ImageFolder takes these: remove them before you "
            "use an index with it."
        )
    return files, roots, notes


def _train_and_test(path: Path) -> tuple[dict[str, Path], list[str]]:
    folders = {folder.name.lower(): folder for folder in _folders(path)}
    train = folders.get("train")
    if train is None or not _folders(train):  # it may be a class of railways
        return {"train": path}, []
    if len(folders) < len(alike := _folders(path)):
        got = few_of(_names(alike, path))
        raise DataError(f"{printable(path)}: expected parts whose names differ by more than case; got {got}; join them")
    test = next((folders[name] for name in TEST_PARTS if name in folders), None)
    unread = [folder for folder in folders.values() if folder not in (train, test)]
    told = [f"Not read: {few_of(_names(unread, path))}."] if unread else []
    return {"train": train, **({"test": test} if test else {})}, told


def _folders(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_dir() and not _is_no_class(p))


def _is_no_class(folder: Path) -> bool:
    return folder.name[0] == "." or folder.name in NO_CLASS or folder.name.startswith(REPORTS)


def _labelled(root: Path, hidden: list[Path], others: list[Path]) -> Labelled:
    found: dict[Path, list[Path]] = {}
    for folder in _folders(root):
        files = list(_walk(folder, root, hidden))
        found[folder] = [file for file in files if _is_picture(file)]
        others += [file for file in files if not _is_picture(file)]
    hidden += [file for p in root.iterdir() if p.is_dir() and _is_no_class(p) and not p.name.startswith(REPORTS)
               for file in p.rglob("*") if _is_picture(file)]  # fmt: skip
    expected = f"expected a folder for each class with images in it ({', '.join(PICTURES)})"
    if not found:
        raise DataError(f"{printable(root)}: {expected}; got no folder at all; move the images of each class into one")
    if empty := [folder for folder, files in found.items() if not files]:
        there = sorted({file.suffix.lower() or file.name for file in others})
        got = f"none in {few_of(_names(empty, root))}" + (f", but files {few_of(there)}" if there else "")
        raise DataError(f"{printable(root)}: {expected}; got {got}; fill or remove these folders, or save PNG files")
    deep = [folder for folder, files in found.items() if all(file.parent != folder for file in files)]
    inner = [p.name for folder in deep for p in _folders(folder)]
    if deep and (len(found) == 1 or len(set(inner)) < len(inner)):
        raise DataError(
            f"{printable(root)}: {expected}; got folders of such folders ({few_of(_names(deep, root))}); give one of "
            "them, or name them train and test"
        )
    told = [printable(folder.name) for folder in found]
    if twice := [name for name in {*told} if told.count(name) > 1]:
        raise DataError(
            f"{printable(root)}: expected folders whose names are UTF-8; got several that would be read as one class, "
            f"{twice[0]!r}; rename them"
        )
    return [(file, printable(folder.name)) for folder, files in found.items() for file in files]


def _walk(folder: Path, root: Path, hidden: list[Path]) -> Iterator[Path]:
    """Yield all files below a folder in the order of ImageFolder, links followed; a link to a folder above is not."""
    seen = {os.path.realpath(root)}
    tree = []
    for place, inner, files in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(place)) in seen:
            inner.clear()
            continue
        seen.add(real)
        for name in [name for name in inner if name[0] == "."]:
            hidden += [file for file in Path(place, name).rglob("*") if _is_picture(file)]
            inner.remove(name)
        tree.append((place, files))
    for place, files in sorted(tree):
        for name in sorted(files):
            file = Path(place, name)
            if name[0] != ".":
                yield file
            elif _is_picture(file):
                hidden.append(file)


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in PICTURES or file.name.lower() in PICTURES


def _names(files: list[Path], path: Path) -> list[str]:
    return [printable(file.relative_to(path)) for file in files]
