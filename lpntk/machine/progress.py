"""How far is it? A bar where one is asked for; the kernel needs no library for that otherwise."""

from contextlib import AbstractContextManager


class _Silent(AbstractContextManager):
    def update(self, count: int = 1) -> None:
        """Take note of nothing."""

    def __exit__(self, *error: object) -> None:
        return None


def progress_bar(total: int, *, shown: bool, **look: object) -> AbstractContextManager:
    """Return a bar of tqdm with ``update``, or one that says nothing.

    Args:
        total: what is to be done, in whatever is counted.
        shown: whether it is seen.
        **look: passed to ``tqdm``: desc, unit, ...

    Raises:
        ImportError: if it is to be seen and there is no tqdm.
    """
    if not shown:
        return _Silent()
    from tqdm.auto import tqdm

    return tqdm(total=total, **look)
