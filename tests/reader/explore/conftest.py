"""A network that was watched, and the notebook of the explorers in a kernel of its own."""

import base64
import functools
import io
import os
import sys

import jupytext
import numpy as np
import pytest
import warm
import yaml
from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.provisioning import local_provisioner
from PIL import Image

from lpntk.data import dataset
from lpntk.keep.cache import Cache
from lpntk.keep.currency import NOTEBOOKS
from lpntk.learn.campaign import Network
from lpntk.reader.explore.watched import watch

SGD = {"lr": 0.1, "batch_size": 16, "momentum": 0.9}
N, SHOWN, MOMENTS = 90, 40, [0, 1, 4]


@pytest.fixture(scope="session")
def digits():
    return dataset.load("digits")


@pytest.fixture(scope="session")
def network(digits):
    return Network("mlp", digits.in_shape, digits.k, {"hidden": [12]})


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return Cache(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def watched(digits, network, cache):
    return watch(network, digits, n=N, shown=SHOWN, seed=3, moments=MOMENTS, cache=cache, device="cpu", **SGD)


SMOKE = yaml.safe_load((NOTEBOOKS / "profiles/smoke.yml").read_text())
WORDS = ["<b>one</b>", "two & more", "</script>"]  # names of classes that are markup to whoever is careless


def own_rows(path):
    """Rows of numbers in three classes, whose names are words."""
    rng = np.random.default_rng(0)
    y = np.arange(100) % 3
    x = (0.5 + 0.15 * rng.normal(size=(100, 7)) + 0.3 * (np.arange(7) % 3 == y[:, None])).clip(0, 1).astype("float32")
    names = np.array(WORDS)[y]
    np.savez(path, x_train=x[:80], y_train=names[:80], x_test=x[80:], y_test=names[80:])
    return str(path)


@pytest.fixture(scope="session")
def pixels():
    """What turns a data URI into (h, w, 3) whole numbers."""

    def read(uri):
        image = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
        return np.asarray(image.convert("RGB")).astype(int)

    return read


class Front:
    """What JupyterLab is to a kernel: it runs the notebook, hears of widgets, and sends what a reader chooses."""

    def __init__(self, folder, parameters):
        self.folder, self.opened, self.views = folder, {}, []
        self.manager = KernelManager()
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        self.manager._kernel_spec = KernelSpec(argv=command, display_name="own", language="python")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(local_provisioner, "launch_kernel", functools.partial(warm.launch_kernel, folder))
            self.manager.start_kernel(cwd=str(NOTEBOOKS), env={**os.environ, "LPNTK_CACHE": str(folder / "cache")})
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=120)
        for cell in jupytext.read(NOTEBOOKS / "15-explore.py").cells:
            given = "parameters" in cell.metadata.get("tags", [])
            if cell.cell_type == "code":
                self.run(cell.source + "\n" + "\n".join(f"{k} = {v!r}" for k, v in parameters.items()) * given)

    def run(self, code):
        reply = self.client.execute_interactive(code, timeout=120, output_hook=self.hear)
        assert reply["content"]["status"] == "ok", reply["content"]

    def hear(self, message):
        content = message["content"]
        if message["msg_type"] == "comm_open" and "given" in content["data"]["state"]:
            self.opened[",".join(content["data"]["state"]["choice"])] = content["comm_id"], content["data"]["state"]
        if message["msg_type"] == "execute_result":
            self.views.append(content["data"])

    def choose(self, fields, choice):
        """Send a choice to the explorer whose choices have these fields, and return the state that the kernel sends."""
        comm, _ = self.opened[fields]
        data = {"method": "update", "state": {"choice": choice}, "buffer_paths": []}
        sent = self.client.session.msg("comm_msg", {"comm_id": comm, "data": data})
        self.client.shell_channel.send(sent)
        state, busy = None, True
        while busy:  # what follows from a message comes before the kernel is idle again
            message = self.client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") != sent["header"]["msg_id"]:
                continue
            content = message["content"]
            if message["msg_type"] == "comm_msg" and content["comm_id"] == comm:
                state = content["data"].get("state", {}).get("state", state)
            busy = content.get("execution_state") != "idle"
        return state

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def explored(folder, samples):
    at = {**SMOKE["all"], **SMOKE["15-explore"], "dataset": samples, "results": str(folder / "results")}
    ran = Front(folder, at)
    yield ran
    ran.close()


@pytest.fixture(scope="session")
def of_digits(tmp_path_factory):
    """The notebook of the explorers, run in a kernel at the scale of a smoke test."""
    yield from explored(tmp_path_factory.mktemp("digits"), "digits")


@pytest.fixture(scope="session")
def of_rows(tmp_path_factory):
    """The same on data of one's own, which are no images."""
    folder = tmp_path_factory.mktemp("rows")
    yield from explored(folder, own_rows(folder / "own.npz"))


@pytest.fixture(params=["of_digits"])
def front(request):
    """The notebook in its kernel; a test that is for data of one's own, too, names both."""
    return request.getfixturevalue(request.param)
