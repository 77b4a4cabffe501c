"""How do m networks run as one? Their parameters in one tensor per name, (m, ...), and one call per layer.

Models too small to fill a processor one by one fill it together, if they are chains of usual layers (``chains.py``):
batched matrix products and grouped convolutions run them. One model alone, whatever it is, runs as it is.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import stack_module_state

from lpntk.learn.chains import chain
from lpntk.machine.device import seeded
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
        ValueError: if several models are no chains of known layers, hold buffers, such as batch norm's running
            statistics, or hooks, or differ in more than the values of their parameters.
    """

    def __init__(self, models: Sequence[nn.Module], *, channels_last: bool = False):
        self.models, self.single = list(models), len(models) == 1
        guard(models[0])
        flat = all(p.ndim < 5 for p in models[0].parameters())  # three-dimensional filters know no channels_last
        self.layout = torch.channels_last if channels_last and flat else torch.contiguous_format
        self._streams: list[torch.Generator | None] = [None] * len(models)
        for model in models:
            model.eval()  # every layer, whatever it was left in: from here on one flag tells
        if self.single:
            models[0].to(memory_format=self.layout)
            self.params = dict(models[0].named_parameters())
            return
        if not all(map(stackable, models)):
            raise ValueError(
                "a stack of models must be chains of known layers (lpntk/learn/chains.py), each used once, without "
                "buffers such as batch norm's running statistics and without hooks; train these models one by one "
                "(way='single')"
            )
        kind = _kind(models[0])
        if any(_kind(model) != kind for model in models[1:]):
            raise ValueError("models of one stack must differ in their parameters' values only; use way='single'")
        self.params, _ = stack_module_state(self.models)
        self._chain = chain(models[0], self.layout)
        self._turned = {name for name, p in self.params.items() if p.ndim == 3}
        for name in self._turned:
            p = self.params[name]
            self.params[name] = p.detach().mT.contiguous().requires_grad_(p.requires_grad)

    @contextmanager
    def drawing(self, seeds: Sequence[int]) -> Iterator[None]:
        """Let the dropout of each model draw from a stream of its own within; its numbers tell not who stood beside."""
        device = next(iter(self.params.values())).device
        streams = [int(np.random.SeedSequence([seed % 2**64]).generate_state(1)[0]) for seed in seeds]
        if self.single:
            with seeded(streams[0], device):
                yield
            return
        self._streams = [torch.Generator(device).manual_seed(stream) for stream in streams]
        yield
        self._streams = [None] * len(self.models)

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
        return self.run(self.params, x, streams=self._streams if training and dropout else None)

    def run(
        self, params: dict[str, Tensor], x: Tensor, streams: Sequence[torch.Generator | None] | None = None
    ) -> Tensor:
        """Return the logits of several models with parameters in the shapes of ``params``; dropout draws from streams.

        Raises:
            ValueError: if the first layer would mix the samples of such inputs.
        """
        if x.ndim not in self._chain.takes:
            raise ValueError(
                f"stacked models of this kind take inputs of {self._chain.takes[0] - 1} axes, the batch's among them; "
                f"got {x.ndim - 1}: train them one by one (way='single')"
            )
        return self._chain(params, x, streams)

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


def stackable(model: nn.Module, x: Tensor | None = None) -> bool:
    """Return whether several such models can share one stack: chains without hooks or a forward pass of one object.

    Args:
        model: one of them.
        x: (n, ...) its inputs, if known: a chain need not take what has axes that it would mix.
    """
    hooked = any(p._backward_hooks for p in model.parameters()) or any(
        getattr(module, kind) for module in model.modules() for kind in HOOKS
    )
    own = any(True for _ in model.buffers()) or any("forward" in vars(module) for module in model.modules())
    if hooked or own or (found := chain(model)) is None:
        return False
    return x is None or x.ndim + 1 in found.takes


def _kind(model: nn.Module) -> list:
    """Return all that models of one stack must share: what they are made of, and settings."""
    shapes = [(name, p.shape, p.dtype, p.requires_grad) for name, p in model.named_parameters()]
    modules = [
        (name, type(module).__qualname__, {key: value for key, value in vars(module).items() if _plain(key, value)})
        for name, module in model.named_modules()
    ]
    return [shapes, modules]


def _plain(key: str, value: object) -> bool:
    return isinstance(value, bool | int | float | str | tuple | None) and key != "training"


def set_mode(model: nn.Module, training: bool, dropout: bool) -> None:
    """Put a model into training or evaluation mode, its dropout layers only if ``dropout``."""
    if model.training != training or (training and not dropout):
        model.train(training)
    if training and not dropout:
        for module in model.modules():
            if isinstance(module, nn.modules.dropout._DropoutNd):
                module.eval()
