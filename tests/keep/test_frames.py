"""The frame of a study: found again by what decided it, the same to the last digit, and taken only if it is whole."""

import hashlib
import json
import warnings

import pandas as pd
import pytest
import torch

from lpntk.data.dataset import load
from lpntk.keep import files
from lpntk.keep.cache import Cache
from lpntk.keep.frames import told
from lpntk.learn.campaign import Network
from lpntk.report.results import Results

NETWORK = Network("mlp", (1, 8, 8), 10, {"hidden": [4]})
MADE = pd.DataFrame({"arm": ["heads", "node"], "share": [0.5, 1 / 3], "seen": [3, 4], "lost": [True, False],
                     "last": [0.9812600016593933, float("nan")]})  # fmt: skip


@pytest.fixture
def again(tmp_path, monkeypatch):
    """Ask for the frame of a run below a results folder; count how often it was made."""
    monkeypatch.setattr(files, "ROOT", tmp_path)
    made = []

    def ask(run, n=8, device="cpu"):
        cache = Cache(tmp_path / "cache")

        def study(network, data, *, n, cache, device):
            made.append(n)
            cache.seconds += 100.0
            return MADE.assign(n=n)

        study.__module__, study.__qualname__ = "lpntk.report.spread", "keyed"  # any definition of the package
        record = Results(tmp_path / "results" / run)
        return record.study("found", study, NETWORK, load("digits"), n=n, cache=cache, device=device), cache, made

    return ask


def test_a_frame_is_made_once_and_found_in_the_result_that_holds_it(again, tmp_path):
    first, cache, made = again("quick/10")
    second, later, made = again("quick/.partial/1-x/10")  # where a run writes before it is whole
    assert made == [8]
    assert cache.seconds == later.seconds == 100.0  # what it took, whenever that was
    pd.testing.assert_frame_equal(first, second, check_exact=True)
    assert list(first.dtypes[1:].astype(str)) == ["float64", "int64", "bool", "float64", "int64"]
    assert list(first["arm"]) == ["heads", "node"]
    assert list(first["share"]) == [0.5, 1 / 3]
    assert first["last"][0] == MADE["last"][0]
    for name in ("found.csv", "found.json"):
        one, two = (tmp_path / "results" / run / "frames" / name for run in ("quick/10", "quick/.partial/1-x/10"))
        assert one.read_bytes() == two.read_bytes()


def test_another_question_is_another_frame(again):
    again("quick/10")
    frame, _, made = again("mnist/10", n=9)
    assert made == [8, 9]
    assert set(frame["n"]) == {9}


def test_a_frame_that_was_edited_is_made_again_with_a_warning(again, tmp_path):
    again("quick/10")
    path = tmp_path / "results" / "quick" / "10" / "frames" / "found.csv"
    path.write_text(path.read_text().replace("0.9812", "0.9999"))
    with pytest.warns(UserWarning, match=r"quick/10/frames/found\.csv is not the frame"):
        frame, _, made = again("mnist/10")
    assert made == [8, 8]
    assert frame["last"][0] == MADE["last"][0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path.with_suffix(".json").write_text(json.dumps({"key": "of something else"}))
        again("mnist/10")


def test_a_frame_that_somebody_played_with_comes_last(again, tmp_path):
    again("quick/10")
    again("interactive/10")
    path = tmp_path / "results" / "interactive" / "10" / "frames" / "found.csv"
    path.write_text(path.read_text().replace("0.9812", "0.9999"))  # another machine's digits, say
    made = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps(made | {"frame": hashlib.sha256(path.read_bytes()).hexdigest()}))
    assert again("mnist/10")[0]["last"][0] == MADE["last"][0]


def test_a_key_says_what_the_arguments_hold():
    data = load("digits")
    assert told(data) == data.digest
    assert told((NETWORK, torch.zeros(2))) == told((NETWORK, torch.zeros(2)))
    assert told(NETWORK) == {"name": "mlp", "in_shape": [1, 8, 8], "k": 10, "options": {"hidden": [4]}}
    assert told({"cache": Cache()}) == {"cache": None}  # where it is kept decides nothing
    assert told(torch.zeros(2)) != told(torch.ones(2))
    assert told({"shares": (0.5, 0.1), "arms": None}) == {"shares": [0.5, 0.1], "arms": None}
