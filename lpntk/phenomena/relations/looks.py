"""How can one network's kernel be taken? With other signs or outputs, with dropout at work; and what does it count?"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from lpntk.data.dataset import Dataset
from lpntk.keep.cache import Cache, digest
from lpntk.keep.keys import computed_key
from lpntk.kernel.matrix import kernel_matrix
from lpntk.kernel.signs import SIGNS
from lpntk.phenomena.relations.readings import count
from lpntk.phenomena.relations.suspects import Training

LOOKS = (*SIGNS, "log-softmax", "rounded", "others", "one-mask", "mask-per-sample", "mask-per-use")
"""Signs by their names, outputs kept as they are; ``log-softmax``: label signs of log probabilities; ``rounded``: the
signs of ``e_y - softmax(z)`` as float32 has it, 0 where that is 0; ``others``: ``e_y - 1``, what these are once every
``q_y`` is rounded to 1; dropout at work, label signs: ``one-mask`` for all, ``mask-per-sample``, and ``mask-per-use``:
another one where the sample is a column."""


class Brought(nn.Module):
    """A chain of layers whose inputs bring constants along: factors of its dropout layers, then one for each logit.

    Args:
        chain: a ``Sequential`` in evaluation mode.
        x: (1, ...) an input.
    """

    def __init__(self, chain: nn.Sequential, x: Tensor):
        super().__init__()
        self.layers, self.shapes = nn.ModuleList(chain).eval(), [x.shape[1:]]
        with torch.no_grad():
            for layer in self.layers:
                x = layer(x)
                if isinstance(layer, nn.Dropout):
                    self.shapes.append(x.shape[1:])
        self.shapes.append(x.shape[1:])

    def bring(self, x: Tensor, factors: Tensor | None, masks: int, generator: torch.Generator) -> Tensor:
        """Return inputs (n, everything): samples, masks of dropout, factors.

        Args:
            x: (n, ...) samples.
            factors: (n, k) of the logits; 1 if None.
            masks: how many are drawn of each layer: none (dropout does nothing), 1 for all samples, or n.
            generator: draws them.
        """
        n, parts = len(x), [x.flatten(1)]
        for layer, shape in zip(self._dropouts(), self.shapes[1:-1], strict=True):
            kept = torch.rand(masks, *shape, generator=generator) >= layer.p if masks else torch.ones(1, *shape)
            parts.append((kept.flatten(1) / (1 - layer.p if masks else 1)).expand(n, -1))
        return torch.cat([*parts, torch.ones(n, *self.shapes[-1]) if factors is None else factors], dim=1)

    def forward(self, brought: Tensor) -> Tensor:
        """Map (n, everything) to (n, k)."""
        x, *masks, factors = brought.split([shape.numel() for shape in self.shapes], dim=1)
        x, shaped = x.unflatten(1, self.shapes[0]), zip(masks, self.shapes[1:], strict=False)
        for layer in self.layers:
            if isinstance(layer, nn.Dropout):
                mask, shape = next(shaped)
                x = x * mask.unflatten(1, shape)
            else:
                x = layer(x)
        return x * factors

    def _dropouts(self) -> Iterator[nn.Dropout]:
        return (layer for layer in self.layers if isinstance(layer, nn.Dropout))


def look(model: nn.Sequential, x: Tensor, y: Tensor, how: str, among: tuple[Tensor, Tensor] | None = None,
         seed: int = 0, device: str = "auto") -> Tensor:  # fmt: skip
    """Return the kernel of samples (m, ...) with labels (m,) and others among which they are, in one of the ``LOOKS``.

    Args:
        model: in evaluation mode.
        x: samples of the rows.
        y: their labels.
        how: one of the ``LOOKS``.
        among: samples (n, ...) and labels (n,) of the columns, those of the rows by default.
        seed: draws masks.
        device: as in ``kernel_matrix``.

    Raises:
        ValueError: if there is no such look, or masks are asked for among others.
    """
    if how not in LOOKS:
        raise ValueError(f"a look is one of {', '.join(LOOKS)}; got {how!r}")
    if how in SIGNS:
        return kernel_matrix(model, x, y, *(among or ()), signs=how, device=device)
    if how == "log-softmax":
        return kernel_matrix(nn.Sequential(*model, nn.LogSoftmax(1)).eval(), x, y, *(among or ()), device=device)
    brought, generator = Brought(model, x[:1]).eval(), torch.Generator().manual_seed(seed)
    if how in ("rounded", "others"):
        signed = lambda a, b: (brought.bring(a, rounded_signs(model, a, b, how == "others"), 0, generator), b)
        return kernel_matrix(brought, *signed(x, y), *(signed(*among) if among else ()), signs="ones", device=device)
    if among is not None:
        raise ValueError(f"{how} draws masks of one kernel's own samples; leave among out")
    once, again = (brought.bring(x, None, 1 if how == "one-mask" else len(x), generator) for _ in range(2))
    return kernel_matrix(brought, once, y, *((again, y) if how == "mask-per-use" else ()), device=device)


@torch.no_grad()
def rounded_signs(model: nn.Module, x: Tensor, y: Tensor, every: bool = False) -> Tensor:
    """Return the signs of e_y - softmax(z), (n, k), as plain float32 arithmetic finds them: 0 where it finds 0.

    Where q_y is rounded to 1 that is e_y - 1 but for others so small that they are 0 themselves; with ``every`` it is
    e_y - 1 of all samples.
    """
    q = torch.cat([model(part).softmax(1) for part in x.split(1024)])
    onehot = one_hot(y, q.shape[1])
    return onehot - 1.0 if every else (onehot - q).sign()


def counted(
    model: nn.Sequential, data: Dataset, training: Training, how: str, own: Tensor, among: Tensor, marks: list[int],
    *, seed: int, cache: Cache, device: str = "auto", columns: int = 6000,
) -> dict[str, int]:  # fmt: skip
    """Take the kernel of some samples with others and count in it, see ``readings.count``; what was counted is kept.

    Args:
        model: the network, in evaluation mode.
        data: whose training samples these are.
        training: tells what the network's inputs are.
        how: one of the ``LOOKS``; one without masks if the columns are not the rows.
        own: (m,) numbers of the samples of the rows.
        among: (n,) those of the columns, in an order drawn at random.
        marks: see ``readings.count``.
        seed: draws masks.
        cache: keeps the counts.
        device: as in ``kernel_matrix``.
        columns: how many are taken at a time.

    Raises:
        ValueError: if a sample is not among those it is compared with.
    """
    if not torch.isin(own, among).all():
        raise ValueError("every sample of the rows must be among the columns; draw fewer rows or more columns")
    x, y = training.inputs(data, data.x_train[own]), data.y_train

    def make() -> dict[str, Tensor]:
        if own.equal(among):
            blocks = iter([look(model, x, y[own], how, None, seed, device)])
        else:
            blocks = (look(model, x, y[own], how, (training.inputs(data, data.x_train[part]), y[part]), seed, device)
                      for part in among.split(columns))  # fmt: skip
        counts = count(blocks, own, among, y, marks, data.k)
        counts["saturated"] = int((rounded_signs(model, x, y[own]).gather(1, y[own, None]) == 0).sum())
        return {name: torch.tensor(value) for name, value in counts.items()}

    state = [digest(value) for value in model.state_dict().values()]
    key = computed_key(look, count, Brought, device=device, network=repr(model), state=state, how=how, marks=marks,
                       seed=seed, data=[digest(t) for t in (x, y, data.x_train, own, among)])  # fmt: skip
    return {name: int(value) for name, value in cache.artefact("look", key, make).items()}


def read(counts: Mapping[str, int]) -> dict[str, float]:
    """Return shares and ratios of ``counted``: ``ratio`` among all columns, ``kin_ratio`` among those of one label."""
    over = lambda own: own / max(counts["rows"] - own, 1)
    marks = [int(name.partition(".")[2]) for name in counts if name.startswith("own.")]
    shares = {name: counts[name] / max(counts["pairs"], 1) for name in ("negative", "small")}
    return {"n": max(marks), **shares, "kin_negative": counts["kin_negative"] / max(counts["kin"], 1),
            "ratio": over(counts[f"own.{max(marks)}"]), "kin_ratio": over(counts["own_kin"]),
            "saturated": counts["saturated"] / counts["rows"],
            "negative_pairs": counts["negative"], "pairs": counts["pairs"]}  # fmt: skip


def by_rivals(counts: Mapping[str, int]) -> dict[int, float]:
    """Return the share of rows most similar to themselves by the number of columns, from ``counted``."""
    own = {int(name.partition(".")[2]): value for name, value in counts.items() if name.startswith("own.")}
    return {mark: value / counts["rows"] for mark, value in sorted(own.items())}
