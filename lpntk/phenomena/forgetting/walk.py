"""What does each update do, and what was foreseen? One training, every step of it predicted before it is made.

The samples of the previous batch are predicted, the update is that on the current one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lpntk.learn.stacks import Stack
from lpntk.learn.steps import step
from lpntk.machine.precision import exact
from lpntk.phenomena.forgetting.events import margin
from lpntk.phenomena.forgetting.predict import Direction, changes, moment, pushes, scores


@dataclass(frozen=True)
class Setting:
    """The real update.

    Attributes:
        recipe: its name: ``plain``, the one part that is added to plain SGD, or ``all``.
        lr: learning rate, constant.
        momentum: of SGD.
        weight_decay: of SGD.
        dropout: whether the network learns with dropout; predictions and correctness are without it.
    """

    recipe: str
    lr: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    dropout: bool = False

    @property
    def key(self) -> str:
        """Its name in ``numbers.json``."""
        return f"{self.recipe}-lr{self.lr:g}".replace(".", "_").replace(" ", "_")

    @property
    def short(self) -> str:
        """Its recipe for readers."""
        return {"plain": "plain SGD", "all": "whole recipe"}.get(self.recipe, f"SGD + {self.recipe}")

    @property
    def words(self) -> str:
        """Its name for readers."""
        return f"{self.short}, lr {self.lr:g}"


@dataclass(frozen=True)
class Track:
    """Everything that is kept of m trainings of t updates; the first update has no previous batch.

    Attributes:
        correct: (m, t + 1, n) bool, the samples followed, before the first update and after each.
        batches: (m, t, b) the samples of each update, as indices into the training set.
        before: (m, t - 1, b) margins of the previous batch before each update but the first, in logits.
        after: (m, t - 1, b) and after it.
        scores: name of a predictor -> (m, t - 1, b).
        diverged: (m,) bool.
    """

    correct: Tensor
    batches: Tensor
    before: Tensor
    after: Tensor
    scores: dict[str, Tensor]
    diverged: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """Return it as named tensors, as a cache keeps them."""
        own = {name: value for name, value in vars(self).items() if name != "scores"}
        return own | {f"scores.{name}": value for name, value in self.scores.items()}

    def finished(self) -> "Track":
        """Return it without the runs that diverged."""
        fine = ~self.diverged
        return Track.join([{name: value[fine] for name, value in self.tensors().items()}])

    @classmethod
    def join(cls, parts: Sequence[dict[str, Tensor]]) -> "Track":
        """Return one track of several blocks of trainings, as named tensors."""
        whole = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        told = {name.removeprefix("scores."): whole.pop(name) for name in list(whole) if name.startswith("scores.")}
        return cls(**whole, scores=told)


def draw_batches(n: int, batch_size: int, steps: int, seed: int) -> Tensor:
    """Return (steps, batch_size) indices: shuffled epochs, of which a last smaller batch is left out.

    Raises:
        ValueError: if a batch cannot be filled.
    """
    if not 2 <= batch_size <= n:
        raise ValueError(f"batch_size must lie in 2..{n}, the number of training samples; got {batch_size}")
    generator = torch.Generator().manual_seed(seed)
    per_epoch = n // batch_size
    epochs = [torch.randperm(n, generator=generator)[: per_epoch * batch_size] for _ in range(-(-steps // per_epoch))]
    return torch.cat(epochs).view(-1, batch_size)[:steps]


@exact
def walk(
    models: Sequence[nn.Module], x: Tensor, y: Tensor, batches: Tensor, followed: int, setting: Setting,
    seeds: Sequence[int] | None = None,
) -> Track:  # fmt: skip
    """Train m networks, each on its batches, and predict every update before it is made.

    Args:
        models: m networks on their device; changed in place.
        x: (n, ...) training inputs there.
        y: (n,) labels there.
        batches: (m, t, b) samples of each update.
        followed: the first so many training samples are followed through every update.
        setting: the real update.
        seeds: m seeds of dropout; 0, 1, ... by default.
    """
    m, t, b = batches.shape
    stack = Stack(models)
    optimizer = torch.optim.SGD(
        stack.params.values(), lr=setting.lr, momentum=setting.momentum, weight_decay=setting.weight_decay
    )
    x_all, y_all = (v[:followed].expand(m, *v[:followed].shape) for v in (x, y))  # (m, followed, ...), no copy
    correct = torch.zeros(m, t + 1, followed, dtype=torch.bool)
    before, after = torch.zeros(2, m, t - 1, b)
    told: dict[str, Tensor] = {}

    def is_correct() -> Tensor:
        with torch.no_grad():
            return (margin(stack.logits(x_all), y_all) > 0).cpu()

    correct[:, 0] = is_correct()
    with stack.drawing(range(m) if seeds is None else seeds):
        for i in range(t):
            now, previous = batches[:, i], batches[:, i - 1]  # (m, b)
            directions = pushes(stack, x[now], y[now]) | _held(stack, optimizer, setting)
            params, run = moment(stack)
            step(stack, optimizer, x[now], y[now], dropout=setting.dropout, amp=False)
            correct[:, i + 1] = is_correct()
            if i == 0:
                continue
            directions["step"] = {name: p.detach() - params[name] for name, p in stack.params.items()}
            with torch.no_grad():
                logits, truth = run(params, x[previous]), stack.logits(x[previous])
                change = changes(run, params, x[previous], directions)
                told_now = scores(
                    logits, y[previous], change,
                    lr=setting.lr, momentum=setting.momentum, weight_decay=setting.weight_decay,
                )  # fmt: skip
            before[:, i - 1], after[:, i - 1] = margin(logits, y[previous]).cpu(), margin(truth, y[previous]).cpu()
            for name, value in told_now.items():
                told.setdefault(name, torch.zeros(m, t - 1, b))[:, i - 1] = value.cpu()
    finite = torch.stack([v.flatten(1).isfinite().all(dim=1) for v in (before, after, *told.values())]).all(dim=0)
    return Track(correct, batches.cpu(), before, after, told, ~(finite & stack.finite()))


def _held(stack: Stack, optimizer: torch.optim.SGD, setting: Setting) -> dict[str, Direction]:
    """Return what the optimizer adds to the gradient, as copies: its velocity and the weights, if it uses them."""
    held = {}
    velocity = {name: optimizer.state[p].get("momentum_buffer") for name, p in stack.params.items()}
    if all(v is not None for v in velocity.values()):
        held["velocity"] = {name: v.clone() for name, v in velocity.items()}
    if setting.weight_decay:
        held["weights"] = {name: p.detach().clone() for name, p in stack.params.items()}
    return held
