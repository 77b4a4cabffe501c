"""A folder of images by class: one size and one mode for all, and every broken file named before anything trains."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from lpntk.data.dataset import assembled
from lpntk.data.sources import DataError
from lpntk.machine.progress import progress_bar
from lpntk.reader.own.inputs.given import Given, parted, printable, told_split
from lpntk.reader.own.inputs.walk import labelled_files

GREY_MODES = ("1", "L", "LA", "La", "I", "F")  # and I;16, I;16B, ...
DEPTHS = (8, 10, 12, 14, 16)  # bits that a deep image may really use
LARGEST_SIDE = 64  # side that larger images are brought to unless a size is given: what a CPU can learn


class Head(NamedTuple):
    """What is known of an image before it is brought into form; ``deep`` is its largest value if it has 16 bits."""

    size: tuple[int, int]
    grey: bool
    clear: bool
    moving: bool
    deep: int


def read_folder(path: Path, size: int | None, seed: int) -> Given:
    """Read ``path/class/*.png`` and the like, or ``train/`` and ``test/`` with such folders.

    Args:
        path: of the folder.
        size: side that all images are brought to, pixels; by default the commonest width and height, reduced to 64.
        seed: of the split, where there is no test part.

    Raises:
        DataError: if there are no classes or a file cannot be read.
    """
    files, roots, passed = labelled_files(path)
    where = f"folder {printable(path.resolve().name)}"
    many = sum(map(len, files.values()))
    with progress_bar(many, shown=True, desc="sizes of images", leave=False) as bar:
        heads = {file: _head(file, bar) for each in files.values() for file, _ in each}
    with progress_bar(many, shown=True, desc="images", leave=False) as bar:
        known = [head for file, _ in files["train"] if (head := heads[file])]
        common = Counter(head.size for head in known).most_common(1)
        mode = "L" if sum(head.grey for head in known) * 2 >= len(known) else "RGB"
        w, h = common[0][0] if common else (1, 1)
        shrunk = 1 if size else min(1, LARGEST_SIDE / max(w, h))
        to = (size, size) if size else (max(1, round(w * shrunk)), max(1, round(h * shrunk)))
        deepest = max((head.deep for head in heads.values() if head), default=0)
        bits = next((bits for bits in DEPTHS if deepest < 2**bits), 16)
        arrays, broken = {}, []
        for part, each in files.items():
            shown = []
            for file, _ in each:
                try:
                    shown.append(_read_image(file, mode, to, bits))
                except Exception as error:  # Pillow's readers fail in many ways
                    name, reason = printable(file.relative_to(path)), " ".join(printable(str(error)).split())
                    broken.append(f"{name} ({reason[:80] or type(error).__name__})")
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
    why = "as asked" if size else f"the commonest size, {w} × {h}{', made smaller' if shrunk < 1 else ''}"
    notes = [f"{len(every)} images were read as {to[0]} × {to[1]} pixels ({why}), "
             f"{'grey' if mode == 'L' else 'in colour'}.", *_changed(every, (w, h), mode, bits), *passed]  # fmt: skip
    index, names = np.arange(len(files["train"])), [printable(file.relative_to(path)) for file, _ in files["train"]]
    if "test" not in files:
        test = parted(arrays["y_train"], seed, where)
        arrays |= {"x_test": arrays["x_train"][test], "y_test": arrays["y_train"][test]}
        arrays |= {"x_train": arrays["x_train"][~test], "y_train": arrays["y_train"][~test]}
        index, notes = np.flatnonzero(~test), [*notes, told_split(test, seed)]
    name, root = (printable(folder.resolve().name) for folder in (path, roots["train"]))
    counted = f"the images of {root}/, sorted by class and name from 0, as ImageFolder does"
    return Given(assembled(arrays, name, where), index, [names[i] for i in index], counted, notes, True)


def _changed(every: list[Head], common: tuple[int, int], mode: str, bits: int) -> list[str]:
    """Return sentences on what was done to images, each with the number of those that it was done to."""
    told = {
        "had another size and were brought to this one": sum(head.size != common for head in every),
        "were in colour and became grey" if mode == "L" else "were grey and were converted": sum(
            head.grey is not (mode == "L") for head in every
        ),
        "were transparent: white now": sum(head.clear for head in every),
        f"had 16 bits: {bits} of them are in use, and became 8": sum(head.deep > 0 for head in every),
        "are animations: their first picture counts": sum(head.moving for head in every),
    }
    return [f"{count} of them {words}." for words, count in told.items() if count]


def _head(file: Path, bar: object) -> Head | None:
    """Return what is known of an image before it is read; None if it is broken."""
    bar.update()
    try:
        with Image.open(file) as image:
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
            deep = int(np.asarray(image).max()) if image.mode.startswith("I") else 0
            return Head(image.size[::-1] if turned else image.size, image.mode.startswith(GREY_MODES),
                        image.has_transparency_data, getattr(image, "is_animated", False), deep)  # fmt: skip
    except Exception:  # it is named when it is read
        return None


def _read_image(file: Path, mode: str, size: tuple[int, int], bits: int) -> np.ndarray:
    """Return (h, w) or (h, w, 3) uint8.

    Raises:
        ValueError: if it holds numbers that are no brightness from 0 to a known white.
        OSError: if it cannot be read.
    """
    with Image.open(file) as image:
        image.load()
        image = ImageOps.exif_transpose(image)
        if image.mode == "F":
            raise ValueError("floats, whose white is unknown; save it with 8 bits")
        if image.mode.startswith("I"):
            values = np.asarray(image).astype(np.float64)
            if values.min() < 0 or values.max() >= 2**bits:
                raise ValueError("numbers beyond 16 bits; save it with 8 bits")
            image = Image.fromarray((values * 255 / (2**bits - 1)).round().astype(np.uint8))
        if image.has_transparency_data:
            clear = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
        return np.asarray(image.convert(mode).resize(size, Image.Resampling.BILINEAR))
