import errno
import itertools
import json
import os
import shlex
import shutil
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cases import BY_NAME, samples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from oracle import assert_close_to_oracle, oracle_kernel, relative_error
from rows import each_row

from lpntk.kernel import matrix as kernels
from lpntk.kernel.layerwise.gram import LayerwiseGram
from lpntk.kernel.matrix import kernel_matrix
from lpntk.kernel.sketch import Sketch
from lpntk.kernel.tiles import blocks, journal, kernel_file, lock, npy
from lpntk.kernel.tiles import share as distributed
from lpntk.kernel.tiles.blocks import cut
from lpntk.kernel.tiles.kernel_file import KernelFile
from lpntk.kernel.tiles.lock import locked
from lpntk.kernel.tiles.reuse import identity
from lpntk.kernel.tiles.store import opened
from lpntk.learn.models import build

MODEL = build("mlp", (1, 4, 4), 3, seed=0, hidden=(8,))
X = torch.randn(23, 1, 4, 4, generator=torch.Generator().manual_seed(0))
Y = torch.randint(3, (23,), generator=torch.Generator().manual_seed(1))
BYTES = 4 * sum(p.numel() for p in MODEL.parameters())  # so small that every layer keeps its gradients
SMALL = 8 * BYTES * 8 // 5 + 8  # eight samples' features
PLAN = cut(23, 23, True, BYTES, blocks.for_blocks(SMALL))
TILES = PLAN.tiles()
IDENTITY = identity(MODEL, {"x": X, "y": Y}, signs="label", normalize=False, by=None, sketch=None)


class Killed(Exception):
    pass


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    n=st.integers(1, 40),
    n2=st.none() | st.integers(1, 40),
    memory=st.integers(30, 5000),
    per_sample=st.integers(1, 10),
    parts=st.integers(1, 4),
)
@example(n=23, n2=None, memory=30, per_sample=10, parts=3)
@example(n=1, n2=None, memory=30, per_sample=3, parts=1)
@example(n=5, n2=40, memory=60, per_sample=10, parts=1)
def test_tiles_cover_each_pair_once_and_fit(n, n2, memory, per_sample, parts):
    symmetric, n2 = n2 is None, n2 or n
    plan = cut(n, n2, symmetric, per_sample, memory, bytes_per_pair=2, parts=parts)
    count, columns_of = np.zeros((n, n2), int), []
    for tile in plan.tiles():
        top, bottom, left, right = tile
        count[top:bottom, left:right] += 1
        start, stop = plan.row_block(tile)
        assert start <= top < bottom <= stop
        own = symmetric and right <= stop
        held = (stop - start) + (0 if own else right - left)
        assert per_sample * held + 2 * (bottom - top) * (right - left) <= memory
        if symmetric and left != top:
            count[left:right, top:bottom] += 1
        if (start, left) not in columns_of[-1:]:
            columns_of.append((start, left))
    assert (count == 1).all()
    assert len(columns_of) == len(set(columns_of))  # the features of a column are made once per row block


def test_large_kernels_of_short_features_have_many_tiles():
    plan = cut(60000, 60000, True, 4 * 4096, 3 * 2**29)  # a sketch, in the default budget
    largest = max((bottom - top) * (right - left) for top, bottom, left, right in plan.tiles())
    assert largest <= 4096**2
    assert plan.rows == 60000  # and yet every sample's features are made once


@each_row(("normalize", "against"), [*itertools.product((False, True), (None, 17))])
def test_every_cut_gives_the_same_kernel(monkeypatch, normalize, against):
    other = () if against is None else (X[:against] + 1, Y[:against])
    want = oracle_kernel(MODEL, X, Y, *other)
    if normalize:
        norms = [oracle_kernel(MODEL, *of).diagonal().sqrt() for of in [(X, Y), other or (X, Y)]]
        want /= torch.outer(*norms)
    sides = []
    for largest, memory in [(5, 2**20), (5, SMALL), (2, SMALL), (4096, SMALL), (4096, 2**20)]:
        monkeypatch.setattr(blocks, "LARGEST", largest)
        got = kernel_matrix(MODEL, X, Y, *other, normalize=normalize, memory_budget=memory)
        assert_close_to_oracle(got, want)
        sides.append(cut(23, against or 23, against is None, BYTES, blocks.for_blocks(memory)).side)
    assert len(set(sides)) >= 4


def test_the_tile_counts_in_the_budget(monkeypatch):
    """Short features: what is computed at a time is more tile than features."""
    n, budget, gram, seen = 1000, 2**19, LayerwiseGram.gram, []

    def weighed(engine, a, b):
        block = gram(engine, a, b)
        seen.append(block.nbytes + len(b) * engine.bytes_per_sample)
        return block

    monkeypatch.setattr(LayerwiseGram, "gram", weighed)
    x, y = torch.randn(n, 8), torch.arange(n) % 3
    kernel_matrix(torch.nn.Linear(8, 3), x, y, memory_budget=budget)
    assert max(seen) < budget


def test_the_shares_of_all_ranks_are_the_whole_and_balanced():
    plan = cut(1000, 1000, True, 1, 200, parts=4)
    tiles = plan.tiles()
    shares = [distributed.share(tiles, rank, 4, plan.row_block) for rank in range(4)]
    assert sorted(tile for share in shares for tile in share) == sorted(tiles)
    starts = [{plan.row_block(tile) for tile in share} for share in shares]
    assert sum(map(len, starts)) == len(set().union(*starts))  # whole row blocks
    work = [sum((b - t) * (r - x) for t, b, x, r in share) for share in shares]
    assert max(work) < 1.3 * min(work)


@each_row("normalize", [False, True])
def test_a_file_holds_what_memory_holds(tmp_path, normalize):
    path = tmp_path / "kappa.npy"
    want = kernel_matrix(MODEL, X, Y, normalize=normalize)
    got = kernel_matrix(MODEL, X, Y, normalize=normalize, memory_budget=SMALL, out=path)
    assert torch.allclose(got, want, rtol=1e-5, atol=1e-6)
    assert np.array_equal(np.load(path), got.numpy())
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["kappa.npy", "kappa.npy.lpntk"]
    again = kernel_matrix(MODEL, X, Y, normalize=normalize, out=path)  # read, not computed
    assert torch.equal(again, got)


def killed(monkeypatch, after, call):
    """Kill a run once ``after`` tiles stand."""
    put, stood = KernelFile.put, []

    def dies(store, tile, block):
        put(store, tile, block)
        stood.append(tile)
        if len(stood) == after:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(KernelFile, "put", dies)
        with pytest.raises(Killed):
            call()


def computed(monkeypatch, call):
    """Return the result and the tiles that were computed for it."""
    put, tiles = KernelFile.put, []
    with monkeypatch.context() as patch:
        patch.setattr(KernelFile, "put", lambda store, tile, block: (tiles.append(tile), put(store, tile, block)))
        return call(), tiles


def test_a_killed_run_goes_on_at_its_last_finished_tile(tmp_path, monkeypatch):
    path, listed = tmp_path / "kappa.npy", tmp_path / "kappa.npy.lpntk" / "tiles.0"
    call = partial(kernel_matrix, MODEL, X, Y, memory_budget=SMALL, device="cpu", out=path)
    killed(monkeypatch, 4, call)
    assert not path.exists()
    for spoil, stood in [
        (lambda text: text[:-1], 4),
        (lambda text: text[:-2] + b"?\n", 4),  # what a crash may leave
        (lambda text: text + b"0 2 0 ", 5),  # or a kill
    ]:
        listed.write_bytes(spoil(listed.read_bytes()))
        killed(monkeypatch, 1, call)
        assert listed.read_bytes().count(b"\n") == stood + 1
    got, tiles = computed(monkeypatch, call)
    assert_close_to_oracle(got, oracle_kernel(MODEL, X, Y))
    assert len(tiles) == len(TILES) - 6  # none twice


def test_tiles_of_another_kernel_never_count(tmp_path, monkeypatch):
    path = tmp_path / "kappa.npy"
    killed(monkeypatch, 6, partial(kernel_matrix, MODEL, X, Y, memory_budget=SMALL, out=path))
    other = partial(kernel_matrix, MODEL, 2 * X, Y, memory_budget=SMALL, out=path)
    with pytest.raises(ValueError, match="holds another kernel: x differs; delete it") as refused:
        other()
    shutil.rmtree(tmp_path / str(refused.value).split()[0])  # as told
    killed(monkeypatch, 1, other)
    assert_close_to_oracle(other(), oracle_kernel(MODEL, 2 * X, Y))


@each_row(("step", "late"), [*itertools.product(("write_json", "reserve", "rewrite", "rename"), (False, True))])
def test_a_kill_between_any_two_steps_resumes(tmp_path, monkeypatch, step, late):
    path = tmp_path / "kappa.npy"
    module = {"reserve": npy, "rewrite": journal.Journal}.get(step, kernel_file)
    does = getattr(module, step)

    def dies(*arguments):
        if late:
            does(*arguments)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module, step, dies)
        with pytest.raises(Killed):
            kernel_matrix(MODEL, X, Y, memory_budget=SMALL, out=path)
    got = kernel_matrix(MODEL, X, Y, memory_budget=SMALL, out=path)
    assert_close_to_oracle(got, oracle_kernel(MODEL, X, Y))
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["kappa.npy", "kappa.npy.lpntk"]


def test_several_processes_fill_one_file(tmp_path):
    """What one of them has not written, or another one has overwritten, is found before the result gets its name."""
    path, whole = tmp_path / "kappa.npy", torch.randn(23, 23)
    whole += whole.T.clone()
    with ExitStack() as files:
        stores = [files.enter_context(opened(path, PLAN, torch.float32, IDENTITY, rank)) for rank in range(2)]
        for i, (top, bottom, left, right) in enumerate(TILES):
            stores[i % 2].put((top, bottom, left, right), whole[top:bottom, left:right])
        with (tmp_path / "kappa.npy.lpntk" / "matrix.npy").open("r+b") as file:
            file.seek(300)
            right = file.read(1)
            file.seek(300)
            file.write(b"?")
            file.flush()
            assert not stores[0]._all_stand() or right == b"?"
            file.seek(300)
            file.write(right)
        assert torch.equal(stores[0].close(), whole)
    assert [p.name for p in sorted((tmp_path / "kappa.npy.lpntk").iterdir())] == ["kernel.json", "lock", "tiles.0"]


def test_tiles_that_do_not_appear_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(kernel_file, "SEEN_LATE", 0)
    file = opened(tmp_path / "kappa.npy", PLAN, torch.float32, IDENTITY)
    with file as result, pytest.raises(RuntimeError, match="all tiles as they were written did not appear"):
        result.close()


def spoil(path, place, content=b"\xff"):
    with path.open("r+b") as file:
        file.seek(place)
        file.write(content)


DAMAGES = [
    (lambda path: spoil(path, 128 + 4 * (23 * 11 + 3)), "checksums agree"),
    (lambda path: spoil(path, 128 + 4 * (23 * 3 + 11)), "checksums agree"),  # its mirror image
    (lambda path: spoil(path, 128 + 4 * 23 * 11, bytes(4 * 23)), "checksums agree"),  # a hole
    (lambda path: spoil(path, 60), "another size or type"),
    (lambda path: os.truncate(path, path.stat().st_size - 500), "another size or type"),
    (lambda path: os.truncate(path, 0), "another size or type"),
    (lambda path: path.write_bytes(path.read_bytes() + bytes(8)), "another size or type"),
    (lambda path: spoil(path.parent / "kappa.npy.lpntk" / "tiles.0", 20, b"?"), "checksums agree"),
]


@each_row(("damage", "words"), DAMAGES)
def test_a_damaged_result_is_refused_and_mended_as_told(tmp_path, monkeypatch, damage, words):
    path = tmp_path / "kappa.npy"
    call = partial(kernel_matrix, MODEL, X, Y, memory_budget=SMALL, out=path)
    want = call().clone()
    damage(path)
    with pytest.raises(ValueError, match=f"kappa.npy is not what was written: .*{words}") as refused:
        call()
    subprocess.run(shlex.split(str(refused.value).split("'")[1]), check=True)
    got, tiles = computed(monkeypatch, call)
    assert_close_to_oracle(got, want, 1e-6)
    assert 0 < len(tiles) < len(TILES) or path.stat().st_size == 0 or words != "checksums agree"


@each_row("other", [np.zeros((23, 23), np.float32), np.zeros((23, 23)), np.zeros(3)])
def test_another_array_under_the_name_is_refused_and_kept(tmp_path, other):
    path = tmp_path / "kappa.npy"
    kernel_matrix(MODEL, X, Y, out=path)
    np.save(path, other)
    with pytest.raises(ValueError, match=r"kappa\.npy is not what was written"):
        kernel_matrix(MODEL, X, Y, out=path)
    assert np.array_equal(np.load(path), other)


@each_row("damaged", ["matrix.npy", "tiles.0"])
def test_a_damaged_entry_costs_its_tile(tmp_path, monkeypatch, caplog, damaged):
    path = tmp_path / "kappa.npy"
    call = partial(kernel_matrix, MODEL, X, Y, memory_budget=SMALL, device="cpu", out=path)
    want = call()
    killed_before_the_end = tmp_path / "kappa.npy.lpntk" / "matrix.npy"
    path.rename(killed_before_the_end)
    spoil(tmp_path / "kappa.npy.lpntk" / damaged, 140 if damaged == "matrix.npy" else 0, b"9")
    got, tiles = computed(monkeypatch, call)
    assert torch.equal(got, want)
    assert len(tiles) == 1
    assert damaged == "tiles.0" or f"1 of {len(TILES)} tiles are not what was written" in caplog.text


HOLDING = """
import sys, time, torch
from lpntk.kernel.tiles.blocks import cut
from lpntk.kernel.tiles.store import opened
with opened(sys.argv[1], cut(23, 23, True, 1, 2000), torch.float32, {}):
    print("holds", flush=True)
    time.sleep(60)
"""


def test_a_second_job_is_told_who_writes(tmp_path):
    path = tmp_path / "kappa.npy"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-c", HOLDING, str(path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "holds\n"
        with pytest.raises(BlockingIOError, match=rf"is being written by process {holder.pid} on \S+; wait for it"):
            kernel_matrix(MODEL, X, Y, out=path)
        holder.kill()
    shutil.rmtree(tmp_path / "kappa.npy.lpntk")
    kernel_matrix(MODEL, X, Y, out=path)


def test_the_lock_is_held_as_long_as_any_process_of_the_job(tmp_path):
    with ExitStack() as others:
        with locked(tmp_path / "lock", "it"):
            others.enter_context(locked(tmp_path / "lock", "it", first=False))
        with pytest.raises(BlockingIOError, match=rf"process {os.getpid()} on \S+, process"):
            others.enter_context(locked(tmp_path / "lock", "it"))
    with locked(tmp_path / "lock", "it"):
        pass


def test_a_disk_without_locks_is_told(tmp_path, monkeypatch, caplog):
    def unsupported(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", unsupported)
    kernel_matrix(MODEL, X, Y, out=tmp_path / "kappa.npy")
    assert "this disk knows no locks" in caplog.text


def test_files_of_others_stay(tmp_path):
    names = ["kappa.json", "kappa.partial.npy", "kappa.partial.0.tiles", "kappa.npy.json", "matrix.npy"]
    for name in names:
        (tmp_path / name).write_text("mine")
    kernel_matrix(MODEL, X, Y, out=tmp_path / "kappa.npy")
    assert all((tmp_path / name).read_text() == "mine" for name in names)


@each_row("name", ["", "matrix.npy", "tiles.0", "kernel.json", "notes"])
def test_a_folder_of_others_is_refused(tmp_path, name):
    theirs = tmp_path / "kappa.npy.lpntk" / name
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text("{}")
    with pytest.raises(ValueError, match="is not lpntk's"):
        kernel_matrix(MODEL, X, Y, out=tmp_path / "kappa.npy")
    assert theirs.read_text() == "{}"
    assert len([*theirs.parent.iterdir()]) == 1


def test_a_file_that_appears_meanwhile_stays(tmp_path, monkeypatch):
    path = tmp_path / "kappa.npy"
    put = KernelFile.put
    monkeypatch.setattr(KernelFile, "put", lambda *a: (put(*a), path.write_text("mine")))
    with pytest.raises(FileExistsError, match="has appeared meanwhile; move it away"):
        kernel_matrix(MODEL, X, Y, out=path)
    assert path.read_text() == "mine"
    path.rename(tmp_path / "mine")
    _, tiles = computed(monkeypatch, partial(kernel_matrix, MODEL, X, Y, out=path))
    assert not tiles


def test_the_name_may_be_short_linked_or_new(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "big").mkdir()
    (tmp_path / "link.npy").symlink_to(tmp_path / "big" / "kappa.npy")
    for out, at in [
        ("~/k.npy", "home/k.npy"),
        ("link.npy", "big/kappa.npy"),
        ("new/folder/K.NPY", "new/folder/K.NPY"),
        ("k[1].npy", "k[1].npy"),
    ]:
        want = kernel_matrix(MODEL, X, Y, out=out)
        assert np.array_equal(np.load(tmp_path / at), want)
    assert (tmp_path / "link.npy").is_symlink()


def test_a_name_that_cannot_be_is_told(tmp_path):
    (tmp_path / "folder.npy").mkdir()
    (tmp_path / "file").touch()
    for out, words in [
        ("kappa.csv", r"out must name an \.npy file; got 'kappa\.csv'"),
        ("kappa", r"out must name an \.npy file; got 'kappa'"),
        ("folder.npy", r"out must name an \.npy file; got 'folder\.npy', a folder"),
        ("", r"out must name an \.npy file; got '.*', a folder"),
        ("file/kappa.npy", "Not a directory; mend it or give out another place"),
    ]:
        with pytest.raises((ValueError, OSError), match=words):
            kernel_matrix(MODEL, X, Y, out=tmp_path / out)


def test_a_disk_that_fails_is_told_and_loses_nothing(tmp_path, monkeypatch):
    """Write errors of the system name no file."""
    path, write, written = tmp_path / "kappa.npy", npy.write, []
    call = partial(kernel_matrix, MODEL, X, Y, memory_budget=SMALL, out=path)

    def fails(*arguments):
        if len(written) == 5:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        written.append(arguments)
        write(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(npy, "write", fails)
        with pytest.raises(OSError, match=r"Disk quota exceeded; mend it or give out another place.*matrix\.npy"):
            call()
    with monkeypatch.context() as patch:
        patch.setattr(kernel_file, "rename", fails)
        with pytest.raises(OSError, match=r"Disk quota exceeded; mend it or give out another place.*kappa\.npy"):
            call()
    _, tiles = computed(monkeypatch, call)
    assert not tiles


def test_a_disk_without_room_is_told_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr(npy.shutil, "disk_usage", lambda path: SimpleNamespace(free=128 + 4 * 23 * 23 - 1))
    with pytest.raises(OSError, match=r"the result takes .* where .* are free; mend it or give out another place"):
        kernel_matrix(MODEL, X, Y, out=tmp_path / "kappa.npy")
    monkeypatch.setattr(npy.shutil, "disk_usage", lambda path: SimpleNamespace(free=128 + 4 * 23 * 23))
    kernel_matrix(MODEL, X, Y, out=tmp_path / "kappa.npy")


def test_the_whole_result_has_its_room_before_it_is_written(tmp_path):
    npy.reserve(tmp_path / "a.npy", (512, 512), np.dtype("float32"))
    assert (tmp_path / "a.npy").stat().st_blocks * 512 >= np.load(tmp_path / "a.npy").nbytes  # no holes


def test_editing_the_result_leaves_the_file(tmp_path):
    path = tmp_path / "kappa.npy"
    got = kernel_matrix(MODEL, X, Y, out=path)
    want = got.clone()
    got.fill_diagonal_(0)
    path.chmod(0o444)
    again = kernel_matrix(MODEL, X, Y, out=path)
    again.zero_()
    assert np.array_equal(np.load(path), want.numpy())


def test_a_result_larger_than_memory_can_be_mapped(tmp_path):
    side = int((4 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) ** 0.5)  # 16 times, as a file of holes
    np.lib.format.open_memmap(tmp_path / "a.npy", mode="w+", dtype=np.float32, shape=(side, side))[-1, -1] = 3
    assert npy.read(tmp_path / "a.npy")[-1, -1] == 3


@each_row(("first", "after", "second"), [(SMALL, 30, 2**20), (2**20, 6, SMALL), (2 * SMALL, 9, SMALL)])
def test_a_result_resumes_under_another_budget(tmp_path, monkeypatch, first, after, second):
    monkeypatch.setattr(blocks, "LARGEST", 7)
    path, want = tmp_path / "kappa.npy", oracle_kernel(MODEL, X, Y)
    killed(monkeypatch, after, partial(kernel_matrix, MODEL, X, Y, memory_budget=first, out=path))
    call = partial(kernel_matrix, MODEL, X, Y, memory_budget=second, out=path)
    got, tiles = computed(monkeypatch, call)
    assert_close_to_oracle(got, want)
    missing = cut(23, 23, True, BYTES, blocks.for_blocks(second)).tiles()
    assert len(tiles) < len(missing)
    again, none = computed(monkeypatch, partial(call, memory_budget=first))  # nothing went stale on the way
    assert torch.equal(again, got)
    assert not none


@each_row(
    ("change", "words"),
    [
        ({"x": X + 1}, r"kappa\.npy holds another kernel: x differs; delete it or give another out"),
        ({"y": (Y + 1) % 3}, "y differs"),
        ({"model": build("mlp", (1, 4, 4), 3, seed=1, hidden=(8,))}, "model differs"),
        ({"signs": "ones"}, "signs differs"),
        ({"normalize": True}, "normalize differs"),
        ({"x": X[:7], "y": Y[:7]}, "shape, x, y differ"),
    ],
)
def test_a_file_of_another_kernel_is_refused(tmp_path, change, words):
    path = tmp_path / "kappa.npy"
    kernel_matrix(MODEL, X, Y, out=path)
    before = path.read_bytes()
    call = {"model": MODEL, "x": X, "y": Y, **change}
    with pytest.raises(ValueError, match=words):
        kernel_matrix(call.pop("model"), call.pop("x"), call.pop("y"), out=path, **call)
    assert path.read_bytes() == before


class Scaled(torch.nn.Module):
    """Reads a number by a global name."""

    scale = 1

    def __init__(self):
        super().__init__()
        self.body = MODEL

    def forward(self, x):
        return Scaled.scale * self.body(x)


@each_row(
    ("kind", "finished"),
    [({}, False), ({}, True), ({"normalize": True, "signs": "error"}, True), ({"sketch": 64}, True),
     ({"precision": "bf16"}, True)],
)  # fmt: skip
def test_a_number_that_no_hash_knows_is_found_out(tmp_path, monkeypatch, kind, finished):
    path = tmp_path / "kappa.npy"
    call = partial(kernel_matrix, memory_budget=SMALL if not kind.get("sketch") else 4000, out=path, **kind)
    if finished:
        call(Scaled(), X, Y)
    else:
        killed(monkeypatch, 2, partial(call, Scaled(), X, Y))
    monkeypatch.setattr(Scaled, "scale", 5)
    with pytest.raises(ValueError, match="with the same parameters and modules: computed again"):
        call(Scaled(), X, Y)
    monkeypatch.setattr(Scaled, "scale", 1)
    call(Scaled(), X, Y)


class Inner:
    def __init__(self, value):
        self.value, self.other = value, object()

    def get(self):
        return self.value


class Attributed(torch.nn.Module):
    """Scales one sample by something that it keeps."""

    def __init__(self, keep, value):
        super().__init__()
        self.body = torch.nn.Sequential(MODEL, torch.nn.Identity())
        self.body[1].kept = keep(value)

    def forward(self, x):
        return torch.where(x[:, 0, 0, :1] > 50, self.found() * self.body(x), self.body(x))

    def found(self):
        kept = self.body[1].kept
        while not isinstance(kept, (int, float, torch.Tensor, np.ndarray, np.generic)):
            if isinstance(kept, (list, tuple)):
                kept = kept[-1]
            elif isinstance(kept, dict):
                kept = kept["value"]
            else:
                kept = kept.value if isinstance(kept, Inner) else kept()
        return torch.as_tensor(kept, dtype=torch.float32)


def by_default(value):
    return lambda held=value: held


KEPT = {
    "number": lambda value: value,
    "list": lambda value: [{"value": (1, value)}],
    "tensor": torch.tensor,
    "array": np.array,
    "numpy-number": np.float64,
    "closure": lambda value: lambda: value,
    "default": by_default,
    "partial": lambda value: partial(by_default(0), value),
    "object": Inner,
    "method": lambda value: Inner(value).get,
}


@each_row(("keep", "finished"), [*((keep, True) for keep in KEPT), ("number", False), ("method", False)])
def test_an_attribute_decides_the_kernel(tmp_path, monkeypatch, keep, finished):
    path, x = tmp_path / "kappa.npy", X.clone()
    x[13] = 100.0
    call = partial(kernel_matrix, memory_budget=SMALL, out=path)
    if finished:
        want = call(Attributed(KEPT[keep], 2.0), x, Y)
        assert relative_error(want, kernel_matrix(Attributed(KEPT[keep], 3.0), x, Y).double()) > 0.1
    else:
        killed(monkeypatch, 2, partial(call, Attributed(KEPT[keep], 2.0), x, Y))
    with pytest.raises(ValueError, match=r"another kernel: attributes \(body\.1\.kept\) differs"):
        call(Attributed(KEPT[keep], 3.0), x, Y)
    got = call(Attributed(KEPT[keep], 2.0), x, Y)  # made anew, and the same
    assert not finished or torch.equal(got, want)


def test_hooks_and_buffers_that_are_not_saved_decide_the_kernel(tmp_path):
    def hooked(factor):
        model = torch.nn.Sequential(MODEL, torch.nn.Identity())
        model[1].register_forward_hook(lambda module, args, out: out * factor)
        model[1].register_buffer("quiet", torch.tensor(factor), persistent=False)
        return model

    kernel_matrix(hooked(2.0), X, Y, out=tmp_path / "kappa.npy")
    kernel_matrix(hooked(2.0), X, Y, out=tmp_path / "kappa.npy")
    with pytest.raises(ValueError, match=r"attributes \(1\._forward_hooks, 1\.quiet\) differs"):
        kernel_matrix(hooked(3.0), X, Y, out=tmp_path / "kappa.npy")


class Counting(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.calls = MODEL, 0

    def forward(self, x):
        self.calls += 1
        return self.body(x)


def test_what_the_kernels_own_passes_leave_behind_does_not(tmp_path):
    model = Counting()
    kernel_matrix(model, X, Y, out=tmp_path / "kappa.npy")
    kernel_matrix(model, X, Y, out=tmp_path / "kappa.npy")


def test_a_reused_file_of_few_or_orthogonal_samples_is_itself(tmp_path):
    for n, other in [(1, ()), (2, (X[:1], Y[:1])), (3, (0 * X[:5], Y[:5]))]:
        path = tmp_path / f"{n}.npy"
        want = kernel_matrix(MODEL, X[:n], Y[:n], *other, out=path)
        assert torch.equal(kernel_matrix(MODEL, X[:n], Y[:n], *other, out=path), want)


def test_a_sketch_is_the_same_by_number_and_by_name(tmp_path):
    want = kernel_matrix(MODEL, X, Y, sketch=8, device="cpu", out=tmp_path / "kappa.npy")
    assert torch.equal(kernel_matrix(MODEL, X, Y, sketch=Sketch(8), device="cpu", out=tmp_path / "kappa.npy"), want)
    with pytest.raises(ValueError, match="sketch differs"):
        kernel_matrix(MODEL, X, Y, sketch=Sketch(8, seed=1), device="cpu", out=tmp_path / "kappa.npy")
    assert "cpu" in json.loads((tmp_path / "kappa.npy.lpntk" / "kernel.json").read_text())["by"]


def test_extra_state_decides_the_kernel(tmp_path):
    class Extra(torch.nn.Linear):
        state = 1

        def get_extra_state(self):
            return {"state": self.state, "more": [torch.ones(2)]}

        def set_extra_state(self, state):
            pass

    model = Extra(16, 3)
    kernel_matrix(model, X.flatten(1), Y, out=tmp_path / "kappa.npy")
    kernel_matrix(model, X.flatten(1), Y, out=tmp_path / "kappa.npy")
    model.state = 2
    with pytest.raises(ValueError, match=r"attributes \(state\), model differ"):
        kernel_matrix(model, X.flatten(1), Y, out=tmp_path / "kappa.npy")


def test_numbers_that_no_file_takes_are_told(tmp_path):
    with pytest.raises(ValueError, match=r"out takes float32 or float64, not torch\.bfloat16"):
        opened(tmp_path / "kappa.npy", PLAN, torch.bfloat16, IDENTITY).__enter__()


def test_an_unknown_file_is_not_overwritten(tmp_path):
    path = tmp_path / "kappa.npy"
    np.save(path, np.zeros(3))
    with pytest.raises(ValueError, match=r"kappa\.npy is there already, and no kappa\.npy\.lpntk beside it tells"):
        kernel_matrix(MODEL, X, Y, out=path)
    assert np.array_equal(np.load(path), np.zeros(3))


def test_the_manifest_tells_what_it_is(tmp_path):
    kernel_matrix(MODEL, X, Y, signs="ones", out=tmp_path / "kappa.npy")
    told = json.loads((tmp_path / "kappa.npy.lpntk" / "kernel.json").read_text())
    assert told["shape"] == [23, 23]
    assert told["signs"] == "ones"


def test_progress_counts_pairs(tmp_path, capsys):
    kernel_matrix(MODEL, X, Y, progress=True)
    shown = capsys.readouterr().err
    assert "kernel: 100%" in shown
    assert "pair/s" in shown
    kernel_matrix(MODEL, X, Y)
    assert capsys.readouterr().err == ""


def test_precision_casts_model_and_inputs():
    got = kernel_matrix(MODEL, X, Y, precision="float64")
    assert got.dtype == torch.float64
    assert_close_to_oracle(got, oracle_kernel(MODEL, X, Y), 1e-12)
    assert next(MODEL.parameters()).dtype == torch.float32
    with pytest.raises(ValueError, match="precision must be one of"):
        kernel_matrix(MODEL, X, Y, precision="half")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="'tf32' needs a CUDA device"):
            kernel_matrix(MODEL, X, Y, precision="tf32")


BOUNDS = {"float32": 1e-5, "bf16": 1e-2, "tf32": 5e-3}
LAYERS = ("mlp", "lenet5", "resnet-batchnorm", "conv-grouped", "norms", "transformer-tied-padding",
          "embedding-sequence", "functional", "weight-norm", "lstm-output", "bilinear-rows")  # fmt: skip
ROUNDED = [("mlp", "float32"), *((name, "bf16") for name in LAYERS)]
ROUNDED += [(name, "tf32") for name in LAYERS if torch.cuda.is_available()]


@each_row(("name", "precision"), ROUNDED)
def test_rounded_products_are_summed_in_float32(name, precision):
    case = BY_NAME[name]
    model, (x, y, _, _) = case.make(0), samples(case)
    got = kernel_matrix(model, x, y, precision=precision)
    assert got.dtype == torch.float32
    want = oracle_kernel(model, x, y)
    assert_close_to_oracle(got, want, BOUNDS[precision])
    assert precision == "float32" or relative_error(got, want) > 1e-6  # it did round


def test_several_processes_need_a_file(monkeypatch):
    monkeypatch.setattr(kernels.distributed, "world", lambda: (0, 2))
    with pytest.raises(ValueError, match="2 processes share this kernel through a file: give out"):
        kernel_matrix(MODEL, X, Y)
