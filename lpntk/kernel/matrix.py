"""How do two samples pull on each other? lpNTK and its relatives as one matrix.

    phi(x, y)              = grad_w [ s(y)^T z(x; w) / sqrt(K) ]          s_y = +1, all other entries -1
    kappa((x,y), (x',y'))  = <phi(x, y), phi(x', y')> = s(y)^T Theta(x, x') s(y') / K

Guo, Ren, Albrecht & Smith, ICLR 2024 (arXiv 2401.08808). One gradient per sample and one Gram matrix: the K x K blocks
Theta are never formed.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from itertools import groupby

import torch
from torch import Tensor, nn

from lpntk.kernel.checks import all_finite, check_inputs, check_model, check_number, check_types
from lpntk.kernel.layerwise.coverage import Direction
from lpntk.kernel.layerwise.gradients import trainable
from lpntk.kernel.layerwise.gram import LayerwiseGram
from lpntk.kernel.layerwise.layers import UnsupportedLayerError
from lpntk.kernel.model.copying.copies import check_apart, copied
from lpntk.kernel.model.layout import placed, prepared
from lpntk.kernel.model.outflow import Outflow
from lpntk.kernel.model.ownership import UnexplainedError
from lpntk.kernel.model.surroundings import check_surroundings, uncached
from lpntk.kernel.model.trial import check_settled
from lpntk.kernel.one_by_one import OneByOne
from lpntk.kernel.signs import Signs, sign_vectors
from lpntk.kernel.sketch import Sketch, SketchedGram
from lpntk.kernel.tiles import share as distributed
from lpntk.kernel.tiles.blocks import Cut, Tile, cut, for_blocks
from lpntk.kernel.tiles.memory import smaller_when_full
from lpntk.kernel.tiles.reuse import identity, recheck
from lpntk.kernel.tiles.store import Memory, opened
from lpntk.machine.device import ran_out, recurrent_in_evaluation
from lpntk.machine.precision import Precision, cast, kernel_dtype, matmul_precision, tolerance
from lpntk.machine.progress import progress_bar
from lpntk.machine.triangle import mirrored

VERSION = 1  # raised when the numbers change (tests/kernel/test_golden.py); results made by another are stale
Engine = LayerwiseGram | SketchedGram | OneByOne


@smaller_when_full  # makes a number of memory_budget and a torch.device of device
@uncached()
def kernel_matrix(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    x2: Tensor | None = None,
    y2: Tensor | None = None,
    *,
    signs: Signs = "label",
    normalize: bool = False,
    sketch: Sketch | int | None = None,
    memory_budget: int | None = None,
    device: str | torch.device = "auto",
    precision: Precision | None = None,
    out: str | os.PathLike | None = None,
    progress: bool = False,
) -> Tensor:
    """Return the kernel between labelled samples: ``kappa[i, j]`` of (x_i, y_i) and (x2_j, y2_j).

    Under ``torchrun`` the processes share the work and ``out`` is required, see ``lpntk.kernel.tiles.share``.

    Args:
        model: any module that maps a batch (n, ...) to logits (n, k), in evaluation mode if it has batch norm or
            dropout. It is not changed.
        x: (n, ...) inputs as the network takes them.
        y: (n,) integer labels.
        x2: (n2, ...) inputs of the columns; the rows again by default (a symmetric matrix, one triangle computed).
        y2: (n2,) labels of the columns.
        signs: ``label`` lpNTK, ``ones`` pNTK, ``error`` the loss-gradient kernel, ``centred`` lpNTK with s minus
            its mean; see ``lpntk.kernel.signs``.
        normalize: divide by the norms of both gradients, which gives the cosine of the angle between two updates.
        sketch: compute an unbiased random estimate from so many numbers per sample (or a ``Sketch``, which has a seed)
            instead of the exact kernel; see ``lpntk.kernel.sketch``.
        memory_budget: bytes that gradients, activations and work space may take, model and result not counted; 2 GiB
            by default, on CUDA up to three quarters of what is free. Halved, and begun again, where memory runs out.
        device: ``auto``, ``cpu`` or ``cuda[:i]``.
        precision: ``float32``, ``float64``, ``tf32`` (CUDA only) or ``bf16`` (fast on CUDA); by default as the
            parameters are. The last two multiply rounded numbers and sum in float32, ``bf16`` in the Gram matrix only.
        out: an ``.npy`` to write to. A run that was killed goes on from its last finished tile; a finished file is
            handed back once its checksums agree. The folder ``<out>.lpntk`` beside it holds them, and what the file is
            the kernel of: options, samples, parameters, buffers and attributes of the model (numbers, words, tensors,
            functions, and what lists, dicts and simple objects hold of them). Code of classes, and what they read by
            global names, is not held there: after a change of these give another ``out``.
        progress: show a bar with rate and time left.

    Returns:
        (n, n2) tensor on the CPU in the dtype of the parameters or ``precision``. With ``out`` it is mapped from the
        file, copy-on-write: editing it leaves the file as it is.

    Raises:
        ValueError: if model, inputs, labels or budget cannot give a kernel, or ``out`` holds another one or is
            damaged; the message says what, where and how to mend it.
        UnexplainedError: a ``ValueError``: if samples take another way through the model than those first tried, under
            ``torchrun`` or with ``sketch``; else each is then differentiated alone.
        torch.OutOfMemoryError: if memory ran out with an eighth of the budget, too.
        OSError: if ``out`` cannot be written or has not enough room, or another process writes it: the message says
            which.
    """
    rank, size = distributed.world()
    check_surroundings()
    if sketch is not None and not isinstance(sketch, Sketch):
        sketch = Sketch(check_number("sketch", sketch))
    check_types(model, x, y, x2, y2)
    if not isinstance(normalize, bool):
        raise ValueError(f"normalize must be True or False; got {normalize!r}")
    x, x2 = x.detach(), None if x2 is None else x2.detach()
    if size > 1 and out is None:
        raise ValueError(f"{size} processes share this kernel through a file: give out='somewhere/kappa.npy'")
    check_model(model)
    given = model
    model, x, x2 = cast(copied(given).to(device), x, x2, precision, device)
    symmetric = x2 is None
    with matmul_precision(None, device), recurrent_in_evaluation(model, device):
        before = check_inputs(model, x, y, x2, y2)
        rows = x, y.long()  # CUDA indexes no unsigned type but uint8; a file is told of the labels as they were given
        columns = rows if symmetric else (x2, y2.long())
        layout = prepared(model, x[:2], device)
        first = placed(x[:1], device, layout)
        check_apart(model, first)
        direction = partial(sign_vectors, signs=signs, unit=normalize)
        direction(torch.zeros(1, 2), torch.zeros(1))  # an unknown name is refused at once
        few = [
            torch.cat([placed(a[:2], device, layout), placed(b[-2:], device, layout)])
            for a, b in zip(rows, columns, strict=True)
        ]
        rounded = precision == "bf16"
        engine = _engine(
            model, direction, *few, samples=len(columns[0]), memory=memory_budget // 4, rounded=rounded, sketch=sketch
        )
    n, n2 = len(x), len(columns[0])
    dtype = kernel_dtype(trainable(model).values())
    memory, per_pair = for_blocks(memory_budget), dtype.itemsize * (2 if rounded else 1)
    place = partial(placed, device=device, layout=layout)

    def computed(engine: Engine, files: ExitStack) -> Tensor:
        per_sample = _bytes_per_sample(engine, x, device, layout, rounded=rounded)
        plan = cut(n, n2, symmetric, per_sample, memory, bytes_per_pair=per_pair, parts=size)
        if out is None:
            store = Memory(plan, dtype)
        else:
            samples = {"x": x, "y": y, "x2": x2, "y2": y2}
            by = f"{precision}, drawn on {device.type}" if sketch else precision  # a sketch depends on the device
            told = identity(model, samples, given, signs=signs, normalize=normalize, by=by, sketch=sketch)
            with distributed.first_rank_first(rank, size):
                store = files.enter_context(opened(out, plan, dtype, told, rank))
            again = lambda side, start, stop: engine.features(*(place(t[start:stop]) for t in (rows, columns)[side]))
            with matmul_precision(precision, device), recurrent_in_evaluation(model, device):
                recheck(store.known(), engine, again, normalize=normalize, precision=precision, name=store.holder)
        distributed.wait_for_all(size)  # nobody enters a tile before everybody has read which are there
        own = distributed.share(store.missing, rank, size, plan.row_block)
        exact = matmul_precision(precision, device), recurrent_in_evaluation(model, device)
        leaving = Outflow(store.put) if device.type == "cuda" else nullcontext(store)
        with exact[0], exact[1], leaving as taker, _bar(own, progress and rank == 0) as bar:
            for tile, block in _blocks(engine, own, plan, rows, columns, normalize, place):
                _check_finite(tile, block)
                taker.put(tile, block)
                bar.update(_pairs(tile))
            check_settled(model, first, before, tolerance(model, device))
        distributed.wait_for_all(size)
        with distributed.first_rank_first(rank, size):
            return store.close()

    try:
        with ExitStack() as files:
            return computed(engine, files)
    except UnexplainedError as reason:  # by samples that were not tried
        if size > 1 or not isinstance(engine, LayerwiseGram):
            raise
        with matmul_precision(None, device), recurrent_in_evaluation(model, device):
            engine = OneByOne(model, direction, *few, reason=reason, rounded=rounded)
    with ExitStack() as files:
        return computed(engine, files)


def _blocks(
    engine: Engine,
    tiles: list[Tile],
    plan: Cut,
    rows: tuple[Tensor, Tensor],
    columns: tuple[Tensor, Tensor],
    normalize: bool,
    place: Callable[[Tensor], Tensor],
) -> Iterator[tuple[Tile, Tensor]]:
    """Yield every tile and its block of the kernel, making the features of a row block once."""

    def features(samples: tuple[Tensor, Tensor], start: int, stop: int, check: bool):
        x, y = (place(t[start:stop]) for t in samples)
        found = engine.features(x, y)
        if check:
            engine.check(found, x, y)
        return found, _inverse_norms(engine.diagonal(found)) if normalize else None

    for (start, stop), block_tiles in groupby(tiles, key=plan.row_block):
        held, held_scale = features(rows, start, stop, check=True)
        for (left, right), column_tiles in groupby(block_tiles, key=lambda tile: tile[2:]):
            own = slice(left - start, right - start) if plan.symmetric and right <= stop else None
            if own is None:
                new = not plan.symmetric and start == tiles[0][0]  # columns come again with every row block
                b, b_scale = features(columns, left, right, check=new)
            else:
                b, b_scale = held[own], held_scale[own] if normalize else None
            for tile in column_tiles:
                part = slice(tile[0] - start, tile[1] - start)
                block = engine.gram(b if part == own else held[part], b)
                if normalize:
                    block *= held_scale[part, None]
                    block *= b_scale[None, :]
                    if plan.symmetric and part == own:
                        mirrored(block)
                yield tile, block
                del block
            del b  # before the next column block is made
        del held  # before the next row block is made


def _engine(
    model: nn.Module,
    direction: Direction,
    x: Tensor,
    y: Tensor,
    *,
    samples: int,
    memory: int,
    rounded: bool,
    sketch: Sketch | None,
) -> Engine:
    """Make the engine, tried on a few samples: the fastest one that takes the model.

    Raises:
        ValueError: if the model has no gradient of one sample.
        RuntimeError: if memory runs out.
    """
    if sketch is not None:
        return SketchedGram(model, direction, x, y, sketch=sketch, memory=memory)
    try:
        return LayerwiseGram(model, direction, x, y, samples=samples, memory=memory, rounded=rounded)
    except Exception as reason:
        # no sample has a gradient of its own, or memory is short
        if type(reason) is ValueError or isinstance(reason, UnsupportedLayerError) or ran_out(reason):
            raise
        try:
            return OneByOne(model, direction, x, y, reason=reason, rounded=rounded)
        except RuntimeError as error:
            if ran_out(error):
                raise
            raise reason from error  # autograd's own words say less


def _inverse_norms(squares: Tensor) -> Tensor:
    """Return 1 / norm by squared norm; 0 where a sample has no gradient.

    Raises:
        ValueError: if a gradient is too large or too small for these numbers.
    """
    info = torch.finfo(squares.dtype)
    small = (squares > 0) & (squares <= info.tiny / info.eps)
    if bool((small | ~squares.isfinite()).any()):
        raise ValueError(
            f"a sample's gradient is too {'small' if bool(small.any()) else 'large'} for the square of its norm in "
            f"{squares.dtype}, so it has no cosine; scale the inputs or give precision='float64'"
        )
    return torch.where(squares > 0, squares.rsqrt(), 0.0)


def _check_finite(tile: Tile, block: Tensor) -> None:
    """Refuse entries that are no numbers.

    Raises:
        ValueError: if there are any; the message says of which samples.
    """
    if not all_finite(block):
        i, j = (~block.isfinite()).nonzero()[0].tolist()
        raise ValueError(
            f"the kernel of samples {tile[0] + i} and {tile[2] + j} is {float(block[i, j])}: their gradients overflow "
            f"{block.dtype} or are infinite themselves; scale the inputs, leave such samples out, or give "
            "precision='float64'"
        )


def _bytes_per_sample(
    engine: LayerwiseGram | SketchedGram, x: Tensor, device: torch.device, layout: torch.memory_format, rounded: bool
) -> int:
    """Return what a sample of a block takes: features, the copies that rounding makes of them, a copy of its input."""
    copies = 1 if device.type == "cuda" else 2.5  # rows and columns in bfloat16, and on a CPU as float32 again
    copied = x.device != device or layout is not torch.preserve_format
    own = x.element_size() * x[0].numel() if copied else 0
    return int(engine.bytes_per_sample * (1 + rounded * copies)) + own


def _pairs(tile: Tile) -> int:
    return (tile[1] - tile[0]) * (tile[3] - tile[2])


def _bar(tiles: list[Tile], shown: bool) -> AbstractContextManager:
    return progress_bar(sum(map(_pairs, tiles)), shown=shown, unit="pair", unit_scale=True, desc="kernel")
