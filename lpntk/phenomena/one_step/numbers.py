"""What may a page quote of the steps? Numbers with their keys, rows of its tables, what its panels show."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from lpntk.phenomena.one_step.study import Kind, Study
from lpntk.phenomena.one_step.summary import READINGS, Along, Sweep, moments, overall, seed_spread, spread


def accuracies(study: Study, seeds: Sequence[int]) -> dict[str, float]:
    """Return the accuracy on the whole test set at the first, middle and last epoch, mean over seeds."""
    return {
        moment: float(torch.stack([study.states(seed)[f"{epoch}/accuracy"] for seed in seeds]).mean())
        for moment, epoch in moments(study.epochs).items()
    }


def scatters(study: Study, seed: int, kinds: Sequence[Kind]) -> list[tuple[str, Tensor, Tensor]]:
    """Return, by kind and by epoch (first, middle, last), a title, and the predicted and true change of one step."""
    return [
        (f"{kind.words}, epoch {epoch}", *study.shown(seed, epoch, kind))
        for kind in kinds
        for epoch in moments(study.epochs).values()
    ]


def numbers(along: Along) -> Iterator[tuple[str, float]]:
    """Yield what a page may quote of one kind of step, with its key."""
    name = along.kind.name
    values = {f"{r}.{f}": along.of(r, f) for r in READINGS for f in along.forces}
    values |= {r: along.of(r) for r in ("relative", "relative_logits", "common", "vectors", "size")}
    for reading, value in values.items():
        for moment, epoch in moments(along.epochs).items():
            i = along.epochs.index(epoch)
            yield f"{name}.{reading}.{moment}", float(overall(value)[i])
            yield f"{name}.{reading}.{moment}.sd", float(spread(value)[i])
            yield f"{name}.{reading}.{moment}.seed_sd", float(seed_spread(value)[i])
    yield f"{name}.steps", along.of("size")[0].numel()
    yield f"{name}.unreadable", int(along.of("relative").isnan().sum())
    for force in along.forces[1:]:
        yield f"{name}.kept.{force}.cosine", along.kept(force, "cosine")
        yield f"{name}.kept.{force}.rank", along.kept(force, "rank")
        yield f"{name}.needed.{force}", along.verdict(force)


def slope_numbers(found: Sweep) -> Iterator[tuple[str, float]]:
    """Yield the slopes at the first, middle and last epoch: means and spreads over steps, and how many were fitted."""
    slopes = {name: found.slopes(name) for name in ("error", "rms", "logits")} | {"smooth": found.smooth_slopes()}
    for i, moment in enumerate(moments(found.epochs)):
        for name, value in slopes.items():
            finite = value[i][value[i].isfinite()]
            yield f"slope.{name}.{moment}", float(finite.mean())
            yield f"slope.{name}.{moment}.sd", float(spread(finite[None])[0])
            yield f"slope.{name}.{moment}.steps", len(finite)
        yield f"slope.{moment}.points", float(found.fitted[i].double().sum(dim=1).mean())
        fitted = found.fitted[i]
        yield f"kinked.{moment}", float(found.told["kinked"][i][fitted].mean())
    yield "slope.steps", slopes["error"].shape[1]


def rows(along: Along, reading: str) -> list[dict[str, object]]:
    """Return one row for each epoch, for every force: mean ± standard deviation over all steps (that over seeds)."""
    table = []
    for i, epoch in enumerate(along.epochs):
        row = {"epoch": epoch, "mean error": f"{float(overall(along.of('size'))[i]):.2g}"}
        for force in along.forces:
            value = along.of(reading, force)
            sd, seed_sd = float(spread(value)[i]), float(seed_spread(value)[i])
            row[force] = f"{float(overall(value)[i]):.2f} ± {sd:.2f} ({seed_sd:.2f})"
        table.append(row)
    return table


def verdicts(kinds: Sequence[Along]) -> list[dict[str, object]]:
    """Return one row for each kind of step and substitute: the least it keeps over epochs, and the verdict."""
    return [
        {
            "step": along.kind.words,
            "told from": force,
            "direction kept": along.kept(force, "cosine"),
            "order kept": along.kept(force, "rank"),
            "what it leaves away is needed": along.verdict(force),
        }
        for along in kinds
        for force in along.forces[1:]
    ]


def at_moments(told: Mapping[str, float], keys: Mapping[str, str], spec: str) -> list[dict[str, str]]:
    """Return rows of recorded numbers at the first, middle and last epoch, with standard deviations if they are known.

    Args:
        told: what was recorded, by key.
        keys: words of a row -> key without the moment.
        spec: how to write a number, such as ``.1%``.
    """
    table = []
    for words, key in keys.items():
        row = {"measured": words}
        for moment in ("first", "middle", "last"):
            spreads = {" ± {}": told.get(f"{key}.{moment}.sd"), " ({})": told.get(f"{key}.{moment}.seed_sd")}
            row[f"{moment} epoch"] = format(float(told[f"{key}.{moment}"]), spec) + "".join(
                words.format(format(float(sd), spec)) for words, sd in spreads.items() if sd is not None
            )
        table.append(row)
    return table
