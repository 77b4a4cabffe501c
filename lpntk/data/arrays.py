"""Are these arrays a data set? Images (n, c, h, w) in 0..1 and labels 0..k-1, or a message that says what came."""

from collections import Counter

import numpy as np

from lpntk.data.sources import DataError

ONLY_TESTED = (
    "what occurs only in y_test is taught by nothing: move samples of it to the training part, or leave it out"
)


def check_images(images: np.ndarray, where: str, key: str) -> np.ndarray:
    """Return (n, c, h, w) float32 in 0..1.

    Raises:
        DataError: if type, shape or values are not those of images.
    """
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        raise DataError(
            f"{where}: {key} must hold uint8 in 0..255 or floats in 0..1; got dtype {images.dtype}; "
            "save images.astype('uint8') or images.astype('float32')"
        )
    if images.size == 0:
        raise DataError(f"{where}: {key} is empty, shape {images.shape}; save at least one image")
    if images.ndim == 2:
        images = images[:, None, None, :]  # vectors
    elif images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and images.shape[3] in (1, 3) and images.shape[1] not in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    elif images.ndim != 4 or images.shape[1] not in (1, 3):
        raise DataError(
            f"{where}: {key} must have shape (n, h, w), (n, h, w, c), (n, c, h, w) or (n, d) with c = 1 or 3; "
            f"got {images.shape}"
        )
    scale = np.float32(255 if images.dtype == np.uint8 else 1)
    images = np.ascontiguousarray(images, dtype=np.float32) / scale
    if not np.isfinite(images).all():
        raise DataError(f"{where}: {key} holds NaN or infinity; clean the images before saving them")
    if images.min() < 0 or images.max() > 1:
        raise DataError(
            f"{where}: {key} must hold floats in 0..1, got {images.min():.3g}..{images.max():.3g}; "
            "save pixels, unscaled uint8 or divided by their maximum: standardising happens here"
        )
    return images


def check_labels(
    y_train: np.ndarray, y_test: np.ndarray, where: str, *, words: bool
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...] | None]:
    """Return both parts as int64, and the names of the classes, sorted, where ``words`` may be and are the labels.

    Raises:
        DataError: if they are neither class numbers nor names that training knows.
    """
    parts = {"y_train": _column(y_train), "y_test": _column(y_test)}
    if words and y_train.dtype.kind in "US" and y_test.dtype.kind == y_train.dtype.kind:
        names = np.unique(parts["y_train"])
        if unseen := sorted({str(_word(label)) for label in np.setdiff1d(parts["y_test"], names)}):
            raise DataError(
                f"{where}: y_test holds {', '.join(unseen[:10])}, which are not those of y_train; {ONLY_TESTED}"
            )
        told = [_word(name) for name in names]
        if twice := [word for word, count in Counter(told).items() if count > 1]:
            raise DataError(
                f"{where}: y_train holds names that are no UTF-8 and would all be read as {twice[0]!r}; save numbers, "
                "or words as np.char.decode(y, 'latin-1') makes them"
            )
        numbers = (np.searchsorted(names, part) for part in parts.values())
        return *(part.astype(np.int64) for part in numbers), tuple(told)
    for key, labels in parts.items():
        if labels.ndim != 1 or labels.dtype.kind not in "ui":
            raise DataError(
                f"{where}: {key} must hold integer class numbers of shape (n,){', or names' if words else ''}; "
                f"got {labels.dtype} {labels.shape}; turn one-hot rows into numbers with argmax(1), truth "
                "values and whole floats with astype(int)"
            )
    return *(_signed(part) for part in parts.values()), None


def _column(labels: np.ndarray) -> np.ndarray:
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels  # Keras saves CIFAR-10 like this


def _word(name: np.str_ | np.bytes_) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)


def _signed(labels: np.ndarray) -> np.ndarray:
    if labels.dtype == np.uint64:
        labels = np.minimum(labels, np.uint64(2**63 - 1))  # what is out of range must not turn negative
    return labels.astype(np.int64)


def check_together(
    x_train: np.ndarray, y_train: np.ndarray, x_test: np.ndarray, y_test: np.ndarray, where: str, known: int | None
) -> int:
    """Check what only the four arrays together can show; return the number of classes, ``known`` for named data.

    Raises:
        DataError: if sizes, shapes or labels do not fit each other.
    """
    for x, y, split in ((x_train, y_train, "train"), (x_test, y_test, "test")):
        if len(x) != len(y) or len(x) == 0:
            raise DataError(
                f"{where}: x_{split} and y_{split} must have the same number of samples, at least one; "
                f"got {len(x)} and {len(y)}; write the file again"
            )
    if x_train.shape[1:] != x_test.shape[1:]:
        raise DataError(
            f"{where}: training and test images must have one shape; got {x_train.shape[1:]} and {x_test.shape[1:]}"
        )
    if known is None and y_train.max() >= len(y_train):
        raise DataError(
            f"{where}: y_train must hold class numbers without gaps, fewer than its {len(y_train)} samples; "
            f"got up to {y_train.max()}; renumber the labels from 0"
        )
    k = known or int(y_train.max()) + 1
    whose = "the classes of the data set" if known else "the classes of the training set"
    for y, split in ((y_train, "train"), (y_test, "test")):
        if y.min() < 0 or y.max() >= k:
            raise DataError(
                f"{where}: y_{split} must hold labels in 0..{k - 1}, {whose}; got {y.min()}..{y.max()}; "
                + (
                    "put a whole copy there"
                    if known
                    else ONLY_TESTED
                    if split == "test"
                    else "renumber the labels from 0"
                )
            )
    counts = np.bincount(y_train, minlength=k)
    if not counts.all():
        empty = np.flatnonzero(counts == 0)
        raise DataError(
            f"{where}: every class 0..{k - 1} needs a training sample, but y_train has none of "
            f"{', '.join(map(str, empty[:10]))}; "
            + ("put a whole copy there" if known else "renumber the classes without gaps")
        )
    if k < 2:
        raise DataError(f"{where}: y_train must hold at least two classes; got one")
    return k
