"""Three detectors that need more than the record of one training: margins, confident learning, TRAK.

They ask the same networks as ``detectors.py``, trained anew from the same seeds; confident learning needs others, that
have not learned the sample.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lpntk.learn.campaign import Network
from lpntk.learn.training import train
from lpntk.phenomena.less_data.held_out import label_quality, logits, out_of_sample
from lpntk.phenomena.less_data.poison.influence import self_influence
from lpntk.phenomena.less_data.poison.threats import Poisoned


def peers(
    network: Network, data: Poisoned, *, seeds: Sequence[int], epochs: int, device: str = "auto", **training: object
) -> dict[str, Tensor]:
    """Return (n,) scores, larger is more suspicious, by their names in ``METHODS``.

    ``aum``: minus the area under the margin (Pleiss et al., 2020), the mean over epochs of how far the logit of the
    given label is above the largest other. It is read from the state after each epoch, where the authors read it at
    each presentation. ``quality``: minus the label quality of cleanlab (Northcutt et al., 2021), of probabilities
    out of sample by cross-validation, once for each seed: five networks for one of the other methods. ``trak``: how
    much a sample acts on itself at the end, by TRAK (Park et al., 2023).

    Args:
        network: to build from each seed.
        data: the samples; which are bad is not looked at.
        seeds: networks; every score is a mean over them.
        epochs: of their training.
        device: as in ``train``.
        **training: passed to ``train``: lr, batch_size, ...

    Raises:
        FloatingPointError: if a network diverged.
        ModuleNotFoundError: if cleanlab or traker is not installed.
    """
    x, y = data.x, data.y
    models, everything = [network(seed) for seed in seeds], torch.arange(len(y)).expand(len(seeds), -1).contiguous()
    history = train(models, x, y, everything, seeds=seeds, epochs=epochs, checkpoints=range(1, epochs + 1),
                    presentations=False, device=device, progress="networks that score", **training)  # fmt: skip
    if history.diverged.any():
        raise FloatingPointError("a network that scores diverged: lower lr")
    seen = [margins(model, state, x, y, device) for states in history.checkpoints.values()
            for model, state in zip(models, states, strict=True)]  # fmt: skip
    chances = [out_of_sample(network, x, y, network.k, seed=seed, device=device, epochs=epochs, presentations=False,
                             **training) for seed in seeds]  # fmt: skip
    quality = label_quality(y.numpy(), torch.stack(chances).mean(dim=0).numpy())
    return {
        "aum": -torch.stack(seen).mean(dim=0),
        "quality": -torch.from_numpy(quality).float(),
        "trak": self_influence(models, x, y, seed=seeds[0], device=device),
    }


def margins(model: nn.Module, state: dict[str, Tensor], x: Tensor, y: Tensor, device: str) -> Tensor:
    """Return (n,) logits of the labels y (n,) minus the largest other; the model is left in the given state."""
    model.load_state_dict(state)
    said = logits(model.eval(), x, device)
    label = said.gather(1, y[:, None])[:, 0]
    return label - said.scatter(1, y[:, None], -torch.inf).amax(dim=1)
