"""What the helpers of these tests promise: the rows of a table know nothing of each other."""

import logging
import os

import rows
from rows import each_row

LOG = logging.getLogger("lpntk.rows")


@each_row("row", [0, 1])
def test_a_row_finds_nothing_of_the_row_before(row, tmp_path, monkeypatch, caplog, capsys):
    assert not list(tmp_path.iterdir())
    assert LOG.getEffectiveLevel() == logging.WARNING
    assert not caplog.text
    assert not capsys.readouterr().out
    assert not hasattr(rows, "patched")
    assert "LPNTK_ROW" not in os.environ
    (tmp_path / "file").touch()
    caplog.set_level(logging.INFO, LOG.name)
    LOG.info("logged")
    assert "logged" in caplog.text
    print("printed")
    monkeypatch.setattr(rows, "patched", True, raising=False)
    os.environ["LPNTK_ROW"] = str(row)


def test_what_the_rows_set_is_gone_after_them():
    assert LOG.getEffectiveLevel() == logging.WARNING
    assert "LPNTK_ROW" not in os.environ
