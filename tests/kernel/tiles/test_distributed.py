"""The same call under torchrun: two processes and one file."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from lpntk.__main__ import main
from lpntk.data import dataset as data
from lpntk.kernel.matrix import kernel_matrix
from lpntk.kernel.tiles import share as distributed
from lpntk.learn import models

N = 60
RUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29613"]
CALL = ["--dataset", "digits", "--model", "mlp", "--samples", str(N), "--memory-budget", "0.0002"]

# the command line, with one rank dying after its second tile
DYING = """
import os, sys
from lpntk.__main__ import main
from lpntk.kernel.tiles import kernel_file
put = kernel_file.KernelFile.put
count = 0
def dies(self, tile, block):
    global count
    put(self, tile, block)
    count += 1
    if count == 2 and os.environ["RANK"] == "1":
        os._exit(3)
kernel_file.KernelFile.put = dies
main(sys.argv[1:])
"""


def environment():
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[3])}


def torchrun(*command):
    command = [*RUN, *map(str, command)]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def want():
    digits = data.load("digits")
    model = models.build("mlp", digits.in_shape, digits.k, seed=0)
    return kernel_matrix(model, digits.x_train[:N], digits.y_train[:N])


def test_two_processes_write_what_one_writes(tmp_path, want):
    ran = torchrun("-m", "lpntk", *CALL, "--out", tmp_path / "kappa.npy")
    assert ran.returncode == 0, ran.stderr[-2000:]
    got = torch.from_numpy(np.load(tmp_path / "kappa.npy"))
    assert torch.allclose(got, want, rtol=1e-5, atol=1e-5 * float(want.abs().max()))
    assert {p.name for p in tmp_path.iterdir()} == {"kappa.npy", "kappa.npy.lpntk"}


def test_a_rank_that_dies_leaves_a_result_that_resumes(tmp_path, want):
    script, out = tmp_path / "dying.py", tmp_path / "out" / "kappa.npy"
    script.write_text(DYING)
    ran = torchrun(script, *CALL, "--out", out)
    assert ran.returncode != 0
    assert not out.exists()
    assert "exitcode  : 3" in ran.stderr, ran.stderr[-2000:]
    entered = out.parent / "kappa.npy.lpntk" / "tiles.1"
    assert entered.read_text().count("\n") == 2

    main([*CALL, "--out", str(out)])  # one process takes over
    got = torch.from_numpy(np.load(out))
    assert torch.allclose(got, want, rtol=1e-5, atol=1e-5 * float(want.abs().max()))


# a job whose processes hold the file until they are told
HOLDING = """
import os, sys, torch
from lpntk.kernel.tiles import share as distributed
from lpntk.kernel.tiles.blocks import cut
from lpntk.kernel.tiles.store import opened
rank, size = distributed.world()
with distributed.first_rank_first(rank, size):
    held = opened(sys.argv[1], cut(60, 60, True, 1, 2000), torch.float32, {}, rank)
    held.__enter__()
distributed.wait_for_all(size)
os.write(1, b"holds\\n")  # one piece: two processes share the line
sys.stdin.read()
"""


def test_a_job_shares_its_lock_and_no_other_gets_it(tmp_path):
    (tmp_path / "holding.py").write_text(HOLDING)
    out, command = tmp_path / "kappa.npy", [*RUN, str(tmp_path / "holding.py"), str(tmp_path / "kappa.npy")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment(), **pipes) as job:
        assert [job.stdout.readline() for _ in range(2)] == ["holds\n"] * 2
        alone = [sys.executable, "-m", "lpntk", *CALL, "--out", str(out)]
        told = subprocess.run(alone, env=environment(), capture_output=True, text=True, timeout=60, check=False)
        job.stdin.close()
        assert job.wait(60) == 0
    assert told.returncode == 1
    assert len(told.stderr.splitlines()) == 1
    assert re.search(r"kappa\.npy is being written by process \d+ on \S+, process \d+ on", told.stderr)


# somebody else's group gives up after two seconds; the kernel's processes may be further apart
APART = """
import os, time
from datetime import timedelta
import torch.distributed as dist
from lpntk.kernel.tiles import share as distributed
dist.init_process_group("gloo", timeout=timedelta(seconds=2))
rank, size = distributed.world()
distributed.wait_for_all(size)
time.sleep(4 * rank)
distributed.wait_for_all(size)
print("together", flush=True)
os._exit(0)
"""


def test_a_process_that_is_done_early_waits(tmp_path):
    (tmp_path / "apart.py").write_text(APART)
    ran = torchrun(tmp_path / "apart.py")
    assert ran.stdout.count("together") == 2, ran.stderr[-2000:]


def test_no_process_needs_a_device_of_its_own(monkeypatch):
    joined, current = [], []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    monkeypatch.setattr(distributed.dist, "is_torchelastic_launched", lambda: True)
    monkeypatch.setattr(distributed.dist, "init_process_group", lambda *a, **k: joined.append((*a, k["timeout"])))
    distributed.world()
    assert joined == [("gloo", distributed.PATIENCE)]
    monkeypatch.setenv("LOCAL_RANK", "5")  # the sixth process on two devices
    assert distributed.local_device("auto") == distributed.local_device("cuda") == torch.device("cuda", 1)
    assert current == [torch.device("cuda", 1)] * 2
    assert distributed.local_device("cpu") == "cpu"
    assert distributed.local_device("cuda:0") == "cuda:0"
