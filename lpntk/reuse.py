"""Is a file on disk the kernel that is asked for? By hashes of what decides it."""

import hashlib

import torch
from torch import Tensor, nn


def identity(model: nn.Module, tensors: dict[str, Tensor | None], **options: object) -> dict[str, object]:
    """Return what decides a kernel: hashes of the model and of the samples, and the options as they are."""
    weights = hashlib.sha256(repr(model).encode())
    for name, value in model.state_dict().items():
        weights.update(name.encode())
        weights.update(_bytes(value))
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    samples = {name: hashlib.sha256(_bytes(t)).hexdigest() for name, t in tensors.items() if t is not None}
    return {"model": weights.hexdigest(), "frozen": frozen, **samples, **{k: str(v) for k, v in options.items()}}


def _bytes(tensor: Tensor) -> bytes:
    header = f"{tensor.dtype} {tuple(tensor.shape)} ".encode()
    return header + tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
