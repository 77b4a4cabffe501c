"""A report on one's own data: ``python -m lpntk report --help``."""

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from importlib import metadata
from math import inf
from pathlib import Path

import torch

from lpntk.keep.cache import Cache, CacheError
from lpntk.keep.files import expanded, unkept, write_json
from lpntk.keep.imported import own_code
from lpntk.kernel.model.attributes import attributes
from lpntk.learn.models import MODELS
from lpntk.machine.description import describe_machine
from lpntk.machine.device import resolve_device
from lpntk.reader.own.inputs.given import printable
from lpntk.reader.own.inputs.named import HUB, TORCHVISION
from lpntk.reader.own.inputs.sources import read_own
from lpntk.reader.own.network import learner
from lpntk.reader.own.page import write_report
from lpntk.reader.own.study import asked

MADE_BY = "lpntk report"
LIBRARIES = ("torch", "numpy", "pandas", "scikit-learn", "matplotlib", "pillow")


def report(
    data: str = "digits", *, model: str | None = None, options: dict[str, object] | None = None,
    checkpoint: str | None = None, built_by: str | None = None, out: str | None = None, epochs: int | None = None,
    budget: float = 2.0, device: str = "auto", seed: int = 0, label: str | None = None, size: int | None = None,
    root: str | None = None, cache: Cache | None = None,
) -> Path:  # fmt: skip
    """Write a report on some data and return its folder.

    Args:
        data: as ``lpntk.reader.own.inputs.sources.read_own`` takes it.
        model: name of a network; by default as the shape of the data suggests.
        options: of that network.
        checkpoint: state dict of a network that has learned.
        built_by: ``module:function`` that builds the network.
        out: the folder; by default ``lpntk-report-<name>`` in the working directory. An older report is replaced.
        epochs: of training.
        budget: GiB for a kernel and its computation.
        device: ``auto``, ``cpu`` or ``cuda[:i]``.
        seed: of split, initialisation and order.
        label: column of a table with the classes.
        size: side of the images of a folder, pixels.
        root: folder of mnist and cifar10.
        cache: keeps what took long, so that a killed run goes on.

    Raises:
        ValueError: if anything given cannot be used, before anything is trained; the message says what to do.
        OSError: if the folder cannot be written.
    """
    started, cache = time.perf_counter(), cache or Cache()
    for name, value in (("epochs", epochs), ("size", size), ("budget", budget)):
        if value is not None and not 0 < value < inf:
            raise ValueError(f"expected --{name} above 0; got {value}; leave it out for the default")
    if not 0 <= seed < 2**63:
        raise ValueError(f"expected --seed from 0 to {2**63 - 1}; got {seed}; leave it out for the default")
    if checkpoint and epochs:
        raise ValueError(
            "expected --epochs or --checkpoint; got both, and what is loaded is not trained; leave one out"
        )
    resolve_device(device)
    folder = expanded(out) if out else Path(f"lpntk-report-{_stem(data)}")
    folder = folder.resolve() if folder.is_symlink() else folder  # the link stays
    _check_folder(folder)
    if fault := unkept(cache.folder):
        print(fault, file=sys.stderr)
    given = read_own(data, root=root, size=size, label=label, seed=seed)
    by = learner(given.data, model=model, options=options or {}, built_by=built_by, checkpoint=checkpoint, seed=seed)
    if built_by:  # its code and what it has read besides decide as much as its parameters
        behind = {"own_code": own_code(built_by.partition(":")[0]), "attributes": attributes(by.make(seed))}
        by = replace(by, decides=by.decides | behind)
    found = asked(given, by, epochs=epochs, budget=int(budget * 2**30), device=device, seed=seed, cache=cache)
    machine = describe_machine(device)
    parameters = {"data": printable(data), "model": model, "options": options, "checkpoint": checkpoint,
                  "build": built_by, "epochs": epochs, "budget": budget, "device": device, "seed": seed,
                  "label": label, "size": size}  # fmt: skip
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.writing-", dir=folder.parent) as partial:
        new = Path(partial) / "new"
        new.mkdir()
        seconds = round(time.perf_counter() - started, 1)
        told = {"version": metadata.version("lpntk"), "device": machine["device"], "seconds": seconds}
        files = write_report(new, given, by, found, source=printable(data), told=told, seed=seed, device=device)
        write_json(new / "manifest.json", {
            "made_by": MADE_BY, "version": told["version"], "parameters": parameters, "network": by.words,
            "training": found.training, "test_accuracy": found.accuracy, "needed": found.bar, "learned": found.learned,
            "data_digest": given.data.digest, "notes": list(given.notes), "machine": machine,
            "versions": {name: metadata.version(name) for name in LIBRARIES},
            "seconds": round(time.perf_counter() - started, 1), "seconds_computed": round(cache.seconds, 1),
            "files": sorted([*files, "manifest.json"]),
        })  # fmt: skip
        _check_folder(folder)  # it may have come to be meanwhile
        if folder.exists():
            os.rename(folder, Path(partial) / "old")
        os.rename(new, folder)
    return folder


def _check_folder(folder: Path) -> None:
    """Refuse a place that holds what is not an older report, or that cannot be replaced or written.

    Raises:
        ValueError: if it does.
        OSError: if it cannot be written.
    """
    fix = "name another folder with --out, or move it away"
    if folder.resolve() in (here := Path.cwd(), *here.parents):
        raise ValueError(f"{folder}: expected another folder than the one that you are in; name one with --out")
    if os.path.ismount(folder):
        got = f"a disk of its own, which stays; name a folder on it, such as --out {folder / 'report'}"
        raise ValueError(f"{folder}: expected a folder that can be replaced; got {got}")
    if folder.is_dir():
        holds = {p.name for p in folder.iterdir()}
        if (folder / "manifest.json").is_file():  # it may be a report, so every file of it is looked at
            holds = {str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir()}
        try:
            made = json.loads((folder / "manifest.json").read_bytes())
            own = set(made["files"]) if made["made_by"] == MADE_BY else set()
        except (OSError, ValueError, KeyError, TypeError):
            own = set()
        if other := sorted(holds - own):
            raise ValueError(f"{folder}: expected an older report or nothing there; got {', '.join(other[:5])}; {fix}")
    elif folder.exists() or folder.is_symlink():
        raise ValueError(f"{folder}: expected a folder or nothing there; got a file; {fix}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryDirectory(prefix=f".{folder.name}.writing-", dir=folder.parent).cleanup()
    except OSError as error:
        raise OSError(f"{folder}: expected a place that can be written; got {error}; name another with --out") from None


def _stem(data: str) -> str:
    """Return the name of the data for a folder: without what a file system might take for more than a name."""
    path = expanded(data).resolve()
    name = path.name if path.is_dir() else path.stem  # a folder's name has no ending
    name = data.removeprefix(HUB).replace("/", "-") if data.startswith(HUB) else name
    return printable(name).strip(".") or "data"


def _as_options(text: str) -> dict[str, object]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f"expected JSON such as '{{\"hidden\": [64]}}'; got {text}")
    return found


def main(arguments: list[str] | None = None) -> None:
    """Run the command; an error is one sentence and the exit status 1, an interruption 130."""
    about = "Train a network on your data, ask the kernel of each class, and write a page, a table and lists."
    parser = argparse.ArgumentParser(prog="python -m lpntk report", description=about)
    names = ", ".join(("digits (default)", "mnist", "cifar10", *TORCHVISION, f"{HUB}owner/name"))
    kinds = f"an .npz, a folder of images by class, a CSV, or a name: {names}"
    parser.add_argument("data", nargs="?", default="digits", metavar="DATA", help=kinds)
    parser.add_argument("--model", choices=MODELS, help="default: as the shape of the data suggests")
    parser.add_argument(
        "--options", type=_as_options, metavar="JSON", help="of the model, such as '{\"hidden\": [64]}'"
    )
    parser.add_argument("--build", metavar="MODULE:FUNCTION", help="a function that returns your own torch module")
    parser.add_argument("--checkpoint", metavar="FILE", help="state dict of a network that has learned elsewhere")
    parser.add_argument("--out", metavar="FOLDER", help="default: lpntk-report-<name>; an older report is replaced")
    parser.add_argument("--epochs", type=int, metavar="N", help="default: as many as give about 1000 steps, 10 to 100")
    parser.add_argument("--budget", type=float, default=2.0, metavar="GIB", help="memory for kernels (default: 2)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--label", metavar="NAME", help="column of the classes in a CSV or on the hub")
    parser.add_argument("--size", type=int, metavar="PIXELS", help="side that images of a folder or of the hub get")
    parser.add_argument("--root", metavar="FOLDER", help="folder of what has a name (default: LPNTK_DATA)")
    given = vars(parser.parse_args(arguments))
    try:
        folder = report(given.pop("data"), built_by=given.pop("build"), **given)
    except (OSError, ValueError, FloatingPointError, CacheError, torch.OutOfMemoryError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")
    except KeyboardInterrupt:
        parser.exit(
            130, f"{parser.prog}: interrupted; what had finished is kept, and the same command goes on from it\n"
        )
    print(folder / "report.html")
