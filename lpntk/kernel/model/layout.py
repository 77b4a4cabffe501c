"""How do samples lie in memory? As the processor is fast at, if the model takes it."""

import torch
from torch import Tensor, nn

from lpntk.machine.device import ran_out


def prepared(model: nn.Module, x: Tensor, device: torch.device) -> torch.memory_format:
    """Return the memory format that samples shall have, and make the model ready for it and for being run again.

    On the CPU convolutions, pooling and patches run faster on channels last, but ``.view`` may refuse that, for more
    than one sample.

    Raises:
        RuntimeError: if memory runs out.
    """
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)] if device.type == "cpu" else []
    x = x if len(x) > 1 else x.repeat(2, *[1] * (x.ndim - 1))
    layouts = [torch.channels_last, torch.contiguous_format] if convs else [torch.preserve_format]
    for layout in layouts:
        for conv in convs:
            conv.to(memory_format=layout)
        given = placed(x, device, layout).clone()
        try:
            with torch.no_grad():
                model(given)
            break
        except Exception as error:
            if ran_out(error) or layout is layouts[-1]:
                raise
    if given._version:  # changed in place, as by ReLU(inplace=True) in front
        model.register_forward_pre_hook(lambda _, args: (args[0].clone(), *args[1:]), prepend=True)
    return layout


def placed(t: Tensor, device: torch.device, layout: torch.memory_format) -> Tensor:
    """Move samples to the device, images in a memory format."""
    return t.to(device, memory_format=layout if t.ndim == 4 else torch.preserve_format)
