"""How do gradients of samples multiply without being formed? Layer by layer, from inputs and output gradients.

    kappa(i, j) = sum_layers <grad_layer s_i^T z_i, grad_layer s_j^T z_j>

One forward and one backward pass per batch give every layer's inputs a and output gradients d. Small weights get their
per-sample gradients, joined into one matrix; large ones have a matrix each, are formed when they are multiplied
(``formed.py``), or never (``pairs.py``): a linear layer's share is ``(a . a') (d . d')``.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lpntk.kernel.layerwise.agreement import check_agreement
from lpntk.kernel.layerwise.capture import record
from lpntk.kernel.layerwise.cover import cover, dear
from lpntk.kernel.layerwise.coverage import TRIED, Direction
from lpntk.kernel.layerwise.forms.formed import Formed
from lpntk.kernel.layerwise.forms.pairs import Pairs
from lpntk.kernel.layerwise.gradients import trainable
from lpntk.kernel.layerwise.layers import Layer, PatchLayer
from lpntk.kernel.layerwise.plan import Form, Row, make_plan
from lpntk.kernel.model.ownership import weights_at_random
from lpntk.machine.device import KEPT, empty, fetched, keep_freed_memory
from lpntk.machine.precision import kernel_dtype
from lpntk.machine.triangle import gram, mirrored

MIB = 2**20
SMALLEST_CHUNK = 16  # samples in a forward pass, where memory allows
CHECKED = 64  # one sample in so many is computed again


@dataclass
class Features:
    """A block of samples: gradients, and inputs and output gradients of the layers whose gradients are not kept."""

    rows: list[Tensor]  # (n, width) each
    packed: list[tuple[Tensor, Tensor]]  # (n, positions, c) and (n, t, k)

    def __len__(self) -> int:
        return len(self.rows[0])

    def __getitem__(self, part: slice) -> "Features":
        return Features([rows[part] for rows in self.rows], [(x[part], d[part]) for x, d in self.packed])


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
        dtype, self._like_packed = kernel_dtype(params.values()), []
        self._like = [torch.empty(0, width, dtype=dtype, device=x.device) for width in self._plan.widths]
        for i in self._plan.pairs:
            layers[i].dtype = dtype
            packed = [t[:0].clone() for t in layers[i].packed(tensors[i])]
            self._like_packed.append(tuple(t.to(dtype) if t.is_floating_point() else t for t in packed))
        tile, activations = (8 * torch.get_num_threads(), 512) if x.device.type == "cpu" else (256, 2048)  # MiB
        self.scratch_bytes = min(tile * MIB, memory // 4)
        self._forming = memory // 2  # bytes; passes over the network are over by then
        self._chunk = self._chunk_size(activations * MIB, 3 * memory // 4)
        if dear(self._coverage.bytes_in_passing()):
            x, y = x[[0, -1]], y[[0, -1]]
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
        kept = [*self._like, *(t for pair in self._like_packed for t in pair)]
        return max(1, sum(t.element_size() * t.shape[1:].numel() for t in kept))

    def features(self, x: Tensor, y: Tensor) -> Features:
        """Return what the Gram matrix needs of a block of samples.

        Raises:
            ValueError: if the model takes another path or other shapes than for the samples first tried.
            RuntimeError: if a layer's input is changed in place after it was read.
        """
        room = lambda like: empty(len(x), like)
        block = Features([room(like) for like in self._like], [(room(a), room(d)) for a, d in self._like_packed])
        for start in range(0, len(x), self._chunk):
            part = slice(start, start + self._chunk)
            self._fill(block[part], x[part], y[part])
        return block

    def gram(self, a: Features, b: Features, out: Tensor | None = None) -> Tensor:
        """Return the inner products of two blocks, (n_a, n_b); one triangle is computed where ``a is b``.

        Returns:
            The block; where ``a is b`` it equals its transpose to the last bit.
        """
        out = self._like[0].new_empty(len(a), len(b)) if out is None else out
        for i, (rows, columns) in enumerate(zip(a.rows, b.rows, strict=True)):
            gram(out, rows, columns, add=i > 0, rounded=self._rounded)
        for pairs, rows, columns in zip(self._plan.pairs.values(), a.packed, b.packed, strict=True):
            pairs.add_to(out, rows, columns, self._scratch(pairs), rounded=self._rounded)
        return mirrored(out) if a is b else out

    def diagonal(self, a: Features) -> Tensor:
        """Return the (n_a,) squared norms."""
        total = sum(torch.linalg.vector_norm(rows, dim=1).square() for rows in a.rows)
        for pairs, packed in zip(self._plan.pairs.values(), a.packed, strict=True):
            total += pairs.diagonal(packed, self._scratch(pairs))
        return total

    def check(self, a: Features, x: Tensor, y: Tensor) -> None:
        """Compare some gradients of a block, one in ``CHECKED``, combined at random, with autograd's of these alone.

        Raises:
            UnexplainedError: if they differ: the model treats larger batches otherwise than the few samples first
                tried, or its layers do not see the same rows of every sample.
        """
        count = min(max(2, -(-len(x) // CHECKED)), len(x), self._chunk)
        chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(0), device="cpu")[:count].sort().values
        chosen = chosen.to(x.device)
        self._compare(a[chosen], x[chosen], y[chosen])

    def _compare(self, a: Features, x: Tensor, y: Tensor) -> None:
        """Compare a random combination of gradients with autograd's, parameter by parameter, from end to end."""
        e = weights_at_random(len(x)).to(a.rows[0])
        told = {(name,): (e.new_zeros(()), e.new_zeros(())) for name in trainable(self.model)}
        for columns in self._plan.columns:
            pieces = [a.rows[matrix][:, place] for matrix, place in columns.places]
            norms = sum(piece.square().sum(1) for piece in pieces).sqrt()
            told[columns.name,] = sum((e @ piece).square().sum() for piece in pieces), norms.sum()
        for (i, pairs), packed in zip(self._plan.pairs.items(), a.packed, strict=True):
            share = e.new_zeros(len(x), len(x))
            pairs.add_to(share, packed, packed, self._scratch(pairs), rounded=self._rounded)
            mirrored(share)
            for name in self._plan.served[i]:
                del told[name,]
            told[self._plan.served[i]] = e @ share @ e, share.diagonal().clamp_min(0).sqrt().sum()
        squares, sums = fetched(t for t, _ in told.values()), fetched(t for _, t in told.values())
        told = {names: (got, total**2) for names, got, total in zip(told, squares, sums, strict=True)}
        check_agreement(self.model, self.direction, x, y, e, told, rounded=self._rounded)

    def _scratch(self, share: Pairs | Formed) -> int:
        """Return the bytes that a layer's share may take: tiles of pairs stay in the cache."""
        return self._forming if isinstance(share, Formed) else self.scratch_bytes

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
                ((matrix, place),) = columns.places
                block.rows[matrix][:, place] = whole[columns.name]

    def _add_gradients(self, rows: list[Tensor], call: int, layer: Layer, tensors: tuple[Tensor, ...]) -> None:
        wanted = [(columns, key) for columns in self._plan.columns for i, key in columns.uses if i == call]
        step = max(1, self.scratch_bytes // max(1, layer.numbers_in_passing() * rows[0].element_size()))
        fits = all(t.dtype == rows[0].dtype for t in tensors if t.is_floating_point())
        for start in range(0, len(rows[0]), step) if wanted else ():
            part = slice(start, start + step)
            targets = {key: [rows[i][part, place] for i, place in columns.places] for columns, key in wanted}
            roomy = isinstance(layer, PatchLayer) and fits
            room = {key: targets[key] for columns, key in wanted if roomy and len(columns.uses) == 1}
            found = layer.gradients(tuple(t[part] for t in tensors), [key for _, key in wanted], room)
            for columns, key in wanted:
                if key in room:
                    continue  # formed in its place
                gradient = found[key].flatten(1)
                for target, piece in zip(targets[key], gradient.chunk(len(targets[key]), 1), strict=True):
                    if columns.uses[0] == (call, key):
                        target.copy_(piece)
                    else:
                        target += piece

    def _chunk_size(self, wanted: int, most: int) -> int:
        """Return samples per forward pass, by bytes wanted and to be had: enough to use each weight many times.

        Not so many that a CPU's allocator fetches every tensor anew. A multiple of eight where that makes little
        difference: threads share the samples of a batch.
        """
        saved = self._coverage.saved_bytes * self._like[0].element_size() // 8  # of layers without parameters, too
        per_sample = max(1, self._coverage.bytes_in_passing() + saved)
        if self._like[0].device.type == "cpu":
            wanted = min(wanted, KEPT // max(1, self._coverage.largest_bytes()) * per_sample)
        chunk = max(1, min(max(wanted // per_sample, SMALLEST_CHUNK), most // per_sample))
        return chunk - chunk % 8 if chunk > 8 else chunk
