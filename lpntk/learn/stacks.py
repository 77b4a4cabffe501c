"""How do m networks run as one? Their parameters in one tensor per name, (m, ...), and one call per layer.

Models too small to fill a processor one by one fill it together. A chain of the usual layers is run by batched matrix
products and grouped convolutions; any other network without buffers by ``torch.func.vmap``, which is slower. One model
alone runs as it is.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from lpntk.learn.chains import chain
from lpntk.machine.strides import guard

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Stack:
    """m networks of one architecture, seen as one function of stacked inputs.

    Args:
        models: on their device. One is used in place, several are copied into stacked parameters.
        channels_last: hold images, and one model's filters, with the channels last in memory. A chain of several does
            so on the CPU whatever this says: there grouped convolutions and poolings are several times faster.

    Attributes:
        params: name -> (m, ...) leaves, or the one model's own parameters. Several linear layers of a chain are held as
            (m, d_in, d_out): products of thin batches, and so tiny steps, are faster that way round.

    Raises:
        ValueError: if several models hold buffers, such as batch norm's running statistics, or hooks, or differ in more
            than the values of their parameters.
    """

    def __init__(self, models: Sequence[nn.Module], *, channels_last: bool = False):
        self.models, self.single = list(models), len(models) == 1
        guard(models[0])
        flat = all(p.ndim < 5 for p in models[0].parameters())  # three-dimensional filters know no channels_last
        self.layout = torch.channels_last if channels_last and flat else torch.contiguous_format
        for model in models:
            model.eval()  # every layer, whatever it was left in: from here on one flag tells
        if self.single:
            models[0].to(memory_format=self.layout)
            self.params = dict(models[0].named_parameters())
            return
        if not all(map(stackable, models)):
            raise ValueError(
                "a stack of models cannot hold buffers such as batch norm's running statistics, nor hooks; train these "
                "models one by one (way='single') or choose a network without them"
            )
        kind = _kind(models[0])
        if any(_kind(model) != kind for model in models[1:]):
            raise ValueError("models of one stack must differ in their parameters' values only; use way='single'")
        self._names = _shared_names(models[0])
        self.params, _ = stack_module_state(self.models)
        self._general, self._chain, self._turned = _vmapped(models[0]), chain(models[0], self.layout), set()
        if self._chain:
            turned = {name: p for name, p in self.params.items() if p.ndim == 3}
            self._turned = set(turned)
            for name, p in turned.items():
                self.params[name] = p.detach().mT.contiguous().requires_grad_(p.requires_grad)

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
        return self.run(self.params, x, training=training, dropout=dropout)

    def run(self, params: dict[str, Tensor], x: Tensor, *, training: bool = False, dropout: bool = True) -> Tensor:
        """Return the logits of several models with parameters in the shapes of ``params``."""
        if self._chain and x.ndim in self._chain.takes:
            return self._chain(params, x, training and dropout)
        set_mode(self.models[0], training, dropout)
        usual = {name: p.mT if name in self._turned else p for name, p in params.items()}
        return self._general(usual, x)

    @property
    def trained(self) -> list[Tensor]:
        """The parameters that learn: all but frozen ones."""
        return [p for p in self.params.values() if p.requires_grad]

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
        return [
            _copies({name: stacked[first][i] for name, first in self._names.items()}) for i in range(len(self.models))
        ]

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
    """Return whether several such models can share one stack: no buffers, no hooks, no forward pass of one object."""
    hooked = any(p._backward_hooks for p in model.parameters()) or any(
        getattr(module, kind) for module in model.modules() for kind in HOOKS
    )
    return not (hooked or any(True for _ in model.buffers()) or any("forward" in vars(m) for m in model.modules()))


def _kind(model: nn.Module) -> list:
    """Return all that models of one stack must share: what they are made of, which parameters are one, and settings."""
    shapes = [(name, p.shape, p.dtype, p.requires_grad) for name, p in model.named_parameters()]
    modules = [
        (name, type(module).__qualname__, {key: value for key, value in vars(module).items() if _plain(key, value)})
        for name, module in model.named_modules()
    ]
    return [shapes, _shared_names(model), modules]


def _plain(key: str, value: object) -> bool:
    return isinstance(value, bool | int | float | str | tuple | None) and key != "training"


def _shared_names(model: nn.Module) -> dict[str, str]:
    """Return for every name of a parameter the first name of the same one; a state names it by each."""
    first = {id(p): name for name, p in model.named_parameters()}
    return {name: first[id(p)] for name, p in model.named_parameters(remove_duplicate=False)}


def set_mode(model: nn.Module, training: bool, dropout: bool) -> None:
    """Put a model into training or evaluation mode, its dropout layers only if ``dropout``."""
    if model.training != training or (training and not dropout):
        model.train(training)
    if training and not dropout:
        for module in model.modules():
            if isinstance(module, nn.modules.dropout._DropoutNd):
                module.eval()


def _vmapped(model: nn.Module) -> Callable:
    names = {id(p): name for name, p in model.named_parameters()}
    slots = {  # a layer used twice is one place to put a parameter, parameters shared by two layers have two
        f"{prefix}.{leaf}".lstrip("."): names[id(p)]
        for prefix, module in model.named_modules()
        for leaf, p in module.named_parameters(recurse=False, remove_duplicate=False)
    }

    def one(params: dict[str, Tensor], x: Tensor) -> Tensor:
        placed = {slot: params[name] for slot, name in slots.items()}
        return functional_call(model, placed, (x,), tie_weights=False)

    return vmap(one, randomness="different")  # (m, b, k)


def bytes_per_model(model: nn.Module, x: Tensor, batch_size: int) -> int:
    """Estimate what one more model adds to a stack in training: parameters, gradients, momentum, activations.

    Args:
        model: one of the stack.
        x: (1, ...) one sample.
        batch_size: samples per step.
    """
    p = sum(p.numel() for p in model.parameters())
    activations = 3 * batch_size * sum(_sizes(model, x))  # each, its gradient and a copy of either
    return next(model.parameters()).element_size() * (4 * p + activations)


def bytes_per_input(model: nn.Module, x: Tensor) -> int:
    """Estimate what one more input (1, ...) adds to a pass without gradients: the two largest activations together."""
    return 2 * x.element_size() * max(_sizes(model, x))


def bytes_of_activations(model: nn.Module, x: Tensor) -> int:
    """Return the bytes of an input (1, ...) and all its activations."""
    return x.element_size() * sum(_sizes(model, x))


def _sizes(model: nn.Module, x: Tensor) -> list[int]:
    """Return how many numbers a sample and each of its activations hold."""
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
    return seen
