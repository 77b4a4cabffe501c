"""Where does a stack pay? Milliseconds per model and step: one by one, stacked, and the way that the engine chooses.

    python -m bench.stacking [--models mlp lenet5] [--batches 1 4 16 64 128] [--output results/bench/stacking/NAME.json]

All ways train the same models on the same samples in one run, and their losses are compared (at a learning rate so
small that rounding is not amplified). Ways of one width are one computation and timed as one. The bars, stated before
the run: the chosen width is not more than 10 % slower than the better of one by one and all together; at batches of at
most 4 it is at least 6 times faster than one by one; losses agree to 1e-4.
"""

import argparse
import json
import statistics
import time

import torch

from bench.report import environment
from lpntk.keep.files import expanded, write_json
from lpntk.learn.models import build
from lpntk.learn.training import train
from lpntk.learn.widths import WIDTHS, choose_width
from lpntk.machine.device import describe_device, resolve_device

CASES = {
    "mlp": ((1, 28, 28), {"hidden": (128,)}),
    "mlp-digits": ((1, 8, 8), {"hidden": (128,)}),
    "lenet5": ((1, 28, 28), {}),
}
ALONE = 8  # models timed one by one
LIMIT = 0.1  # by how much a chosen way may be slower
SECONDS = 1.5  # that the stack of all runs for in each row, at least


def compare(name: str, batch: int, *, m: int = 64, repeats: int = 5, device: str = "auto") -> dict:
    """Time the ways and return one row; the ways take turns, forth and back, and the median counts.

    A model takes its steps in epochs of eight; at small batches it takes hundreds of them, as in use, so that what a
    call costs once does not count for much. One by one, a few models stand for all. Short rows are run more often: on a
    machine that others use, few short runs are no measure.

    Args:
        name: a key of ``CASES``.
        batch: samples per step.
        m: models.
        repeats: of each way, at least; more until the stack of all has run for ``SECONDS``.
        device: as in ``train``.
    """
    in_shape, options = CASES[name]
    architecture = name.split("-")[0]
    epochs = 32 if batch <= 4 else 2
    steps = 8 * epochs
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2048, *in_shape, generator=generator)
    y = torch.randint(10, (2048,), generator=generator)
    subsets = torch.randint(len(x), (m, 8 * batch), generator=generator)

    def run(width: int) -> tuple[float, torch.Tensor]:
        count = ALONE if width == 1 else m
        models = [build(architecture, in_shape, 10, seed=i, **options) for i in range(count)]
        started = time.perf_counter()
        history = train(models, x, y, subsets[:count], seeds=list(range(count)), epochs=epochs, lr=0.0001,
                        batch_size=batch, momentum=0.9, weight_decay=5e-4, way=width, device=device)  # fmt: skip
        return 1e3 * (time.perf_counter() - started) / (count * steps), history.loss

    on = resolve_device(device)
    model = build(architecture, in_shape, 10, seed=0, **options).to(on)
    chosen, widest = (choose_width(model, x[:1].to(on), batch, way=way) for way in ("auto", "stack"))
    ways = {"single": 1, "stack": min(m, WIDTHS[-1], widest), "chosen": min(m, chosen)}
    widths = sorted(set(ways.values()))
    times, losses = {width: [] for width in widths}, {}
    of_all = times[ways["stack"]]
    while len(of_all) < repeats or (repeats > 1 and sum(of_all) * m * steps < 1e3 * SECONDS):
        for width in widths[:: 1 if len(of_all) % 2 else -1]:
            taken, losses[width] = run(width)
            times[width].append(taken)
    ms = {way: statistics.median(times[width]) for way, width in ways.items()}
    return {
        "model": name,
        "batch": batch,
        **{f"{way}_ms": round(value, 4) for way, value in ms.items()},
        "width": ways["chosen"],
        "repeats": len(of_all),
        "faster_than_single": round(ms["single"] / ms["chosen"], 2),
        "chosen_slower_than_better": round(ms["chosen"] / min(ms["single"], ms["stack"]) - 1, 3),
        "loss_difference": max(float((losses[1] - losses[width][:ALONE]).abs().max()) for width in widths),
    }


def main(arguments: list[str] | None = None) -> int:
    """Print the table, say which bars hold, and write both if asked to."""
    parser = argparse.ArgumentParser(prog="python -m bench.stacking", description="Time stacks against single models.")
    parser.add_argument("--models", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 2, 4, 8, 16, 32, 64, 128])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--output", type=expanded)
    options = parser.parse_args(arguments)
    device = describe_device(options.device)
    rows = []
    print(device)
    for name in options.models:
        for batch in options.batches:
            rows.append(compare(name, batch, device=options.device))
            print(json.dumps(rows[-1]), flush=True)
    worst = lambda name: max(row[name] for row in rows)
    tiny = [row["faster_than_single"] for row in rows if row["batch"] <= 4]
    bars = {
        "never more than 10 % slower than the better way": worst("chosen_slower_than_better") <= LIMIT,
        "at least 6 times faster at batches of at most 4": all(times >= 6 for times in tiny),
        "losses agree to 1e-4": worst("loss_difference") <= 1e-4,
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
