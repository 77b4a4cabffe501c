import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from lpntk.keep import keys
from lpntk.keep.cache import Cache
from lpntk.learn.campaign import Network
from lpntk.learn.stacks import Stack
from lpntk.learn.steps import step
from lpntk.phenomena.forgetting.compare import between
from lpntk.phenomena.forgetting.judge import judge
from lpntk.phenomena.forgetting.own_step import BatchNormAsLearned, NetworkAsLearned
from lpntk.phenomena.forgetting.predict import changes, moment, pushes
from lpntk.phenomena.forgetting.study import study
from lpntk.phenomena.forgetting.walk import Setting, Track, walk

RULE = {"share": 0.9, "level": 0.05, "runs": 6, "events": 30}
ASKED = ("resnet18", (1, 8, 8), 4, {"width": 2, "blocks": [1, 1, 1, 1], "norm": "batch"})
WHOLE = Setting("all", 0.1)


def samples(n=24):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(n, 1, 8, 8, generator=generator), torch.randint(4, (n,), generator=generator)
    return x.double(), y


def learned(kind, steps=3):
    """A network in double precision after some steps: its running statistics are not those of any batch."""
    x, y = samples()
    model = kind(*ASKED)(0).double()
    stack = Stack([model])
    optimizer = torch.optim.SGD(stack.params.values(), lr=0.05)
    for _ in range(steps):
        step(stack, optimizer, x[None], y[None], dropout=False, amp=False)
    return stack, x, y


def by_hand(model, x, y):
    """Minus the gradient of the mean loss in training mode."""
    model.train()
    grads = torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))
    return [-g for g in grads]


def test_the_gradient_as_learned_is_that_of_the_step():
    for kind, close in ((NetworkAsLearned, True), (Network, False)):
        stack, x, y = learned(kind)
        found = pushes(stack, x[None, :8], y[None, :8])["error"]
        expected = by_hand(stack.models[0], x[:8], y[:8])
        gaps = [float((a - b).norm() / b.norm().clamp_min(1e-9)) for a, b in zip(found.values(), expected, strict=True)]
        assert (max(gaps) < 1e-9) == close, gaps


def test_predictions_keep_the_running_statistics():
    stack, x, y = learned(NetworkAsLearned)
    plain, *_ = learned(Network)
    buffers = {name: b.clone() for name, b in stack.models[0].named_buffers()}
    pushes(stack, x[None, :8], y[None, :8])
    assert all(torch.equal(b, buffers[name]) for name, b in stack.models[0].named_buffers())
    with torch.no_grad():
        assert torch.equal(stack.logits(x[None]), plain.logits(x[None]))
        found = []
        for each in (stack, plain):
            params, run = moment(each)
            direction = {name: torch.ones_like(p) for name, p in params.items()}
            found.append(changes(run, params, x[None, :8], {"d": direction})["d"])
        params, run = moment(plain)
        further = run({name: p + 1e-6 for name, p in params.items()}, x[None, :8]) - run(params, x[None, :8])
    assert torch.equal(*found)
    assert torch.allclose(found[0], further / 1e-6, rtol=1e-3, atol=1e-5)


def test_the_step_is_foretold_better_by_the_gradient_that_makes_it():
    x, y = (part.float() if part.is_floating_point() else part for part in samples(64))
    batches = torch.stack([torch.randperm(64, generator=torch.Generator().manual_seed(i))[:16] for i in range(8)])[None]
    found = {}
    for kind in (NetworkAsLearned, Network):
        track = walk([kind(*ASKED)(0)], x, y, batches, 8, Setting("plain", 0.01))
        parts = [(-track.scores[name] - track.before).flatten() for name in ("kernel-logits", "step")]
        found[kind] = torch.corrcoef(torch.stack(parts))[0, 1], track
    assert found[NetworkAsLearned][0] > 0.999  # one step of plain SGD is its gradient
    assert found[Network][0] < 0.95
    assert torch.equal(found[Network][1].after, found[NetworkAsLearned][1].after)  # the same training


def test_both_gradients_are_kept_apart(tmp_path):
    x, y = (part.float() if part.is_floating_point() else part for part in samples(32))
    asked = {"seeds": 1, "seed": 0, "steps": 4, "batch_size": 8, "followed": 8, "dropout": 0, "width": 1,
             "cache": Cache(tmp_path)}  # fmt: skip
    one, other = (study(kind(*ASKED), x, y, [WHOLE], **asked)[WHOLE] for kind in (NetworkAsLearned, Network))
    assert torch.equal(one.correct, other.correct)
    assert not torch.equal(one.scores["kernel"], other.scores["kernel"])


def test_a_network_without_batch_norm_is_refused():
    with pytest.raises(ValueError, match="has no batch norm: use Network"):
        NetworkAsLearned("resnet18", (1, 8, 8), 4, {"width": 2, "norm": "group"})(0)
    assert sum(isinstance(m, BatchNormAsLearned) for m in NetworkAsLearned(*ASKED)(0).modules()) == 12


def planted(knows):
    """Six runs in which the kernel knows events (or does not), each with chance of its own."""
    rng = np.random.default_rng(0)
    before = torch.from_numpy(rng.random((6, 40, 8)))
    after = before - torch.from_numpy(rng.random((6, 40, 8))) * 0.8
    noise = torch.from_numpy(rng.normal(size=(6, 40, 8)))
    names = ("kernel", "kernel-logits", "decay", "momentum", "step", "step-probabilities", "signs", "signs-centred",
             "kappa", "kappa-centred", "margin")  # fmt: skip
    scores = {name: noise for name in names} | {"kernel": -after + (0.05 if knows else 1.0) * noise}
    track = Track(torch.ones(6, 42, 4, dtype=torch.bool), torch.zeros(6, 41, 8, dtype=torch.int64), before, after,
                  scores, torch.zeros(6, dtype=torch.bool))  # fmt: skip
    return judge({WHOLE: track})


def test_two_ways_are_compared_run_by_run():
    good, poor = planted(knows=True), planted(knows=False)
    row = between(good, poor, RULE).loc[WHOLE.words]
    assert (row["verdict"], row["wins"], row["runs"]) == ("better", 6, 6)
    assert between(poor, good, RULE).loc[WHOLE.words, "verdict"] == "worse"
    assert between(good, good, RULE).loc[WHOLE.words, "verdict"] == "undecided"
    assert between(good, poor, {**RULE, "runs": 7}).loc[WHOLE.words, "verdict"] == "cannot be judged"
    lost = good.assign(diverged=good["run"] == 0)
    assert between(lost, poor, RULE).loc[WHOLE.words, ["runs", "verdict"]].tolist() == [5, "cannot be judged"]
    assert between(good, poor.assign(diverged=True), RULE).empty
    for other, message in (
        (poor.assign(events=poor["events"] + 1), "their events differ"),
        (poor[poor["run"] > 0], "settings or runs differ"),
        (pd.concat([poor, poor]), "a run of one setting twice"),
    ):
        with pytest.raises(ValueError, match=message):
            between(good, other, RULE)


def test_another_code_of_the_gradient_is_another_artefact(monkeypatch):
    before = NetworkAsLearned(*ASKED).gradient
    assert NetworkAsLearned(*ASKED).gradient == before
    monkeypatch.setattr(keys, "definitions_of", lambda maker: {maker.__name__: "changed"})
    assert NetworkAsLearned(*ASKED).gradient != before
