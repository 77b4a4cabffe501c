"""How does a chain of usual layers run for m models at once? By batched products and grouped convolutions.

Only what is known to be such a chain is taken for one; any other network is trained one by one.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ELEMENTWISE = (nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.LeakyReLU, nn.ELU, nn.Softplus, nn.Identity)
POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)
FOR_IMAGES = (nn.Conv2d, *POOLS)
CHAIN = (nn.Flatten, nn.Linear, nn.Dropout, *ELEMENTWISE, *FOR_IMAGES)
IMAGES, VECTORS, ANY = (5,), (3,), (3, 4, 5, 6)  # axes of stacked inputs (m, b, ...)


class Chain:
    """The stacked function of a chain of known layers.

    Images are held as (b, m c, h, w), so that a convolution is one call with m groups; vectors as (m, b, d).

    Args:
        layers: with their names in the model.
        takes: numbers of axes of the stacked inputs (m, b, ...) that the first layers can take.
        layout: of images in memory, but on the CPU always with the channels last.
    """

    def __init__(self, layers: Sequence[tuple[str, nn.Module]], takes: Sequence[int], layout: torch.memory_format):
        self.layers, self.takes, self.layout = layers, takes, layout

    def __call__(
        self, params: dict[str, Tensor], x: Tensor, streams: Sequence[torch.Generator | None] | None = None
    ) -> Tensor:
        """Map (m, b, ...) to the logits (m, b, k); dropout acts where each model has a stream to draw from."""
        m, b = x.shape[:2]
        h, images = x, self.takes == IMAGES
        if images:
            layout = torch.channels_last if x.device.type == "cpu" else self.layout
            h = x.transpose(0, 1).reshape(b, -1, *x.shape[3:]).contiguous(memory_format=layout)
        for name, layer in self.layers:
            if isinstance(layer, nn.Flatten):
                # strided matrices would be multiplied one by one; clone, as contiguous() lets strides of length 1 pass
                if images:
                    h = h.reshape(b, m, -1).transpose(0, 1).clone(memory_format=torch.contiguous_format)
                h, images = h.flatten(2), False
            elif isinstance(layer, nn.Linear):
                weight = params[f"{name}.weight"]  # (m, d_in, d_out)
                h = h @ weight if layer.bias is None else torch.baddbmm(params[f"{name}.bias"][:, None], h, weight)
            elif isinstance(layer, nn.Conv2d):
                bias = params[f"{name}.bias"].flatten() if layer.bias is not None else None
                weight = params[f"{name}.weight"].flatten(0, 1)  # (m c_out, c, kh, kw)
                h = F.conv2d(h, weight, bias, layer.stride, layer.padding, layer.dilation, groups=m)
            elif isinstance(layer, nn.Dropout):
                h = h if streams is None else _dropped(h, layer.p, streams, dim=1 if images else 0)
            else:
                h = layer(h)
        return h


def _dropped(h: Tensor, p: float, streams: Sequence[torch.Generator | None], dim: int) -> Tensor:
    """Drop numbers with probability p, those of each model (a part of ``dim``) as alone it would from its stream."""
    if p == 1:
        return h * 0
    noise = torch.empty_like(h)
    for part, stream in zip(noise.chunk(len(streams), dim), streams, strict=True):
        part.bernoulli_(1 - p, generator=stream)
    return h * noise.div_(1 - p)


def chain(model: nn.Module, layout: torch.memory_format = torch.contiguous_format) -> Chain | None:
    """Return the stacked function of a chain of known layers, or None if the network is something else.

    Something else is also a chain that uses parameters twice, or has a forward pass of its own.
    """
    if getattr(type(model), "forward", None) is not nn.Sequential.forward:
        return None
    layers = [(name, module) for name, module in model._modules.items() if type(module) is not nn.Identity]
    used = [id(p) for _, module in layers for p in module.parameters()]
    if len(set(used)) < len(used) or not all(type(module) in CHAIN and _plain(module) for _, module in layers):
        return None
    takes, held = ANY, None  # what the first layer that minds takes, and what is held before the next one
    for _, module in layers:
        needs = IMAGES if isinstance(module, FOR_IMAGES) else VECTORS if isinstance(module, nn.Linear) else None
        if needs and held is None:
            takes = needs
        elif needs and needs != held:
            return None
        held = VECTORS if isinstance(module, nn.Flatten) else needs or held
    return Chain(layers, takes, layout) if held == VECTORS else None


def _plain(module: nn.Module) -> bool:
    """Whether a layer of the chain is used in the way that the chain knows."""
    if isinstance(module, nn.Conv2d):
        return module.groups == 1 and module.padding_mode == "zeros"
    return not isinstance(module, nn.Flatten) or (module.start_dim, module.end_dim) == (1, -1)
