"""What does the kernel say of each sample of a class? Blocks of one class, in memory or for a while in a file."""

from pathlib import Path
from shutil import disk_usage, rmtree

import numpy as np
import torch
from torch import Tensor, nn

from lpntk.data.dataset import Dataset
from lpntk.keep.cache import Cache, digest
from lpntk.keep.keys import computed_key
from lpntk.kernel.matrix import kernel_matrix
from lpntk.machine.progress import progress_bar
from lpntk.phenomena.less_data.farthest import clusters, nested
from lpntk.phenomena.less_data.within import STRIP, OneClass, Within

RATIO = 0.1  # clusters per sample


def check_room(y: Tensor, budget: int, folder: Path) -> None:
    """Refuse a class whose kernel no disk here can hold.

    Raises:
        ValueError: if there is one.
    """
    needs = 4 * int(torch.bincount(y).max()) ** 2
    there = next(p for p in (folder, *folder.parents) if p.exists())
    if needs > budget / 2 and needs > (free := disk_usage(there).free):
        raise ValueError(
            f"expected room for the kernel of the largest class, {needs / 2**30:.1f} GiB; got {budget / 2**31:.1f} in "
            f"memory and {free / 2**30:.1f} on the disk of {folder}; raise --budget, set LPNTK_CACHE to a larger disk, "
            "or give fewer samples"
        )


def every_class(
    network: nn.Module, decides: dict[str, object], data: Dataset, budget: int, device: str, cache: Cache
) -> tuple[dict[str, np.ndarray], np.ndarray, list[np.ndarray]]:
    """Return columns by name (n,), the place of each sample in the order of its class in 0..1, and these orders.

    Args:
        network: in evaluation mode.
        decides: what of its making decides results besides its state, such as its code.
        data: whose training samples are asked.
        budget: bytes, see ``asked`` in ``study.py``.
        device: as in ``kernel_matrix``.
        cache: keeps what is found in each class.
    """
    n, state = len(data.y_train), digest([[k, digest(v)] for k, v in network.state_dict().items()])
    names = ("cluster", "cluster_size", "head", "kernel_cluster", "kernel_cluster_size", "kernel_head", "mean_cosine",
             "own_length", "nearest", "nearest_cosine", "contradictory", "contradictory_cosine")  # fmt: skip
    columns, placed, heads = {name: np.full(n, np.nan) for name in names}, np.zeros(n), []
    parts = [(data.y_train == c).nonzero()[:, 0] for c in range(data.k)]
    begun = {"cluster": 0, "kernel_cluster": 0}
    with progress_bar(sum(len(part) ** 2 for part in parts), shown=True, desc="kernels of classes", unit="pair",
                      unit_scale=True, leave=False) as bar:  # fmt: skip
        for rows in parts:
            x, y = data.x_train[rows], data.y_train[rows]
            key = computed_key(_one_class, device=device, network=decides, state=state, data=[digest(x), digest(y)])
            kept = cache.artefact("own-class", key, lambda x=x, y=y, key=key: _one_class(
                network, x, y, budget, device, cache.folder / f"own-kernel-{digest(key)[:24]}.npy"))  # fmt: skip
            for name, value in kept.items():
                if name in begun:
                    value = value + begun[name]
                    begun[name] = int(value.max()) + 1
                if name in ("nearest", "contradictory"):
                    value = torch.where(value >= 0, rows[value], -1)
                if name in columns:
                    columns[name][rows.numpy()] = value.numpy()
            order = kept["order"].numpy()
            placed[rows.numpy()[order]] = (np.arange(len(order)) + 1) / len(order)
            heads.append(rows.numpy()[order])
            bar.update(len(rows) ** 2)
    whole = {name: np.array(columns[name], int) for name in (*begun, "cluster_size", "kernel_cluster_size")}
    whole |= {name: columns[name] > 0 for name in ("head", "kernel_head")}
    return columns | whole, placed, heads


def _one_class(
    network: nn.Module, x: Tensor, y: Tensor, budget: int, device: str, place: Path
) -> dict[str, Tensor]:  # fmt: skip
    """Return what the kernel of one class (m samples) says of each: (m,) tensors by name; -1 for a sample alone."""
    m = len(x)
    filed = place if 4 * m * m > budget / 2 else None
    if filed:
        filed.parent.mkdir(parents=True, exist_ok=True)
    block = kernel_matrix(network, x, y, memory_budget=budget // 2, device=device, out=filed)
    rows, read = torch.arange(m), block.numpy().__getitem__
    one = OneClass(rows, np.array(block.diagonal()), read)
    scale, kernel = one.inverse_norms(), Within([rows], lambda _: block)
    found = {name: [] for name in ("mean", "nearest", "nearest_cosine", "contradictory", "contradictory_cosine")}
    for start, strip in zip(range(0, m, STRIP), one.strips(), strict=True):
        cosines = strip * scale * scale[start : start + len(strip), None]
        own = np.arange(len(strip)), start + np.arange(len(strip))
        found["mean"].append((cosines.sum(axis=1) - cosines[own]) / max(1, m - 1))
        for name, extreme, away in (("nearest", np.argmax, -np.inf), ("contradictory", np.argmin, np.inf)):
            cosines[own] = away
            at = extreme(cosines, axis=1)
            found[name].append(at)
            found[f"{name}_cosine"].append(cosines[own[0], at])
    by_cosine, everything = nested(kernel, y, [RATIO, 1.0], cosine=True)
    by_kernel = clusters(kernel, y, RATIO)
    told = {name: torch.from_numpy(np.concatenate(parts)) for name, parts in found.items()}
    told["mean_cosine"] = told.pop("mean")
    if m == 1:
        alone = {name: -1 if name in ("nearest", "contradictory") else torch.nan for name in told}
        told = {name: torch.full_like(told[name], value) for name, value in alone.items()}
    told |= {"own_length": block.diagonal().clamp_min(0).sqrt(), "order": everything.heads}
    for name, groups in (("", by_cosine), ("kernel_", by_kernel)):
        head = torch.zeros(m, dtype=torch.bool)
        head[groups.heads] = True
        told |= {f"{name}cluster": groups.of, f"{name}cluster_size": groups.sizes[groups.of], f"{name}head": head}
    if filed:
        del block, one, kernel
        filed.unlink()
        rmtree(f"{filed}.lpntk", ignore_errors=True)
    return told
