"""Do per-sample gradients agree with autograd's? A random combination of them, parameter by parameter."""

from collections.abc import Mapping

from torch import Tensor, nn

from lpntk.kernel.layerwise.coverage import Direction
from lpntk.kernel.layerwise.gradients import combined_gradients
from lpntk.kernel.model.ownership import UnexplainedError
from lpntk.machine.device import fetched
from lpntk.machine.precision import tolerance


def check_agreement(
    model: nn.Module,
    direction: Direction,
    x: Tensor,
    y: Tensor,
    e: Tensor,
    told: Mapping[tuple[str, ...], tuple[float, float]],
    *,
    rounded: bool,
) -> None:
    """Compare ``|sum_i e_i phi_i|^2`` with what one backward pass of the whole model gives.

    Args:
        model: network in evaluation mode.
        direction: maps (logits, y) to the vectors ``s``.
        x: (n, ...) samples; as one batch, which need not be the one that ``told`` comes from.
        y: (n,) their labels.
        e: (n,) weights, +1 or -1.
        told: by names of parameters that are taken together: the squared norm to check, and ``(sum_i |phi_i|)^2``, the
            scale of its rounding error. Every trainable parameter is in one entry.
        rounded: whether the squared norms come of products rounded to bfloat16.

    Raises:
        UnexplainedError: if they differ by more than rounding.
    """
    found = combined_gradients(model, x, lambda logits: direction(logits, y) * e[:, None].to(logits))
    want = dict(zip(found, fetched(gradient.to(e).square().sum() for gradient in found.values()), strict=True))
    loose = tolerance(model, x.device, rounded=rounded)
    floor = loose / 30 * sum(scale for _, scale in told.values())
    for names, (got, scale) in told.items():
        alone = sum(want[name] for name in names)
        if not abs(got - alone) <= loose * (scale + floor):
            raise UnexplainedError(
                f"gradients of {len(x)} samples by {' and '.join(names)}, combined at random, have the squared norm "
                f"{got:.6g} within larger batches, but {alone:.6g} alone: the model mixes samples in larger batches, "
                "or its layers do not see the same rows of every sample"
            )
