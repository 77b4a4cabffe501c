from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import nn

from lpntk.data import dataset as data
from lpntk.data.tasks import part
from lpntk.keep.cache import Cache
from lpntk.learn.campaign import Network
from lpntk.phenomena.relations import verdicts
from lpntk.phenomena.relations.looks import LOOKS, Brought, by_rivals, counted, look, read, rounded_signs
from lpntk.phenomena.relations.readings import count
from lpntk.phenomena.relations.suspects import Training, grow, started

RESULTS = Path(__file__).parents[3] / "results"
RULE = {"learned": 0.9, "negative": (0.0005, 0.01), "ratio": (0.65, 1.2)}
RECIPE = {"lr": 0.1, "batch_size": 16, "momentum": 0.9}
DIGITS = data.load("digits")


@pytest.fixture
def few():
    return part(DIGITS, torch.arange(60))


def chain(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(4, 6), nn.ReLU(), nn.Dropout(0.25), nn.Linear(6, 3)).eval()


def samples(n=7, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 1, 2, 2, generator=generator), torch.randint(3, (n,), generator=generator)


def gradients(model, x, directions):
    """Return (n, p): of every sample, the gradient of its logits along its direction."""
    rows = []
    for one, s in zip(x, directions, strict=True):
        found = torch.autograd.grad(model(one[None])[0] @ s, list(model.parameters()))
        rows.append(torch.cat([g.flatten() for g in found]))
    return torch.stack(rows)


def test_suspects_share_their_seeds_and_go_on_where_they_should(few, tmp_path):
    network = Network("mlp", few.in_shape, few.k, {"hidden": [8]})
    ways = {
        "recipe": Training.of(epochs=2),
        "still": Training.of(epochs=1, after="recipe", at=1, lr=1e-30),
        "plain": Training.of(epochs=1, momentum=0.0),
        "pixels": Training.of(epochs=1, pixels=True),
        "no-biases": Training.of(epochs=1, biases=False),
    }
    how = {"seeds": [3, 4], "held_out": 50, "drawn_by": 0, "device": "cpu", **RECIPE}
    cache = Cache(tmp_path)
    grown = grow(network, few, ways, cache=cache, **how)
    assert cache.hits == 0
    weights = lambda name, i, epoch: grown[name][i].states[epoch]["1.weight"]
    for i, seed in enumerate((3, 4)):
        assert grown["recipe"][i].seed == seed
        for name in ("plain", "pixels", "no-biases"):
            torch.testing.assert_close(weights(name, i, 0), weights("recipe", i, 0), rtol=0, atol=0)
            assert not weights(name, i, 1).equal(weights("recipe", i, 1))
        torch.testing.assert_close(weights("still", i, 1), weights("recipe", i, 1), rtol=0, atol=0)
        assert not grown["no-biases"][i].states[0]["1.bias"].any()
        assert grown["recipe"][i].states[0]["1.bias"].any()
    assert not weights("recipe", 0, 0).equal(weights("recipe", 1, 0))
    assert sorted(grown["recipe"][0].held_out) == [0, 1, 2]
    assert grown["recipe"][0].held_out[2] > grown["recipe"][0].held_out[0]
    again = grow(network, few, ways, cache=cache, **how)
    assert cache.hits == 10
    assert again["recipe"][1].states[2]["1.weight"].equal(weights("recipe", 1, 2))
    with pytest.raises(ValueError, match="late goes on from recipe, which must stand before it"):
        grow(network, few, {"late": Training.of(epochs=1, after="recipe", at=1)}, cache=cache, **how)


def test_pixels_are_those_of_the_files():
    x = Training.of(epochs=1, pixels=True).inputs(DIGITS, DIGITS.x_train[:20])
    assert x.shape == (20, *DIGITS.in_shape)
    assert float(x.min()) == pytest.approx(0, abs=1e-6)
    assert float(x.max()) == pytest.approx(1)
    assert Training.of(epochs=1).inputs(DIGITS, x) is x


def test_masks_that_are_brought_are_those_of_dropout():
    model, (x, _) = chain(), samples(4000)
    brought, generator = Brought(model, x[:1]), torch.Generator().manual_seed(5)
    torch.testing.assert_close(brought(brought.bring(x, None, 0, generator)), model(x))
    hidden = model[2](model[1](model[0](x)))
    for masks in (1, len(x)):
        given = brought.bring(x, None, masks, generator)
        mask = given[:, 4:10]
        torch.testing.assert_close(mask.unique(), torch.tensor([0, 4 / 3]))
        torch.testing.assert_close(brought(given), model[4](hidden * mask))
        assert (len(mask.unique(dim=0)) == 1) == (masks == 1)
    assert float((mask > 0).double().mean()) == pytest.approx(0.75, abs=0.02)
    factors = torch.randn(len(x), 3, generator=generator)
    torch.testing.assert_close(brought(brought.bring(x, factors, 0, generator)), model(x) * factors)


def test_looks_against_the_definition():
    model, (x, y) = chain(), samples()
    label = (2 * nn.functional.one_hot(y, 3) - 1) / 3**0.5
    plain = gradients(model, x, label)
    expected = {"label": plain @ plain.T}
    logs = gradients(nn.Sequential(model, nn.LogSoftmax(1)), x, label)
    expected["log-softmax"] = logs @ logs.T
    expected["rounded"] = expected["label"]  # nothing is saturated here
    others = gradients(model, x, (nn.functional.one_hot(y, 3) - 1) / 3**0.5)
    expected["others"] = others @ others.T
    brought = Brought(model, x[:1])
    for how, masks in (("one-mask", 1), ("mask-per-sample", len(x)), ("mask-per-use", len(x))):
        generator = torch.Generator().manual_seed(2)
        once, again = (gradients(brought, brought.bring(x, None, masks, generator), label) for _ in range(2))
        expected[how] = once @ (again if how == "mask-per-use" else once).T
    for how, kappa in expected.items():
        torch.testing.assert_close(look(model, x, y, how, seed=2, device="cpu"), kappa, rtol=1e-4, atol=1e-5, msg=how)
    for a, b in pairwise(("label", "one-mask", "mask-per-sample", "mask-per-use")):
        assert not torch.allclose(expected[a], expected[b], rtol=1e-2), (a, b)
    with pytest.raises(ValueError, match=r"a look is one of .*; got 'sideways'"):
        look(model, x, y, "sideways")
    for how in ("label", "log-softmax", "rounded", "others"):
        few = look(model, x[:3], y[:3], how, (x, y), device="cpu")
        torch.testing.assert_close(few, expected[how][:3], rtol=1e-4, atol=1e-5, msg=how)
    with pytest.raises(ValueError, match="one-mask draws masks of one kernel's own samples; leave among out"):
        look(model, x, y, "one-mask", (x, y))


def test_what_float32_cannot_tell_from_one_has_no_sign():
    model, x = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), samples(2)[0]
    with torch.no_grad():
        model[1].weight.zero_()
        model[1].bias.copy_(torch.tensor([30.0, 0.0, 1.0]))
    signs = rounded_signs(model, x, torch.tensor([0, 1]))
    assert signs.tolist() == [[0, -1, -1], [-1, 1, -1]]
    with torch.no_grad():
        model[1].bias.copy_(torch.tensor([10.0, 0.0, 1.0]))
    assert rounded_signs(model, x, torch.tensor([0, 1]))[0].tolist() == [1, -1, -1]
    assert rounded_signs(model, x, torch.tensor([0, 1]), every=True).tolist() == [[0, -1, -1], [-1, 0, -1]]


def test_counting_in_parts_is_counting_in_the_whole():
    generator = torch.Generator().manual_seed(3)
    phi, y = torch.randn(40, 3, generator=generator), torch.randint(3, (40,), generator=generator)
    columns = torch.randperm(40, generator=generator)
    own = columns[:9]
    kappa = phi[own] @ phi[columns].T / 30
    found = count(iter(kappa.split(7, dim=1)), own, columns, y, [5, 14, 40], k=3)
    whole = phi @ phi.T / 30
    pairs = [(int(i), j) for i in own for j in range(40) if j != i]
    kin = [(i, j) for i, j in pairs if y[i] == y[j]]
    assert found["rows"] == 9
    assert found["pairs"] == len(pairs)
    assert found["negative"] == sum(bool(whole[i, j] < 0) for i, j in pairs) > 0
    assert found["small"] == sum(bool(abs(3 * whole[i, j]) < 0.1) for i, j in pairs) > 0
    assert found["kin"] == len(kin)
    assert found["kin_negative"] == sum(bool(whole[i, j] < 0) for i, j in kin)
    for mark in (5, 14, 40):
        rivals = columns[:mark].tolist()
        best = sum(all(whole[i, i] >= whole[i, j] for j in rivals if j != i) for i in own.tolist())
        assert found[f"own.{mark}"] == best, mark
    alike = sum(all(whole[i, i] >= whole[i, j] for j in range(40) if y[j] == y[i]) for i in own.tolist())
    assert found["own_kin"] == alike


def test_among_all_is_the_same_in_parts(few, tmp_path):
    model = started(Network("lenet", few.in_shape, few.k), 0, True).eval()
    order, cache = torch.randperm(60, generator=torch.Generator().manual_seed(1)), Cache(tmp_path)
    how = {"training": Training.of(epochs=1), "how": "label", "seed": 0, "cache": cache, "device": "cpu"}
    all_rows = counted(model, few, own=order, among=order, marks=[60], **how)
    parts = [counted(model, few, own=rows, among=order, marks=[60], columns=17, **how) for rows in order.split(25)]
    for name in ("rows", "pairs", "negative", "kin", "own.60", "own_kin", "saturated"):
        assert all_rows[name] == sum(found[name] for found in parts), name
    counted(model, few, own=order, among=order, marks=[60], **how)
    assert cache.hits == 1
    with pytest.raises(ValueError, match="must be among the columns; draw fewer rows or more columns"):
        counted(model, few, own=order, among=order[:59], marks=[59], **how)
    every = {name: counted(model, few, own=order, among=order, marks=[60], **how | {"how": name}) for name in LOOKS}
    assert len({tuple(found.values()) for found in every.values()}) > 4


def test_ratios_and_shares_of_counts():
    counts = {"rows": 10, "pairs": 200, "negative": 4, "small": 1, "kin": 20, "kin_negative": 1}
    counts |= {"own.3": 9, "own.20": 6, "own_kin": 10, "saturated": 5}
    found = read(counts)
    assert (found["n"], found["negative"], found["kin_negative"], found["ratio"]) == (20, 0.02, 0.05, 1.5)
    assert (found["kin_ratio"], found["saturated"], found["small"]) == (10, 0.5, 0.005)
    assert by_rivals(counts) == {3: 0.9, 20: 0.6}


def cell(training, epoch, how, negatives, ratio=1.0, held_out=0.99):
    return [{"training": training, "epoch": epoch, "look": how, "seed": seed, "held_out": held_out, "negative": share,
             "ratio": ratio + 0.01 * seed, "negative_pairs": round(share * 10**6), "pairs": 10**6}
            for seed, share in enumerate(negatives)]  # fmt: skip


def test_what_counts_as_theirs():
    rows = [
        *cell("recipe", 2, "label", [0.030, 0.033, 0.036]),
        *cell("slow", 2, "label", [0.002, 0.0025, 0.003]),
        *cell("late", 2, "label", [0.001, 0.008, 0.02]),
        *cell("recipe", 0, "label", [0.002, 0.0025, 0.003], held_out=0.89),
    ]
    found = verdicts.theirs(pd.DataFrame(rows), "negative", RULE)
    assert found.word.tolist() == ["fails", "holds", "is undecided", "cannot be judged"]
    half = 4.302653 * 0.0005 / 3**0.5  # Student's t with two degrees of freedom
    assert found.low["slow", 2, "label"] == pytest.approx(0.0025 - half, rel=1e-5)
    assert found.high["slow", 2, "label"] == pytest.approx(0.0025 + half, rel=1e-5)


def test_moves_are_paired():
    shares = [0.02, 0.03, 0.06]  # their spread hides a shift of all by a tenth, which pairs show
    table = pd.DataFrame([
        *cell("recipe", 1, "label", shares),
        *cell("recipe", 2, "label", [0.9 * s for s in shares]),
        *cell("slow", 2, "label", [0.8 * s for s in shares]),
        *cell("wild", 2, "label", [0.9 * 0.02, 0.03, 0.04]),
        *cell("slow", 2, "ones", [0.0, 0.0, 0.0]),
        *cell("alone", 7, "label", shares),
        *cell("slow", 2, "error", [0.001, 0.002, 0.003], held_out=0.89),  # has not learned
    ])  # fmt: skip
    found = verdicts.moves(table, RULE)
    words = found.word.to_dict()
    assert words == {
        ("recipe", 1, "label"): "away",
        ("slow", 2, "label"): "towards",
        ("wild", 2, "label"): "undecided",
        ("slow", 2, "ones"): "away",  # none at all is farther than too many
    }
    assert found.against["slow", 2, "ones"] == "slow 2, label"
    assert found.against["recipe", 1, "label"] == "recipe 2, label"


def test_found_needs_both():
    rows = [*cell("recipe", 2, "label", [0.030, 0.033, 0.036], 2.5), *cell("slow", 2, "label", [0.002, 0.0025, 0.003])]
    table = pd.DataFrame(rows)
    shares = verdicts.theirs(table, "negative", RULE)
    assert verdicts.nearest(shares, 2) == [("recipe", 2, "label"), ("slow", 2, "label")]
    found = verdicts.near_theirs(shares, verdicts.theirs(table, "ratio", RULE))
    assert (found.word, found.because) == ("holds", "with both: slow 2 label")
    apart = verdicts.theirs(table.assign(ratio=table.ratio + 1), "ratio", RULE)
    assert verdicts.near_theirs(shares, apart).word == "holds in part"
    few, apart = (frame.loc[[("recipe", 2, "label")]] for frame in (shares, apart))
    assert verdicts.near_theirs(few, apart).word == "fails"
    assert verdicts.nearest(few, 2) == [("recipe", 2, "label")]
    none = verdicts.theirs(table[:0], "ratio", RULE)
    assert len(none) == 0
    assert verdicts.near_theirs(shares, none).word == "cannot be judged"
    assert verdicts.near_theirs(few, apart.assign(word="is undecided")).word == "is undecided"
    assert verdicts.near_theirs(few.assign(word="cannot be judged"), apart).word == "cannot be judged"
    assert verdicts.nearest(few.assign(word="cannot be judged"), 2) == [("recipe", 2, "label")]


def test_what_moves_towards_theirs_hangs_on_the_recipe_s_three_networks():
    """The same recipe and seeds on two machines; a page says that both words are those of one of them."""
    read = lambda run: pd.read_csv(RESULTS / run / "19-authors/frames/counts.csv")
    own, elsewhere = read("mnist-suspects"), read("mnist-lenet")
    recipe = lambda frame: (frame.training == "recipe") & (frame.epoch == 1) & (frame["look"] == "label")
    exchanged = pd.concat([elsewhere[recipe(elsewhere)], own[own.training != "recipe"]])
    words = lambda frame: verdicts.moves(frame, RULE)["word"].xs("label", level="look").droplevel("epoch")
    towards = ["no-momentum-fast", "pixels"]
    assert list(words(own)[towards]) == ["towards"] * 2
    assert list(words(exchanged)[towards]) == ["undecided"] * 2
