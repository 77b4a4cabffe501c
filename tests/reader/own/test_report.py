"""Does a report stand alone, rank what was planted, and go on after a kill; is nobody's folder overwritten?"""

import importlib
import json
import re
import shutil
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from bs4 import BeautifulSoup
from rows import each_row

from lpntk.__main__ import main
from lpntk.data.tasks import flip
from lpntk.keep.cache import Cache
from lpntk.kernel.matrix import kernel_matrix
from lpntk.kernel.reading import cosine
from lpntk.phenomena.less_data.poison.threats import poison
from lpntk.reader.own import command, kernels
from lpntk.reader.own.command import report
from lpntk.reader.own.inputs.sources import read_own
from lpntk.reader.own.network import fitting, learner
from lpntk.reader.own.ranking import joint_rank
from lpntk.reader.own.study import asked

QUICK = {"options": {"hidden": [16]}, "epochs": 6, "device": "cpu"}
BUDGET = 2**30


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache")


def page(folder):
    return BeautifulSoup((folder / "report.html").read_text("utf-8"), "html.parser")


def own(path, y, spread=0.2):
    """Vectors in 0..1 around a place for each class."""
    y, draw = np.asarray(y), np.random.default_rng(1)
    numbers = np.unique(y, return_inverse=True)[1]
    x = draw.random((numbers.max() + 1, 6))[numbers] + spread * draw.normal(size=(len(y), 6))
    np.savez(path, x_train=x.clip(0, 1), y_train=y)
    return str(path)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    place = tmp_path_factory.mktemp("digits")
    return report("digits", out=str(place / "report"), cache=Cache(place / "cache"), **QUICK)


def test_a_report_holds_all_that_it_shows(digits):
    shown = page(digits)
    for tag, name in (("img", "src"), ("a", "href"), ("link", "href"), ("script", "src")):
        for element in shown.find_all(tag):
            assert element[name].startswith(("data:image/png;base64,", "#")), element
    assert all(img["alt"] for img in shown.find_all("img"))
    assert [h.name for h in shown.find_all(["h1", "h2"])].count("h1") == 1
    assert len(shown.select("#suspicious .cards > li")) == 24
    pairs = [li.select("img") for li in shown.select("#pairs li")]
    assert pairs
    assert all(len(both) == 2 for both in pairs)
    assert {a["href"][1:] for a in shown.select("nav a")} == {s["id"] for s in shown.find_all("section")}
    manifest = json.loads((digits / "manifest.json").read_text())
    assert manifest["learned"]
    assert set(manifest["files"]) == {str(p.relative_to(digits)) for p in digits.rglob("*") if p.is_file()}
    assert f"{100 * manifest['test_accuracy']:.1f} %" in shown.text


def test_every_training_sample_has_a_row(digits):
    data, rows = read_own("digits").data, pd.read_csv(digits / "samples.csv")
    assert rows["index"].tolist() == list(range(len(data.y_train)))
    assert rows["label"].tolist() == data.y_train.tolist()
    for rank in ("suspicion_rank", "redundancy_rank"):
        assert sorted(rows[rank]) == list(range(1, len(rows) + 1))
    assert (rows.groupby("cluster").size() == rows.groupby("cluster")["cluster_size"].first()).all()
    assert (rows.groupby("cluster")["head"].sum() == 1).all()
    assert (rows.groupby("cluster")["label"].nunique() == 1).all()


def test_another_sample_is_named_only_where_a_relation_holds(tmp_path, cache):
    data = dict(np.load(own(tmp_path / "own.npz", np.repeat([0, 1, 2], 60), spread=0.4)))
    data["y_train"][[5, 65, 125, 6, 66, 126]] = [1, 2, 0, 2, 0, 1]  # wrong labels contradict their class
    np.savez(tmp_path / "own.npz", **data)
    out = report(str(tmp_path / "own.npz"), out=str(tmp_path / "out"), cache=cache, **QUICK | {"epochs": 60})
    rows = pd.read_csv(out / "samples.csv").set_index("index")
    for name, holds in (("nearest_interchangeable", rows["nearest_cosine"] >= 0.5),
                        ("contradictory", rows["least_cosine"] <= -0.1)):  # fmt: skip
        assert 0 < holds.sum() < len(rows)
        assert (rows[name].notna() == holds).all()
        assert (rows["label"][rows[name].dropna()].to_numpy() == rows["label"][holds].to_numpy()).all()
    reasons = rows["reason"].fillna("").str.contains("contradictory")
    assert (reasons == rows["contradictory"].notna()).all()


def test_the_page_says_how_many_neighbours_were_asked(digits):
    for words in (li.text for li in page(digits).select("#suspicious .cards > li")):
        assert "Labels of its 10 nearest samples: " in words
        assert sum(map(int, re.findall(r"\((\d+) samples?\)", words))) == 10


def test_lists_hold_heads_of_every_class_and_the_smaller_lie_in_the_larger(digits):
    y, larger = read_own("digits").data.y_train, set(range(1437))
    for share in (90, 70, 50, 30):
        kept = [int(line) for line in (digits / f"kept-{share}.txt").read_text().split()]
        assert kept == sorted(set(kept))
        assert set(kept) <= larger
        larger = set(kept)
        part = torch.utils.data.Subset(torch.utils.data.TensorDataset(y), kept)
        counts = torch.bincount(torch.stack([label for (label,) in part]))
        assert (counts == (share / 100 * torch.bincount(y)).round()).all()


def test_the_columns_are_what_their_names_say(tmp_path, cache):
    given = read_own(own(tmp_path / "own.npz", np.repeat(["a", "b"], 60)))
    by = learner(given.data, model=None, options={"hidden": [8]}, built_by=None, checkpoint=None, seed=0)
    told = {"epochs": 4, "device": "cpu", "seed": 0}
    found = asked(given, by, budget=BUDGET, cache=cache, **told)
    rows = (given.data.y_train == 1).nonzero()[:, 0]
    kappa = kernel_matrix(found.network, given.data.x_train[rows], given.data.y_train[rows])
    cosines = cosine(kappa)
    mine = found.samples.iloc[rows.numpy()]
    others = (cosines.sum(dim=1) - 1) / (len(rows) - 1)
    assert np.allclose(mine["mean_cosine"], others, atol=1e-5)
    assert np.allclose(mine["own_length"], kappa.diagonal().sqrt(), rtol=1e-4)
    apart = cosines.clone().fill_diagonal_(-2)
    assert np.array_equal(mine["nearest"], rows[apart.argmax(dim=1)])
    assert np.array_equal(mine["contradictory"], rows[cosines.argmin(dim=1)])
    # a class that does not fit goes to a file, which is gone in the end, and nothing changes
    small = asked(given, by, budget=30_000, cache=Cache(tmp_path / "other"), **told)
    assert not list((tmp_path / "other").glob("*.npy*"))
    pd.testing.assert_frame_equal(small.samples, found.samples, rtol=1e-4)


def test_planted_flips_are_the_first_suspects(cache):
    given = read_own("digits")
    y = flip(given.data.y_train, 0.1, 10, 5)
    planted = replace(given, data=replace(given.data, y_train=y, digest="planted"))
    by = learner(planted.data, model=None, options={"hidden": [64]}, built_by=None, checkpoint=None, seed=0)
    found = asked(planted, by, epochs=10, budget=BUDGET, device="cpu", seed=0, cache=cache)
    first = found.samples.sort_values("suspicion_rank").index[:100]
    assert (y != given.data.y_train)[first.tolist()].float().mean() > 0.9


def test_a_backdoor_that_loss_does_not_see_is_among_the_suspects(cache):
    given = read_own("digits")
    few = replace(given.data, x_train=given.data.x_train[:600], y_train=given.data.y_train[:600])
    bad = poison("backdoor", few, torch.arange(600), 0.05, seed=3)
    planted = replace(given, data=replace(few, x_train=bad.x, y_train=bad.y, digest="marked"),
                      index=given.index[:600], names=given.names[:600])  # fmt: skip
    by = learner(planted.data, model=None, options={"hidden": [64]}, built_by=None, checkpoint=None, seed=0)
    found = asked(planted, by, epochs=20, budget=BUDGET, device="cpu", seed=0, cache=cache).samples
    by_loss, by_cosine = found["difficulty"].rank(ascending=False), found["mean_cosine"].rank()
    first = lambda rank: float(bad.bad[(rank.rank(method="first") <= 60).tolist()].float().mean())
    either = first(found["suspicion_rank"])
    assert either > first(by_loss)
    assert either > first(by_loss + by_cosine)  # the mean of both ranks, which was tried


def test_either_mark_makes_a_suspect_and_a_sample_alone_has_one():
    score = joint_rank(np.array([0.1, 0.8, 0.8, 0.9, np.nan]), np.array([1.0, 9.0, 2.0, 1.5, 1.2]), np.zeros(5))
    assert set(np.argsort(-score)[:2]) == {0, 1}
    assert np.isfinite(score).all()


def test_labels_are_text_whatever_they_hold(tmp_path, cache):
    names = ["<script>alert(1)</script>", "Äpfel & Birnen", 'a "b" <i>c</i>']
    out = report(own(tmp_path / "own.npz", np.repeat(names, 30)), out=str(tmp_path / "out"), cache=cache, epochs=20)
    shown = page(out)
    assert not shown.find_all(["script", "i"])
    assert [th.text for th in shown.select("tbody th")] == sorted(names)
    assert set(pd.read_csv(out / "samples.csv")["label"]) == set(names)


@each_row("counts", [[100, 100], [40, 40, 3, 1], [3] * 30, [160, 40]])
def test_few_samples_and_many_classes(tmp_path, cache, counts):
    data = own(tmp_path / "own.npz", np.repeat(np.arange(len(counts)), counts), spread=0.05)
    out = report(data, out=str(tmp_path / "out"), cache=cache, **QUICK | {"epochs": 20})
    rows, told = pd.read_csv(out / "samples.csv"), json.loads((out / "manifest.json").read_text())
    most = rows["label"].value_counts().max() / len(rows)
    assert told["needed"] == pytest.approx(min(2 * most, (1 + most) / 2))
    if told["learned"] and counts[-1] == 1:
        alone = rows[rows["label"] == len(counts) - 1]
        assert alone["reason"].str.contains("alone in its class").all()
    assert ("suspicion_rank" in rows) is told["learned"] is (out / "kept-50.txt").exists()


def test_a_network_that_has_not_learned_ranks_nothing(tmp_path, cache):
    draw = np.random.default_rng(0)
    np.savez(tmp_path / "noise.npz", x_train=draw.random((300, 5)), y_train=draw.integers(0, 3, 300))
    out = report(str(tmp_path / "noise.npz"), out=str(tmp_path / "out"), cache=cache, **QUICK)
    assert "has not learned" in page(out).select_one(".warn").text
    assert not page(out).select("#suspicious li")
    assert not list(out.glob("kept-*"))


def test_a_killed_run_goes_on(tmp_path, cache, monkeypatch):
    data, true = own(tmp_path / "own.npz", np.repeat([0, 1, 2], 30)), kernels._one_class
    calls = []

    def killed(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return true(*args)

    monkeypatch.setattr(kernels, "_one_class", killed)
    key = kernels.computed_key
    monkeypatch.setattr(kernels, "computed_key", lambda by, **told: key(true, **told))
    with pytest.raises(KeyboardInterrupt):
        report(data, out=str(tmp_path / "out"), cache=cache, **QUICK)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", "own.npz"]
    again = Cache(cache.folder)
    report(data, out=str(tmp_path / "out"), cache=again, **QUICK)
    assert (again.hits, len(calls)) == (3, 4)  # the network and two classes


def test_only_an_older_report_is_replaced(tmp_path, cache):
    data, out = own(tmp_path / "own.npz", np.repeat([0, 1], 30)), tmp_path / "out"
    for _ in range(2):
        report(data, out=str(out), cache=cache, **QUICK)
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"expected an older report or nothing there; got thesis.txt"):
        report(data, out=str(out), cache=cache, **QUICK)
    assert (out / "thesis.txt").read_text() == "mine"
    with pytest.raises(ValueError, match="got a file"):
        report(data, out=data, cache=cache, **QUICK)


BEHIND = """
import torch
from pathlib import Path
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.slope = float(Path("slope.txt").read_text())
        self.inner, self.last = torch.nn.Linear(6, 7), torch.nn.Linear(7, 2)
    def forward(self, x):
        return self.last(torch.relu(self.slope * self.inner(x.flatten(1))))
"""
BUILDS = """
import torch
def small(in_shape, k):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 7), torch.nn.Tanh(), torch.nn.Linear(7, k))
def rectified(in_shape, k):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 7), torch.nn.ReLU(), torch.nn.Linear(7, k))
def narrow():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(6, 5))
def deaf():
    return torch.nn.Linear(99, 2)
def nothing():
    return 3
"""


def test_ones_own_network_is_asked(tmp_path, cache, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_nets.py").write_text(BUILDS)
    data = own(tmp_path / "own.npz", np.repeat([0, 1], 60), spread=0.05)
    told = {"cache": cache, "device": "cpu", "built_by": "my_nets:small"}
    trained = report(data, out="trained", epochs=30, **told)
    kept = next(cache.folder.glob("own-network-*")) / "values.pt"
    state = {k.removeprefix("state/"): v for k, v in torch.load(kept).items() if k.startswith("state/")}
    torch.save(state, "net.pt")
    loaded = report(data, out="loaded", checkpoint="net.pt", **told)
    one, other = (pd.read_csv(folder / "samples.csv") for folder in (trained, loaded))
    assert np.allclose(one["mean_cosine"], other["mean_cosine"], atol=1e-5)
    assert "not trained here" in page(loaded).text
    another = report(data, out="another", checkpoint="net.pt", **told | {"built_by": "my_nets:rectified"})
    other = pd.read_csv(another / "samples.csv")  # of one state, and not of one network
    assert not np.allclose(one["mean_cosine"], other["mean_cosine"], atol=1e-3)
    torch.save({"other": torch.zeros(1)}, "wrong.pt")
    for options, words in (({"built_by": "my_nets:narrow"}, "one logit for each of the 2 classes"),
                           ({"built_by": "my_nets:deaf"}, "it fails"), ({"built_by": "my_nets:nothing"}, "got int"),
                           ({"built_by": "my_nets"}, "cannot be imported"), ({"checkpoint": "wrong.pt"}, "state dict"),
                           ({"checkpoint": "own.npz"}, "state dict"), ({"model": "mlp"}, "got both")):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            report(data, out="bad", **told | options)
    assert not (tmp_path / "bad").exists()


@each_row(("changed", "after"), [("nets.py", BEHIND.replace("relu", "sin")), ("slope.txt", "0.25")])
def test_a_network_of_changed_code_is_asked_anew(tmp_path, monkeypatch, changed, after):
    place, cache = tmp_path / changed, Cache(tmp_path / changed / "cache")
    place.mkdir()
    data, told = own(place / "own.npz", np.repeat([0, 1], 30)), {"built_by": "mine:make", "epochs": 2, "device": "cpu"}
    texts = {"mine.py": "import nets\ndef make(): return nets.Net()\n", "nets.py": BEHIND, "slope.txt": "1"}
    found, hits = [], []
    for files in (texts, texts | {changed: after}, texts | {changed: after}):
        for name, text in files.items():
            (place / name).write_text(text)
        for name in ("mine", "nets"):  # as a new process knows none
            monkeypatch.delitem(sys.modules, name, raising=False)
        shutil.rmtree(place / "__pycache__", ignore_errors=True)
        importlib.invalidate_caches()
        with monkeypatch.context() as there:
            there.chdir(place)
            found.append(pd.read_csv(report(data, cache=cache, **told) / "samples.csv")["difficulty"])
        hits.append(cache.hits)
    assert hits == [0, 0, 3]
    assert not np.allclose(found[0], found[1], rtol=1e-3)
    assert np.array_equal(found[1], found[2])


def test_the_network_fits_the_shape():
    shapes = {(1, 1, 9): "mlp", (1, 8, 8): "mlp", (3, 16, 16): "mlp", (1, 28, 28): "lenet5", (3, 32, 32): "resnet18"}
    assert {shape: fitting(shape, {})[0] for shape in shapes} == shapes
    assert fitting((3, 32, 32), {"width": 4})[1] == {"width": 4}


def test_the_command_says_what_is_wrong_in_a_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "asked", lambda *args, **options: pytest.fail("it trained"))
    for arguments in (["nothing.npz"], ["digits", "--epochs", "0"], ["digits", "--device", "tpu"],
                      ["digits", "--options", '{"depth": 3}'], ["digits", "--model", "lenet5"]):  # fmt: skip
        with pytest.raises(SystemExit) as left:
            main(["report", *arguments, "--out", str(tmp_path / "out")])
        said = capsys.readouterr().err
        assert left.value.code == 1
        assert said.startswith("python -m lpntk report: ")
        assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_one_odd_sample_does_not_move_what_is_usual_in_its_class():
    cosine, y = np.array([0.9, 0.9, 0.9, -1.0, 0.5, 0.5, 0.5, 0.4]), np.repeat([0, 1], 4)
    told = joint_rank(cosine, np.ones(8), y)
    assert np.argsort(-told)[:2].tolist() == [3, 7]
    assert len({*told[[0, 1, 2, 4, 5, 6]]}) == 1
