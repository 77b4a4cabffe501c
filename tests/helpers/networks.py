"""Small networks, each with one thing that a layer-wise kernel can get wrong; three logits each."""

import torch
import torch.nn.functional as F
from torch import nn

HEAD = lambda c: (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, 3))


def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).eval()


def conv_net(**options):
    return lambda: nn.Sequential(nn.Conv2d(2, 4, 3, **options), nn.Tanh(), *HEAD(4))


class Norms(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        self.group, self.instance = nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True)
        self.layer, self.rms = nn.LayerNorm((5, 5)), nn.RMSNorm(4, eps=1e-5)
        self.fc = nn.Linear(4, 3)
        for norm in (self.group, self.instance, self.layer, self.rms):
            nn.init.uniform_(norm.weight, 0.5, 1.5)

    def forward(self, x):
        h = torch.tanh(self.layer(self.instance(torch.relu(self.group(self.conv(x))))))
        return self.fc(self.rms(h.flatten(2).mean(2)))


class Transformer(nn.Module):
    """Embedding with padding, positions as a plain parameter, attention (its projections bypass hooks), layer norm."""

    def __init__(self, tied=False, padding=None):
        super().__init__()
        self.embed = nn.Embedding(11, 6, padding_idx=padding)
        self.position = nn.Parameter(torch.randn(5, 6))
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.norm, self.up, self.down = nn.LayerNorm(6), nn.Linear(6, 7), nn.Linear(7, 6)
        self.out = nn.Linear(6, 11, bias=False)
        if tied:
            self.out.weight = self.embed.weight
        self.head = nn.Linear(11, 3)

    def forward(self, tokens):
        h = self.embed(tokens) + self.position
        h = h + self.attention(h, h, h, need_weights=False)[0]
        h = h + self.down(F.gelu(self.up(self.norm(h))))
        return self.head(self.out(h).mean(1))


class Sequence(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.mix, self.head = nn.Embedding(50, 6), nn.Linear(6, 40), nn.Linear(40, 3)

    def forward(self, tokens):
        return self.head(torch.tanh(self.mix(self.embed(tokens))).sum(1))


class Twice(nn.Module):
    """One module called twice, and two modules with one weight."""

    def __init__(self):
        super().__init__()
        self.first, self.again = nn.Linear(6, 6), nn.Linear(6, 6)
        self.tied, self.head = nn.Linear(6, 6, bias=False), nn.Linear(6, 3)
        self.tied.weight = self.first.weight

    def forward(self, x):
        h = torch.tanh(self.first(x))
        h = torch.tanh(self.again(torch.tanh(self.again(h))))
        return self.head(torch.tanh(self.tied(h)))


class InPlace(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        h = F.relu(self.a(x), inplace=True)
        out = self.b(h)
        out += h
        return self.head(out.relu_())


class Functional(nn.Module):
    """A weight used through its module and past it, one used past it only, and one not used at all."""

    def __init__(self):
        super().__init__()
        self.both, self.past, self.unused = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        h = torch.tanh(F.linear(torch.tanh(self.both(x)), self.both.weight))
        return self.head(torch.tanh(F.linear(h, self.past.weight, self.past.bias)))


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, w):
        return 2 * w

    @staticmethod
    def backward(ctx, g):
        return 2 * g


class Opaque(nn.Module):
    """Uses a weight past its module inside an operation that torch.func cannot enter."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.fc, self.outer = nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x):
        return self.outer(torch.tanh(F.linear(x, Doubled.apply(self.fc.weight))))


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.rand(6) + 0.5)

    def forward(self, x, *, shift):
        return x * self.gain + shift.mean() + x.mean(1, keepdim=True)


class Keyword(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.scale, self.head = nn.Linear(6, 6), Scale(), nn.Linear(6, 3)

    def forward(self, x):
        h = torch.tanh(self.fc(input=x))
        return self.head(torch.tanh(self.scale(h, shift=torch.arange(5.0).to(x))))


class Recurrent(nn.Module):
    def __init__(self, last="output"):
        super().__init__()
        self.lstm, self.head, self.last = nn.LSTM(4, 5, batch_first=True), nn.Linear(5, 3), last

    def forward(self, x):
        output, (hidden, _) = self.lstm(x)
        return self.head(output[:, -1] if self.last == "output" else hidden[0])


class Viewed(nn.Module):
    """Flattens with ``.view``, which refuses channels last: the features of a convolution, or the input."""

    def __init__(self, features=True):
        super().__init__()
        self.conv, self.features = nn.Conv2d(2, 4, 3), features
        self.fc = nn.Linear(100 if features else 98, 3)

    def forward(self, x):
        h = torch.tanh(self.conv(x))
        return self.fc(h.view(len(x), -1) if self.features else x.view(len(x), -1) * h.mean((1, 2, 3))[:, None])


class Sided(nn.Module):
    """Bilinear takes two inputs; the same linear layer sees rows that are grouped by sample."""

    def __init__(self):
        super().__init__()
        self.bilinear, self.rows, self.head = nn.Bilinear(3, 3, 4), nn.Linear(2, 5), nn.Linear(10, 3)

    def forward(self, x):
        h = torch.tanh(self.bilinear(x[:, :3], x[:, 3:]))
        return self.head(torch.tanh(self.rows(h.reshape(-1, 2))).reshape(len(x), -1))


def frozen(*names):
    def make():
        model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), *HEAD(4))
        for name, p in model.named_parameters():
            p.requires_grad_(name not in names)
        return model

    return make


def weight_norm():
    wrap = nn.utils.parametrizations.weight_norm
    return nn.Sequential(wrap(nn.Linear(6, 8)), nn.Tanh(), nn.Linear(8, 3))


IMAGE = (2, 7, 7)
NETWORKS = [  # name, make, shape of a sample, number of tokens (0: the sample is real)
    ("conv-strided-dilated", conv_net(stride=2, padding=2, dilation=2), IMAGE, 0),
    # so many positions and entries that rows of the kernel are taken as runs of strips
    ("conv-runs", lambda: nn.Sequential(nn.Conv2d(6, 4, 3, padding=2, dilation=2), nn.Tanh(), *HEAD(4)), (6, 7, 7), 0),
    ("conv-grouped", conv_net(groups=2, bias=False, padding=1), IMAGE, 0),
    ("conv-same", conv_net(padding="same", dilation=2), IMAGE, 0),
    ("conv-circular", conv_net(padding=2, padding_mode="circular", stride=2), IMAGE, 0),
    ("conv-1d", lambda: nn.Sequential(nn.Conv1d(2, 5, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(20, 3)), (2, 9), 0),
    ("conv-3d", lambda: nn.Sequential(nn.Conv3d(1, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(24, 3)), (1, 3, 3, 3), 0),
    ("view", Viewed, IMAGE, 0),
    ("view-of-input", lambda: Viewed(features=False), IMAGE, 0),
    ("norms", Norms, IMAGE, 0),
    ("transformer", Transformer, (5,), 11),
    ("transformer-tied-padding", lambda: Transformer(tied=True, padding=2), (5,), 11),
    ("embedding-sequence", Sequence, (4,), 50),
    ("shared", Twice, (6,), 0),
    ("in-place", InPlace, (6,), 0),
    ("frozen-weights", frozen("0.weight", "1.bias", "5.bias"), IMAGE, 0),
    ("frozen-biases", frozen("0.bias", "1.weight", "5.weight"), IMAGE, 0),
    ("prelu", lambda: nn.Sequential(nn.Linear(6, 8), nn.PReLU(8), nn.Linear(8, 3)), (6,), 0),
    ("transposed", lambda: nn.Sequential(nn.ConvTranspose2d(2, 4, 3, 2), nn.Tanh(), *HEAD(4)), IMAGE, 0),
    ("functional", Functional, (6,), 0),
    ("weight-norm", weight_norm, (6,), 0),
    ("keyword", Keyword, (6,), 0),
    ("lstm-output", Recurrent, (4, 4), 0),
    ("lstm-hidden", lambda: Recurrent("hidden"), (4, 4), 0),
    ("bilinear-rows", Sided, (6,), 0),
]
