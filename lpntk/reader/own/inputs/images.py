"""A folder of images by class: one size and one mode for all, and every broken file named before anything trains."""

from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from lpntk.data.dataset import assembled
from lpntk.data.sources import DataError
from lpntk.machine.progress import progress_bar
from lpntk.reader.own.inputs.given import Given, parted, told_split

PICTURES = (".png", ".jpg", ".jpeg")
TEST_PARTS = ("test", "val", "valid", "validation")
REPORTS = "lpntk-report-"  # what an earlier run left in the folder is no class
GREY_MODES = ("1", "L", "LA", "La", "I", "F")  # and I;16, I;16B, ...
LARGEST_SIDE = 64  # side that larger images are brought to unless a size is given: what a CPU can learn


def read_folder(path: Path, size: int | None, seed: int) -> Given:
    """Read ``path/class/*.png`` or ``*.jpg``, or ``train/`` and ``test/`` with such folders.

    Args:
        path: of the folder.
        size: side that all images are brought to, pixels; by default the commonest width and height, reduced to 64.
        seed: of the split, where there is no test part.

    Raises:
        DataError: if there are no classes or a file cannot be read.
    """
    roots, where = _train_and_test(path), f"folder {path.name}"
    files = {part: _labelled(root) for part, root in roots.items()}
    heads = {file: _shape_and_mode(file) for each in files.values() for file, _ in each}
    known = [head for file, _ in files["train"] if (head := heads[file])]
    common = Counter(shape for shape, *_ in known).most_common(1)
    mode = "L" if sum(grey for _, grey, _ in known) * 2 >= len(known) else "RGB"
    w, h = common[0][0] if common else (1, 1)
    shrunk = 1 if size else min(1, LARGEST_SIDE / max(w, h))
    to = (size, size) if size else (max(1, round(w * shrunk)), max(1, round(h * shrunk)))
    arrays, broken = {}, []
    with progress_bar(len(heads), shown=True, desc="images", leave=False) as bar:
        for part, each in files.items():
            shown = []
            for file, _ in each:
                try:
                    shown.append(_read_image(file, mode, to))
                except Exception as error:  # Pillow's readers fail in many ways
                    broken.append(f"{file.relative_to(path)} ({' '.join(str(error).split())[:80]})")
                bar.update()
            arrays |= {f"x_{part}": shown, f"y_{part}": np.array([label for _, label in each])}
    if broken:
        more = f" and {len(broken) - 10} more" if len(broken) > 10 else ""
        raise DataError(
            f"{where}: expected images that can be read; {len(broken)} of {len(heads)} cannot: "
            f"{'; '.join(broken[:10])}{more}; remove them or copy them again"
        )
    arrays |= {key: np.stack(value) for key, value in arrays.items() if key[0] == "x"}
    every = [heads[file] for each in files.values() for file, _ in each]
    sizes, modes = sum(shape != to for shape, *_ in every), sum(grey is not (mode == "L") for _, grey, _ in every)
    odd = sum(odd for *_, odd in every)
    why = "as asked" if size else f"the commonest size, {w} × {h}{', made smaller' if shrunk < 1 else ''}"
    notes = [f"{len(every)} images were read as {to[0]} × {to[1]} pixels ({why}), "
             f"{'grey' if mode == 'L' else 'in colour'}.",
             *([f"{sizes} of them had another size and were stretched to this one."] if sizes else []),
             *([f"{modes} of them were {'in colour' if mode == 'L' else 'grey'} and were converted."] if modes else []),
             *([f"{odd} of them were transparent or had 16 bits: white now, and 8 bits."] if odd else [])]  # fmt: skip
    index, names = np.arange(len(files["train"])), [str(file.relative_to(path)) for file, _ in files["train"]]
    if "test" not in files:
        test = parted(arrays["y_train"], seed, where)
        arrays |= {"x_test": arrays["x_train"][test], "y_test": arrays["y_train"][test]}
        arrays |= {"x_train": arrays["x_train"][~test], "y_train": arrays["y_train"][~test]}
        index, notes = np.flatnonzero(~test), [*notes, told_split(test, seed)]
    counted = f"the images of {roots['train'].name}/, sorted by class and name from 0, as ImageFolder does"
    return Given(assembled(arrays, path.resolve().name, where), index, [names[i] for i in index], counted, notes, True)


def _train_and_test(path: Path) -> dict[str, Path]:
    folders = {folder.name.lower(): folder for folder in _folders(path)}
    train = folders.get("train")
    if train is None or not _folders(train):  # it may be a class of railways
        return {"train": path}
    test = next((folders[name] for name in TEST_PARTS if name in folders), None)
    return {"train": train, **({"test": test} if test else {})}


def _folders(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_dir() and p.name[0] not in "._" and not p.name.startswith(REPORTS))


def _labelled(root: Path) -> list[tuple[Path, str]]:
    """Return every image with its class.

    Raises:
        DataError: if there is no class, or one without an image.
    """
    found = {
        folder: sorted(p for p in folder.iterdir() if p.suffix.lower() in PICTURES and p.name[0] != ".")
        for folder in _folders(root)
    }
    if not found:
        raise DataError(f"{root}: expected a folder for each class with PNG or JPEG files in it; got no folder at all")
    if empty := [folder.name for folder, files in found.items() if not files]:
        raise DataError(
            f"{root}: expected PNG or JPEG files in the folder of every class; got none in {', '.join(empty[:10])}; "
            "fill or remove these folders"
        )
    return [(file, folder.name) for folder, files in found.items() for file in files]


def _shape_and_mode(file: Path) -> tuple[tuple[int, int], bool, bool] | None:
    """Return width and height, whether an image is grey, whether it is transparent or of 16 bits; None if broken."""
    try:
        with Image.open(file) as image:
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
            odd = image.has_transparency_data or image.mode.startswith("I")
            return image.size[::-1] if turned else image.size, image.mode.startswith(GREY_MODES), odd
    except Exception:  # it is named when it is read
        return None


def _read_image(file: Path, mode: str, size: tuple[int, int]) -> np.ndarray:
    with Image.open(file) as image:
        image.load()
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):
            image = Image.fromarray((np.asarray(image).clip(0, 65535) / 257).round().astype(np.uint8))
        if image.has_transparency_data:
            clear = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
        return np.asarray(image.convert(mode).resize(size, Image.Resampling.BILINEAR))
