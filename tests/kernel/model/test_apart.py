"""Which operations can bring samples together? Whatever is let through is let through for any arguments it may have."""

import torch
import torch.nn.functional as F
from networks import Recurrent, Transformer
from rows import each_row
from torch import nn

from lpntk.kernel.layerwise import capture
from lpntk.kernel.matrix import kernel_matrix
from lpntk.kernel.model.apart import Together
from lpntk.learn.models import build

X = torch.randn(6, 4, 5, generator=torch.Generator().manual_seed(0))
W = nn.Parameter(torch.randn(5, 5))
P = nn.Parameter(torch.randn(6, 5))


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.w, self.p, self.function = W, P, function

    def forward(self, x):
        return self.function(x)


def met(function, x=X):
    model = Function(function)
    watched = Together(model, len(x))
    with watched, torch.enable_grad():
        model(x)
    return watched.found


APART = {
    "linear": lambda x: F.linear(x, W),
    "relu": F.relu,
    "add": lambda x: x + W[:4],
    "gate": lambda x: x * torch.sigmoid(x.mean(1, keepdim=True)),
    "softmax": lambda x: x.softmax(-1),
    "attention": lambda x: (x @ x.mT).softmax(-1) @ x,
    "transpose": lambda x: x.transpose(1, 2).reshape(6, -1),
    "permute": lambda x: x.permute(0, 2, 1),
    "queries-keys": lambda x: torch.add(*x.unflatten(1, (2, 2)).permute(1, 0, 3, 2).unbind(0)),
    "queries": lambda x: x.unflatten(1, (2, 2)).permute(2, 3, 0, 1)[1][0],
    "rows": lambda x: F.layer_norm(x.flatten(0, 1), (5,)).view(6, 4, 5),
    "halves": lambda x: torch.cat([x[:, :2], x[:, 2:].tanh()], 1),
    "first": lambda x: x.select(1, 0),
}
TOGETHER = {
    "index": lambda x: x[torch.arange(6)],
    "flip": lambda x: x.flip(0),
    "roll": lambda x: x.roll(1, 0),
    "sort": lambda x: x.sort(0).values,
    "mean": lambda x: x - x.mean(0),
    "of-all": lambda x: x - x.mean(),
    "softmax": lambda x: x.softmax(0),
    "transpose": lambda x: x.transpose(0, 1),
    "permute": lambda x: x.permute(1, 0, 2),
    "permute-and-add": lambda x: x.permute(1, 0, 2) + 1,
    "another-sample": lambda x: x.permute(1, 0, 2)[:, 0],
    "half-apart": lambda x: x.permute(1, 2, 0)[0],
    "product": lambda x: x[:, 0] @ x[:, 0].T,
    "pairs": lambda x: x[:, None, 0] * x[None, :, 0],
    "others-weights": lambda x: W @ x[:5, 0].T,
    "first": lambda x: x + x[:1],
    "cumsum": lambda x: x.cumsum(0),
    "cat": lambda x: torch.cat([x[3:], x[:3]]),
    "by-place": lambda x: x[:, 0] + P,
    "batch-norm": lambda x: F.batch_norm(x, None, None, training=True),
    "layer-norm": lambda x: F.layer_norm(x, (6, 4, 5)),
    "twos": lambda x: x.view(3, 2, 4, 5).mean(1),
    "outer": lambda x: x[:, 0, :1] + x[:, 0, 0],
    "convolution": lambda x: F.conv1d(x, x[:, :, :1]),
}


@each_row("name", APART)
def test_operations_that_treat_every_row_for_itself(name):
    assert met(APART[name]) is None


@each_row("name", TOGETHER)
def test_operations_that_may_bring_samples_together(name):
    assert met(TOGETHER[name]) is not None


@each_row(
    ("name", "shape"),
    [("mlp", (1, 8, 8)), ("lenet5", (1, 28, 28)), ("lenet", (1, 28, 28)), ("resnet18", (3, 32, 32))],
)
def test_the_networks_of_this_book_need_no_second_look(name, shape, monkeypatch):
    model = build(name, shape, 10, seed=0, **({"width": 8} if name == "resnet18" else {})).eval()
    looked = []
    monkeypatch.setattr(capture, "check_company", lambda *args: looked.append(args[-1]))
    kernel_matrix(model, torch.randn(5, *shape), torch.arange(5))
    kernel_matrix(Recurrent(), torch.randn(5, 4, 4), torch.arange(5) % 3)
    assert {*looked} == {"aten.transpose.int"}  # of the last one


def test_a_recurrent_network_and_attention_get_one():
    for model, x in [(Recurrent(), torch.randn(6, 4, 4)), (Transformer(), torch.randint(11, (6, 5)))]:
        watched = Together(model, 6)
        with watched:
            model(x)
        assert "transpose" in watched.found
