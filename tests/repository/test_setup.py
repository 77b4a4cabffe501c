"""One statement of the dependencies: project file, lock and conda environment agree, and the tree is tidy."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from rows import each_row

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = [Requirement(line) for line in (ROOT / "requirements.txt").read_text().splitlines() if line.strip()]
LOCKED = {canonicalize_name(r.name): r for r in LOCK}


def test_every_dependency_is_locked_at_a_version_it_allows():
    wanted = [
        *PROJECT["dependencies"],
        *PROJECT["optional-dependencies"]["book"],
        *PROJECT["optional-dependencies"]["test"],
    ]
    for requirement in map(Requirement, wanted):
        locked = LOCKED[canonicalize_name(requirement.name)]
        (pin,) = locked.specifier
        assert pin.operator == "==", locked
        assert requirement.specifier.contains(Version(pin.version)), (requirement, locked)


def test_the_lock_pins_everything_and_names_no_host_or_local_build():
    text = (ROOT / "requirements.txt").read_text()
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.!]+", line) for line in text.splitlines())
    assert "torch==2.13.0" in text.splitlines()
    assert "jupyter-book==1.0.4.post1" in text.splitlines()


def test_conda_users_get_the_same_versions():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, via_pip = environment["dependencies"]
    assert Requirement(PROJECT["requires-python"].join(["python", ""])).specifier.contains(python.split("=")[1])
    assert pip == "pip"
    assert via_pip["pip"] == ["-r requirements.txt", "--editable ."]


def tracked(pattern):
    listed = subprocess.run(["git", "ls-files", pattern], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / line for line in listed.stdout.splitlines()]


def test_no_tracked_file_is_large():
    assert [p for p in tracked("*") if p.exists() and p.stat().st_size > 5 * 2**20] == []


def test_readme_names_what_exists():
    text = (ROOT / "README.md").read_text()
    for target in re.findall(r"`make ([a-z]+)", text):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / link).exists(), link


@each_row("folder", ["/a b", "/it's", '/a "b" *', ""])
def test_make_hands_on_the_folder_of_the_data_as_it_is(tmp_path, folder):
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" >> {tmp_path}/given\n")
    python.chmod(0o755)
    (tmp_path / ".ready").touch()
    make = ["make", "regenerate", "bench", f"VENV={tmp_path}", f"DATA={folder}", "PROFILE=a b"]
    subprocess.run(make, cwd=ROOT, check=True, capture_output=True)
    flag = ["--data", folder] if folder else []
    regenerate = ["-m", "lpntk.regenerate", "--profile", "a b", *flag]
    bench = ["bench/run.py", "--out", "results/bench/bench.json", *flag]
    assert (tmp_path / "given").read_text().splitlines() == [*regenerate, *bench]


def test_make_help_lists_every_target():
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    told = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert {line.split()[0] for line in told.splitlines()} == set(targets)
    assert all(len(line.split()) > 2 for line in told.splitlines())
