"""Is what the command cannot mean refused in a sentence?"""

import pytest
import torch
from rows import each_row

from lpntk.__main__ import main
from lpntk.learn.models import build


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder with weights of the command's network and with files that are none."""
    monkeypatch.chdir(tmp_path)
    state = build("mlp", (1, 8, 8), 10, seed=1).state_dict()
    torch.save(state, "right.pt")
    torch.save(build("mlp", (1, 8, 8), 10, seed=1, hidden=(4,)).state_dict(), "other.pt")
    torch.save(torch.nn.Linear(2, 2), "whole.pt")
    torch.save([1, 2], "list.pt")
    (tmp_path / "half.pt").write_bytes((tmp_path / "right.pt").read_bytes()[:5000])
    (tmp_path / "words.pt").write_text("hello")
    return tmp_path


@each_row("file", ["other.pt", "whole.pt", "list.pt", "half.pt", "words.pt", "missing.pt"])
def test_weights_that_are_none_of_the_network_are_refused_in_a_sentence(files, capsys, file):
    with pytest.raises(SystemExit) as refused:
        main(["--samples", "3", "--weights", file, "--device", "cpu", "--out", "kappa.npy"])
    said = capsys.readouterr().err
    assert refused.value.code == 1
    assert said.startswith(f"python -m lpntk: {file}: expected a state dict of the network mlp; got ")
    assert said.rstrip().endswith("save it with torch.save(model.state_dict(), file)")
    assert len(said.splitlines()) == 1
    assert not (files / "kappa.npy").exists()


def test_weights_of_the_network_are_taken(files):
    main(["--samples", "3", "--weights", "right.pt", "--device", "cpu", "--out", "kappa.npy"])
    assert (files / "kappa.npy").is_file()


def test_a_budget_without_end_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["--memory-budget", "inf", "--out", "kappa.npy"])
    assert "a finite amount above 0 is needed; got inf" in capsys.readouterr().err
