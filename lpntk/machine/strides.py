"""Is the weight gradient of a strided 1 x 1 convolution right? Not always by torch 2.13 on a CPU; here it is.

oneDNN overruns a buffer there (its issue 6035): in an ungrouped 1 x 1 convolution with stride > 1, no padding, images
channels last and fewer channels than a vector register holds. The process dies, or the numbers are wrong without a
word, as threads and instruction set have it. Transposed convolutions are hit alike. Such a layer meets every s-th pixel
only, so its weight gradient is that of stride 1 on images already thinned, and that is what torch is asked for here.

It is asked below autograd, ``vmap`` and forward mode, where all gradients of a CPU pass, in any module or function: so
no model, layer or hook has to change. A call from there to Python takes some 30 microseconds, so ``guard`` arranges for
it, for the rest of the process, only when a model is seen that may need it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

OPERATOR = "aten::convolution_backward"
_kernel = torch.library.get_kernel(OPERATOR, "CPU")  # torch's own
_registered: list[torch.library.Library] = []  # what is registered lives as long as its library


def guard(model: nn.Module) -> None:
    """Make sure that the gradients of a model's strided 1 x 1 convolutions are right; the model is only looked at."""
    if not _registered and any(map(_may_need_it, model.modules())):
        library = torch.library.Library("aten", "IMPL")
        library.impl(OPERATOR, _backward, "CPU", with_keyset=True)
        _registered.append(library)


def _may_need_it(module: nn.Module) -> bool:
    """Whether a module is such a convolution, or runs code that may call one: a forward pass not torch's, a hook."""
    own = "forward" in vars(module) or not type(module).__module__.startswith("torch.nn.")
    if own or module._forward_hooks or module._forward_pre_hooks:
        return True
    convolution = isinstance(module, nn.modules.conv._ConvNd)
    return convolution and max(module.stride) > 1 and max(module.kernel_size) == 1


def _backward(
    keys: torch.DispatchKeySet,
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias_sizes: Sequence[int] | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    wanted: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return what is wanted of the gradients of input, weight and bias, in the signature of torch's operator."""
    learns = wanted[1] or wanted[2]  # oneDNN computes the bias's gradient along with the weight's
    if not learns or max(stride) == 1 or max(weight.shape[2:]) > 1 or any(padding):
        return _kernel.call_boxed(
            keys, grad, x, weight, bias_sizes, stride, padding, dilation, transposed, output_padding, groups, wanted
        )
    of_input = of_weight = of_bias = None
    if wanted[0]:
        rest = (bias_sizes, stride, padding, dilation, transposed, output_padding, groups)
        of_input = _kernel.call_boxed(keys, grad, x, weight, *rest, [True, False, False])[0]
    if wanted[2]:
        of_bias = grad.sum([0, *range(2, grad.ndim)])
    if wanted[1]:
        few = (x if transposed else grad).shape[2:]
        seen = (..., *(slice(None, n * s, s) for n, s in zip(few, stride, strict=True)))
        grad, x = (grad[seen], x) if transposed else (grad, x[seen])
        ones, zeros = [1] * len(stride), [0] * len(stride)
        rest = (bias_sizes, ones, zeros, dilation, transposed, zeros, groups)
        of_weight = _kernel.call_boxed(keys, grad, x, weight, *rest, [False, True, False])[1]
    return of_input, of_weight, of_bias
