"""How do thousands of models get trained once? Stack by stack, each finished one kept, so that a killed run resumes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor, nn

from lpntk.keep.cache import Cache, digest
from lpntk.keep.keys import computed_key
from lpntk.learn.history import History
from lpntk.learn.models import build
from lpntk.learn.training import train
from lpntk.learn.widths import GIB, WIDTHS, choose_width
from lpntk.machine.device import resolve_device
from lpntk.machine.progress import progress_bar

VERSION = 2  # of train_many; see training.py


@dataclass(frozen=True)
class Network:
    """An architecture that a seed turns into a network.

    Attributes:
        name: as in ``lpntk.learn.models.build``.
        in_shape: (c, h, w).
        k: classes.
        options: of the architecture.
    """

    name: str
    in_shape: tuple[int, ...]
    k: int
    options: dict[str, object] = field(default_factory=dict)

    def __call__(self, seed: int) -> nn.Module:
        """Build it with this initialisation."""
        return build(self.name, self.in_shape, self.k, seed=seed, **self.options)


def train_many(
    network: Network,
    x: Tensor,
    y: Tensor,
    subsets: Tensor,
    *,
    seeds: Sequence[int],
    cache: Cache,
    test: tuple[Tensor, Tensor] | None = None,
    way: str | int = "auto",
    memory_budget: int = 2 * GIB,
    device: str | torch.device = "auto",
    progress: str | None = None,
    **training: object,
) -> History:
    """Train one network per subset, initialised and ordered by its seed, and return their joined history.

    Every finished stack is an artefact of the cache. Diverged models are marked, whatever their number.

    Args:
        network: what to build from each seed.
        x: (n, ...) inputs.
        y: (n,) labels.
        subsets: (m, size) indices into x.
        seeds: m seeds.
        cache: where finished blocks are kept.
        test: (x, y) to record each model's accuracy on after each epoch.
        way: as in ``train``; at most 64 models share a stack.
        memory_budget: bytes that a stack may take.
        device: as in ``train``.
        progress: words for the progress bar.
        **training: passed to ``train``: epochs, lr, batch_size, ... but for what an artefact does not
            hold.

    Raises:
        ValueError: if checkpoints are asked for, or as ``train`` does.
    """
    if unknown := {"checkpoints", "on_divergence"} & set(training):
        raise ValueError(f"train_many does not know {', '.join(sorted(unknown))}; call lpntk.train")
    if not len(seeds) == len(subsets):
        raise ValueError(f"every subset needs its seed; got {len(subsets)} subsets and {len(seeds)} seeds")
    m, size = subsets.shape
    on = resolve_device(device)
    key = computed_key(train, build, device=on, network=asdict(network), data=[digest(x), digest(y)],
                       training=training, **({"test": [digest(t) for t in test]} if test else {}))  # fmt: skip

    batch = min(int(training.get("batch_size", 128)), size)
    width = choose_width(network(0).to(on), x[:1].to(on), batch, way=way, memory_budget=memory_budget)
    width = min(width, WIDTHS[-1], m)  # a stack that is too wide would be lost whole when killed
    parts = []
    with progress_bar(m, shown=progress is not None and width < m, desc=progress, leave=False) as bar:
        for start in range(0, m, width):
            part = slice(start, start + width)

            def run(part: slice = part) -> dict[str, Tensor]:
                models = [network(int(seed)) for seed in seeds[part]]
                return train(models, x, y, subsets[part], seeds=seeds[part], way=width, memory_budget=memory_budget,
                             test=test, device=device, progress=progress if width >= m else None, on_divergence="mark",
                             **training).tensors()  # fmt: skip

            decided = {**key, "subsets": digest(subsets[part]), "seeds": list(map(int, seeds[part]))}
            parts.append(History(**cache.artefact("history", decided, run)))
            bar.update(len(parts[-1].diverged))
    return History.join(parts)
