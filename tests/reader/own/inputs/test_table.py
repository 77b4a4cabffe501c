"""Is every odd table read as it means, or refused; is nothing merged, dropped or guessed without a word?"""

import numpy as np
import pandas as pd
import pytest
import torch
from rows import each_row

from lpntk.data.sources import DataError
from lpntk.reader.own.inputs.sources import read_own

RNG = np.random.default_rng(0)


def table(path, n=60, sep=",", **columns):
    a = RNG.normal(size=n)
    frame = pd.DataFrame({"a": a, "b": RNG.normal(size=n), "label": np.where(a > 0, "x", "y")}).assign(**columns)
    frame.to_csv(path, index=False, sep=sep)
    return str(path)


def test_labels_are_read_as_they_are_written(tmp_path):
    for written, read in (
        (["1.0", "2.0"], ("1", "2")),
        (["007", "700"], ("007", "700")),
        (["True", "False"], ("False", "True")),
        (["1e3", "2e3"], ("1e3", "2e3")),
        (["A", "a"], ("A", "a")),
    ):
        given = read_own(table(tmp_path / "own.csv", label=np.repeat(written, 30)))
        assert given.data.classes == read


@each_row(
    ("columns", "header", "words"),
    [
        ({"label": ["01", "1", "2"] * 20}, None, "one spelling; got 01 and 1"),
        ({"label": ["NA", "Namibia"] * 30}, None, "a word that means it, such as NA"),
        ({}, "label,b,label", "one column 'label'; got 2"),
        ({}, "Label,b,label", "got Label and label; name one"),
        ({"label": [0.5, 1.5] * 30}, None, "cut the numbers into ranges"),
    ],
)
def test_classes_that_can_be_read_in_two_ways_are_refused(tmp_path, columns, header, words):
    path = tmp_path / "own.csv"
    table(path, **columns)
    if header:
        path.write_text(header + "\n" + path.read_text().partition("\n")[2])
    with pytest.raises(DataError, match=words):
        read_own(str(path))


def test_another_column_that_may_be_the_classes_is_told(tmp_path):
    path = table(tmp_path / "own.csv", target=np.arange(60) % 2)
    assert "target might be the classes, too" in " ".join(read_own(path).notes)
    assert "might be" not in " ".join(read_own(path, label="label").notes)


def test_numbers_with_a_few_words_are_numbers_with_gaps(tmp_path):
    a = RNG.normal(size=60).round(3).astype(str).astype(object)
    a[[3, 4]] = "?", "missing"
    given = read_own(table(tmp_path / "own.csv", a=a))
    assert list(given.columns) == ["a", "a is missing", "b"]
    assert "a ('?', 'missing')" in " ".join(given.notes)
    a[:20] = [f"w{i}" for i in range(20)]  # too many for gaps
    assert list(read_own(table(tmp_path / "own.csv", a=a)).columns) == ["b"]


def test_huge_numbers_and_small_spreads_do_not_overflow(tmp_path):
    z = RNG.normal(size=60)
    given = read_own(table(tmp_path / "own.csv", huge=z * 1e300, far=1e9 + z))
    x = given.data.x_train.flatten(1)
    assert torch.isfinite(x).all()
    assert torch.allclose(x.std(dim=0, correction=0), torch.ones(4), atol=1e-3)
    assert torch.allclose(x[:, 2], x[:, 3], atol=1e-3)


@each_row("sep", [";", "\t", "|"])
def test_columns_may_be_separated_otherwise(tmp_path, sep):
    given = read_own(table(tmp_path / "own.csv", sep=sep))
    assert list(given.columns) == ["a", "b"]


def test_commas_for_points_are_told(tmp_path):
    pd.read_csv(table(tmp_path / "own.csv")).to_csv(tmp_path / "other.csv", sep=";", decimal=",", index=False)
    points, commas = (read_own(str(tmp_path / name)) for name in ("own.csv", "other.csv"))
    assert commas.data.digest == points.data.digest
    assert "Commas in numbers" in " ".join(commas.notes)
    assert "Commas in numbers" not in " ".join(points.notes)


def test_quotes_line_ends_and_marks_of_a_file_are_no_values(tmp_path):
    rows = '1,2,"x, ""first"""\n2,1,"y\nline"\n' * 20
    (tmp_path / "own.csv").write_bytes(("\ufeff" + f'a,"b, ""b""",label\n{rows}').replace("\n", "\r\n").encode())
    given = read_own(str(tmp_path / "own.csv"))
    assert list(given.columns) == ["a", 'b, "b"']
    assert given.data.classes[0] == 'x, "first"'


@each_row(
    ("header", "columns", "words"),
    [
        ("a,a ,label", {}, "two of 'a'; rename one"),
        ("a,word = u,word,label", {"word": ["u", "v", "w"] * 20}, "two of 'word = u'"),
        ("a,c,label", {"label": [" ", "x", "y"] * 20}, "got spaces in row 0"),
    ],
)
def test_what_would_be_lost_without_a_word_is_refused(tmp_path, header, columns, words):
    n = 60
    frame = pd.DataFrame({f"{i}": RNG.normal(size=n) for i in range(2)})
    frame = frame.assign(**{"label": ["x", "y"] * 30}).assign(**columns)
    frame = frame[["0", "1", *columns] if "word" in columns else [*frame]]
    if "word" in columns:
        frame["label"] = ["x", "y"] * 30
    rows = frame.to_csv(index=False, header=False, quoting=2)
    (tmp_path / "own.csv").write_text(f"{header}\n{rows}")
    with pytest.raises(DataError, match=words):
        read_own(str(tmp_path / "own.csv"))


def test_a_column_that_is_constant_in_the_training_part_stays_small(tmp_path):
    path = tmp_path / "own.csv"
    test = sorted(set(range(60)) - set(read_own(table(path, c=[0.1, 0.2] * 30)).index.tolist()))
    c = np.full(60, 0.1)
    c[test[0]] = 0.2
    data = read_own(table(path, c=c)).data
    assert data.x_test.abs().max() < 10
    huge = read_own(table(path, c=np.where(np.arange(60) % 3, 1.7e308, -1.7e308))).data
    assert huge.x_train[:, 0, 0, 2].std() == pytest.approx(1, abs=0.1)


def test_marks_inside_a_quoted_name_separate_nothing(tmp_path):
    rows = "".join(f"{i * i % 7}\t{'xy'[i % 2]}\n" for i in range(40))
    (tmp_path / "own.tsv").write_text(f'"income, yearly, net"\tlabel\n{rows}')
    assert list(read_own(str(tmp_path / "own.tsv")).columns) == ["income, yearly, net"]
