"""Is a wrong network, folder or number refused in a sentence, and is a checkpoint found in its wrapping?"""

import os

import numpy as np
import pandas as pd
import pytest
import torch

from lpntk.keep.cache import Cache
from lpntk.reader.own import command
from lpntk.reader.own.command import report
from lpntk.reader.own.network import learner

BUILDS = """
from torch import nn
def net(in_shape, k):
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, k))
def soft(in_shape, k):
    return nn.Sequential(net(in_shape, k), nn.Softmax(1))
class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(6, 2)
    def forward(self, x):
        return self.net(x.flatten(1)), None
def frozen(in_shape, k):
    return net(in_shape, k).requires_grad_(False)
number = 3
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with data and networks of two classes, in which the command runs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "their_nets.py").write_text(BUILDS)
    y, draw = np.repeat([0, 1], 40), np.random.default_rng(0)
    x = (draw.random((2, 6))[y] + 0.05 * draw.normal(size=(80, 6))).clip(0, 1)
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y)
    return tmp_path


def loaded(checkpoint, built_by="their_nets:net"):
    data = command.read_own("own.npz").data
    return learner(data, model=None, options={}, built_by=built_by, checkpoint=checkpoint, seed=0).state


def test_a_state_dict_is_found_in_what_others_save(place):
    data = command.read_own("own.npz").data
    make = learner(data, model=None, options={}, built_by="their_nets:net", checkpoint=None, seed=0).make
    state = make(7).state_dict()
    named = lambda prefix: {prefix + name: value for name, value in state.items()}
    wrapped = [{"state_dict": named("model.")}, {"model_state_dict": state, "epoch": 3}, {"model": named("module.")}]
    for saved in (state, named("module."), named("_orig_mod."), named("module._orig_mod."), *wrapped):
        torch.save(saved, "net.pt")
        found = loaded("net.pt")
        assert all(torch.equal(found[name], value) for name, value in state.items())
    torch.save(make(7), "whole.pt")
    torch.save(named("module.") | {"more": torch.zeros(1)}, "more.pt")
    torch.save({name: value for name, value in named("module.").items() if "weight" in name}, "less.pt")
    open("empty.pt", "wb").close()
    for name, words in (("whole.pt", "a whole model .* not unpickled"), ("more.pt", "Unexpected"),
                        ("less.pt", "Missing"), ("empty.pt", "got EOFError")):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            loaded(name)


def test_networks_that_give_no_logits_are_refused_as_what_they_are(place):
    for name, words in (("soft", "got probabilities, rows that sum to 1"), ("Pair", "got tuple"),
                        ("frozen", "parameters that learn .* got Sequential without any"),
                        ("number", "is not a callable object")):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            loaded(None, f"their_nets:{name}")


def test_options_out_of_range_are_refused_before_anything_is_read(place, monkeypatch):
    monkeypatch.setattr(command, "read_own", lambda *args, **options: pytest.fail("it read"))
    for options, words in (({"budget": float("inf")}, "--budget above 0; got inf"),
                           ({"budget": float("nan")}, "--budget"), ({"seed": -1}, "--seed from 0"),
                           ({"seed": 2**63}, "--seed from 0"),
                           ({"checkpoint": "net.pt", "epochs": 3}, "--epochs or --checkpoint; got both")):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            report("own.npz", **options)


def test_folders_of_others_are_neither_searched_nor_replaced(place, monkeypatch):
    told = {"cache": Cache("cache"), "epochs": 20, "device": "cpu"}
    (place / "docs" / "inner").mkdir(parents=True)
    (place / "docs" / "inner" / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"got inner; name another"):
        report("own.npz", out="docs", **told)
    (place / "real").mkdir()
    os.symlink("real", "link")
    report("own.npz", out="link", **told)
    assert (place / "link").is_symlink()
    assert (place / "real" / "report.html").is_file()

    def denied(*args, **options):
        raise PermissionError("Permission denied")

    monkeypatch.setattr(command.tempfile, "TemporaryDirectory", denied)
    with pytest.raises(
        OSError, match=r"new: expected a place that can be written; got Permission denied; name another"
    ):
        report("own.npz", out="new", **told)


def test_a_place_that_cannot_be_replaced_is_refused_before_anything_is_read(place, monkeypatch):
    monkeypatch.setattr(command, "read_own", lambda *args, **options: pytest.fail("it read"))
    (place / "here" / "below").mkdir(parents=True)
    monkeypatch.chdir(place / "here" / "below")
    for out in (".", "..", "../below"):
        with pytest.raises(ValueError, match=r"another folder than the one that you are in.*--out"):
            report("own.npz", out=out)
    (place / "disk").mkdir()
    monkeypatch.setattr(command.os.path, "ismount", lambda path: str(path).endswith("disk"))
    with pytest.raises(ValueError, match=r"disk: expected a folder that can be replaced; got a disk.*--out .*report"):
        report("own.npz", out=str(place / "disk"))


def test_an_interruption_is_a_sentence(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "report", interrupted)
    with pytest.raises(SystemExit) as ended:
        command.main(["digits"])
    assert ended.value.code == 130
    assert "interrupted; what had finished is kept" in capsys.readouterr().err


def test_folders_of_versions_have_reports_of_their_own(place):
    for name in ("cats.v1", "cats.v2"):
        (place / name).mkdir()
    assert command._stem("cats.v1") == "cats.v1"
    assert command._stem(f"{place}/cats.v2/") == "cats.v2"
    assert command._stem("own.npz") == "own"


def test_a_text_that_a_spreadsheet_would_run_is_marked(place):
    y = np.repeat(["=1+1", "-1", "@cmd|' /c calc'!A0", "b=c"], 30)
    draw = np.random.default_rng(0)
    x = draw.random((4, 6))[np.unique(y, return_inverse=True)[1]] + 0.03 * draw.normal(size=(120, 6))
    np.savez("odd.npz", x_train=x.clip(0, 1), y_train=y)
    out = report("odd.npz", cache=Cache("cache"), epochs=20, device="cpu")
    labels = pd.read_csv(out / "samples.csv", dtype={"label": str})["label"]
    assert set(labels) == {"'=1+1", "-1", "'@cmd|' /c calc'!A0", "b=c"}
