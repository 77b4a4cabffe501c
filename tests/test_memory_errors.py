"""Out of memory is out of memory: nobody takes it for a model that cannot be run."""

import pytest
import torch
from torch import nn

from lpntk.kernels import kernel_matrix


class Hungry(nn.Module):
    """Runs out of memory at the forward pass that ``HUNGER`` counts down to."""

    def __init__(self):
        super().__init__()
        self.fc, self.head = nn.Linear(3, 4), nn.Linear(4, 3)

    def forward(self, x):
        HUNGER[0] -= 1
        if HUNGER[0] == 0:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.head(torch.tanh(self.fc(x)))


HUNGER = [0]


def passes(sketch):
    HUNGER[0] = 0
    kernel_matrix(Hungry(), torch.randn(9, 3), torch.arange(9) % 3, sketch=sketch)
    return -HUNGER[0]


@pytest.mark.parametrize("sketch", [None, 4])
def test_running_out_of_memory_at_any_pass_is_told_as_such(sketch):
    for at in range(1, passes(sketch) + 1):
        HUNGER[0] = at
        with pytest.raises(torch.OutOfMemoryError):
            kernel_matrix(Hungry(), torch.randn(9, 3), torch.arange(9) % 3, sketch=sketch)
