"""Where does a stack pay? Milliseconds per model and step: one by one, stacked, and the way that the engine chooses.

    python -m bench.stacking [--models mlp lenet5] [--batches 1 4 16 64 128] [--output results/bench/stacking/NAME.json]

All three ways train the same models on the same samples in one run, and their losses are compared (at a learning rate
so small that rounding is not amplified). The bars, stated before the run: the chosen way is never more than 10 % slower
than the better of the two others; at batches of at most 4 it is at least 6 times faster than one by one; losses agree
to 1e-4.
"""

import argparse
import json
import time
from pathlib import Path

import torch

from bench.report import environment
from lpntk.device import describe_device, resolve_device
from lpntk.files import write_json
from lpntk.models import build
from lpntk.stacks import bytes_per_model
from lpntk.training import train
from lpntk.tuning import GIB, WIDTHS, choose_width

CASES = {
    "mlp": ((1, 28, 28), {"hidden": (128,)}),
    "mlp-digits": ((1, 8, 8), {"hidden": (128,)}),
    "lenet5": ((1, 28, 28), {}),
}
ALONE = 8  # models timed one by one


def compare(name: str, batch: int, *, m: int = 64, repeats: int = 3, device: str = "auto") -> dict:
    """Time the ways and return one row; the order of the ways alternates and the fastest run counts.

    A model takes its steps in epochs of eight; at small batches it takes more of them, as in use, so that what a call
    costs once does not count for much. One by one, a few models stand for all.

    Args:
        name: a key of ``CASES``.
        batch: samples per step.
        m: models.
        repeats: of each way.
        device: as in ``train``.
    """
    in_shape, options = CASES[name]
    architecture = name.split("-")[0]
    epochs = 8 if batch <= 4 else 2
    steps = 8 * epochs
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2048, *in_shape, generator=generator)
    y = torch.randint(10, (2048,), generator=generator)
    subsets = torch.randint(len(x), (m, 8 * batch), generator=generator)

    def run(width: int) -> tuple[float, torch.Tensor]:
        count = ALONE if width == 1 else m
        models = [build(architecture, in_shape, 10, seed=i, **options) for i in range(count)]
        started = time.perf_counter()
        history = train(models, x, y, subsets[:count], seeds=list(range(count)), epochs=epochs, lr=0.001,
                        batch_size=batch, momentum=0.9, weight_decay=5e-4, way=width, device=device)  # fmt: skip
        return 1e3 * (time.perf_counter() - started) / (count * steps), history.loss

    on = resolve_device(device)
    models = [build(architecture, in_shape, 10, seed=i, **options).to(on) for i in range(m)]
    started = time.perf_counter()
    chosen = choose_width(models, x.to(on), y.to(on), batch, steps=10**6)
    tuning = time.perf_counter() - started
    widest = min(m, WIDTHS[-1], 2 * GIB // bytes_per_model(models[0], x[:1].to(on), batch))
    ways = {"single": 1, "stack": int(widest), "chosen": chosen}
    widths = sorted(set(ways.values()))  # a way that is chosen is timed once, as itself
    best, losses = {}, {}
    for repeat in range(repeats):
        for width in widths[:: 1 if repeat % 2 else -1]:
            taken, losses[width] = run(width)
            best[width] = min(taken, best.get(width, float("inf")))
    ms = {way: best[width] for way, width in ways.items()}
    return {
        "model": name,
        "batch": batch,
        **{f"{way}_ms": round(value, 4) for way, value in ms.items()},
        "width": chosen,
        "faster_than_single": round(ms["single"] / ms["chosen"], 2),
        "slower_than_better": round(ms["chosen"] / min(ms["single"], ms["stack"]) - 1, 3),
        "loss_difference": float((losses[1] - losses[ways["stack"]][:ALONE]).abs().max()),
        "tuning_seconds": round(tuning, 2),
    }


def main(arguments: list[str] | None = None) -> int:
    """Print the table, say which bars hold, and write both if asked to."""
    parser = argparse.ArgumentParser(prog="python -m bench.stacking", description="Time stacks against single models.")
    parser.add_argument("--models", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 2, 4, 8, 16, 32, 64, 128])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args(arguments)
    device = describe_device(options.device)
    rows = []
    print(device)
    for name in options.models:
        for batch in options.batches:
            rows.append(compare(name, batch, device=options.device))
            print(json.dumps(rows[-1]), flush=True)
    bars = {
        "never more than 10 % slower than the better way": all(row["slower_than_better"] <= 0.1 for row in rows),
        "at least 6 times faster at batches of at most 4": all(
            row["faster_than_single"] >= 6 for row in rows if row["batch"] <= 4
        ),
        "losses agree to 1e-4": all(row["loss_difference"] <= 1e-4 for row in rows),
    }
    for bar, holds in bars.items():
        print(f"{'holds ' if holds else 'MISSED'} {bar}")
    if options.output:
        write_json(
            options.output,
            {
                "environment": environment(),
                "device": device,
                "threads": torch.get_num_threads(),
                "bars": bars,
                "rows": rows,
            },
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
