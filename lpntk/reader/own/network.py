"""Which network learns somebody's data? One that fits their shape, or their own, tried before anything is trained."""

import hashlib
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn

from lpntk.data.dataset import Dataset
from lpntk.keep.cache import digest
from lpntk.keep.files import expanded
from lpntk.kernel.matrix import kernel_matrix
from lpntk.learn.models import build, count_parameters
from lpntk.machine.device import seeded
from lpntk.report.book.naming import NETWORKS

WRAPPERS = ("state_dict", "model_state_dict", "model")  # under which names others save a state dict
SMALL_SIDE = 20  # pixels of the shorter side below which a network without convolutions is taken


@dataclass(frozen=True)
class Learner:
    """A network, and what it starts from.

    Attributes:
        words: what it is called on the page.
        make: seed -> the network.
        decides: what of it decides results.
        state: parameters and buffers of one that has learned elsewhere; None if it is to be trained here.
    """

    words: str
    make: Callable[[int], nn.Module]
    decides: dict[str, object]
    state: Mapping[str, Tensor] | None


def learner(
    data: Dataset, *, model: str | None, options: dict[str, object], built_by: str | None, checkpoint: str | None,
    seed: int,
) -> Learner:  # fmt: skip
    """Return the network for some data, tried on two samples.

    Args:
        data: what it is to learn.
        model: name as in ``lpntk.learn.models.build``; by default as the shape suggests.
        options: of that model.
        built_by: ``module:function`` that returns a torch module instead; it is given ``in_shape`` and ``k`` if it has
            parameters of these names.
        checkpoint: file with its state dict; it is then not trained here.
        seed: of the initialisation.

    Raises:
        ValueError: if the network cannot be built, loaded or asked for a kernel; the message says why and what to do.
    """
    if built_by and (model or options):
        raise ValueError("expected --build alone, or --model with --options; got both: leave one out")
    if built_by:
        function, source = _imported(built_by)
        given = {"in_shape": data.in_shape, "k": data.k}
        asked = {name: given[name] for name in inspect.signature(function).parameters if name in given}
        words, decides = f"your network {built_by}", {"built_by": built_by, "source": source}

        def make(seed: int) -> nn.Module:
            with seeded(seed):
                return function(**asked)
    else:
        name, chosen = (model, options) if model else fitting(data.in_shape, options)
        make = lambda seed: build(name, data.in_shape, data.k, seed=seed, **chosen)
        told = ", ".join(f"{key} {value}" for key, value in chosen.items())
        words, decides = f"{NETWORKS[name]}{f' ({told})' if told else ''}", {"name": name, "options": chosen}
    try:
        network = make(seed)
    except Exception as error:  # of somebody's own code, anything
        raise ValueError(f"expected a network for inputs {data.in_shape}; {words} cannot be built: {error}") from error
    if not isinstance(network, nn.Module) or not count_parameters(network):
        got = f"{type(network).__name__}{' without any' if isinstance(network, nn.Module) else ''}"
        raise ValueError(f"expected a torch module with parameters that learn from {words}; got {got}; return one")
    state = _loaded(network, checkpoint) if checkpoint else None
    _try(network.eval(), data, words)
    decides |= {"state": digest([[key, digest(value)] for key, value in network.state_dict().items()])}
    return Learner(f"{words}, {count_parameters(network):,} parameters", make, decides, state)


def fitting(in_shape: tuple[int, int, int], options: dict[str, object]) -> tuple[str, dict[str, object]]:
    """Return name and options of the network for inputs (c, h, w)."""
    c, h, w = in_shape
    if min(h, w) < SMALL_SIDE:
        return "mlp", options
    return ("lenet5", options) if c == 1 else ("resnet18", {"width": 8, **options})


def _imported(name: str) -> tuple[Callable, str]:
    """Return what ``module:function`` means, looked for in the working directory too, and a digest of its file.

    Raises:
        ValueError: if there is none.
    """
    module, _, function = name.partition(":")
    here = str(Path.cwd())
    try:
        sys.path.insert(0, here)
        found = getattr(import_module(module), function)
        inspect.signature(found)  # of what cannot be called there is none
        source = hashlib.sha256(Path(inspect.getfile(sys.modules[module])).read_bytes()).hexdigest()
    except Exception as error:
        raise ValueError(
            f"expected --build module:function, a function in a module of this folder or an installed one; {name!r} "
            f"cannot be imported ({type(error).__name__}: {error}); check both names"
        ) from error
    finally:
        sys.path.remove(here)
    return found, source


def _loaded(network: nn.Module, checkpoint: str) -> dict[str, Tensor]:
    """Load a checkpoint into a network and return it.

    Raises:
        ValueError: if it is none, or of another network.
    """
    fix = "save it with torch.save(model.state_dict(), file), of the network that --build or --model names"
    try:
        state = torch.load(expanded(checkpoint), map_location="cpu", weights_only=True)
        network.load_state_dict(_unwrapped(state, network))
    except UnpicklingError as error:
        got = "a whole model or other objects, which are not unpickled, as that would run what the file says"
        raise ValueError(f"{checkpoint}: expected a state dict of this network; got {got}; {fix}") from error
    except Exception as error:  # zip's and torch's own
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ValueError(f"{checkpoint}: expected a state dict of this network; got {reason}; {fix}") from error
    return {key: value.clone() for key, value in network.state_dict().items()}


def _unwrapped(state: object, network: nn.Module) -> object:
    """Return the state dict in what was saved: out of a mapping of several things, and without a prefix of all names.

    DataParallel writes ``module.`` before every name, torch.compile ``_orig_mod.``, others the name of an attribute.
    What is returned for anything else is the thing itself, which then cannot be loaded.
    """
    for name in WRAPPERS:
        if isinstance(state, Mapping) and isinstance(state.get(name), Mapping):
            state = state[name]
    expected = set(network.state_dict())
    if not isinstance(state, Mapping) or not state or set(state) == expected:
        return state
    one = next(iter(expected))
    for prefix in (name.removesuffix(one) for name in map(str, state) if name.endswith(f".{one}")):
        if {prefix + name for name in expected} == set(state):
            return {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _try(network: nn.Module, data: Dataset, words: str) -> None:
    x, y = data.x_train[:2], data.y_train[:2]
    try:
        with torch.no_grad():
            out = network(x)
    except Exception as error:
        raise ValueError(
            f"expected {words} to take inputs of shape (n, {', '.join(map(str, data.in_shape))}); it fails: "
            f"{' '.join(str(error).split())}; change the network, or the size of the images"
        ) from error
    got = f"the shape {tuple(out.shape)}" if isinstance(out, Tensor) else type(out).__name__
    if not isinstance(out, Tensor) or out.shape != (len(x), data.k):
        raise ValueError(f"expected one logit for each of the {data.k} classes from {words}; got {got}; mend its end")
    if (out >= 0).all() and torch.allclose(out.sum(dim=1), torch.ones(len(x))):
        raise ValueError(f"expected logits from {words}; got probabilities, rows that sum to 1; leave the softmax away")
    kernel_matrix(network, x, y, device="cpu")  # refuses, in its own words, what has no kernel
