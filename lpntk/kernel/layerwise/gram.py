"""How do gradients of samples multiply without being formed? Layer by layer, from inputs and output gradients.

    kappa(i, j) = sum_layers <grad_layer s_i^T z_i, grad_layer s_j^T z_j>

One forward and one backward pass per batch give every layer's inputs a and output gradients d. Small weights get their
per-sample gradients, all joined into one matrix and one product; large ones are taken pair by pair (``pairs.py``): a
linear layer's share is ``(a . a') (d . d')``.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from lpntk.kernel.layerwise.agreement import check_agreement
from lpntk.kernel.layerwise.capture import record
from lpntk.kernel.layerwise.cover import cover
from lpntk.kernel.layerwise.coverage import TRIED, Direction
from lpntk.kernel.layerwise.gradients import trainable
from lpntk.kernel.layerwise.layers import Layer
from lpntk.kernel.layerwise.plan import Form, Row, make_plan
from lpntk.kernel.model.ownership import weights_at_random
from lpntk.machine.device import empty, fetched, keep_freed_memory
from lpntk.machine.precision import kernel_dtype
from lpntk.machine.products import product

MIB = 2**20
STRIPS = 16  # of a symmetric matrix; each starts at the diagonal, so 1/32 of the work is done twice
SMALLEST_CHUNK = 16  # samples in a forward pass, where memory allows
CHECKED = 64  # one sample in so many is computed again
SMALLEST_STRIP = 128  # rows: thinner matrix products lose more than the triangle saves


def mirrored(kappa: Tensor) -> Tensor:
    """Write the upper triangle of a square matrix over the lower one: twice computed is not twice rounded alike."""
    n = len(kappa)
    for start in range(0, n, SMALLEST_STRIP):
        stop = min(start + SMALLEST_STRIP, n)
        kappa[stop:, start:stop] = kappa[start:stop, stop:].T
        block = kappa[start:stop, start:stop]
        block.copy_(block.triu() + block.triu(1).T)
    return kappa


@dataclass
class Features:
    """A block of samples: joined gradients, and inputs and output gradients of the layers taken pair by pair."""

    rows: Tensor  # (n, width)
    packed: list[tuple[Tensor, Tensor]]  # (n, positions, c) and (n, t, k)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, part: slice) -> "Features":
        return Features(self.rows[part], [(x[part], d[part]) for x, d in self.packed])


class LayerwiseGram:
    """Kernel engine: exact inner products of per-sample gradients, layer by layer.

    Args:
        model: network in evaluation mode on its device; it is not changed.
        direction: maps (logits, y) to the vectors ``s``.
        x: (n, ...) samples to try the model on, on its device. A few are enough: they show which layers run, in which
            shapes, and whether what the layers record explains autograd's gradients.
        y: (n,) labels of ``x``.
        samples: how many samples each will meet, over which the cost of its gradients is spread.
        memory: bytes that activations, patches and tiles may take at a time, the features not counted.
        form: take this form for every layer that has it instead of the cheapest.
        rounded: multiply numbers rounded to bfloat16 in the Gram matrix; gradients are made in full precision.

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
        samples: int = 1024,
        memory: int = 512 * MIB,
        form: Form | None = None,
        rounded: bool = False,
    ):
        self.model, self.direction, self._rounded = model, direction, False
        keep_freed_memory(x.device)
        x, y, params = x[:TRIED], y[:TRIED], trainable(model)
        self._first = x[:1], y[:1]
        self._coverage = cover(model, x)
        self._plan = make_plan(self._coverage, params, samples, form)
        tensors, layers = self._coverage.tensors, self._coverage.layers
        self._like = torch.empty(0, self._plan.width, dtype=kernel_dtype(params.values()), device=x.device)
        self._like_packed = []
        for i in self._plan.pairs:
            layers[i].dtype = self._like.dtype
            packed = [t[:0].clone() for t in layers[i].packed(tensors[i])]
            self._like_packed.append(tuple(t.to(self._like.dtype) if t.is_floating_point() else t for t in packed))
        tile, activations = (8 * torch.get_num_threads(), 64) if x.device.type == "cpu" else (256, 2048)  # MiB
        self.scratch_bytes = min(tile * MIB, memory // 4)
        self._chunk = self._chunk_size(activations * MIB, memory // 2)
        self._compare(self.features(x, y), x, y)  # in full precision
        self._rounded = rounded
        self._coverage.tensors = []

    def plan(self) -> list[Row]:
        """Return what each layer costs and in which form it is taken."""
        return self._plan.rows

    def flops(self, n: int, n2: int | None = None) -> int:
        """Return floating-point operations of a kernel (n, n2), or of one triangle of a symmetric one (n, n).

        Forward and backward pass, gradients and Gram matrix; every sample's features are counted once.
        """
        from torch.utils.flop_counter import FlopCounterMode  # takes seconds to import

        with FlopCounterMode(display=False) as counter:
            record(self.model, self._coverage.modules, self._first[0], lambda z: self.direction(z, self._first[1]))
        passes = counter.get_total_flops() * (2 if self._coverage.whole else 1)
        pairs, samples = (n * (n + 1) // 2, n) if n2 is None else (n * n2, n + n2)
        per_pair = sum(row.macs_per_pair for row in self.plan())
        per_sample = sum(row.macs_per_sample for row in self.plan())
        return 2 * (pairs * per_pair + samples * per_sample) + samples * passes

    @property
    def bytes_per_sample(self) -> int:
        """Bytes that ``features`` keeps per sample."""
        kept = [self._like, *(t for pair in self._like_packed for t in pair)]
        return max(1, sum(t.element_size() * t.shape[1:].numel() for t in kept))

    def features(self, x: Tensor, y: Tensor) -> Features:
        """Return what the Gram matrix needs of a block of samples.

        Args:
            x: (n, ...) inputs.
            y: (n,) labels.

        Raises:
            ValueError: if the model takes another path or other shapes than for the samples first tried.
            RuntimeError: if a layer's input is changed in place after it was read.
        """
        room = lambda like: empty(len(x), like)
        block = Features(room(self._like), [(room(a), room(d)) for a, d in self._like_packed])
        for start in range(0, len(x), self._chunk):
            part = slice(start, start + self._chunk)
            self._fill(block[part], x[part], y[part])
        return block

    def gram(self, a: Features, b: Features, out: Tensor | None = None) -> Tensor:
        """Return the inner products of two blocks, (n_a, n_b); one triangle is computed where ``a is b``.

        Args:
            a: features of the rows.
            b: features of the columns.
            out: (n_a, n_b) tensor to write to.

        Returns:
            The block; where ``a is b`` it equals its transpose to the last bit.
        """
        out = self._like.new_empty(len(a), len(b)) if out is None else out
        if a is not b:
            return self._write(out, a, b)
        step = max(SMALLEST_STRIP, -(-len(a) // STRIPS))
        edges = [*range(0, len(a), step), len(a)]
        for start, stop in pairwise(edges):
            self._write(out[start:stop, start:], a[start:stop], a[start:])
        return mirrored(out)

    def diagonal(self, a: Features) -> Tensor:
        """Return the (n_a,) squared norms."""
        total = torch.linalg.vector_norm(a.rows, dim=1).square()
        for pairs, packed in zip(self._plan.pairs.values(), a.packed, strict=True):
            total += pairs.diagonal(packed, self.scratch_bytes)
        return total

    def check(self, a: Features, x: Tensor, y: Tensor) -> None:
        """Compare some gradients of a block, one in ``CHECKED``, combined at random, with autograd's of these alone.

        Args:
            a: features of the samples.
            x: (n, ...) the samples.
            y: (n,) their labels.

        Raises:
            UnexplainedError: if they differ: the model treats larger batches otherwise than the few samples first
                tried, or its layers do not see the same rows of every sample.
        """
        count = min(-(-len(x) // CHECKED), self._chunk)
        chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(0), device="cpu")[:count].sort().values
        chosen = chosen.to(x.device)
        self._compare(a[chosen], x[chosen], y[chosen])

    def _compare(self, a: Features, x: Tensor, y: Tensor) -> None:
        """Compare a random combination of gradients with autograd's, parameter by parameter, from end to end."""
        e = weights_at_random(len(x)).to(a.rows)
        told = {(name,): (e.new_zeros(()), e.new_zeros(())) for name in trainable(self.model)}
        for columns in self._plan.columns:
            rows = a.rows[:, columns.place]
            told[columns.name,] = (e @ rows).square().sum(), rows.norm(dim=1).sum()
        served = self._coverage.patch_layers()
        for (i, pairs), packed in zip(self._plan.pairs.items(), a.packed, strict=True):
            share = a.rows.new_zeros(len(x), len(x))
            pairs.add_to(share, packed, packed, self.scratch_bytes, rounded=self._rounded)
            for name in served[i]:
                del told[name,]
            told[tuple(served[i])] = e @ share @ e, share.diagonal().clamp_min(0).sqrt().sum()
        squares, sums = fetched(t for t, _ in told.values()), fetched(t for _, t in told.values())
        told = {names: (got, total**2) for names, got, total in zip(told, squares, sums, strict=True)}
        check_agreement(self.model, self.direction, x, y, e, told, rounded=self._rounded)

    def _write(self, out: Tensor, a: Features, b: Features) -> Tensor:
        product(a.rows, b.rows.T, rounded=self._rounded, out=out)
        for pairs, rows, columns in zip(self._plan.pairs.values(), a.packed, b.packed, strict=True):
            pairs.add_to(out, rows, columns, self.scratch_bytes, rounded=self._rounded)
        return out

    def _fill(self, block: Features, x: Tensor, y: Tensor) -> None:
        calls, s = self._coverage.run(self.model, self.direction, x, y)
        packed = dict(zip(self._plan.pairs, block.packed, strict=True))
        for i, layer in enumerate(self._coverage.layers):
            if layer is not None:
                tensors = self._coverage.read(i, calls[i], len(x))
                for kept, found in zip(packed.get(i, ()), layer.packed(tensors) if i in packed else (), strict=True):
                    kept.copy_(found)
                self._add_gradients(block.rows, i, layer, tensors)
            calls[i] = None  # its memory may go
        whole = self._coverage.whole_gradients(self.model, x, s)
        for columns in self._plan.columns:
            if columns.name in whole:
                block.rows[:, columns.place] = whole[columns.name]

    def _add_gradients(self, rows: Tensor, call: int, layer: Layer, tensors: tuple[Tensor, ...]) -> None:
        wanted = [(columns, key) for columns in self._plan.columns for i, key in columns.uses if i == call]
        step = max(1, self.scratch_bytes // (layer.numbers_in_passing() * rows.element_size()))
        fits = all(t.dtype == rows.dtype for t in tensors if t.is_floating_point())
        alone = [(columns, key) for columns, key in wanted if fits and len(columns.uses) == 1]
        for start in range(0, len(rows), step) if wanted else ():
            part = slice(start, start + step)
            room = {key: rows[part, columns.place] for columns, key in alone}
            found = layer.gradients(tuple(t[part] for t in tensors), [key for _, key in wanted], room)
            for columns, key in wanted:
                gradient, target = found[key], rows[part, columns.place]
                if gradient is room.get(key):
                    continue  # formed in its place
                if key in room:  # any order will do, so the one that lies in memory
                    gradient = gradient.permute(0, *sorted(range(1, gradient.ndim), key=lambda i: -gradient.stride(i)))
                gradient = gradient.flatten(1)
                if columns.uses[0] == (call, key):
                    target.copy_(gradient)
                else:
                    target += gradient

    def _chunk_size(self, cached: int, memory: int) -> int:
        """Return samples per forward pass: few enough for the cache, yet enough to use each weight more than once.

        A multiple of a power of two where that makes little difference: threads share the samples of a batch.
        """
        per_sample = max(1, self._coverage.bytes_in_passing())
        saved = self._coverage.saved_bytes * self._like.element_size() // 8  # of layers without parameters, too
        wanted = max(1, round(cached / per_sample / SMALLEST_CHUNK)) * SMALLEST_CHUNK
        return max(1, min(wanted, memory // (per_sample + saved)))
