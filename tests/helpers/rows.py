"""Tables in one case: what goes through the same lines is one test, and each row that fails is told by itself."""

import inspect
import os
from contextlib import ExitStack
from functools import wraps
from unittest.mock import patch


def _word(value):
    """A row is told by the names of what has one, and by the beginning of all else."""
    name = getattr(value, "name", None) or getattr(value, "__name__", None)
    return name if isinstance(name, str) else repr(value)[:60]


def each_row(names, table):
    """Run a test for every row of a table, in one case; used as ``pytest.mark.parametrize`` is.

    Of what rows could hand on to each other, each row has its own: a folder, patches, captured words and their level,
    the environment. All other fixtures are made once: what a row changes in one, later rows find, so such rows are
    cases of ``parametrize``.

    Args:
        names: of the test's arguments that a row holds; one name for a table of single values.
        table: of rows.
    """
    single = isinstance(names, str)

    def decorate(test):
        needed, held = inspect.signature(test).parameters, {names} if single else {*names}
        assert held <= needed.keys(), f"{test.__name__} takes {[*needed]}"
        assert len(table) > 1, "a table of one row is no table"

        @wraps(test)
        def case(subtests, **fixtures):
            for i, row in enumerate(table):
                given = {names: row} if single else dict(zip(names, row, strict=True))
                with subtests.test(", ".join(map(_word, given.values()))), ExitStack() as stack:
                    own = dict(fixtures)
                    stack.enter_context(patch.dict(os.environ))
                    if "tmp_path" in own:
                        own["tmp_path"] = fixtures["tmp_path"] / f"row-{i}"
                        own["tmp_path"].mkdir()
                    if "monkeypatch" in own:
                        own["monkeypatch"] = stack.enter_context(fixtures["monkeypatch"].context())
                    if "caplog" in own:
                        own["caplog"].clear()
                        stack.callback(own["caplog"]._finalize)  # puts back what ``set_level`` changed, once or again
                    if "capsys" in own:
                        own["capsys"].readouterr()
                    test(**own, **given)

        fixed = [parameter for name, parameter in needed.items() if name not in held]
        subtests = inspect.Parameter("subtests", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        case.__signature__ = inspect.Signature([subtests, *fixed])
        return case

    return decorate
