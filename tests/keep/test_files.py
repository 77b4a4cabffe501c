"""A file has its name once it is whole, and on the disk."""

import os
import re
import subprocess
import sys

import pytest

from bench import cli
from lpntk.keep import files
from lpntk.keep.cache import Cache
from lpntk.regenerate import everything as regenerate


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    done, sync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (done.append("sync"), sync(descriptor)))
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append("rename"), replace(*paths)))
    files.write_text(tmp_path / "a", "b")
    assert done == ["sync", "rename", "sync"]
    assert [path.read_text() for path in tmp_path.iterdir()] == ["b"]


def test_what_cannot_be_written_leaves_what_was_there(tmp_path):
    files.write_text(tmp_path / "a", "b")
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "a", float("nan"))
    with pytest.raises(UnicodeEncodeError):
        files.write_text(tmp_path / "a", "half \ud800")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["b"]


def test_a_home_is_put_in_wherever_a_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LPNTK_CACHE", "~/kept")
    monkeypatch.setenv("LPNTK_DATA", "~/mine")
    (tmp_path / "mine").mkdir()
    assert files.cache_folder() == Cache().folder == tmp_path / "kept"
    assert Cache("~/other").folder == tmp_path / "other"
    assert files.data_folder() == files.data_folder("~/mine") == tmp_path / "mine"
    assert cli._options(["--data", "~/mine"]).data == str(tmp_path / "mine")
    with pytest.raises(ValueError, match=r"~nobody-of-that-name/x: there is no home folder that ~ could stand for"):
        files.expanded("~nobody-of-that-name/x")


def test_a_folder_of_data_that_is_none_is_a_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LPNTK_DATA", raising=False)
    assert files.data_folder() == tmp_path / ".data"  # nobody named it, so it need not be there yet
    with pytest.raises(ValueError, match=r"--data ~/gone: no such folder \(/.*/gone\); name the folder that holds"):
        files.data_folder("~/gone")
    monkeypatch.setenv("LPNTK_DATA", "file")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="LPNTK_DATA file: a file, no folder"):
        files.data_folder()
    assert regenerate.main(["--profile", "smoke"]) == 1
    assert capsys.readouterr().err.startswith("regenerate: LPNTK_DATA file: a file, no folder")
    with pytest.raises(SystemExit):
        cli._options(["--data", "gone"])
    assert "--data gone: no such folder" in capsys.readouterr().err


def test_a_cache_that_keeps_nothing_is_told_at_the_start(tmp_path):
    assert files.unkept(tmp_path / "new") == ""
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "file").touch()
    assert re.match(
        rf"nothing can be kept in {tmp_path}/file \(File exists\): a killed run", files.unkept(tmp_path / "file")
    )


def test_sources_and_reasons_are_read_alike_in_every_locale(tmp_path):
    (tmp_path / "n.py").write_text("x = 'Übung ±'\n", "utf-8")
    code = (
        "import sys\nfrom pathlib import Path\nfrom lpntk.keep import code, files, imported\n"
        "folder = Path(sys.argv[1])\n"
        "print(code.definitions(folder / 'n.py'), len(imported.sources(folder / 'n.py')))\n"
        "files.write_text(folder / 'told', chr(0xb1))\n"
    )
    plain = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": os.getcwd()}
    run = lambda environment: subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], env=environment, capture_output=True, text=True, check=False
    )
    ascii_only, usual = run(plain), run({**plain, "PYTHONUTF8": "1"})
    assert ascii_only.stderr == usual.stderr == ""
    assert ascii_only.stdout == usual.stdout != ""
    assert (tmp_path / "told").read_bytes() == b"\xc2\xb1"
