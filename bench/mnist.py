"""How far does it go? The exact kernel of all of MNIST: each class in memory, and all pairs blockwise to disk.

    python -m bench.mnist per-class --data FOLDER --out results/bench/mnist/per-class.json
    python -m bench.mnist all-pairs --data FOLDER --out results/bench/mnist/all-pairs.json --work SCRATCH

The paper's LeNet (1.2 M parameters) is trained first, and kept in the work folder, as is the matrix while it is
unfinished: a killed run resumes. The matrix of all pairs takes 14.4 GB of disk and is removed at the end unless
``--keep``; what remains is the record.
"""

import argparse
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bench.cost import gemm_peak
from bench.measure import GIB
from bench.memory import peak_bytes
from bench.problem import Problem
from bench.reference import Reference
from bench.report import environment
from bench.variants import Computed
from lpntk.data import dataset as data
from lpntk.data.dataset import Dataset
from lpntk.keep import files
from lpntk.kernel.layerwise.coverage import TRIED
from lpntk.kernel.layerwise.gram import LayerwiseGram
from lpntk.kernel.matrix import kernel_matrix
from lpntk.kernel.signs import sign_vectors
from lpntk.kernel.tiles.reuse import companion
from lpntk.learn.models import build, count_parameters
from lpntk.learn.training import accuracy, train
from lpntk.machine.device import describe_device, resolve_device
from lpntk.machine.precision import exact
from lpntk.phenomena.relations.readings import sweep

K = 10


def main() -> None:
    """Parse the command line, measure and write the record."""
    parser = argparse.ArgumentParser(prog="python -m bench.mnist", description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("per-class", "all-pairs"))
    parser.add_argument("--data", metavar="FOLDER", help="folder of the data sets (LPNTK_DATA)")
    parser.add_argument("--out", type=files.expanded, required=True, metavar="FILE.json")
    parser.add_argument("--work", type=files.expanded, default=Path(".cache/bench-mnist"), metavar="FOLDER")
    parser.add_argument("--n", type=int, help="first samples only, for a trial")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=environment()["cores"])
    parser.add_argument("--budget", type=float, default=2.0, help="memory budget of the kernel in GiB")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--keep", action="store_true", help="keep the matrix of all pairs")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    try:
        samples = data.load("mnist", files.data_folder(options.data))
    except ValueError as error:
        parser.error(str(error))
    x, y = samples.x_train[: options.n], samples.y_train[: options.n]
    device = resolve_device(options.device)
    model, network = trained(samples, options.epochs, options.work, device)
    peak = exact(gemm_peak)(device=device)
    measure = per_class if options.what == "per-class" else all_pairs
    record = {
        "environment": environment(device),
        "device": describe_device(device),
        "threads": options.threads,
        "budget_bytes": int(options.budget * GIB),
        "gemm_peak": peak,
        "network": network,
        "n": len(x),
        **measure(model, x, y, peak, options),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    files.write_json(options.out, record)
    print(options.out.read_text())


def trained(samples: Dataset, epochs: int, work: Path, device: torch.device) -> tuple[nn.Module, dict]:
    """Return the paper's LeNet after some epochs on the whole training set, on the CPU, and how it was trained."""
    path, model = work / f"lenet-{epochs}.pt", build("lenet", (1, 28, 28), K, seed=0).eval()
    recipe = {"lr": 0.1, "batch_size": 128, "momentum": 0.9, "weight_decay": 5e-4}
    if path.exists():
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    else:
        everything = torch.arange(len(samples.y_train))[None]
        train([model], samples.x_train, samples.y_train, everything, seeds=[0], epochs=epochs, device=device, **recipe)
        model.cpu()  # where the samples are
        torch.save(model.state_dict(), path)
    told = {"model": "lenet", "parameters": count_parameters(model), "seed": 0, "epochs": epochs, **recipe}
    told["test_accuracy"] = accuracy(model, samples.x_test, samples.y_test)
    return model, told


def per_class(model: nn.Module, x: Tensor, y: Tensor, peak: float, options: argparse.Namespace) -> dict:
    """Measure the kernel among the samples of every class, one class after the other, in memory."""
    blocks = []
    for label in range(K):
        mine = y == label
        compute = partial(kernel_matrix, model, memory_budget=int(options.budget * GIB), device=options.device)
        blocks.append({"label": label, **timed(compute, model, x[mine], y[mine], peak)})
        print(blocks[-1], flush=True)
    return {"blocks": blocks, "seconds": sum(b["seconds"] for b in blocks), "peak_resident_bytes": peak_bytes()}


def all_pairs(model: nn.Module, x: Tensor, y: Tensor, peak: float, options: argparse.Namespace) -> dict:
    """Measure the kernel of all pairs, written to disk, and read from it what the pairs are to each other."""
    path = options.work / f"kappa-{len(x)}.npy"
    compute = partial(
        kernel_matrix, model, memory_budget=int(options.budget * GIB), device=options.device, out=path, progress=True
    )
    found = timed(compute, model, x, y, peak)
    found["peak_resident_bytes"] = peak_bytes()  # parts of the mapped file included
    found["bytes"] = path.stat().st_size
    start = time.perf_counter()
    found["relations"] = sweep(torch.from_numpy(np.load(path, mmap_mode="r+")), y, device=options.device)
    found["sweep_seconds"] = time.perf_counter() - start
    if not options.keep:
        path.unlink()
        shutil.rmtree(companion(path))
    return found


def timed(compute: Callable, model: nn.Module, x: Tensor, y: Tensor, peak: float) -> dict:
    """Run once; return seconds, floating-point operations, their share of the peak, and the error of some entries."""
    start = time.perf_counter()
    kappa = compute(x, y)
    seconds = time.perf_counter() - start
    flops = exact(LayerwiseGram)(model, sign_vectors, x[:TRIED], y[:TRIED], samples=len(x)).flops(len(x))
    error = Reference(Problem("lenet", model, x, y, K, "mnist")).error(Computed(kappa))
    return {"n": len(x), "seconds": seconds, "flops": flops, "share_of_peak": flops / seconds / peak, "error": error}


if __name__ == "__main__":
    main()
