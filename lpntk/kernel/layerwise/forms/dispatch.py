"""Which rule serves a module? By its type, as long as it behaves like that type."""

from collections.abc import Callable

from torch import nn

from lpntk.kernel.layerwise.capture import Call
from lpntk.kernel.layerwise.forms.any_layer import AnyLayer
from lpntk.kernel.layerwise.forms.rules import Conv, Embedding, Linear, Norm
from lpntk.kernel.layerwise.layers import Layer, UnsupportedLayerError
from lpntk.machine.device import ran_out

TYPES: dict[type[nn.Module], Callable[[Call, int], Layer]] = {
    nn.Linear: Linear,
    nn.Embedding: Embedding,
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), Conv),
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), Norm),
    **dict.fromkeys((nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d), Norm),
    **dict.fromkeys((nn.LayerNorm, nn.RMSNorm, nn.GroupNorm), Norm),
}


def layer_for(call: Call, n: int, names: list[str]) -> Layer | None:
    """Return the layer that forms the gradients of a module's parameters ``names``, or None if nothing can.

    A subclass counts as its parent while it keeps the parent's ``forward`` and has no further parameters.

    Raises:
        UnsupportedLayerError: if the layer has no gradient of one sample.
    """
    parents = (t for t in type(call.module).__mro__ if t in TYPES and t.forward is type(call.module).forward)
    make = TYPES.get(next(parents, None), AnyLayer)
    if not set(names) <= set(make.serves):
        make = AnyLayer
    try:
        return make(call, n)
    except UnsupportedLayerError:
        raise
    except Exception as error:  # shapes that no rule can read as one row per sample
        if ran_out(error):
            raise
        return None
