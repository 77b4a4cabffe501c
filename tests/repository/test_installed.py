"""Installed by itself, the package gives a kernel from torch and numpy alone, and writes nothing beside itself."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "lpntk"
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
