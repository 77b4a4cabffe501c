"""What if some error is allowed? Every sample as one short random vector whose inner products are right on average.

    kappa(i, j) = <phi_i, phi_j> = E <S phi_i, S phi_j>

A random linear map S (``projections.py``) shortens a gradient of P numbers to about m; the kernel of n samples is then
one product (n, m)(m, n), at any P. The error of an entry is about ``|phi_i| |phi_j| / sqrt(m)`` times 1 to 3, for
small entries as for large ones: these come out well, and those near zero may lose their sign.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from lpntk.kernel.layerwise.capture import Call
from lpntk.kernel.layerwise.cover import cover
from lpntk.kernel.layerwise.coverage import TRIED, Direction
from lpntk.kernel.layerwise.gradients import trainable
from lpntk.kernel.model.ownership import UnexplainedError
from lpntk.kernel.projections import Dense, Kronecker, shares
from lpntk.machine.precision import tolerance
from lpntk.machine.products import product
from lpntk.machine.triangle import mirrored

Kind = Literal["kronecker", "gaussian", "rademacher"]

MIB = 2**20


@dataclass(frozen=True)
class Sketch:
    """How to shorten gradients.

    Attributes:
        size: numbers per sample, up to rounding by layer, and at least one for each layer.
        kind: ``kronecker`` goes layer by layer and projects inputs and output gradients wherever that is less work than
            projecting the weight's gradient; ``gaussian`` and ``rademacher`` multiply the joined gradient with one
            dense matrix, which is far more work.
        seed: of S. The same seed gives the same S on the same device.

    Raises:
        ValueError: if the size is below one, the kind unknown or the seed negative.
    """

    size: int
    kind: Kind = "kronecker"
    seed: int = 0

    def __post_init__(self):
        if self.size < 1:
            raise ValueError(f"a sketch needs at least one number per sample; got size={self.size}")
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}; got {self.kind!r}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative; got {self.seed}")


@dataclass
class Part:
    """Parameters that share a map: those of one call (``layer`` is sketched from it), or joined gradients."""

    names: list[str]
    place: slice
    map: Dense | Kronecker
    call: int | None = None  # of a Kronecker map


class SketchedGram:
    """Kernel engine: a block of samples is one (n, m) matrix S phi, a block of the kernel one matrix product.

    Each layer with a weight and positions of its own is a part, and so are all other parameters together. A part gets
    numbers in proportion to its mean squared gradient norm on the samples tried, see ``projections.shares``. A part
    whose gradient is no longer than that is kept exactly.

    Args:
        model: network in evaluation mode on its device; it is not changed.
        direction: maps (logits, y) to the vectors ``s``.
        x: (n, ...) samples to try the model on, on its device; a few are enough.
        y: (n,) labels of ``x``.
        sketch: size, kind and seed.
        memory: bytes that activations and gradients may take at a time, the features not counted.

    Raises:
        ValueError: if a sample has no gradient of its own in this model; the message names the cause.
    """

    def __init__(
        self,
        model: nn.Module,
        direction: Direction,
        x: Tensor,
        y: Tensor,
        *,
        sketch: Sketch,
        memory: int = 512 * MIB,
    ):
        self.model, self.direction = model, direction
        x, y, params = x[:TRIED], y[:TRIED], trainable(model)
        self._coverage = cover(model, x)
        self._like = next(iter(params.values())).new_empty(0)
        self._parts = self._make_parts(sketch, params, self._square_norms(x, y))
        self.width = self._parts[-1].place.stop
        self._chunk = self._chunk_size(memory, params)
        self._coverage.tensors = []

    @property
    def bytes_per_sample(self) -> int:
        """Bytes that ``features`` keeps per sample."""
        return self.width * self._like.element_size()

    def features(self, x: Tensor, y: Tensor) -> Tensor:
        """Return S phi of a block of samples, (n, width).

        Raises:
            ValueError: if the model takes another path than for the samples first tried.
            RuntimeError: if a layer's input is changed in place after it was read.
        """
        out = self._like.new_zeros(len(x), self.width)
        for rows, labels, inputs in zip(*(t.split(self._chunk) for t in (out, y, x)), strict=True):
            calls, s = self._coverage.run(self.model, self.direction, inputs, labels)
            whole = self._coverage.whole_gradients(self.model, inputs, s)
            for part in self._parts:
                columns = rows[:, part.place]
                if part.call is not None:
                    part.map.add(columns, self._coverage.read(part.call, calls[part.call], len(rows)))
                else:
                    for name in part.names:
                        part.map.add(columns, name, self._gradient(name, calls, whole, len(rows)))
        return out

    def gram(self, a: Tensor, b: Tensor, out: Tensor | None = None) -> Tensor:
        """Return the (n_a, n_b) block of inner products; it equals its transpose where ``a is b``."""
        found = product(a, b.T, out=out)
        return mirrored(found) if a is b else found

    def diagonal(self, a: Tensor) -> Tensor:
        """Return the (n_a,) squared norms."""
        return torch.linalg.vector_norm(a, dim=1).square()

    def check(self, a: Tensor, x: Tensor, y: Tensor) -> None:
        """Compare the logits of one sample of a block, the middle one, with those of this sample alone.

        The sketch of one sample would tell more, but draws all its random numbers again.

        Raises:
            UnexplainedError: if they differ: the model treats larger batches otherwise than the samples first tried.
        """
        batch = x[: self._chunk]
        i = len(batch) // 2
        with torch.no_grad():
            among, alone = self.model(batch)[i], self.model(batch[i : i + 1])[0]
        if not (among - alone).norm() <= tolerance(self.model, x.device) * alone.norm():
            raise UnexplainedError(
                f"a sample's logits have the norm {among.norm():.6g} within a batch of {len(batch)}, but "
                f"{alone.norm():.6g} alone: the model mixes samples in larger batches"
            )

    def _gradient(self, name: str, calls: list[Call], whole: dict[str, Tensor], n: int) -> Tensor:
        if name in whole:
            return whole[name]
        return sum(
            self._coverage.layers[i].gradients(self._coverage.read(i, calls[i], n), [key])[key].flatten(1)
            for i, key in self._coverage.uses[name]
        )

    def _square_norms(self, x: Tensor, y: Tensor) -> dict[str, float]:
        """Return the mean squared norm of every parameter's gradient, one sample at a time: it may be large."""
        total = dict.fromkeys([*self._coverage.uses, *self._coverage.whole], 0.0)
        for i in range(len(x)):
            one = slice(i, i + 1)
            calls, s = self._coverage.run(self.model, self.direction, x[one], y[one])
            whole = self._coverage.whole_gradients(self.model, x[one], s)
            for name in total:
                total[name] += float(self._gradient(name, calls, whole, 1).square().sum()) / len(x)
        return total

    def _make_parts(self, sketch: Sketch, params: dict[str, Tensor], norms: dict[str, float]) -> list[Part]:
        groups = self._coverage.patch_layers() if sketch.kind == "kronecker" else {}
        taken = {name for names in groups.values() for name in names}
        groups[None] = [name for name in params if name in norms and name not in taken]
        groups = {call: names for call, names in groups.items() if names}
        numels = [sum(params[name].numel() for name in names) for names in groups.values()]
        sizes = shares(sketch.size, numels, [sum(norms[name] for name in names) for names in groups.values()])
        parts, start = [], 0
        for i, ((call, names), numel, size) in enumerate(zip(groups.items(), numels, sizes, strict=True)):
            layer, seed = None if call is None else self._coverage.layers[call], (sketch.seed, i)
            if size < numel and layer is not None and Kronecker.pays(layer, size):
                chosen = Kronecker(layer, len(names) == 2, size, self._like, seed)
            else:
                distribution = "gaussian" if sketch.kind == "gaussian" else "rademacher"
                lengths = {name: params[name].numel() for name in names}
                chosen, call = Dense(lengths, None if size >= numel else size, distribution, seed), None
            parts.append(Part(names, slice(start, start + chosen.width), chosen, call))
            start += chosen.width
        return parts

    def _chunk_size(self, memory: int, params: dict[str, Tensor]) -> int:
        """Return samples per forward pass. Dense matrices are drawn once a pass, so passes are as large as may be."""
        coverage, item = self._coverage, self._like.element_size()
        passing = [part.map.numbers_in_passing() for part in self._parts if part.call is not None]
        joined = [name for part in self._parts if part.call is None for name in part.names]
        passing += [coverage.layers[i].numbers_in_passing() for name in joined for i, _ in coverage.uses.get(name, [])]
        whole = sum(params[name].numel() for name in coverage.whole)
        per_sample = 3 * coverage.bytes_in_passing() + item * (max(passing, default=0) + 2 * whole)
        return max(1, memory // max(1, per_sample))
