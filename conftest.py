"""How all tests run: one thread, no window, the long ones first."""

import os

# before torch is imported: two files run at a time, with processes of their own, and threads that wait for a core
# while they hold another slow everything down many times
os.environ.setdefault("OMP_NUM_THREADS", "1")

import matplotlib

matplotlib.use("Agg")


def pytest_collection_modifyitems(items):
    """Two files run at a time: those that start notebooks come first, for they take longest."""
    long = ("tests/report/book", "tests/regenerate")
    items.sort(key=lambda item: not any(room in item.path.as_posix() for room in long))
