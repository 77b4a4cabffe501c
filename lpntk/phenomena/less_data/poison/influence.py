"""How much does a sample act on itself? TRAK (Park et al., 2023), by its authors' library ``traker``."""

import logging
from collections.abc import Sequence
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from lpntk.learn.models import count_parameters
from lpntk.machine.device import resolve_device
from lpntk.machine.precision import exact

PROJECTED, PART = 512, 4  # dimensions that gradients are projected to, but at most a fourth as many as samples
AT_ONCE = 2**28  # bytes of gradients held at a time


@exact
def self_influence(models: Sequence[nn.Module], x: Tensor, y: Tensor, *, seed: int, device: str) -> Tensor:
    """Return (n,) self-influences, means over networks: g' (G'G)^-1 g (1 - p).

    g is the projected gradient of a sample's margin log p / (1 - p), G (n, d) has those of all samples in its rows, and
    p is the probability of the label. The library scales (G'G)^-1 to a mean magnitude of 1.

    Raises:
        ModuleNotFoundError: if traker is not installed.
        ValueError: if there are too few samples for one projected dimension.
    """
    try:
        from trak import TRAKer
        from trak.projectors import BasicProjector, ProjectionType
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "expected traker, the library of TRAK, for self-influence; it is not installed: pip install .[book]"
        ) from error
    on, size, n = str(resolve_device(device)), count_parameters(models[0]), len(y)
    if n < PART:
        raise ValueError(f"{n} samples are too few for TRAK: there must be {PART} for each projected dimension")
    dimensions = min(PROJECTED, n // PART)
    # one block, drawn once: the library draws those of several anew for every batch. It needs no CUDA
    projector = BasicProjector(size, dimensions, seed, ProjectionType.normal, on, block_size=dimensions)
    at_once = max(1, AT_ONCE // (4 * size))
    with TemporaryDirectory() as folder:
        traker = TRAKer(models[0].to(on), "image_classification", n, save_dir=folder, device=on, projector=projector,
                        use_half_precision=False, logging_level=logging.ERROR)  # fmt: skip
        for i, state in enumerate([{name: t.clone() for name, t in model.state_dict().items()} for model in models]):
            traker.load_checkpoint(state, model_id=i)
            for inputs, labels in zip(x.split(at_once), y.split(at_once), strict=True):
                traker.featurize((inputs.to(on), labels.to(on)), num_samples=len(labels))
        traker.finalize_features()
        found = []
        for i in range(len(models)):
            traker.saver.load_current_store(i)
            kept = {
                name: torch.tensor(traker.saver.current_store[name]) for name in ("grads", "features", "out_to_loss")
            }
            found.append((kept["grads"] * kept["features"]).sum(dim=1) * kept["out_to_loss"][:, 0])
    return torch.stack(found).mean(dim=0)
