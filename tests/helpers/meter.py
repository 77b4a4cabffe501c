"""How many bytes of tensors are alive at most? Counted on any device, by watching every operation's results."""

import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Meter(TorchDispatchMode):
    """Counts memory that appears within it until nothing refers to it; several storages may be one array of numpy's.

    Attributes:
        now: bytes alive.
        peak: the most there ever were.
    """

    def __init__(self, known=()):
        super().__init__()
        self.now = self.peak = 0
        self.known = {t.untyped_storage().data_ptr() for t in known}
        self.storages, self.holders = set(), {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        for t in tree_leaves((args, kwargs, found)):
            if isinstance(t, torch.Tensor):
                self._add(t.untyped_storage())
        return found

    def _add(self, storage):
        key, place, size = storage._cdata, storage.data_ptr(), storage.nbytes()
        if key in self.storages or place in self.known or not size:
            return
        self.storages.add(key)
        self.holders[place] = self.holders.get(place, 0) + 1
        if self.holders[place] == 1:
            self.now += size
            self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, key, place, size)

    def _gone(self, key, place, size):
        self.storages.discard(key)
        self.holders[place] -= 1
        if not self.holders[place]:
            self.now -= size
