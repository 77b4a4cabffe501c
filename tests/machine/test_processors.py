"""A gradient does not depend on the processor: instruction sets and threads, each in a process that may die or hang."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rows import each_row
from torch import nn

from lpntk.learn.models import build
from lpntk.machine import strides

ROOT = Path(__file__).parents[2]
THREADS = ("1", "2", "3")  # at width 2 two threads alone have crashed


@pytest.mark.parametrize(("isa", "vector"), [("AVX2", 8), ("DEFAULT", 16)])
def test_strided_convolutions_have_the_gradients_of_float64_on_every_path(isa, vector):
    """All widths up to that of a vector, the first that is safe; neither model nor layer comes out changed."""
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "helpers" / "strided.py", str(vector), *THREADS],
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": isa, "OMP_WAIT_POLICY": "passive", "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    wrong = {
        (threads, path): error
        for threads, errors in json.loads(done.stdout).items()
        for path, error in errors.items()
        if not error < 1e-5
    }
    assert not wrong


def hooked():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    model[1].register_forward_hook(lambda *_: None)
    return model


def patched():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    model.forward = lambda x: x.flatten(1)
    return model


@each_row(
    ("model", "needs"),
    [
        (build("mlp", (1, 8, 8), 3, seed=0), False),
        (build("lenet", (1, 12, 12), 3, seed=0), False),
        (nn.Sequential(nn.Conv2d(2, 3, 3, stride=2), nn.Conv2d(3, 3, 1)), False),
        (build("resnet18", (3, 8, 8), 3, seed=0, width=2), True),
        (nn.Sequential(nn.ConvTranspose2d(2, 3, 1, stride=(1, 2), output_padding=(0, 1))), True),
        (hooked(), True),
        (patched(), True),
    ],
)
def test_only_a_model_that_may_hold_such_a_layer_pays_for_it(monkeypatch, model, needs):
    registered = []
    monkeypatch.setattr(strides, "_registered", registered)
    strides.guard(model)
    assert bool(registered) == needs
    registered.clear()
