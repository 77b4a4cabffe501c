"""How do m networks run as one? Their parameters in one tensor per name, (m, ...), and one call per layer.

Models too small to fill a processor one by one fill it together. A chain of the usual layers is run by batched matrix
products and grouped convolutions; any other network without buffers by ``torch.func.vmap``, which is slower. One model
alone runs as it is.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

ELEMENTWISE = (nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.LeakyReLU, nn.ELU, nn.Softplus, nn.Identity)
POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)
CHAIN = (nn.Flatten, nn.Linear, nn.Conv2d, nn.Dropout, *ELEMENTWISE, *POOLS)


class Stack:
    """m networks of one architecture, seen as one function of stacked inputs.

    Args:
        models: on their device. One is used in place, several are copied into stacked parameters.
        channels_last: hold one model and its images with the channels last in memory. A chain of several does so on
            the CPU whatever this says: there grouped convolutions and poolings are several times faster.

    Attributes:
        params: name -> (m, ...) leaves, or the one model's own parameters. Several linear layers of a chain are held as
            (m, d_in, d_out): products of thin batches, and so tiny steps, are faster that way round.

    Raises:
        ValueError: if several models hold buffers, such as batch norm's running statistics.
    """

    def __init__(self, models: Sequence[nn.Module], *, channels_last: bool = False):
        self.models, self.single = list(models), len(models) == 1
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        if self.single:
            models[0].to(memory_format=self.layout)
            self.params = dict(models[0].named_parameters())
            return
        if not stackable(models[0]):
            raise ValueError(
                "a stack of models cannot hold buffers such as batch norm's running statistics; train these models one "
                "by one (way='single') or choose a network without batch norm"
            )
        self.params, _ = stack_module_state(self.models)
        run = chain(models[0])
        self.run, self._turned = run or _vmapped(models[0]), set()
        if run:
            self._turned = {name for name, p in self.params.items() if p.ndim == 3}
            self.params |= {name: self.params[name].detach().mT.contiguous().requires_grad_() for name in self._turned}

    def logits(self, x: Tensor, *, training: bool = False, dropout: bool = True) -> Tensor:
        """Return (m, b, k) logits of stacked inputs (m, b, ...).

        Args:
            x: one batch per model.
            training: run batch norm and dropout as in training.
            dropout: whether dropout acts in training at all.
        """
        if self.single:
            set_mode(self.models[0], training, dropout)
            return self.models[0](x[0].contiguous(memory_format=self.layout) if x.ndim == 5 else x[0])[None]
        return self.run(self.params, x, training and dropout)

    def write_back(self) -> None:
        """Copy the parameters into the models and leave these in eval mode and in the usual layout."""
        with torch.no_grad():
            stacked = {} if self.single else self._as_in_models()
            for i, model in enumerate(self.models):
                for name, p in stacked.items():
                    model.get_parameter(name).copy_(p[i])
                model.to(memory_format=torch.contiguous_format).eval()

    def snapshot(self) -> list[dict[str, Tensor]]:
        """Return a copy of the state of each model, on the CPU."""
        if self.single:
            return [_copies(self.models[0].state_dict())]
        stacked = {name: p.cpu() for name, p in self._as_in_models().items()}
        return [_copies({name: p[i] for name, p in stacked.items()}) for i in range(len(self.models))]

    def _as_in_models(self) -> dict[str, Tensor]:
        """Return views of the parameters in the order of axes that the models know."""
        return {name: p.detach().mT if name in self._turned else p.detach() for name, p in self.params.items()}

    def finite(self) -> Tensor:
        """Return (m,) bool: whether all parameters of a model are finite."""
        rows = [p.detach().reshape(len(self.models), -1).isfinite().all(dim=1) for p in self.params.values()]
        return torch.stack(rows).all(dim=0).cpu()


def _copies(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: v.detach().cpu().clone(memory_format=torch.contiguous_format) for name, v in state.items()}


def stackable(model: nn.Module) -> bool:
    """Return whether several such models can share one stack: they hold no buffers."""
    return not any(True for _ in model.buffers())


def set_mode(model: nn.Module, training: bool, dropout: bool) -> None:
    """Put a model into training or evaluation mode, its dropout layers only if ``dropout``."""
    if model.training != training or (training and not dropout):
        model.train(training)
    if training and not dropout:
        for module in model.modules():
            if isinstance(module, nn.modules.dropout._DropoutNd):
                module.eval()


def chain(model: nn.Module) -> Callable | None:
    """Return the stacked function of a chain of known layers, or None if the network is something else.

    Images are held as (b, m c, h, w), so that a convolution is one call with m groups; vectors as (m, b, d).
    """
    if not isinstance(model, nn.Sequential):
        return None
    layers = [(name, module) for name, module in model.named_children() if not isinstance(module, nn.Identity)]
    if not all(type(module) in CHAIN and _plain(module) for _, module in layers):
        return None

    def run(params: dict[str, Tensor], x: Tensor, dropout: bool) -> Tensor:
        m, b = x.shape[:2]
        images = x.ndim == 5  # (m, b, c, h, w)
        h = x
        if images and isinstance(layers[0][1], nn.Flatten):
            h, images = x.flatten(2), False
        elif images:
            layout = torch.channels_last if x.device.type == "cpu" else torch.contiguous_format
            h = x.transpose(0, 1).reshape(b, -1, *x.shape[3:]).contiguous(memory_format=layout)
        for name, layer in layers:
            if isinstance(layer, nn.Flatten):
                # strided matrices would be multiplied one by one; clone, as contiguous() lets strides of length 1 pass
                h = h.reshape(b, m, -1).transpose(0, 1).clone(memory_format=torch.contiguous_format) if images else h
                images = False
            elif isinstance(layer, nn.Linear):
                weight = params[f"{name}.weight"]  # (m, d_in, d_out)
                h = h @ weight if layer.bias is None else torch.baddbmm(params[f"{name}.bias"][:, None], h, weight)
            elif isinstance(layer, nn.Conv2d):
                bias = params[f"{name}.bias"].flatten() if layer.bias is not None else None
                weight = params[f"{name}.weight"].flatten(0, 1)  # (m c_out, c, kh, kw)
                h = F.conv2d(h, weight, bias, layer.stride, layer.padding, layer.dilation, groups=m)
            elif isinstance(layer, nn.Dropout):
                h = F.dropout(h, layer.p, training=dropout)
            else:
                h = layer(h)
        return h

    return run


def _plain(module: nn.Module) -> bool:
    """Whether a layer of the chain is used in the way that the chain knows."""
    if isinstance(module, nn.Conv2d):
        return module.groups == 1 and module.padding_mode == "zeros"
    return not isinstance(module, nn.Flatten) or (module.start_dim, module.end_dim) == (1, -1)


def _vmapped(model: nn.Module) -> Callable:
    def run(params: dict[str, Tensor], x: Tensor, dropout: bool) -> Tensor:
        set_mode(model, dropout, dropout)
        call = lambda p, x_i: functional_call(model, p, (x_i,))
        return vmap(call, randomness="different")(params, x)  # (m, b, k)

    return run


def bytes_per_model(model: nn.Module, x: Tensor, batch_size: int) -> int:
    """Estimate what one more model adds to a stack in training: parameters, gradients, momentum, activations.

    Args:
        model: one of the stack.
        x: (1, ...) one sample.
        batch_size: samples per step.
    """
    seen = [x.numel()]
    hooks = [
        module.register_forward_hook(lambda _m, _i, out: seen.append(out.numel()))
        for module in model.modules()
        if not list(module.children())
    ]
    was = model.training
    try:
        with torch.no_grad():
            model.eval()(x)
    finally:
        model.train(was)
        for hook in hooks:
            hook.remove()
    itemsize = next(model.parameters()).element_size()
    p = sum(p.numel() for p in model.parameters())
    return itemsize * (4 * p + 3 * batch_size * sum(seen))  # an activation, its gradient and a copy of either
