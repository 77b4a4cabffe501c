import os

# before torch is imported: two files run at a time, with processes of their own, and threads that wait for a core
# while they hold another slow everything down many times
os.environ.setdefault("OMP_NUM_THREADS", "1")

import matplotlib

matplotlib.use("Agg")


def pytest_collection_modifyitems(items):
    """The book first: it takes longest, and two files run at a time."""
    items.sort(key=lambda item: "report/book" not in item.path.as_posix())
