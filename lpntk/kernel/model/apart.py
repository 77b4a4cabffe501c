"""Can an operation bring the samples of a batch together? Most cannot, whatever their arguments are.

An index, a sort, a roll or a product of two batches may put a row elsewhere for some samples only, by the same
operations as for those that were tried. Whoever meets one has to look at every sample (``ownership.py``); a pass of
convolutions and activations needs no look.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

Rule = Callable[[list[Tensor], tuple, Any, int], bool]


class Together(TorchDispatchMode):
    """Notes, in ``found``, an operation that is not known to treat every row for itself.

    Args:
        model: that is run; its parameters and buffers belong to no sample.
        n: samples: they, or further rows of each, lie along the first axis.
    """

    def __init__(self, model: nn.Module, n: int):
        super().__init__()
        self.n, self._found = n, None
        self._open: dict[tuple, str] = {}  # what has put samples along another axis, until it is taken apart
        self._moved: dict[tuple, tuple[int, Tensor]] = {}  # whose samples lie along another axis, by place and strides
        self.own = {_place(t) for tensors in (model.parameters(), model.buffers()) for t in tensors} - {0}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # or torch imports its compiler, which takes a second, to keep it from compiling this

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if self._found is None and not self._is_apart(func, args, kwargs, out):
            self._found = str(func)
        return out

    @property
    def found(self) -> str | None:
        """The operation, or None."""
        return self._found or next(iter(self._open.values()), None)

    def _is_apart(self, func: Any, args: tuple, kwargs: dict | None, out: Any) -> bool:
        given = _tensors([*args, *kwargs.values()] if kwargs else args)
        rows = [t for t in given if t.ndim and _place(t) not in self.own]
        if not rows:
            return True  # made of what belongs to no sample
        rule = RULES.get(func.overloadpacket)
        if self._moved and any(_geometry(t) in self._moved for t in rows):
            return self._is_taken_apart(func.overloadpacket, args, out)
        if func is torch.ops.aten.permute.default and args[0].ndim and args[1][0] % args[0].ndim:
            self._note([out], [axis % out.ndim for axis in args[1]].index(0), str(func))
            return len(args[0]) == self.n
        try:
            return rule is not None and not any(len(t) % self.n for t in rows) and rule(rows, args, out, self.n)
        except (IndexError, TypeError, AttributeError):  # fewer arguments, or others than expected
            return False

    def _note(self, tensors: Iterable[Tensor], axis: int, by: str) -> None:
        """Remember along which axis the samples of views lie; held, so that nothing else comes to lie there."""
        self._moved.update({_geometry(t): (axis, t) for t in tensors if axis})
        self._open.update({_geometry(t): by for t in tensors if axis})

    def _is_taken_apart(self, operator: Any, args: tuple, out: Any) -> bool:
        """Entries of an axis before or behind the samples, as of queries, keys and values that were one product."""
        if operator not in (torch.ops.aten.select, torch.ops.aten.unbind) or _geometry(args[0]) not in self._moved:
            return False
        axis, (samples, _) = (args[1] if len(args) > 1 else 0) % args[0].ndim, self._moved[_geometry(args[0])]
        if axis == samples:
            return False
        by = self._open.pop(_geometry(args[0]), str(operator))
        self._note([out] if isinstance(out, Tensor) else out, samples - (axis < samples), by)
        return True


def _geometry(t: Tensor) -> tuple:
    return _place(t), t.storage_offset(), t.shape, t.stride()


def _tensors(args: Iterable) -> list[Tensor]:
    """Return the tensors among arguments and in lists of them."""
    found = []
    for value in args:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += [t for t in value if isinstance(t, Tensor)]
    return found


def _place(t: Tensor) -> int:
    try:
        return t.untyped_storage().data_ptr()
    except (RuntimeError, NotImplementedError):  # sparse
        return 0


# A rule gets the tensors of samples among the arguments, all arguments, the result and n.


def _element_by_element(rows: list[Tensor], args: tuple, out: Tensor, n: int) -> bool:
    """The first axis is that of every operand; what belongs to no sample is the same for all."""
    fixed = [t for t in _tensors(args) if all(t is not row for row in rows)]
    return all(t.ndim == out.ndim and len(t) == len(out) for t in rows) and all(
        t.ndim < out.ndim or len(t) == 1 for t in fixed
    )


def _input(place: int, holds: Callable[[tuple], bool] = lambda args: True) -> Rule:
    """One argument has rows, all else belongs to no sample."""
    return lambda rows, args, out, n: len(rows) == 1 and rows[0] is args[place] and holds(args)


def _reshaped(rows: list[Tensor], args: tuple, out: Tensor, n: int) -> bool:
    """The same numbers in the same order."""
    return len(out) % n == 0


def _along(axes: Callable[[tuple], list[int]]) -> Rule:
    """Named axes, none of them the first one."""

    def rule(rows: list[Tensor], args: tuple, out: Any, n: int) -> bool:
        named = axes(args)
        return (
            len(named) > 0 and all(axis % t.ndim for axis in named for t in rows) and len({len(t) for t in rows}) == 1
        )

    return rule


def _rows_in_place(rows: list[Tensor], args: tuple, out: Tensor, n: int) -> bool:
    """Other strides, by which every row still has a part of the memory to itself, one after the other."""
    extent = sum((size - 1) * stride for size, stride in zip(out.shape[1:], out.stride()[1:], strict=True))
    return len(args) == 3 and out.stride(0) * len(out) == out.numel() and extent < out.stride(0)


def _entry_by_entry(rows: list[Tensor], args: tuple, out: Any, n: int) -> bool:
    """A product or attention for every entry of the first axis."""
    return all(t.ndim > 2 and len(t) == len(rows[0]) for t in _tensors(args))


def _rules(names: str, rule: Rule) -> dict[Any, Rule]:
    return {getattr(torch.ops.aten, name): rule for name in names.split()}


RULES = {
    **_rules("relu relu_ threshold leaky_relu leaky_relu_ elu elu_ hardtanh hardtanh_ hardswish hardswish_ silu silu_ "
             "gelu tanh tanh_ sigmoid sigmoid_ softplus exp log sqrt rsqrt square neg abs pow erf sin cos clamp "
             "clamp_min add add_ sub sub_ mul mul_ div div_ clone detach alias _to_copy where masked_fill gt lt ge le "
             "eq ne zeros_like ones_like", _element_by_element),
    **_rules("convolution mm _adaptive_avg_pool2d avg_pool2d max_pool2d_with_indices native_group_norm "
             "_native_batch_norm_legit_no_training", _input(0)),
    **_rules("native_batch_norm cudnn_batch_norm", _input(0, lambda args: args[5] is False)),
    **_rules("native_layer_norm", _input(0, lambda args: len(args[1]) < args[0].ndim)),
    **_rules("addmm embedding", _input(1)),
    **_rules("view _unsafe_view unsqueeze expand", _reshaped),
    **_rules("as_strided_", _rows_in_place),  # of pooling to one pixel, channels last
    **_rules("_softmax _log_softmax select unbind", _along(lambda args: [args[1]])),
    **_rules("slice", _along(lambda args: [args[1]])),
    **_rules("split split_with_sizes", _along(lambda args: [args[2]])),
    **_rules("cat", _along(lambda args: [args[1]])),
    **_rules("mean sum amax", _along(lambda args: args[1])),
    **_rules("transpose", _along(lambda args: [*args[1:3]])),
    **_rules("permute", _along(lambda args: args[1][1:])),
    **_rules("bmm baddbmm _scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_flash_attention "
             "_scaled_dot_product_efficient_attention", _entry_by_entry),
}  # fmt: skip
