"""What must hold before a kernel is computed? Each message says what was expected, what came and how to mend it."""

import operator
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from lpntk.kernel.layerwise.gradients import trainable
from lpntk.machine.device import fetched, ran_out

TARGETS = ("labels", "label")  # what a batch of Hugging Face holds beside the inputs
BATCH_NORMS = (nn.modules.batchnorm._BatchNorm,)
DROPOUTS = (nn.modules.dropout._DropoutNd,)
# how torch says that tensors lie on several devices: in operations, as indices, in convolutions, in its compiler
APART = ("on the same device", "either on cpu or", "(torch.FloatTensor)", "two different devices")


def check_inputs(model: nn.Module, x: Tensor, y: Tensor, x2: Tensor | None, y2: Tensor | None) -> Tensor:
    """Check a model and the labelled samples of a kernel; return the logits of the first sample, (1, k).

    Raises:
        ValueError: with a message that names the fault and its fix.
    """
    check_types(model, x, y, x2, y2)
    check_model(model)
    logits = _first_logits(model, x)
    k = logits.shape[1]
    check_labels(x, y, k, "x", "y")
    if x2 is not None:
        if x2.shape[1:] != x.shape[1:] or x2.dtype != x.dtype:
            raise ValueError(
                f"x2 must hold samples of the shape and dtype of x, {tuple(x.shape[1:])} {x.dtype}; "
                f"got {tuple(x2.shape[1:])} {x2.dtype}"
            )
        check_labels(x2, y2, k, "x2", "y2")
    return logits


def check_types(model: nn.Module, x: Tensor, y: Tensor, x2: Tensor | None, y2: Tensor | None) -> None:
    """Check that there are a module and tensors.

    Raises:
        ValueError: with a message that names what is something else.
    """
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be a torch.nn.Module; got {type(model).__name__}")
    if isinstance(model, torch.jit.ScriptModule):
        raise ValueError(
            f"the model is TorchScript ({type(model).__name__}), which hides its layers; give the Python module that "
            "it was made from, with the same weights: module.load_state_dict(scripted.state_dict())"
        )
    if isinstance(x, Mapping):
        raise ValueError(
            f"x must be one torch.Tensor; got a {type(x).__name__} with {', '.join(map(str, x))}. Stack what the model "
            f"is given of each sample on a last axis, and wrap the model:\n{_parted(x)}"
        )
    if isinstance(x, tuple | list) and len(x) and all(isinstance(part, Tensor) for part in x):
        raise ValueError(
            f"x must be one torch.Tensor; got a {type(x).__name__} of {len(x)} tensors. If each is a sample: "
            "torch.stack(x), padded to one length where they differ; if each is a part of all samples, stack them on a "
            "last axis, torch.stack(x, -1), and wrap the model:\n" + _wrapper("self[0](*x.unbind(-1))")
        )
    if isinstance(x, str) or (isinstance(x, tuple | list) and any(isinstance(part, str) for part in x)):
        raise ValueError("x must be a torch.Tensor of numbers; got text: give what a tokenizer makes of it")
    for name, t in {"x": x, "y": y, "x2": x2, "y2": y2}.items():
        if not isinstance(t, Tensor | None) or (isinstance(t, Tensor) and t.ndim == 0) or (t is None and name in "xy"):
            raise ValueError(
                f"{name} must be a torch.Tensor whose first axis counts the samples; "
                f"got {'a single number' if isinstance(t, Tensor) else type(t).__name__}; use torch.as_tensor"
            )
        if isinstance(t, Tensor) and (t.layout is not torch.strided or t.is_nested):
            kind = "nested" if t.is_nested else str(t.layout)
            raise ValueError(f"{name} must be a plain tensor; got one that is {kind}: use to_dense or pad it")
    if (x2 is None) != (y2 is None):
        missing = "x2" if x2 is None else "y2"
        raise ValueError(f"x2 and y2 go together, but {missing} is missing; give both or neither")


def _wrapper(body: str, given: str = "...") -> str:
    """Return the lines that make a module of what a model is called with, and hand it to the kernel."""
    return (
        "    class Logits(torch.nn.Sequential):\n"
        f"        def forward(self, x): return {body}\n"
        f"    kernel_matrix(Logits(model), {given})"
    )


def _parted(batch: Mapping) -> str:
    """Return the wrapper of a model that takes the tensors of a batch by their names."""
    names = [str(name) for name in batch if name not in TARGETS]
    if len(names) == 1:
        return _wrapper(f"self[0]({names[0]}=x).logits", f"batch[{names[0]!r}], y")
    parts = ", ".join(f"{name}=x[..., {i}]" for i, name in enumerate(names))
    return _wrapper(f"self[0]({parts}).logits", f"torch.stack([batch[name] for name in {names}], -1), y")


def check_number(name: str, value: object) -> int:
    """Return an option that counts something as an int.

    Raises:
        ValueError: if it is not a whole number.
    """  # noqa: DOC501 (TypeError is caught here)
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(int(value) if isinstance(value, float) and value.is_integer() else value)
    except TypeError as error:
        raise ValueError(f"{name} must be a whole number; got {value!r}") from error


def check_model(model: nn.Module) -> None:
    """Check that the model has a kernel: trainable finite parameters, nothing random or batch-dependent.

    Raises:
        ValueError: with a message that names the module or parameter and the fix.
    """
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule) and any(True for _ in module.parameters()):
            raise ValueError(
                f"module {name!r} is TorchScript ({type(module).__name__}), which a copy shares its parameters with; "
                "put the Python module that it was made from in its place:\n"
                f"    plain.load_state_dict(model.get_submodule({name!r}).state_dict())\n"
                f"    model.set_submodule({name!r}, plain)"
            )
    for name, p in model.named_parameters():
        if isinstance(p, UninitializedParameter):
            raise ValueError(
                f"parameter {name!r} has no shape yet, as in a lazy layer; run one batch through the model first:\n"
                "    model(x[:2])"
            )
        if p.is_inference():
            raise ValueError(
                f"parameter {name!r} was made in torch.inference_mode, which forbids it gradients for good; make the "
                "model again outside and give it the weights:\n"
                "    new = Model(...)\n    new.load_state_dict(model.state_dict())"
            )
        if p._backward_hooks and p.requires_grad:
            raise ValueError(
                f"parameter {name!r} has a gradient hook, which a kernel of the logits' own gradients would pass over; "
                "remove it, or freeze parameters with requires_grad_(False)"
            )
        if p.is_complex() and p.requires_grad:
            raise ValueError(
                f"parameter {name!r} is complex ({p.dtype}); a kernel takes real parameters: keep it as two real ones "
                "and join them in forward with torch.view_as_complex"
            )
        if p.is_meta:
            raise ValueError(
                f"parameter {name!r} lies on the meta device and holds no numbers; give it some first:\n"
                "    model.to_empty(device='cpu')\n    model.load_state_dict(torch.load('weights.pt'))"
            )
    if not trainable(model):
        raise ValueError("the model has no parameter with requires_grad=True, so every gradient is empty; unfreeze one")
    dense = {name: p for name, p in model.named_parameters() if p.layout is torch.strided}  # others are refused later
    for name, right in zip(dense, fetched(map(all_finite, dense.values())), strict=True):
        if not right:
            raise ValueError(f"parameter {name!r} holds NaN or infinity; the training diverged: use another checkpoint")
    buffers = {name: buffer for name, buffer in model.named_buffers() if buffer.is_floating_point()}
    for name, wrong in zip(buffers, fetched(torch.isnan(buffer).any() for buffer in buffers.values()), strict=True):
        if wrong:
            owner = model.get_submodule(name.rpartition(".")[0])
            raise ValueError(
                f"buffer {name!r} of a {type(owner).__name__} holds NaN; running statistics of a training that "
                "diverged: use another checkpoint"
            )
    for name, module in model.named_modules():
        stochastic = isinstance(module, DROPOUTS) and module.p > 0
        if isinstance(module, BATCH_NORMS) and module.running_mean is None:
            raise ValueError(
                f"module {name!r} ({type(module).__name__}) keeps no running statistics and mixes the samples of a "
                "batch even in evaluation; build it with track_running_stats=True"
            )
        if module.training and (stochastic or isinstance(module, BATCH_NORMS)):
            why = "is random" if stochastic else "mixes the samples of a batch"
            raise ValueError(
                f"module {name!r} ({type(module).__name__}) is in training mode, where it {why} and a sample has no "
                "gradient of its own; call model.eval() first"
            )


def all_finite(t: Tensor) -> Tensor:
    """Return whether all numbers of a dense tensor are finite; their extremes tell in a tenth of the time."""
    if t.is_floating_point() and t.itemsize == 1:
        t = t.float()  # torch has few operations on these
    if not t.is_floating_point() or not t.numel():
        return torch.isfinite(t).all()
    least, most = torch.aminmax(t)  # NaN is both
    return torch.isfinite(least) & torch.isfinite(most)


def check_labels(x: Tensor, y: Tensor, k: int, x_name: str, y_name: str) -> None:
    """Check that labels fit the samples and the ``k`` logits.

    Raises:
        ValueError: with a message that names the tensor and the fix.
    """
    if y.ndim != 1 or len(y) != len(x):
        raise ValueError(f"{y_name} must hold one label per sample, shape ({len(x)},); got {tuple(y.shape)}")
    if x.is_meta or y.is_meta:
        raise ValueError(f"{x_name} and {y_name} must hold numbers; on the meta device they have a shape only")
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise ValueError(f"{y_name} must hold integer class labels; got dtype {y.dtype}: use {y_name}.long()")
    y = y.long()  # which other integers need not know an order
    if len(y) and (y.min() < 0 or y.max() >= k):
        raise ValueError(
            f"{y_name} must hold labels in 0..{k - 1}, one per logit; got {int(y.min())}..{int(y.max())}: "
            "renumber the classes or give the model more outputs"
        )
    if len(x) == 0:
        raise ValueError(f"{x_name} holds no sample; give at least one")
    if x.is_floating_point() and not torch.isfinite(x).all():
        raise ValueError(f"{x_name} holds NaN or infinity; clean the data first")


def _first_logits(model: nn.Module, x: Tensor) -> Tensor:
    """Return the logits of one sample, from a forward pass where the model lives.

    Raises:
        ValueError: if there is none: no sample, inputs it cannot take, or another output.
    """
    if len(x) == 0:
        raise ValueError("x holds no sample; give at least one")
    home = next(model.parameters())
    try:
        with torch.enable_grad():  # its first pass: what it computes there and keeps shows in the graphs of later ones
            logits = model(x[:1].to(home.device, copy=True))
    except Exception as error:
        if ran_out(error):
            raise
        if any(words in str(error) for words in APART):
            raise ValueError(
                f"the model cannot run on {home.device}: {error}; it holds, makes or finds a tensor that does not move "
                "with it: register it as a buffer, make it on the device of the input, or give device='cpu'"
            ) from error
        raise ValueError(
            f"the model cannot take x, of shape {tuple(x.shape)} and dtype {x.dtype}: {error}; "
            "give the inputs as the network was trained on"
        ) from error
    if not isinstance(logits, Tensor):
        keys = [str(key) for key in logits] if isinstance(logits, Mapping) else []
        kind = f"a {type(logits).__name__}" + (f" with {', '.join(keys)}" if keys else "")
        if hasattr(logits, "logits") and not x.is_floating_point():  # tokens: without a mask, padding is read as words
            body = "self[0](x, attention_mask=(x != PAD).long()).logits  # PAD: the number of padding"
        elif hasattr(logits, "logits"):
            body = "self[0](x).logits"
        else:
            body = f"self[0](x)[{keys[0]!r}]" if keys else "self[0](x)[0]"
        raise ValueError(
            f"the model must map (n, ...) to a tensor of logits (n, k); for one sample it gave {kind}. Wrap it:\n"
            + _wrapper(body)
        )
    if logits.ndim != 2 or len(logits) != 1:
        raise ValueError(
            f"the model must map (n, ...) to logits (n, k); for one sample it gave {tuple(logits.shape)}; reduce or "
            "flatten the other axes in its last layer"
        )
    return logits.detach()
