"""Is poison planted as it is told, is every score what its name says, and are found and removed judged by the rule?"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from oracle import loss_norm
from rows import each_row
from sklearn.metrics import average_precision_score

from lpntk.data.dataset import load
from lpntk.data.tasks import restrict
from lpntk.keep.cache import Cache
from lpntk.kernel.matrix import kernel_matrix
from lpntk.learn.campaign import Network
from lpntk.learn.moments import Moments
from lpntk.learn.training import train
from lpntk.phenomena.less_data.held_out import out_of_sample
from lpntk.phenomena.less_data.poison import detectors, influence, study
from lpntk.phenomena.less_data.poison.asked import check_asked
from lpntk.phenomena.less_data.poison.authors import MARKS, RANDOM, against_chance, dropped
from lpntk.phenomena.less_data.poison.detectors import (
    AVERAGED,
    INITIAL,
    KERNEL,
    MAIN,
    METHODS,
    SHOWN,
    each_class,
    excess,
    kernels,
    mean_cosine,
    of_another_label,
    suspicion,
    to_trusted,
)
from lpntk.phenomena.less_data.poison.influence import self_influence
from lpntk.phenomena.less_data.poison.peers import peers
from lpntk.phenomena.less_data.poison.pilot import KINDS, WAYS, by_choice, choose, halves
from lpntk.phenomena.less_data.poison.study import (
    ORACLE,
    REMOVED,
    Setting,
    detection,
    removal,
    scored,
    without,
)
from lpntk.phenomena.less_data.poison.threats import CLEAN, NOISE, TARGET, THREATS, patched, poison
from lpntk.phenomena.less_data.poison.verdict import against, judge, restored
from lpntk.phenomena.less_data.within import Within, rows_of
from lpntk.report.verdict import FAILS, HOLDS, IN_PART, UNDECIDED, UNJUDGED

DIGITS = load("digits")
NETWORK, SGD = Network("mlp", (1, 8, 8), 10, {"hidden": [8]}), {"lr": 0.1, "batch_size": 32}
RULE = {"level": 0.05, "close": 0.05}
DROPS = {"level": 0.05, "margin": 0.01, "drops": 0.01}
PEERS = ["aum", "quality", "trak"]


def planted(threat, rate, n=400, **options):
    rows = DIGITS.sample(n, 3)
    return poison(threat, DIGITS, rows, rate, seed=5, **options), DIGITS.x_train[rows], DIGITS.y_train[rows]


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    cache = Cache(tmp_path_factory.mktemp("cache"))
    return Setting(
        NETWORK, DIGITS, n=150, scorers=2, epochs=4, early=1, seed=0, cache=cache, training=SGD, device="cpu"
    )


@each_row(("threat", "rate"), [("uniform", 0.05), ("uniform", 0.3), ("pairwise", 0.05), ("pairwise", 0.3)])
def test_flips_are_as_many_as_asked_and_of_the_kind_asked(threat, rate):
    found, x, y = planted(threat, rate)
    assert found.bad.sum() == round(rate * 400)
    assert torch.equal(found.y != y, found.bad)
    assert torch.equal(found.x, x)
    steps = (found.y - y)[found.bad] % 10
    assert (steps == 1).all() if threat == "pairwise" else len(steps.unique()) > 4


def test_a_backdoor_is_a_bright_corner_and_one_label():
    found, x, y = planted("backdoor", 0.05, patch=3)
    bad = found.bad
    assert bad.sum() == 20
    assert (y[bad] != TARGET).all()
    assert (found.y[bad] == TARGET).all()
    assert torch.equal(found.y[~bad], y[~bad])
    changed = found.x != x
    assert not changed[~bad].any()
    assert not changed[:, :, :5].any()
    assert not changed[:, :, :, :5].any()
    assert (found.x[bad][:, :, 5:, 5:] == DIGITS.x_train.max()).all()
    inputs, labels = found.attack
    assert len(inputs) == (DIGITS.y_test != TARGET).sum()
    assert (labels == TARGET).all()
    assert (inputs[:, :, 5:, 5:] == DIGITS.x_train.max()).all()


def test_copies_are_near_one_sample_of_their_class():
    found, x, y = planted("duplicates", 0.1)
    assert found.bad.sum() == 40
    assert torch.equal(found.y, y)
    assert torch.equal(found.x[~found.bad], x[~found.bad])
    for label in range(10):
        copies, originals = found.x[found.bad & (y == label)], x[~found.bad & (y == label)]
        assert len(copies) == 4
        apart = torch.cdist(copies.flatten(1), originals.flatten(1))
        assert len(apart.argmin(dim=1).unique()) == 1  # all of one sample
        assert apart.amin() > 0
        assert apart.amin(dim=1).max() < 2 * NOISE * 8  # 64 pixels


def test_clean_samples_stay_and_draws_follow_the_seed():
    found, x, y = planted(CLEAN, 0.05)
    assert torch.equal(found.x, x)
    assert torch.equal(found.y, y)
    assert not found.bad.any()
    for threat in THREATS:
        first, second = planted(threat, 0.1)[0], planted(threat, 0.1)[0]
        assert torch.equal(first.x, second.x)
        other = poison(threat, DIGITS, DIGITS.sample(400, 3), 0.1, seed=6)
        assert not torch.equal(first.bad, other.bad)


@each_row(
    ("threat", "rate", "options", "message"),
    [
        ("rust", 0.1, {}, "threat must be one of"),
        ("uniform", 0.0, {}, "between 0 and 1"),
        ("uniform", 1.0, {}, "between 0 and 1"),
        ("pairwise", 0.001, {}, "at least one must be"),
        ("backdoor", 0.1, {"patch": 9}, "1 to 8 pixels"),
        ("backdoor", 0.1, {"patch": 0}, "1 to 8 pixels"),
        ("backdoor", 0.95, {}, "lower the rate"),
        ("duplicates", 0.95, {}, "too few to repeat"),
    ],
)
def test_what_cannot_be_planted_is_refused(threat, rate, options, message):
    with pytest.raises(ValueError, match=message):
        planted(threat, rate, **options)


def test_one_class_has_no_wrong_label():
    one = replace(restrict(DIGITS, [0, 1]), classes=("0",))
    with pytest.raises(ValueError, match="at least two classes"):
        poison("uniform", one, torch.arange(20), 0.1, seed=0)


def test_scores_of_hand_made_kernels():
    block = torch.tensor([[4.0, 2.0, -1.0], [2.0, 1.0, 0.5], [-1.0, 0.5, 1.0]])
    assert mean_cosine(block).tolist() == pytest.approx([(1 - 0.5) / 2, (1 + 0.5) / 2, 0.0])
    assert excess(block).tolist() == [-2.0, 1.0, -0.5]
    whole = Within([torch.tensor([0, 2, 3]), torch.tensor([1])], [block, torch.ones(1, 1)].__getitem__)
    assert each_class(whole, lambda b: b.amin(dim=1)).tolist() == [-1.0, 1.0, 0.5, -1.0]
    y = torch.tensor([0, 0, 0, 1, 1])
    similarity = torch.tensor([[9.0, 1, 5, 4], [2, 9, 0, 3], [5, 4, 3, 2], [1, 0, 9, 5], [0, 1, 5, 9]])
    shares = of_another_label(similarity, y, torch.tensor([0, 1, 3, 4]), count=2)
    assert shares.tolist() == [
        1.0,
        0.5,
        0.0,
        0.5,
        0.5,
    ]  # 0 sees 3 and 4, 1 sees 0 and 4, 2 sees 0 and 1, 3 sees 4 and 0
    told = to_trusted(similarity, y, torch.tensor([0, 1, 3, 4]))
    assert told.tolist() == [1.0, 2.0, 4.5, 5.0, 5.0]  # 0 is not compared with itself


def test_suspicion_is_what_its_definitions_say():
    data, _, _ = planted("uniform", 0.2, n=120)
    x, y, options = data.x, data.y, {**SGD, "device": "cpu"}
    s = suspicion(NETWORK, data, seeds=[3, 4], epochs=4, early=1, draw=torch.Generator().manual_seed(0), **options)
    models = [NETWORK(seed) for seed in (3, 4)]
    history = train(models, x, y, torch.arange(120).expand(2, -1).contiguous(), seeds=[3, 4], epochs=4,
                    checkpoints=range(5), **options)  # fmt: skip
    close = lambda a, b: torch.testing.assert_close(a, b.to(a.dtype), rtol=1e-3, atol=1e-4)

    def networks(epoch):
        for model, state in zip(models, history.checkpoints[epoch], strict=True):
            model.load_state_dict(state)
            yield model.eval()

    assert list(s) == [method for method in METHODS if method not in PEERS]
    assert all(score.shape == (120,) and score.isfinite().all() for score in s.values())
    same, alone = y[:, None] == y, torch.eye(120, dtype=torch.bool)
    others, means = same & ~alone, {name: torch.zeros(120) for name in (MAIN, "mean-kernel", "negative", "neighbours")}
    for epoch in range(5):
        kappa = sum(kernel_matrix(model, x, y, device="cpu") for model in networks(epoch))
        cosine = kappa / torch.outer(kappa.diagonal().sqrt(), kappa.diagonal().sqrt())
        near = cosine.masked_fill(alone, -torch.inf).topk(10).indices
        told = {
            MAIN: -(cosine * others).sum(dim=1) / others.sum(dim=1),
            "mean-kernel": -(kappa * others).sum(dim=1) / others.sum(dim=1),
            "negative": (same & (kappa < 0)).sum(dim=1) / same.sum(dim=1),
            "neighbours": (y[near] != y[:, None]).float().mean(dim=1),
        }
        for name, score in told.items():
            means[name] += score / 4 if epoch else 0
            if epoch in (0, 4):
                close(s[name + (INITIAL if epoch == 0 else "")], score)
    for name, score in means.items():
        close(s[name + AVERAGED], score)
    close(s["contradictory"], -kappa.masked_fill(~same, torch.inf).amin(dim=1))
    close(s["selfmax"], kappa.masked_fill(~others, -torch.inf).amax(dim=1) - kappa.diagonal())
    close(s["loss"], history.loss.sum(dim=(0, 1)))
    errors = lambda epoch: [F.one_hot(y, 10) - m(x).softmax(1).detach() for m in networks(epoch)]
    close(s["el2n"], sum(e.norm(dim=1) for e in errors(1)))
    close(s["el2n-late"], sum(e.norm(dim=1) for e in errors(4)))

    squares = [sum(loss_norm(m, x, y, i) ** 2 for epoch in (1, 2, 4) for m in networks(epoch)) for i in range(4)]
    close(s["tracin"][:4], 0.1 * torch.stack(squares))
    close(s["grand"][:4], torch.stack([sum(loss_norm(m, x, y, i) for m in networks(1)) for i in range(4)]))


def test_peers_are_what_their_definitions_say():
    data, _, _ = planted("uniform", 0.2, n=120)
    x, y, options = data.x, data.y, {**SGD, "device": "cpu"}
    s = peers(NETWORK, data, seeds=[3, 4], epochs=4, **options)
    assert list(s) == PEERS
    assert all(score.shape == (120,) and score.isfinite().all() for score in s.values())
    area = torch.zeros(120)
    for seed in (3, 4):
        for epoch in (1, 2, 3, 4):
            model = NETWORK(seed)  # a training of a prefix gives the state after that epoch
            train([model], x, y, torch.arange(120)[None], seeds=[seed], epochs=epoch, **options)
            for i, said in enumerate(model(x).detach()):
                others = [float(z) for j, z in enumerate(said) if j != y[i]]
                area[i] += (said[y[i]] - max(others)) / 8
    torch.testing.assert_close(s["aum"], -area, rtol=1e-3, atol=1e-4)
    chances = sum(out_of_sample(NETWORK, x, y, 10, seed=seed, epochs=4, **options) for seed in (3, 4)) / 2
    torch.testing.assert_close(s["quality"], -chances[range(120), y])
    models = [NETWORK(seed) for seed in (3, 4)]
    train(models, x, y, torch.arange(120).expand(2, -1).contiguous(), seeds=[3, 4], epochs=4, **options)
    torch.testing.assert_close(s["trak"], self_influence(models, x, y, seed=3, device="cpu"), rtol=1e-3, atol=1e-4)


def test_scores_of_suspicion_do_not_depend_on_peers(setting):
    both, data = scored(setting, "pairwise", 0.2, 0), setting.poisoned("pairwise", 0.2, 0)
    *_, drawn, scoring, other = setting.seeds(0)
    alone = suspicion(NETWORK, data, seeds=[scoring, other], epochs=4, early=1, draw=study.stream_of(drawn),
                      device="cpu", **SGD)  # fmt: skip
    assert set(both) == set(METHODS) > set(SHOWN)
    assert all(torch.equal(both[method], score) for method, score in alone.items())
    assert set(METHODS) - set(SHOWN) == {name + end for name in KERNEL if name != MAIN for end in (INITIAL, AVERAGED)}
    assert SHOWN[-1] == "random"


def test_self_influence_is_its_formula():
    n, seed, models = 60, 11, [NETWORK(1), NETWORK(2)]
    x, y = DIGITS.x_train[:n], DIGITS.y_train[:n]
    want = torch.zeros(n, dtype=torch.float64)
    for i, model in enumerate(models):
        parameters = list(model.parameters())
        size = sum(p.numel() for p in parameters)
        draw = torch.Generator().manual_seed(seed + 100_000 * i)  # as the library seeds the matrix of a network
        matrix = torch.empty(size, n // 4).normal_(generator=draw).double()
        rows, rest = [], []
        for one, label in zip(x, y, strict=True):
            p = model(one[None]).softmax(dim=1)[0, label]
            gradient = torch.autograd.grad(torch.log(p / (1 - p)), parameters)
            rows.append(torch.cat([g.flatten() for g in gradient]).double() @ matrix / size**0.5)
            rest.append(1 - p.item())
        g = torch.stack(rows)
        inverse = torch.linalg.inv(g.T @ g)
        want += (g @ inverse @ g.T).diagonal() / inverse.abs().mean() * torch.tensor(rest).double() / 2
    told = self_influence(models, x, y, seed=seed, device="cpu")
    torch.testing.assert_close(told.double(), want, rtol=1e-3, atol=0)


def test_self_influence_does_not_depend_on_batches(monkeypatch):
    ask = lambda: self_influence([NETWORK(1)], DIGITS.x_train[:60], DIGITS.y_train[:60], seed=1, device="cpu")
    whole = ask()
    monkeypatch.setattr(influence, "AT_ONCE", 4 * 700 * 7)  # seven samples of 700 parameters
    torch.testing.assert_close(ask(), whole, rtol=1e-3, atol=0)


def test_self_influence_needs_its_library_and_samples(monkeypatch):
    asked = {"seed": 0, "device": "cpu"}
    with pytest.raises(ValueError, match="3 samples are too few for TRAK"):
        self_influence([NETWORK(0)], DIGITS.x_train[:3], DIGITS.y_train[:3], **asked)
    monkeypatch.setitem(__import__("sys").modules, "trak", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install .\[book\]"):
        self_influence([NETWORK(0)], DIGITS.x_train[:9], DIGITS.y_train[:9], **asked)


def test_kernels_class_by_class_are_those_of_one_piece(setting, monkeypatch):
    data, _, _ = planted("pairwise", 0.2, n=60)
    runs = [Moments(NETWORK, i, {0: NETWORK(i).state_dict()}, {}, {}, False, "cpu") for i in (1, 2)]
    columns = torch.tensor([3, 50, 7])
    whole, cosines = kernels(runs, 0, data.x, data.y, columns)
    monkeypatch.setattr(detectors, "AT_ONCE", 10)
    parts, others = kernels(runs, 0, data.x, data.y, columns)
    torch.testing.assert_close(cosines, others)
    torch.testing.assert_close(cosines[columns].diagonal(), torch.ones(3))
    for c, rows in enumerate(rows_of(data.y)):
        assert torch.equal(whole.rows[c], rows)
        torch.testing.assert_close(whole.block(c), parts.block(c))


def test_too_few_samples_are_refused():
    data, _, _ = planted("uniform", 0.2, n=120)
    small = replace(data, x=data.x[:9], y=data.y[:9], bad=data.bad[:9])
    with pytest.raises(ValueError, match="too few"):
        suspicion(NETWORK, small, seeds=[0], epochs=1, early=1, draw=torch.Generator(), **SGD)


def test_detection_ranks_as_its_definition_says(setting):
    frame = detection(setting, {"pairwise": [0.1, 0.2], "backdoor": [0.05]}, repeats=2)
    assert (frame.groupby(["threat", "rate", "method"]).size() == 2).all()
    assert len(frame) == 2 * 3 * len(METHODS)
    seen = frame[(frame["repeat"] == 1) & (frame["rate"] == 0.2)].set_index("method")
    bad, scores = setting.poisoned("pairwise", 0.2, 1).bad, scored(setting, "pairwise", 0.2, 1)
    for method in ("loss", MAIN):  # no ties
        order = scores[method].argsort(descending=True)
        hits = bad[order].double()
        precision = hits.cumsum(0) / torch.arange(1, len(hits) + 1)
        assert seen.loc[method, "ap"] == pytest.approx(float((precision * hits).sum() / hits.sum()), abs=1e-6)
        above = (scores[method][bad][:, None] > scores[method][~bad]).double().mean()
        assert seen.loc[method, "auroc"] == pytest.approx(float(above), abs=1e-6)


def test_scores_of_one_case_are_kept_and_networks_that_score_are_not_judged(setting):
    scored(setting, "pairwise", 0.2, 0)
    before = setting.cache.hits
    scored(setting, "pairwise", 0.2, 0)
    assert setting.cache.hits == before + 2  # the scores of one training, and of the peers
    numbers = [number for repeat in range(20) for number in setting.seeds(repeat)]
    assert len(set(numbers)) == len(numbers) == 20 * 6


def test_what_is_removed_is_what_is_most_suspicious():
    score = torch.tensor([0.1, 0.9, 0.5, 0.7, 0.2])
    assert without(score, 2, torch.Generator()).tolist() == [0, 2, 4]
    draws = {tuple(without(torch.zeros(5), 2, torch.Generator().manual_seed(i)).tolist()) for i in range(30)}
    assert len(draws) > 5  # of equals random ones
    with pytest.raises(ValueError, match="lower rate or budget"):
        without(score, 5, torch.Generator())


def test_every_arm_keeps_to_its_budget(setting):
    frame = removal(setting, {"backdoor": 0.1, CLEAN: 0.1}, repeats=2)
    assert not frame["diverged"].any()
    assert (frame["best"] >= frame["last"]).all()
    bad, clean = frame[frame["threat"] == "backdoor"], frame[frame["threat"] == CLEAN]
    assert bad["success"].between(0, 1).all()
    assert clean["success"].isna().all()
    assert set(bad.groupby(["arm", "budget"])["kept"].unique().map(tuple).items()) == {
        (("all", 0.0), (150,)), ((ORACLE, 1.0), (135,)),
        *(((arm, b), (k,)) for arm in REMOVED for b, k in ((1.0, 135), (1.5, 150 - round(22.5))))}  # fmt: skip
    assert set(zip(clean["arm"], clean["budget"], strict=True)) == {("all", 0.0), *((arm, 1.0) for arm in REMOVED)}
    assert set(clean.loc[clean["arm"] != "all", "kept"]) == {135}


def test_a_judged_network_is_one_trained_on_what_is_left(setting):
    frame = removal(setting, {"backdoor": 0.1}, repeats=2, budgets=[1.0])
    data, judged = setting.poisoned("backdoor", 0.1, 1), setting.seeds(1)[2]
    model, rows = NETWORK(judged), (~data.bad).nonzero()[:, 0]
    train([model], data.x, data.y, rows[None], seeds=[judged], epochs=4, device="cpu", **SGD)
    seen = frame[(frame["repeat"] == 1) & (frame["arm"] == ORACLE)].iloc[0]
    hits = lambda x, y: float((model(x).argmax(1) == y).float().mean())
    assert seen["last"] == pytest.approx(hits(DIGITS.x_test, DIGITS.y_test), abs=0.01)  # a stack rounds otherwise
    assert seen["success"] == pytest.approx(hits(*data.attack), abs=0.01)


def precisions(loss, sd=0.002, repeats=6):
    rng = np.random.default_rng(0)
    told = []
    for (threat, rate), (ours, theirs) in loss.items():
        for repeat in range(repeats):
            for method, ap in ((MAIN, ours), ("loss", theirs), ("random", rate)):
                told.append({"repeat": repeat, "threat": threat, "rate": rate, "method": method,
                             "ap": ap + rng.normal(0, sd)})  # fmt: skip
    return pd.DataFrame(told)


@each_row(
    ("cases", "random", "loss"),
    [
        ({("backdoor", 0.05): (0.9, 0.3), ("uniform", 0.2): (0.9, 0.5)}, HOLDS, HOLDS),
        ({("backdoor", 0.05): (0.9, 0.3), ("uniform", 0.2): (0.7, 0.9)}, HOLDS, IN_PART),
        ({("backdoor", 0.05): (0.5, 0.9), ("uniform", 0.2): (0.7, 0.9)}, HOLDS, FAILS),
        ({("duplicates", 0.05): (0.05, 0.05)}, FAILS, UNDECIDED),
        ({("duplicates", 0.05): (0.05, 0.05), ("uniform", 0.2): (0.9, 0.9)}, IN_PART, UNDECIDED),
    ],
)
def test_planted_precisions_are_judged_by_the_rule(cases, random, loss):
    found = against(precisions(cases), ["random", "loss"], RULE)
    assert judge(found, "random", "", equal=FAILS).word == random
    assert judge(found, "loss", "", equal=UNDECIDED).word == loss
    assert judge(found, "random", "too few", equal=FAILS).word == UNJUDGED


def test_words_tell_apart_equal_from_undecided():
    told = lambda ours, sd: against(precisions({("uniform", 0.2): (ours, 0.8)}, sd=sd), ["loss"], RULE)["word"].item()
    assert told(0.8, 0.002) == "equal"
    assert told(0.8, 0.3) == "undecided"
    assert told(0.9, 0.002) == "better"
    assert told(0.6, 0.002) == "worse"


def outcomes(reached, repeats=5):
    noise = np.random.default_rng(0).normal(0, 0.01, repeats)  # of a repeat, the same for all its arms
    wave = noise[:, None] + np.random.default_rng(1).normal(0, 0.0005, (repeats, len(reached)))
    return pd.DataFrame([
        {"threat": "uniform", "arm": arm, "budget": b, "repeat": r, "success": 0.5, "last": at + wave[r, i]}
        for i, ((arm, b), at) in enumerate(reached.items()) for r in range(repeats)
    ])  # fmt: skip


def test_the_share_of_a_gap_needs_a_gap():
    frame = outcomes({("all", 0.0): 0.80, (ORACLE, 1.0): 0.90, (MAIN, 1.0): 0.85, ("random", 1.0): 0.78})
    told = restored(frame, RULE).set_index("arm")
    assert told.loc[MAIN, "share"] == pytest.approx(0.5, abs=0.02)
    assert told.loc["random", "share"] == pytest.approx(-0.2, abs=0.02)
    assert told.loc[ORACLE, "share"] == pytest.approx(1)
    assert told.loc[MAIN, "low"] < told.loc[MAIN, "gain"] == pytest.approx(0.05, abs=0.002)
    nothing = restored(outcomes({("all", 0.0): 0.90, (ORACLE, 1.0): 0.90, (MAIN, 1.0): 0.85}), RULE)
    assert nothing["share"].isna().all()


def test_a_backdoor_is_found_and_its_removal_ends_it(tmp_path):
    network = Network("mlp", (1, 8, 8), 10, {"hidden": [32]})
    setting = Setting(network, DIGITS, n=500, scorers=1, epochs=15, early=2, seed=1, cache=Cache(tmp_path),
                      training={"lr": 0.1, "batch_size": 32, "momentum": 0.9}, device="cpu")  # fmt: skip
    found = detection(setting, {"backdoor": [0.05]}, repeats=1).set_index("method")["ap"]
    assert found[MAIN] > 0.5 > found["random"]
    frame = removal(setting, {"backdoor": 0.05}, repeats=1, budgets=[1.0]).set_index("arm")
    assert frame.loc["all", "success"] > 0.7
    assert frame.loc[ORACLE, "success"] < 0.05


def test_images_are_not_changed_in_place():
    x = torch.zeros(2, 3, 4, 4)
    assert patched(x, 2, torch.tensor([1.0, 2.0, 3.0]))[:, :, 2:, 2:].sum() == 2 * 4 * 6
    assert not x.any()


@each_row("early", [0, 5])
def test_early_must_be_an_epoch(early):
    with pytest.raises(ValueError, match=r"early must lie in 1\.\.4"):
        suspicion(NETWORK, planted("uniform", 0.2)[0], seeds=[0], epochs=4, early=early, draw=torch.Generator(), **SGD)


def test_the_pilot_shares_no_sample():
    first, second = halves(DIGITS, 3)
    assert len(first.y_train) + len(second.y_train) == len(DIGITS.y_train)
    rows = lambda data: {row.numpy().tobytes() for row in data.x_train}
    assert rows(first) | rows(second) == rows(DIGITS)
    assert len(rows(first) & rows(second)) < 5  # equal images, if any
    assert first.digest != second.digest
    assert torch.equal(first.x_test, DIGITS.x_test)


def test_the_pilot_chooses_the_most_precise_of_each_kind():
    best = {("a", MAIN): 0.9, ("b", MAIN): 0.5, ("a", "tail-averaged"): 0.8, ("b", "tail-averaged"): 0.7,
            ("c", "negative"): 0.6, ("a", "trusted-initial"): 1.0, ("b", "random"): 1.0, ("a", "selfmax"): 1.0,
            ("a", "loss"): 0.4, ("b", "aum"): 0.5, ("c", "loss"): 0.3}  # fmt: skip
    rows = [{"threat": threat, "rate": rate, "repeat": repeat, "method": method,
             "ap": best.get((threat, method), 0.1) + rate + repeat / 100}
            for threat in "abc" for rate in (0.01, 0.02) for repeat in (0, 1) for method in METHODS]  # fmt: skip
    frame, ours, theirs = pd.DataFrame(rows), KINDS["kernel"], KINDS["usual"]
    choice = choose(frame).set_index(["way", "kind", "threat"])
    told = choice["method"].unstack("threat")
    assert told.loc["known", ours].to_dict() == {"a": MAIN, "b": "tail-averaged", "c": "negative"}
    assert told.loc["known", theirs].to_dict() == {"a": "loss", "b": "aum", "c": "loss"}
    # means of the others: for c of a and b, tail-averaged .75 and the mean cosine .7, and so on
    assert told.loc["unknown", ours].to_dict() == {"a": "tail-averaged", "b": MAIN, "c": "tail-averaged"}
    assert told.loc["unknown", theirs].to_dict() == {"a": "aum", "b": "loss", "c": "aum"}
    row = choice.loc["unknown", ours, "c"]
    assert (row["ap"], row["second"], row["lead"]) == (pytest.approx(0.77), MAIN, pytest.approx(0.05))
    for way in WAYS:
        taken = by_choice(frame, choose(frame), way)
        assert len(taken) == 3 * 2 * 2 * 2
        for threat, part in taken[taken["method"] == ours].groupby("threat"):
            want = frame[(frame["threat"] == threat) & (frame["method"] == told.loc[way, ours][threat])]
            assert part["ap"].tolist() == want["ap"].tolist()
    with pytest.raises(ValueError, match="needs two"):
        choose(frame[frame["threat"] == "a"])


def test_all_that_is_marked_goes_and_as_many_at_random(setting):
    frame = dropped(setting, {"backdoor": 0.1, CLEAN: 0.1}, repeats=2)
    assert {"all", "selfmax", "selfmax" + RANDOM} <= set(frame["arm"])
    for (repeat, threat), part in frame.groupby(["repeat", "threat"]):
        arms, data = part.set_index("arm"), setting.poisoned(threat, 0.1, repeat)
        assert arms.loc["all", "kept"] == 150
        for mark in MARKS:
            bad = scored(setting, threat, 0.1, repeat)[mark] > 0
            if not bad.any():
                assert mark not in arms.index
                assert mark + RANDOM not in arms.index
                continue
            assert arms.loc[mark, "kept"] == arms.loc[mark + RANDOM, "kept"] == int((~bad).sum())
            if data.bad.any():
                assert arms.loc[mark, "of_bad"] == pytest.approx(float(bad[data.bad].float().mean()), abs=1e-6)
    clean = frame[frame["threat"] == CLEAN]
    assert clean["of_bad"].isna().all()
    assert (clean.loc[clean["arm"] == "selfmax", "kept"] < 150).all()  # so that the arms above are not all equal
    mark = frame[(frame["repeat"] == 1) & (frame["threat"] == CLEAN) & (frame["arm"] == "selfmax")].iloc[0]
    data, judged = setting.poisoned(CLEAN, 0.1, 1), setting.seeds(1)[2]
    left = (scored(setting, CLEAN, 0.1, 1)["selfmax"] <= 0).nonzero()[:, 0]
    model = NETWORK(judged)
    train([model], data.x, data.y, left[None], seeds=[judged], epochs=4, device="cpu", **SGD)
    hits = float((model(DIGITS.x_test).argmax(1) == DIGITS.y_test).float().mean())
    assert mark["last"] == pytest.approx(hits, abs=0.01)  # a stack rounds otherwise


def test_a_mark_that_drops_nothing_or_a_whole_class_is_not_tried(setting, monkeypatch):
    y = setting.poisoned(CLEAN, 0.1, 0).y
    scores = {"selfmax": (y == 3).float(), "contradictory": torch.zeros(150)}
    monkeypatch.setattr("lpntk.phenomena.less_data.poison.authors.scored", lambda *_: scores)
    frame = dropped(setting, {CLEAN: 0.1}, repeats=1)
    assert list(frame["arm"]) == ["all"]
    found = against_chance(frame, DROPS, "")
    assert (found["repeats"] == 0).all()
    assert found[["dropped", "apart", "gain", "p"]].isna().all(axis=None)
    assert (found[["word", "hurts_not"]] == UNJUDGED).all(axis=None)


def test_marks_are_judged_against_all_and_against_chance():
    rng = np.random.default_rng(0)
    reached = {"all": 0.95, "selfmax": 0.951, "selfmax" + RANDOM: 0.93, "contradictory": 0.9,
               "contradictory" + RANDOM: 0.94}  # fmt: skip
    rows = [{"repeat": repeat, "threat": threat, "arm": arm, "share": 1.0 if arm == "all" else 0.8, "of_bad": np.nan,
             "success": np.nan, "last": last + rng.normal(0, 0.001)}
            for threat in (CLEAN, "uniform") for repeat in range(6) for arm, last in reached.items()]  # fmt: skip
    frame = pd.DataFrame(rows)
    found = against_chance(frame, DROPS, "").set_index(["threat", "mark"])
    assert found.loc[CLEAN, "hurts_not"].to_dict() == {"selfmax": HOLDS, "contradictory": FAILS}
    assert set(found.loc["uniform", "hurts_not"]) == {UNJUDGED}
    assert found["word"].tolist() == ["better", "worse"] * 2
    assert found["dropped"].tolist() == pytest.approx([0.2] * 4)
    assert found["apart"].tolist() == pytest.approx([0.021, -0.04] * 2, abs=0.002)
    assert found["gain"].tolist() == pytest.approx([0.001, -0.05] * 2, abs=0.002)
    assert set(against_chance(frame, DROPS, "too few")["word"]) == {UNJUDGED}
    frame.loc[(frame["arm"] == "selfmax") & (frame["repeat"] == 3), "share"] = 0.995  # too few in one repeat
    fewer = against_chance(frame, DROPS, "").set_index(["threat", "mark"])
    assert set(fewer.xs("selfmax", level="mark")["word"]) == {UNJUDGED}
    judged = fewer.xs("contradictory", level="mark")
    assert set(judged["word"]) == {"worse"}
    assert (judged["p"] < found.xs("contradictory", level="mark")["p"]).all()  # corrected over what is judged
    missing = frame[~((frame["arm"] == "contradictory") & (frame["repeat"] == 5) & (frame["threat"] == CLEAN))]
    told = against_chance(missing, DROPS, "").set_index(["threat", "mark"]).loc[(CLEAN, "contradictory")]
    assert (told["repeats"], told["word"]) == (5, UNJUDGED)


ASKED = {"rates": {"uniform": [0.1, 0.2], "backdoor": [0.05]}, "removed": {"uniform": 0.2, CLEAN: 0.05},
         "shown": {"uniform": 0.2}, "budgets": [1.0, 1.5], "repeats": 2, "pilot": 1}  # fmt: skip


def pair(setting, data=DIGITS, **changes):
    first, second = halves(data, 0)
    one = replace(setting, data=second, network="not to be trained", **changes)
    return one, replace(one, data=first, seed=1)


def test_what_can_be_done_is_not_refused(setting):
    check_asked(*pair(setting), **ASKED)
    check_asked(*pair(setting, n=len(DIGITS.y_train) // 2), **ASKED)


@each_row(
    ("changed", "message"),
    [
        ({"rates": '{"uniform": [0.2]}'}, "rates must be a mapping .* papermill"),
        ({"repeats": 0}, "repeats must be at least 1; got 0"),
        ({"pilot": 0}, "pilot must be at least 1; got 0"),
        ({"rates": {**ASKED["rates"], CLEAN: [0.05]}}, "got clean"),
        ({"rates": {"uniform": [0.2]}}, "needs two of them; got uniform"),
        ({"rates": {"uniform": [0.2, 0.2], "backdoor": [0.05]}}, "none twice"),
        ({"rates": {"uniform": [0.2], "backdoor": []}}, "at least one rate"),
        ({"shown": {}}, "shown must name at least one"),
        ({"shown": {"uniform": 0.3}}, "shown has uniform at 0.3"),
        ({"shown": {"duplicates": 0.05}}, "shown has duplicates"),
        ({"removed": {"uniform": 0.2}}, "removed must name clean.*got uniform"),
        ({"removed": {}}, "removed must name clean.*got nothing"),
        ({"removed": {"rust": 0.2, CLEAN: 0.05}}, "threat must be one of"),
        ({"removed": {"duplicates": 0.95, CLEAN: 0.05}}, "too few to repeat"),
        ({"removed": {CLEAN: 0.001}}, "at least one must be"),
        ({"budgets": [1.5, 1.0]}, "begin with 1.0"),
        ({"budgets": [1.0, 0.0]}, "be above 0"),
        ({"budgets": []}, "begin with 1.0"),
        ({"budgets": [1.0, 5.0]}, "5.0 times the bad samples of uniform at 0.2 are all 150"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_trained(setting, changed, message):
    with pytest.raises(ValueError, match=message):
        check_asked(*pair(setting), **ASKED | changed)


def test_samples_that_do_not_suffice_are_refused_before_anything_is_trained(setting):
    half = len(DIGITS.y_train) // 2
    refused = [
        ({"n": half + 1}, f"n must lie in 1..{half}, half"),
        ({"scorers": 0}, "scorers must be at least 1"),
        ({"patch": 9}, "1 to 8 pixels"),
        ({"n": 40}, "two good samples of each label"),
    ]
    for changes, message in refused:
        with pytest.raises(ValueError, match=message):
            check_asked(*pair(setting, **changes), **ASKED)
    target = DIGITS.y_test == TARGET
    alone = replace(DIGITS, x_test=DIGITS.x_test[target], y_test=DIGITS.y_test[target])
    with pytest.raises(ValueError, match="test samples of another class"):
        check_asked(*pair(setting, alone), **ASKED)


def test_one_repeat_tells_nothing_apart():
    found = against(precisions({("uniform", 0.2): (0.9, 0.3)}, repeats=1), ["random", "loss"], RULE)
    assert found["p"].isna().all()
    assert set(found["word"]) == {"undecided"}


def test_two_perfect_orders_are_equal_however_their_precision_is_rounded():
    bad, rng, rows = np.arange(600) < 24, np.random.default_rng(0), []
    for repeat in range(5):
        for method, score in ((MAIN, bad + rng.random(600)), ("loss", bad.astype(float))):
            rows.append({"repeat": repeat, "threat": "backdoor", "rate": 0.04, "method": method,
                         "ap": average_precision_score(bad, score)})  # fmt: skip
    frame = pd.DataFrame(rows)
    assert frame["ap"].nunique() == 2  # 1, and 1 but for rounding
    assert against(frame, ["loss"], RULE)["word"].item() == "equal"
