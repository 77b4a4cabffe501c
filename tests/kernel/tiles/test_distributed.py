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


# somebody else's group gives up after two seconds, and the job's processes are further apart; then they hold a file
# until they are told, and write another
TOGETHER = """
import os, sys, time, torch
from datetime import timedelta
import torch.distributed as dist
from lpntk.__main__ import main
from lpntk.kernel.tiles import share as distributed
from lpntk.kernel.tiles.blocks import cut
from lpntk.kernel.tiles.store import opened
dist.init_process_group("gloo", timeout=timedelta(seconds=2))
rank, size = distributed.world()
distributed.wait_for_all(size)
time.sleep(3 * rank)
distributed.wait_for_all(size)
with distributed.first_rank_first(rank, size):
    held = opened(sys.argv[1], cut(60, 60, True, 1, 2000), torch.float32, {}, rank)
    held.__enter__()
distributed.wait_for_all(size)
os.write(1, b"holds\\n")  # one piece: two processes share the line
sys.stdin.read()
held.__exit__(None, None, None)
distributed.wait_for_all(size)
main(sys.argv[2:])
os._exit(0)
"""


def test_two_processes_wait_share_their_lock_and_write_what_one_writes(tmp_path, want, capsys):
    script, held, out = tmp_path / "together.py", tmp_path / "held.npy", tmp_path / "out" / "kappa.npy"
    script.write_text(TOGETHER)
    command = [*RUN, str(script), str(held), *CALL, "--out", str(out)]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, env=environment(), text=True, **pipes) as job:
        assert [job.stdout.readline() for _ in range(2)] == ["holds\n"] * 2
        with pytest.raises(SystemExit) as refused:  # another job gets no lock
            main([*CALL, "--out", str(held)])
        _, told = job.communicate(timeout=120)
    assert job.returncode == 0, told[-2000:]
    assert refused.value.code == 1
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert re.search(r"held\.npy is being written by process \d+ on \S+, process \d+ on", said)
    got = torch.from_numpy(np.load(out))
    assert torch.allclose(got, want, rtol=1e-5, atol=1e-5 * float(want.abs().max()))
    assert {p.name for p in out.parent.iterdir()} == {"kappa.npy", "kappa.npy.lpntk"}


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
