"""Installed by itself, the package gives a kernel from torch and numpy alone, and writes nothing beside itself."""

import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "lpntk"
ALONE = """
import sys

ABSENT = {"tqdm", "scipy", "sklearn", "pandas", "matplotlib", "yaml", "IPython", "ipywidgets", "ipykernel", "jupytext",
          "papermill", "nbformat", "nbclient", "torchvision", "sphinx", "jupyter_book", "docutils"}
sys.modules.update(dict.fromkeys(ABSENT))  # as if nothing else were installed
import torch
from lpntk import build, kernel_matrix, train
from lpntk.keep.files import cache_folder

model = build("lenet5", (1, 28, 28), 10, seed=0)
x, y = torch.randn(12, 1, 28, 28, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 10
train([model], x, y, torch.arange(12)[None], seeds=[0], epochs=1, lr=0.01)
kappa = kernel_matrix(model.eval(), x, y, out=sys.argv[1])
assert torch.equal(kappa, kappa.T) and kappa.diagonal().min() > 0
assert kernel_matrix(model, x, y, signs="error", normalize=True).isfinite().all()
print(cache_folder())
"""


def test_the_kernel_needs_torch_and_numpy_alone(tmp_path):
    installed = tmp_path / "site"
    shutil.copytree(PACKAGE, installed / "lpntk", ignore=shutil.ignore_patterns("__pycache__"))
    environment = {k: v for k, v in os.environ.items() if k != "LPNTK_CACHE"}
    environment |= {"PYTHONPATH": str(installed), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    command = [sys.executable, "-c", ALONE, str(tmp_path / "kappa.npy")]
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == str(tmp_path / "cache" / "lpntk")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kappa.npy", "kappa.npy.lpntk", "site"]
    assert [path.name for path in installed.iterdir()] == ["lpntk"]


def test_pip_installs_from_the_address_of_a_repository_with_the_extras_that_the_page_names(tmp_path):
    if Version(metadata.version("setuptools")) < Version("77"):
        pytest.skip("no setuptools that can build the package without a download")
    repository, target = tmp_path / "repository", tmp_path / "site"
    shutil.copytree(PACKAGE, repository / "lpntk", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, repository)
    identity = ["-c", "user.name=nobody", "-c", "user.email=nobody@localhost"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "all"]):
        subprocess.run(["git", *command], cwd=repository, check=True)
    wanted = f"lpntk[book,test,bench,elsewhere] @ git+file://localhost{repository}"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    ran = subprocess.run([*pip, "--target", target, wanted], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "extra" not in ran.stdout + ran.stderr  # pip warns of one that the package does not provide
    (installed,) = metadata.distributions(path=[str(target)])
    assert set(installed.metadata.get_all("Provides-Extra")) == {"book", "test", "bench", "elsewhere"}
    kept = {path.relative_to(PACKAGE) for path in PACKAGE.rglob("*") if path.suffix in (".py", ".html")}
    assert kept <= {path.relative_to(target / "lpntk") for path in target.rglob("lpntk/**/*")}
    page = (ROOT / "book/elsewhere.md").read_text()
    assert all(f"`{extra}`" in page for extra in installed.metadata.get_all("Provides-Extra"))
