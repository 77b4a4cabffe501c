"""Where does our time go? Seconds by kind of work and by layer, and how near each comes to the peak of a product.

The engine's methods are watched from outside. A moment belongs to the innermost of them; what happens in a trial or in
a check belongs to that, whatever it calls.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps

import torch
from torch import nn

from bench.problem import Problem
from bench.variants import ours
from lpntk.kernel.layerwise.coverage import Coverage
from lpntk.kernel.layerwise.forms import dispatch  # noqa: F401 (knows every layer)
from lpntk.kernel.layerwise.forms.formed import Formed
from lpntk.kernel.layerwise.forms.pairs import Pairs
from lpntk.kernel.layerwise.gram import LayerwiseGram
from lpntk.kernel.layerwise.layers import Layer
from lpntk.machine.precision import exact

Key = tuple[str, str | None]  # kind of work, layer


@dataclass(frozen=True)
class Probe:
    """A method that is watched, in a class and in those that inherit from it.

    Args:
        owner: the class.
        method: its name.
        work: what it does.
        layer: the layer that a call is for, from the object; None if for all.
        absorbs: whether what it calls counts as its own.
    """

    owner: type
    method: str
    work: str
    layer: Callable[[object], Layer] | None = None
    absorbs: bool = False


TRIAL, PASSES, GRADIENTS, PACKING, COPIES = "trial", "passes", "gradients", "packing", "copies"
PAIRS, FORMED, JOINED, CHECKS, WHOLE, REST = "pairs", "formed", "joined product", "checks", "whole model", "rest"
ORDER = (TRIAL, PASSES, GRADIENTS, PACKING, WHOLE, COPIES, PAIRS, FORMED, JOINED, CHECKS, REST)
PROBES = (
    Probe(LayerwiseGram, "__init__", TRIAL, absorbs=True),
    Probe(LayerwiseGram, "check", CHECKS, absorbs=True),
    Probe(LayerwiseGram, "features", COPIES),  # but for what follows
    Probe(Coverage, "run", PASSES),
    Probe(Coverage, "whole_gradients", WHOLE),
    Probe(Layer, "gradients", GRADIENTS, layer=lambda layer: layer),
    Probe(Layer, "packed", PACKING, layer=lambda layer: layer),
    Probe(LayerwiseGram, "gram", JOINED),  # but for what follows
    Probe(Pairs, "add_to", PAIRS, layer=lambda pairs: pairs.layer),
    Probe(Formed, "add_to", FORMED, layer=lambda formed: formed.layer),
)


class Clock:
    """Seconds by kind of work and layer; ``engine`` is the one that was made last."""

    def __init__(self, device: torch.device):
        self.seconds: dict[Key, float] = defaultdict(float)
        self.device, self.engine = device, None
        self._open: list[tuple[Key, bool]] = []
        self._since = 0.0

    @contextmanager
    def running(self, key: Key, absorbs: bool = False) -> Iterator[None]:
        """Charge what follows to ``key``, unless something inside is watched, too."""
        self._charge()
        self._open.append((key, absorbs))
        try:
            yield
        finally:
            self._charge()
            self._open.pop()

    def _charge(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        if self._open:
            key = next((key for key, absorbs in self._open if absorbs), self._open[-1][0])
            self.seconds[key] += now - self._since
        self._since = now


@contextmanager
def watched(clock: Clock) -> Iterator[None]:
    """Let a clock see what the engine does, and leave its classes as they were."""
    before = []
    try:
        for probe in PROBES:
            for owner in _family(probe.owner):
                if probe.method in vars(owner):
                    before.append((owner, probe.method, vars(owner)[probe.method]))
                    setattr(owner, probe.method, _timed(clock, probe, before[-1][2]))
        yield
    finally:
        for owner, name, method in reversed(before):
            setattr(owner, name, method)


def _family(owner: type) -> set[type]:
    return {owner}.union(*map(_family, owner.__subclasses__()))


def _timed(clock: Clock, probe: Probe, method: Callable) -> Callable:
    @wraps(method)
    def inside(self: object, *args: object, **options: object) -> object:
        if isinstance(self, LayerwiseGram):
            clock.engine = self
        layer = None if probe.layer is None else _name(clock, probe.layer(self).module)
        with clock.running((probe.work, layer), probe.absorbs):
            return method(self, *args, **options)

    return inside


def _name(clock: Clock, module: nn.Module) -> str:
    named = clock.engine.model.named_modules() if hasattr(clock.engine, "model") else ()
    return next((name for name, found in named if found is module), type(module).__name__)


def profile(problem: Problem, *, threads: int, peak: float, repeats: int = 1) -> dict:
    """Run ours and return where its time went, of the fastest of several runs.

    Args:
        problem: network and samples.
        threads: of torch, as they are set.
        peak: FLOP/s of the machine's matrix product.
        repeats: runs.

    Returns:
        ``network``, ``n``, ``threads``, ``seconds`` and ``rows``: for each kind of ``work`` (``layer`` None), and for
        each layer of those that are taken layer by layer, ``seconds``, ``flops`` that the plan says are needed (None if
        it says nothing) and ``share_of_peak``.
    """
    clocks = []
    for _ in range(repeats):
        clocks.append(Clock(problem.device))
        with watched(clocks[-1]), clocks[-1].running((REST, None)):
            exact(ours)(problem)
    clock = min(clocks, key=lambda clock: sum(clock.seconds.values()))
    needed = _needed(clock.engine, problem.n)
    totals: dict[Key, float] = defaultdict(float)
    for (work, _), seconds in clock.seconds.items():
        totals[work, None] += seconds
    rows = []
    for work in ORDER:
        layers = [key for key in clock.seconds if key[0] == work and key[1] is not None]
        for key in ([(work, None)] if (work, None) in totals else []) + layers:
            seconds, flops = {**clock.seconds, **totals}[key], needed.get(key)
            share = None if flops is None else flops / seconds / peak
            rows.append({"work": work, "layer": key[1], "seconds": seconds, "flops": flops, "share_of_peak": share})
    told = {"network": problem.network, "n": problem.n, "threads": threads}
    return {**told, "seconds": sum(clock.seconds.values()), "rows": rows}


def _needed(engine: LayerwiseGram, n: int) -> dict[Key, float]:
    """Return the operations of the plan by kind of work and layer, for one triangle of n samples."""
    needed: dict[Key, float] = defaultdict(float)
    for row in engine.plan():
        work = {"gradient": JOINED, "whole": JOINED, "formed": FORMED}.get(row.form, PAIRS)
        formed = FORMED if work == FORMED else GRADIENTS  # where gradients are made
        for key in {(work, None), (work, None if work == JOINED else row.layer)}:
            needed[key] += n * (n + 1) * row.macs_per_pair
        for key in ((formed, None), (formed, row.layer)) if row.macs_per_sample else ():
            needed[key] += 2 * n * row.macs_per_sample
    known = sum(flops for (_, layer), flops in needed.items() if layer is None)
    needed[PASSES, None] = engine.flops(n) - known
    return dict(needed)


def listing(found: dict, layers: bool = True) -> str:
    """Return a profile as aligned lines, those of layers below their kind of work.

    Args:
        found: what ``profile`` returned.
        layers: whether to show them.
    """
    title = f"ours on {found['network']}, n = {found['n']}, {found['threads']} threads: {found['seconds']:.3g} s"
    lines = [(title, "seconds", "of all", "GFLOP", "peak")]
    for row in found["rows"]:
        if row["layer"] is None or layers:
            name = f"  {row['work']}" if row["layer"] is None else f"    {row['layer']}"
            some = row["flops"] is not None
            cells = (f"{row['seconds']:.3g}", f"{row['seconds'] / found['seconds']:.0%}")
            lines.append(
                (name, *cells, *((f"{row['flops'] / 1e9:.4g}", f"{row['share_of_peak']:.0%}") if some else "--"))
            )
    widths = [max(len(line[i]) for line in lines) for i in range(5)]
    show = lambda line: "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]).rstrip()
    return "\n".join(map(show, lines))
