import functools
import json
import os

import pytest
import torch
from rows import each_row

from lpntk.keep.cache import Cache, CacheError, digest
from lpntk.keep.keys import computed_key
from lpntk.kernel.matrix import kernel_matrix
from lpntk.learn import campaign
from lpntk.learn.campaign import Network, train_many
from lpntk.machine import description as machine

NET = Network("mlp", (1, 2, 4), 3, {"hidden": [8]})


def test_an_artefact_is_computed_once_and_decided_by_its_key(tmp_path):
    cache, calls = Cache(tmp_path), []

    def make():
        calls.append(1)
        return {"a": torch.arange(3), "b": torch.ones(2) / 3}

    first, second = cache.artefact("x", {"n": 1}, make), cache.artefact("x", {"n": 1}, make)
    assert len(calls) == cache.hits == 1
    assert all(torch.equal(first[name], second[name]) for name in ("a", "b"))
    cache.artefact("x", {"n": 2}, make)
    assert len(calls) == 2
    assert not list(tmp_path.glob(".partial*"))
    assert digest(torch.zeros(2)) != digest(torch.zeros(2, dtype=torch.float64)) != digest(torch.zeros(1, 2))
    assert computed_key(train_many, device="cpu") != computed_key(kernel_matrix, device="cpu")


def test_the_machine_is_told_and_decides_nothing(tmp_path, monkeypatch):
    for bound in machine.BOUNDS:
        monkeypatch.delenv(bound, raising=False)
    cache, make = Cache(tmp_path), lambda: {"a": torch.arange(3)}
    cache.artefact("x", {"n": 1, "device": "cpu"}, make)
    (folder,) = tmp_path.iterdir()
    manifest = json.loads((folder / "manifest.json").read_text())
    made_on = manifest["made_on"]
    assert manifest["key"] == {"n": 1, "device": "cpu"}
    assert made_on["threads"] == torch.get_num_threads()
    assert made_on["instructions"] == torch.backends.cpu.get_cpu_capability()
    assert made_on["device"].startswith("CPU ")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert machine.describe_machine("cpu")["instructions"].endswith(", ONEDNN_MAX_CPU_ISA=AVX2")
    cache.artefact("x", {"n": 1, "device": "cpu"}, make)
    assert cache.hits == 1
    del manifest["made_on"]  # as earlier artefacts are
    (folder / "manifest.json").write_text(json.dumps(manifest))
    cache.artefact("x", {"n": 1, "device": "cpu"}, make)
    assert cache.hits == 2


def test_another_key_than_the_name_says_is_refused(tmp_path):
    cache = Cache(tmp_path)
    make = lambda: {"a": torch.arange(3)}
    cache.artefact("x", {"n": 1, "data": "d"}, make)
    (folder,) = tmp_path.iterdir()
    manifest = json.loads((folder / "manifest.json").read_text())

    (folder / "manifest.json").write_text(json.dumps({**manifest, "key": {"n": 1, "data": "other"}}))
    with pytest.raises(CacheError, match=r"disagrees with what was asked in \['data'\]; remove x-"):
        cache.artefact("x", {"n": 1, "data": "d"}, make)


@each_row(
    ("file", "spoil", "words"),
    [
        ("values.pt", lambda path: path.write_bytes(path.read_bytes()[:-1]), "not those its manifest was written for"),
        ("values.pt", lambda path: path.unlink(), r"not whole \(FileNotFoundError"),
        ("manifest.json", lambda path: path.unlink(), r"not whole \(FileNotFoundError"),
        ("manifest.json", lambda path: path.write_text(path.read_text()[:20]), r"not whole \(JSONDecodeError"),
        ("manifest.json", lambda path: path.write_bytes(b'{"\xff'), r"not whole \(UnicodeDecodeError"),
        ("manifest.json", lambda path: path.write_text("[]"), r"not whole \(TypeError"),
        ("manifest.json", lambda path: path.write_text("{}"), r"not whole \(KeyError"),
    ],
)
def test_a_damaged_artefact_is_computed_again_with_a_warning(tmp_path, file, spoil, words):
    cache, calls = Cache(tmp_path), []
    make = lambda: calls.append(1) or {"a": torch.arange(3)}
    cache.artefact("x", {"n": 1}, make)
    (folder,) = tmp_path.iterdir()
    spoil(folder / file)
    with pytest.warns(UserWarning, match=rf"{folder.name} in the cache.*{words}.*computed again"):
        again = cache.artefact("x", {"n": 1}, make)
    assert torch.equal(again["a"], torch.arange(3))
    assert torch.equal(cache.artefact("x", {"n": 1}, make)["a"], torch.arange(3))
    assert len(calls) == 2
    assert list(tmp_path.iterdir()) == [folder]


def test_what_cannot_be_kept_is_handed_out_with_a_warning(tmp_path):
    (tmp_path / "file").touch()
    with pytest.warns(UserWarning, match="could not be kept, the next run computes it again"):
        assert Cache(tmp_path / "file").artefact("x", {"n": 1}, lambda: {"a": torch.ones(1)})["a"] == 1


@each_row("refused", ["rename", "mkdir"])
def test_a_damaged_artefact_that_cannot_be_moved_stops_nothing(tmp_path, monkeypatch, refused):
    cache, make = Cache(tmp_path / refused), lambda: {"a": torch.arange(3)}
    cache.artefact("x", {"n": 1}, make)
    (kept,) = cache.folder.glob("x-*/values.pt")
    kept.write_bytes(b"half")

    def refuse(*_):
        raise PermissionError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(os, refused, refuse)
        with pytest.warns(UserWarning, match="is computed again"):
            again = cache.artefact("x", {"n": 1}, make)
    assert torch.equal(again["a"], torch.arange(3))
    assert [path.name for path in cache.folder.iterdir()] == [kept.parent.name]


def test_others_may_read_an_artefact_as_they_may_any_file(tmp_path):
    Cache(tmp_path).artefact("x", {"n": 1}, lambda: {"a": torch.arange(3)})
    (tmp_path / "plain").mkdir()
    (folder,) = tmp_path.glob("x-*")
    assert folder.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_of_two_that_compute_the_same_the_first_decides(tmp_path):
    slow, fast = Cache(tmp_path), Cache(tmp_path)

    def overtaken():
        fast.artefact("x", {"n": 1}, lambda: {"a": torch.tensor(1)})
        return {"a": torch.tensor(2)}

    assert int(slow.artefact("x", {"n": 1}, overtaken)["a"]) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_a_failed_computation_leaves_nothing(tmp_path):
    def fail():
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        Cache(tmp_path).artefact("x", {"n": 1}, fail)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_run_resumes_to_the_same_numbers(tmp_path, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(24, 1, 2, 4, generator=generator), torch.arange(24) % 3
    subsets, seeds = torch.arange(24).view(6, 4), list(range(6))
    settings = {"epochs": 3, "lr": 0.1, "batch_size": 2, "momentum": 0.9, "way": 2, "device": "cpu"}
    whole = train_many(NET, x, y, subsets, seeds=seeds, cache=Cache(tmp_path / "whole"), **settings)

    real, trained = campaign.train, []

    @functools.wraps(real)
    def killed(models, *arguments, **options):
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(len(models))
        return real(models, *arguments, **options)

    monkeypatch.setattr(campaign, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        train_many(NET, x, y, subsets, seeds=seeds, cache=Cache(tmp_path / "killed"), **settings)
    assert trained == [2, 2]

    again = []

    @functools.wraps(real)
    def counted(models, *arguments, **options):
        again.append(len(models))
        return real(models, *arguments, **options)

    monkeypatch.setattr(campaign, "train", counted)
    cache = Cache(tmp_path / "killed")
    resumed = train_many(NET, x, y, subsets, seeds=seeds, cache=cache, **settings)
    assert again == [2]  # only what was missing
    for name, value in whole.tensors().items():
        assert torch.equal(value, resumed.tensors()[name]), name
    train_many(NET, x, y, subsets, seeds=seeds, cache=cache, **{**settings, "lr": 0.2})
    assert again == [2] * 4  # another recipe is another artefact


def test_another_torch_is_another_artefact(tmp_path, monkeypatch):
    x, y = torch.randn(4, 1, 2, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0])
    cache = Cache(tmp_path)
    again = lambda: train_many(NET, x, y, torch.arange(4)[:, None], seeds=[0, 1, 2, 3], cache=cache, epochs=1, lr=0.1,
                               way=4, device="cpu")  # fmt: skip
    again()
    found = cache.hits
    again()
    assert cache.hits == found + 1
    monkeypatch.setattr(torch, "__version__", "0.0")
    again()
    assert cache.hits == found + 1


def test_what_an_artefact_does_not_hold_is_refused(tmp_path):
    x, y, subsets = torch.randn(4, 1, 2, 4), torch.arange(4) % 3, torch.arange(4).view(2, 2)
    with pytest.raises(ValueError, match="train_many does not know checkpoints; call lpntk"):
        train_many(NET, x, y, subsets, seeds=[0, 1], cache=Cache(tmp_path), epochs=1, lr=0.1, checkpoints=(1,))
    with pytest.raises(ValueError, match="train_many does not know on_divergence; call lpntk"):
        train_many(NET, x, y, subsets, seeds=[0, 1], cache=Cache(tmp_path), epochs=1, lr=0.1, on_divergence=None)
    with pytest.raises(ValueError, match="every subset needs its seed; got 2 subsets and 1 seeds"):
        train_many(NET, x, y, subsets, seeds=[0], cache=Cache(tmp_path), epochs=1, lr=0.1)


def test_what_decides_an_artefact(tmp_path):
    x, y, subsets = torch.randn(4, 1, 2, 4), torch.arange(4) % 3, torch.arange(4).view(2, 2)
    settings = {"seeds": [0, 1], "way": 1, "epochs": 1, "lr": 0.1, "device": "cpu"}
    cache = Cache(tmp_path)

    def made(x=x, y=y, subsets=subsets, **changed):
        before = len(list(tmp_path.glob("history-*")))
        train_many(NET, x, y, subsets, cache=cache, **{**settings, **changed})
        return len(list(tmp_path.glob("history-*"))) - before

    assert made() == 2
    assert made() == 0
    assert made(seeds=[0, 2]) == 1  # one by one: the other is the same
    assert made(subsets=subsets.flip(1)) == 2
    assert made(x=x + 1) == 2
    assert made(y=(y + 1) % 3) == 2
    assert made(momentum=0.5) == 2
    assert made(test=(x, y)) == 2
    assert made(test=(x + 1, y)) == 2
    assert made(test=(x, (y + 1) % 3)) == 2
