"""Where no repository is configured nothing points to one; where one is, everything does."""

import importlib.util
from pathlib import Path

import pytest
import yaml

from lpntk.regenerate.pairing import disagreement, from_source, write_pair
from lpntk.report.book import home

ROOT = Path(__file__).resolve().parents[3]
GITHUB = "https://github.com/someone/lpntk"


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "01-first.py"
    path.write_text("# %% [markdown]\n# # One\n\n# %%\n1 + 1\n")
    return path


def test_without_a_home_there_is_no_launcher_and_no_cell_more(monkeypatch, source):
    monkeypatch.setenv("LPNTK_REPOSITORY", "")
    assert home.launchers("notebooks/01-first.ipynb") == {}
    assert [cell.cell_type for cell in from_source(source).cells] == ["markdown", "code"]


def test_the_variable_holds_before_the_configuration(monkeypatch, tmp_path):
    monkeypatch.setattr(home, "CONFIG", tmp_path / "_config.yml")
    monkeypatch.delenv("LPNTK_REPOSITORY", raising=False)
    assert home.address() == ""
    home.CONFIG.write_text(f"repository: {{url: {GITHUB}/, branch: trunk}}")
    assert (home.address(), home.branch()) == (GITHUB, "trunk")
    monkeypatch.setenv("LPNTK_REPOSITORY", f"{GITHUB}-too.git")
    assert home.address() == f"{GITHUB}-too"


def test_services_open_the_notebook_to_run(monkeypatch):
    monkeypatch.setenv("LPNTK_REPOSITORY", GITHUB)
    colab = "https://colab.research.google.com/github/someone/lpntk/blob/main/notebooks/01-first.ipynb"
    binder = "https://mybinder.org/v2/gh/someone/lpntk/main?urlpath=lab/tree/notebooks/01-first.ipynb"
    assert home.launchers("notebooks/01-first.ipynb") == {"Binder": binder, "Colab": colab}
    monkeypatch.setenv("LPNTK_REPOSITORY", "https://git.example.org/a/b")
    (found,) = home.launchers("notebooks/01-first.ipynb").items()
    assert found[0] == "Binder"
    assert "/v2/git/https%3A%2F%2Fgit.example.org%2Fa%2Fb/main?" in found[1]


def test_with_a_home_the_first_cell_installs_from_there_and_the_source_stays(monkeypatch, source):
    monkeypatch.setenv("LPNTK_REPOSITORY", "")
    write_pair(source)
    monkeypatch.setenv("LPNTK_REPOSITORY", GITHUB)
    assert "differs" in disagreement(source)
    assert write_pair(source) is None  # what only fell behind is not kept
    assert disagreement(source) is None
    first, *rest = from_source(source).cells
    assert f"lpntk[book] @ git+{GITHUB}@main" in first.source  # with what notebooks need
    compile(first.source, "cell", "exec")
    assert [cell.id for cell in rest] == ["cell-00", "cell-01"]


def test_commands_to_install_name_the_home_once_there_is_one(monkeypatch):
    page = (ROOT / "book/elsewhere.md").read_text()
    monkeypatch.setenv("LPNTK_REPOSITORY", "")
    assert home.installed_from(page) == page
    monkeypatch.setenv("LPNTK_REPOSITORY", GITHUB)
    told = home.installed_from(page)
    assert f'pip install "lpntk[book] @ git+{GITHUB}@main"' in told
    assert "REPOSITORY" not in told


def test_both_works_of_the_citation_file_become_bibtex():
    spec = importlib.util.spec_from_file_location("lpntk_about", ROOT / "book/_ext/site/lpntk_about.py")
    about = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(about)
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    paper, software = about.bibtex(cited["references"][0]), about.bibtex(cited, GITHUB)
    assert paper.startswith("@inproceedings{guo2024lpntk,\n")
    assert "author = {Guo, Shangmin and Ren, Yi and Albrecht, Stefano V. and Smith, Kenny}" in paper
    assert "@software{lpntk," in software
    assert f"url = {{{GITHUB}}}" in software
    assert "author = {{The lpntk companion authors}}" in software
