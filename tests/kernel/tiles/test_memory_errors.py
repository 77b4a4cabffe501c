"""Out of memory is out of memory: nobody takes it for a model that cannot be run, and smaller blocks are tried."""

import torch
from rows import each_row
from torch import nn

from lpntk.kernel.matrix import kernel_matrix


class Hungry(nn.Module):
    """Runs out of memory at the forward pass that ``LEFT`` counts down to, in the words of ``SAID``."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.fc, self.head = nn.Linear(3, 4), nn.Linear(4, 3)

    def forward(self, x):
        LEFT[0] -= 1
        if LEFT[0] == 0:
            raise SAID[0]
        return self.head(torch.tanh(self.fc(x)))


LEFT, SAID = [0], [RuntimeError()]
X, Y = torch.randn(9, 3), torch.arange(9) % 3


@each_row(
    ("error", "sketch"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), None),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes"), 4),
    ],
)
def test_running_out_of_memory_at_any_pass_means_smaller_blocks(error, sketch, caplog):
    LEFT[0], SAID[0] = 0, error
    want = kernel_matrix(Hungry(), X, Y, sketch=sketch)
    passes = -LEFT[0]
    assert passes > 4
    for at in range(1, passes + 1):
        LEFT[0] = at
        caplog.clear()
        got = kernel_matrix(Hungry(), X, Y, sketch=sketch)
        assert torch.allclose(got, want)
        assert "memory ran out" in caplog.text
