"""How do thousands of models get trained once? Stack by stack, each finished one kept, so that a killed run resumes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor, nn

from lpntk.cache import Cache, digest, module_hash
from lpntk.device import resolve_device
from lpntk.history import History
from lpntk.models import build
from lpntk.training import train
from lpntk.tuning import choose_width

BLOCK = 256  # models built, trained and stored together, at most


@dataclass(frozen=True)
class Network:
    """An architecture that a seed turns into a network.

    Attributes:
        name: as in ``lpntk.models.build``.
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
    block: int = BLOCK,
    device: str | torch.device = "auto",
    progress: str | None = None,
    **training: object,
) -> History:
    """Train one network per subset, initialised and ordered by its seed, and return their joined history.

    Every block of models is an artefact of the cache. The width of the stacks is timed once and kept with them, so that
    a resumed run computes what an unbroken one would.

    Args:
        network: what to build from each seed.
        x: (n, ...) inputs.
        y: (n,) labels.
        subsets: (m, size) indices into x.
        seeds: m seeds.
        cache: where finished blocks are kept.
        block: models per artefact.
        device: as in ``train``.
        progress: words for the progress bars.
        **training: passed to ``lpntk.training.train``: epochs, lr, batch_size, ...
    """
    m, size = subsets.shape
    on = resolve_device(device)
    key = {
        "network": asdict(network),
        "data": [digest(x), digest(y)],
        "training": training,
        "block": block,
        "device": on.type,
        "source": module_hash("training", "models"),
    }

    def timed() -> dict[str, Tensor]:
        models = [network(int(seed)).to(on) for seed in seeds[:64]]
        batch = min(int(training.get("batch_size", 128)), size)
        steps = int(training["epochs"]) * -(-size // batch) * max(1, m // len(models))
        return {"width": torch.tensor(choose_width(models, x.to(on), y.to(on), batch, steps=steps))}

    plan = {**key, "size": size, "many": min(m, 64)}
    width = int(cache.artefact("width", plan, timed)["width"])
    parts = []
    for start in range(0, m, block):
        part = slice(start, start + block)

        def run(part: slice = part) -> dict[str, Tensor]:
            models = [network(int(seed)) for seed in seeds[part]]
            words = f"{progress} [{part.start}:{min(part.stop, m)} of {m}]" if progress else None
            return train(models, x, y, subsets[part], seeds=seeds[part], way=width, device=device, progress=words,
                         on_divergence="mark", **training).tensors()  # fmt: skip

        decided = {**key, "width": width, "subsets": digest(subsets[part]), "seeds": list(map(int, seeds[part]))}
        parts.append(History(**cache.artefact("history", decided, run)))
    return History.join(parts)
