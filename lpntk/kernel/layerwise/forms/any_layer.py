"""What if no rule knows a layer? ``torch.func`` on that module alone, one sample at a time."""

from typing import Any

from torch import Tensor
from torch.func import functional_call, grad

from lpntk.kernel.layerwise.capture import Call, tensors_in
from lpntk.kernel.layerwise.gradients import over_samples
from lpntk.kernel.layerwise.layers import NO_ROOM, Layer, Room, Tensors


class AnyLayer(Layer):
    """Any other module with parameters of its own: ``torch.func`` on that module alone."""

    def __init__(self, call: Call, n: int):
        self.module = call.module
        self.batched = [len(t) == n if t.ndim else False for t in tensors_in((call.args, call.kwargs))]
        self.given = [g is not None for g in call.grads]
        if not any(self.batched) or any(g is not None and (g.ndim == 0 or len(g) != n) for g in call.grads):
            raise ValueError("the first axis does not count the samples")
        self.args, self.kwargs = call.args, call.kwargs

    def tensors(self, call: Call, n: int) -> Tensors:
        """Return inputs, repeated where all samples share one, and the output gradients that exist."""
        inputs = tensors_in((call.args, call.kwargs))
        shared = [t if own else t.expand(n, *t.shape) for t, own in zip(inputs, self.batched, strict=True)]
        return (*shared, *(g for g in call.grads if g is not None))

    def gradients(self, tensors: Tensors, names: list[str], room: Room = NO_ROOM) -> dict[str, Tensor]:
        """Differentiate the module's outputs, weighted by their gradients, for one sample at a time."""
        split = len(self.batched)

        def weighted(params: dict[str, Tensor], *sample: Tensor) -> Tensor:
            own = (t.unsqueeze(0) if b else t for t, b in zip(sample[:split], self.batched, strict=True))
            args, kwargs = _refilled((self.args, self.kwargs), own)
            outputs = tensors_in(functional_call(self.module, params, args, kwargs))
            kept = (o for o, given in zip(outputs, self.given, strict=True) if given)
            return sum((o.squeeze(0) * g).sum() for o, g in zip(kept, sample[split:], strict=True))

        params = {name: self.module._parameters[name].detach() for name in names}
        return over_samples(grad(weighted), params, *tensors)


def _refilled(value: Any, tensors: Any) -> Any:
    """Put new tensors, in order, where a nested value holds old ones."""
    if isinstance(value, Tensor):
        return next(tensors)
    if isinstance(value, dict):
        return {key: _refilled(item, tensors) for key, item in value.items()}
    return type(value)(_refilled(item, tensors) for item in value) if type(value) in (tuple, list) else value
