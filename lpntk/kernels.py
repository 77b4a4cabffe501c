"""How do two samples pull on each other? lpNTK and its relatives as one matrix.

    phi(x, y)              = grad_w [ s(y)^T z(x; w) / sqrt(K) ]          s_y = +1, all other entries -1
    kappa((x,y), (x',y'))  = <phi(x, y), phi(x', y')> = s(y)^T Theta(x, x') s(y') / K

Guo, Ren, Albrecht & Smith, ICLR 2024 (arXiv 2401.08808). One gradient per sample and one Gram matrix: the K x K blocks
Theta are never formed.
"""

import copy
from functools import partial

import torch
from torch import Tensor, nn

from lpntk.checks import check_inputs
from lpntk.device import resolve_device
from lpntk.gram import LayerwiseGram
from lpntk.signs import Signs, sign_vectors

GIB = 2**30


def kernel_matrix(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    x2: Tensor | None = None,
    y2: Tensor | None = None,
    *,
    signs: Signs = "label",
    normalize: bool = False,
    memory_budget: int = 2 * GIB,
    device: str | torch.device = "auto",
) -> Tensor:
    """Return the kernel between labelled samples: ``kappa[i, j]`` of (x_i, y_i) and (x2_j, y2_j).

    Args:
        model: any module that maps a batch (n, ...) to logits (n, k), in evaluation mode if it has batch norm or
            dropout. It is not changed.
        x: (n, ...) inputs as the network takes them.
        y: (n,) integer labels.
        x2: (n2, ...) inputs of the columns; the rows again by default (a symmetric matrix, one triangle computed).
        y2: (n2,) labels of the columns.
        signs: ``label`` lpNTK, ``ones`` pNTK, ``error`` the loss-gradient kernel, ``centred`` lpNTK with s minus
            its mean; see ``lpntk.signs``.
        normalize: divide by the norms of both gradients, which gives the cosine of the angle between two updates.
        memory_budget: bytes that the gradients held at once may take, the result not counted.
        device: ``auto``, ``cpu`` or ``cuda[:i]``.

    Returns:
        (n, n2) tensor on the CPU in the dtype of the parameters.

    Raises:
        ValueError: if model, inputs, labels or budget cannot give a kernel; the message says what, where and how to
            mend it.
    """
    device = resolve_device(device)
    check_inputs(model, x, y, x2, y2)
    model = copy.deepcopy(model).to(device)
    symmetric = x2 is None
    x2, y2 = (x, y) if symmetric else (x2, y2)
    engine = _engine(model, signs, (x, y), (x2, y2), memory_budget // 4, device)
    rows = _rows(engine.bytes_per_sample, memory_budget - memory_budget // 4, len(x), symmetric)

    def block(x: Tensor, y: Tensor, start: int) -> Tensor:
        part = slice(start, start + rows)
        return engine.features(x[part].to(device), y[part].to(device))

    dtype = next(model.parameters()).dtype
    kappa = torch.empty(len(x), len(x2), dtype=dtype)
    norm2_rows, norm2_columns = torch.empty(len(x), dtype=dtype), torch.empty(len(x2), dtype=dtype)
    for i in range(0, len(x), rows):
        a = block(x, y, i)
        norm2_rows[i : i + rows] = engine.diagonal(a)
        for j in range(i if symmetric else 0, len(x2), rows):
            b = a if symmetric and i == j else block(x2, y2, j)
            if not symmetric:
                norm2_columns[j : j + rows] = engine.diagonal(b)
            block_of_kappa = kappa[i : i + rows, j : j + rows]
            if device.type == "cpu":
                engine.gram(a, b, out=block_of_kappa)
            else:
                block_of_kappa.copy_(engine.gram(a, b))
            if symmetric and i != j:
                kappa[j : j + rows, i : i + rows] = kappa[i : i + rows, j : j + rows].T
    if normalize:
        columns = norm2_rows if symmetric else norm2_columns
        kappa /= norm2_rows.clamp_min(torch.finfo(kappa.dtype).tiny).sqrt()[:, None]
        kappa /= columns.clamp_min(torch.finfo(kappa.dtype).tiny).sqrt()[None, :]
    return kappa


def _engine(
    model: nn.Module,
    signs: Signs,
    rows: tuple[Tensor, Tensor],
    columns: tuple[Tensor, Tensor],
    memory: int,
    device: torch.device,
) -> LayerwiseGram:
    """Make the engine, tried on some rows and some columns."""
    few = [torch.cat([a[:2], b[-2:]]).to(device) for a, b in zip(rows, columns, strict=True)]
    samples = len(columns[0])
    return LayerwiseGram(model, partial(sign_vectors, signs=signs), *few, samples=samples, memory=memory)


def _rows(bytes_per_sample: int, memory: int, n: int, symmetric: bool) -> int:
    """Return the samples of a block. A row block and a column block are held together, unless one block is all."""
    if symmetric and n * bytes_per_sample <= memory:
        return n
    rows = memory // (2 * bytes_per_sample)
    if rows < 1:
        raise ValueError(
            f"memory_budget leaves {memory / GIB:.3g} GiB for gradients, which is too small: one sample keeps "
            f"{bytes_per_sample / GIB:.3g} GiB and two are held at once; "
            f"give at least {3 * bytes_per_sample} bytes or use a smaller model"
        )
    return rows
