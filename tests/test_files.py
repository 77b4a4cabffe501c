"""A file has its name once it is whole, and on the disk."""

import os

import pytest

from lpntk import files


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
