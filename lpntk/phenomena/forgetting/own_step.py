"""Which gradient does a step make where there is batch norm? That of the batch by its own statistics.

In training a batch is normalised by its own mean and variance; the network that is looked at afterwards uses running
ones. So the kernel that foretells a step needs both: the Jacobian of the sample that is looked at with running
statistics, and the gradient of the batch as it is learned. That gradient is no sum over samples that know nothing of
each other: each pulls at the statistics by which all others are normalised.
"""

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lpntk.keep.keys import computed_key
from lpntk.learn.campaign import Network


class BatchNormAsLearned(nn.BatchNorm2d):
    """Batch norm that, in evaluation mode too, normalises by the batch where a gradient is asked for.

    Without gradients, as predictions and Jacobian products are taken here, it uses running statistics as ever. These
    move in training mode alone.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, c, h, w) to the same shape."""
        if self.training or not torch.is_grad_enabled():
            return super().forward(x)
        return F.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=self.eps)


@dataclass(frozen=True)
class NetworkAsLearned(Network):
    """A network whose gradients are those of its steps, for ``forgetting.study.study``.

    Attributes:
        gradient: digest of the code that takes it: tells its results from those of the same network in evaluation mode.
    """

    gradient: str = field(default_factory=lambda: computed_key(NetworkAsLearned, device="cpu")["code"])

    def __call__(self, seed: int) -> nn.Module:
        """Build it with this initialisation.

        Raises:
            ValueError: if it has no batch norm, so that both gradients are one.
        """
        model = super().__call__(seed)
        found = [name for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)]
        if not found:
            raise ValueError(f"{self.name} with {self.options} has no batch norm: use Network, its gradients are those")
        for name in found:
            own = model.get_submodule(name)
            new = BatchNormAsLearned(own.num_features, eps=own.eps, momentum=own.momentum)
            new.load_state_dict(own.state_dict())
            model.set_submodule(name, new)
        return model
