"""One word for an interval, and one for several words."""

from math import nan

from rows import each_row

from lpntk.report.verdict import above_zero, inside, overall


@each_row(
    ("interval", "word"),
    [
        ((0.2, 0.4), "holds"),
        ((0.1, 0.5), "holds"),  # the limits are within
        ((0.0, 0.4), "is undecided"),
        ((0.4, 0.6), "is undecided"),
        ((0.0, 0.6), "is undecided"),
        ((0.0, 0.09), "fails"),
        ((0.51, 0.6), "fails"),
        ((nan, nan), "cannot be judged"),
    ],
)
def test_an_interval_is_judged_by_two_limits(interval, word):
    assert inside(*interval, 0.1, 0.5) == word


@each_row(
    ("interval", "word"),
    [((0.1, 0.2), "holds"), ((0.0, 0.0), "is undecided"), ((-0.2, -0.1), "fails"), ((nan, nan), "cannot be judged")],
)
def test_nothing_is_above_zero_that_is_zero(interval, word):
    assert above_zero(*interval) == word


@each_row(
    ("words", "joined"),
    [
        (["holds", "holds", "cannot be judged"], "holds"),
        (["fails", "cannot be judged"], "fails"),
        (["holds", "fails"], "holds in part"),
        (["holds", "is undecided"], "holds in part"),
        (["fails", "is undecided"], "is undecided"),
        (["cannot be judged"], "cannot be judged"),
    ],
)
def test_several_words_are_joined(words, joined):
    assert overall(words) == joined
