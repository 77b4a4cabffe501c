"""A page of the book shows the explorer that a run has left, drawn by today's script, or the build is told why not."""

import json
import sys

import pytest
from bs4 import BeautifulSoup
from extensions import ROOMS
from sphinx.application import Sphinx

from lpntk.reader.explore import vectors
from lpntk.reader.explore.fragment import script

MADE_BY = {"notebook": "15-explore.py", "profile": "own", "device": "cpu", "seconds": 1}
MADE_BY |= {"parameters": {"dataset": "digits", "model": "mlp", "n": 60, "epochs": 5, "moments": [0, 7]}}


@pytest.fixture
def built(tmp_path, monkeypatch):
    """What builds a page with one explorer, of a run that has left one, and returns it with the warnings."""
    monkeypatch.setattr(sys, "path", [*sys.path, *ROOMS])
    run = tmp_path / "results/own/15-explore"
    run.mkdir(parents=True)
    (run / "manifest.json").write_text(json.dumps(MADE_BY))
    vectors.two_vectors().save(run)
    left = (run / "vectors.html").read_text()
    (run / "company.html").write_text(left.replace("/* Two vectors. */", "/* of another day */"))
    (run / "prune.html").write_text("<p>no explorer</p>")

    def build(name):
        (tmp_path / "page.md").write_text(f"# Page\n\n```{{explorer}} 15-explore/{name}\nWhat is seen.\n```\n")
        settings = {"extensions": ["myst_parser", "lpntk_explore"], "root_doc": "page", "html_theme": "basic",
                    "lpntk_profile": "own", "include_patterns": ["page.md"]}  # fmt: skip
        out = tmp_path / "out"
        with (tmp_path / "warnings.txt").open("w") as warnings:
            Sphinx(tmp_path, None, out, out / "trees", "html", settings, status=None, warning=warnings).build()
        return (out / "page.html").read_text(), (tmp_path / "warnings.txt").read_text()

    return build


def test_a_page_shows_what_the_run_left_by_today_s_script(built):
    page, warnings = built("company")
    soup = BeautifulSoup(page, "html.parser")
    assert json.loads(soup.select_one("#explorer-vectors-data").string)["choice"] == vectors.BEGINNING
    assert script("vectors") in page
    assert "of another day" not in page
    told = soup.select_one(".explored").get_text()
    assert "What is seen." in told
    assert "Data and network: digits, MLP; n = 60, epochs = 7" in told  # of the network that is watched
    assert "unresolved explorer" not in warnings


@pytest.mark.parametrize(("name", "why"), [("lost", "No such file"), ("prune", "expected the HTML of an explorer")])
def test_what_is_lost_or_no_explorer_is_a_warning(built, name, why):
    page, warnings = built(name)
    assert f"unresolved explorer '15-explore/{name}'" in warnings
    assert why in warnings
    assert "lpntk-explorer" not in page
