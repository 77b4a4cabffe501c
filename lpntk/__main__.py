"""A kernel into a file: ``python -m lpntk --help``, alone or under ``torchrun`` (``kernel/tiles/share.py``).

``python -m lpntk report --help`` writes a report on one's own data instead (``reader/own/command.py``).
"""

import argparse
import sys
from math import inf
from pickle import UnpicklingError

import torch
import torch.distributed as dist
from torch import nn

from lpntk.data.dataset import load
from lpntk.keep.files import expanded
from lpntk.kernel.matrix import kernel_matrix
from lpntk.learn.models import MODELS, build


def count(text: str) -> int:
    """Return a number of samples.

    Raises:
        argparse.ArgumentTypeError: if it is below 1.
    """
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"at least 1 is needed; got {text}")
    return number


def amount(text: str) -> float:
    """Return an amount of memory.

    Raises:
        argparse.ArgumentTypeError: if it is not above 0, or without end.
    """
    if not 0 < (number := float(text)) < inf:
        raise argparse.ArgumentTypeError(f"a finite amount above 0 is needed; got {text}")
    return number


def load_weights(model: nn.Module, name: str, file: str) -> None:
    """Load a state dict into the network of this name.

    Raises:
        ValueError: if it is none, or of another network.
    """
    try:
        model.load_state_dict(torch.load(expanded(file), map_location="cpu", weights_only=True))
    except Exception as error:  # of zip, of pickle, of torch
        got = " ".join(str(error).split())[:300] or type(error).__name__
        if isinstance(error, UnpicklingError):
            got = "a whole model or other objects, which are not unpickled, as that would run what the file says"
        fix = "save it with torch.save(model.state_dict(), file)"
        raise ValueError(f"{file}: expected a state dict of the network {name}; got {got}; {fix}") from error


def main(arguments: list[str] | None = None) -> None:
    """Compute the kernel of a named network over a data set into a file, or with ``report`` write a report on data."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["report"]:
        try:
            from lpntk.reader.own.command import main as report  # which needs more libraries than a kernel does
        except ModuleNotFoundError as error:
            sys.exit(f"python -m lpntk report: expected the libraries of the book; {error}; pip install .[book]")
        return report(arguments[1:])
    about = "Compute a kernel into a file, alone or under torchrun; 'report DATA' writes a report on your own data."
    parser = argparse.ArgumentParser(prog="python -m lpntk", description=about)
    parser.add_argument("--dataset", default="digits", help="digits, mnist, cifar10 or the path of an .npz")
    parser.add_argument("--data", help="folder with mnist and cifar10 (default: LPNTK_DATA)")
    parser.add_argument("--samples", type=count, metavar="N", help="first n training samples (default: all)")
    parser.add_argument("--model", default="mlp", choices=MODELS)
    parser.add_argument("--weights", help="state_dict saved by torch.save (default: seed 0, untrained)")
    parser.add_argument("--signs", default="label")
    parser.add_argument("--normalize", action="store_true")
    parser.add_argument("--memory-budget", type=amount, metavar="GIB", help="per process (default: see kernel_matrix)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", required=True, help="the .npy to write")
    options = parser.parse_args(arguments)
    try:
        source = load(options.dataset, options.data)
        model = build(options.model, source.in_shape, source.k, seed=0).eval()
        if options.weights:
            load_weights(model, options.model, options.weights)
        kernel_matrix(
            model,
            source.x_train[: options.samples],
            source.y_train[: options.samples],
            signs=options.signs,
            normalize=options.normalize,
            memory_budget=None if options.memory_budget is None else int(options.memory_budget * 2**30),
            device=options.device,
            out=options.out,
            progress=True,
        )
    except (OSError, ValueError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")
    if dist.is_initialized():
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
