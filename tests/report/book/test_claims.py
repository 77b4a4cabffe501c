"""The verdicts on the paper's claims: from committed numbers, by rules that can give every word."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from rows import each_row

from lpntk.report.book import claims
from lpntk.report.book.claims import Number, Result, judge, load_claims, over_results, read_numbers

ROOT = Path(__file__).resolve().parents[3]
FILE, RESULTS = ROOT / "book/claims.toml", ROOT / "results"
ENTRIES = tomllib.loads(FILE.read_text())["claim"]
COMMITTED = [(entry, e) for entry in ENTRIES for e in entry.get("evidence", ()) if not e["source"].startswith("quick/")]
RULE = {
    "smallest": [["n", ">=", 100, "too small"]],
    "judged": [["learned", "is", True, "not learned"]],
    "holds": [["rho.high", "<", "ceiling"], ["p", "<", 0.05]],
    "part": [["p", "<", 0.05]],
    "fails": [["p", ">", 0.95]],
    "otherwise": "is undecided",
}
FINE = {"n": 100, "learned": True, "rho.high": 0.4, "ceiling": 0.8, "p": 0.01}


@each_row(
    ("changed", "word", "why"),
    [
        ({}, "holds", ""),
        ({"rho.high": 0.9}, "holds in part", ""),
        ({"p": 0.96}, "fails", ""),
        ({"p": 0.5}, "is undecided", ""),  # never a failure
        ({"n": 99}, "cannot be judged", "too small"),
        ({"learned": False}, "cannot be judged", "not learned"),
        ({"p": "nan"}, "cannot be judged", "a number that decides is undefined"),
    ],
)
def test_a_rule_gives_every_word(changed, word, why):
    assert judge(RULE, FINE | changed, {}) == (word, why)


def test_a_word_after_is_is_meant_itself():
    assert claims.met(["verdict", "is", "holds"], {"verdict": "holds", "holds": 1}, {})
    assert not claims.met(["verdict", "is", "holds"], {"verdict": "holds in part"}, {})


def test_the_word_of_a_notebook_is_taken_as_it_is():
    rule = {**{name: RULE[name] for name in ("smallest", "judged")}, "word": "v"}
    for word in ("holds", "holds in part", "is undecided", "fails", "cannot be judged"):
        assert judge(rule, FINE | {"v": word}, {}) == (word, "")
    assert judge(rule, FINE | {"v": "holds", "n": 99}, {}) == ("cannot be judged", "too small")
    with pytest.raises(ValueError, match=r"v must be one of holds, .*; got 'better'"):
        judge(rule, FINE | {"v": "better"}, {})


def test_names_lead_a_rule_to_the_keys_of_its_source():
    renamed = {f"deep.{key}" if key.startswith("rho") else key: value for key, value in FINE.items()}
    assert judge(RULE, renamed, {"rho": "deep.rho"}) == ("holds", "")
    with pytest.raises(KeyError, match=r"no number 'rho.high' among 5"):
        judge(RULE, renamed, {})


def result(verdict, data="MNIST"):
    return Result("", data, "", (), (), verdict, "")


@each_row(
    ("verdicts", "word", "why"),
    [
        ([], "not run", ""),
        ([result(None)], "not run", ""),  # a value without a verdict speaks for nobody
        ([result("cannot be judged")], "cannot be judged", ""),
        ([result("holds")], "holds so far", "no judged result on CIFAR-10"),
        ([result("holds"), result("holds", "CIFAR-10")], "holds", ""),
        ([result("holds"), result("cannot be judged", "CIFAR-10")], "holds so far", "no judged result on CIFAR-10"),
        ([result("holds"), result("holds", "CIFAR-10"), result("cannot be judged")], "holds", ""),
        ([result("fails"), result("cannot be judged", "CIFAR-10")], "fails so far", "no judged result on CIFAR-10"),
        ([result("fails"), result("fails", "CIFAR-10")], "fails", ""),
        ([result("fails"), result("holds", "CIFAR-10")], "holds in part", ""),
        ([result("holds"), result("is undecided", "CIFAR-10")], "holds in part", ""),
        ([result("holds in part", "CIFAR-10")], "holds in part", "no judged result on MNIST"),
        ([result("fails"), result("is undecided", "CIFAR-10")], "is undecided", ""),
        ([result("is undecided", "other")], "is undecided", "no judged result on MNIST and CIFAR-10"),
    ],
)
def test_the_verdict_on_a_claim(verdicts, word, why):
    assert over_results(verdicts, ["MNIST", "CIFAR-10"]) == (word, why)


@each_row(("entry", "evidence"), COMMITTED)
def test_every_key_exists_and_every_rule_decides(entry, evidence):
    numbers, names = read_numbers(evidence["source"], RESULTS), evidence.get("names", {})
    for text in (evidence["ours"], evidence["scale"]):
        assert all(isinstance(part, str | Number) for part in claims.fill(text, numbers, "")), text
    for name in ("smallest", "judged", "holds", "part", "fails"):
        for condition in entry.get(name, ()):
            claims.met(condition, numbers, names)  # raises if a key is unknown
    assert judge(entry, numbers, names)[0] in claims.VERDICTS


def shown_of(source):
    """The numbers that the claims show of a source."""
    own = [e for entry in ENTRIES for e in entry.get("evidence", ()) if e["source"] == source]
    return {key for e in own for key, _ in claims.FIELD.findall(e["ours"] + e["scale"]) if key[0] != "@"} | {"scale.n"}


def planted(tmp_path, changes):
    """Return claims by id from committed numbers, some of them changed: {source: {key: value}}."""
    for source in {e["source"] for entry in ENTRIES for e in entry.get("evidence", ())}:
        known = source.replace("quick/", "mnist/") if source.startswith("quick/") else source
        target = tmp_path / source
        if target.suffix:
            target.parent.mkdir(parents=True)
            target.write_text((RESULTS / source).read_text())
            continue
        target.mkdir(parents=True)
        if (RESULTS / known).is_dir():
            numbers = json.loads((RESULTS / known / "numbers.json").read_text())
        else:  # so far on digits alone
            numbers, known = dict.fromkeys(shown_of(source), 1.0), "mnist/02-difficulty"
        (target / "numbers.json").write_text(json.dumps(numbers | changes.get(source, {})))
        (target / "manifest.json").write_text((RESULTS / known / "manifest.json").read_text())
    return {claim.id: claim for claim in load_claims(FILE, tmp_path)}


def by_source(claim):
    return {r.source: r.verdict for r in claim.results}


def test_verdicts_from_committed_numbers(tmp_path):
    found = planted(tmp_path, {})
    told = {name: claim.verdict for name, claim in found.items()}
    assert told["poison"] == "is undecided"  # in our reading of the mark, with networks that differ
    assert set(by_source(found["poison"]).values()) == {"fails", "is undecided", None}
    assert told["clusters"] == "holds"
    assert told["bias"] == "holds in part"  # undecided on CIFAR-10
    assert told["gaussian"] == "holds in part"
    assert told["difficulty"] == told["company"] == told["difficulty-company"] == "holds"
    assert told["company-sign"] == "holds in part"  # on CIFAR-10
    assert told["width-trained"] == "fails"  # 18 and 10 times the error
    assert told["width"] == told["relations"] == told["signs"] == told["forgetting"] == "holds in part"
    for claim in found.values():  # digits speak for nobody, however large their numbers
        assert all(r.verdict is None for r in claim.results if r.source.startswith("quick/"))


def test_company_asks_that_both_ends_learned(tmp_path):
    before = by_source(planted(tmp_path / "before", {})["company"])
    found = by_source(planted(tmp_path / "after", {"mnist/04-company": {"least.learned": False}})["company"])
    assert found == before | {"mnist/04-company": "cannot be judged"}


def test_difficulty_is_judged_by_the_word_of_its_notebook_and_never_on_single_samples(tmp_path):
    for word, told in (("fails", "fails"), ("is undecided", "is undecided"), ("holds in part", "holds in part")):
        found = planted(tmp_path / told, {"mnist/02-difficulty": {"fast.epochs.decline": word}})
        assert by_source(found["difficulty"])["mnist/02-difficulty"] == told
    assert not re.search(r"(fast|slow)\.\w+\.(1|4)\.", FILE.read_text())


def test_undecided_forgetting_is_no_failure(tmp_path):
    undecided = {"part.all.against.margin.p": 0.13, "rate.all-lr0_01.against.margin.p": 0.2}
    found = by_source(planted(tmp_path, {"mnist/08-forgetting": undecided})["forgetting"])
    assert found["mnist/08-forgetting"] == "is undecided"


def test_a_page_shows_the_number_and_where_it_was_read(tmp_path):
    (tmp_path / "own/04-company").mkdir(parents=True)
    (tmp_path / "own/04-company/numbers.json").write_text('{"most.difficulty": 17.35}')
    (tmp_path / "own/04-company/manifest.json").write_text('{"parameters": {"epochs": 50}}')
    numbers = read_numbers("own/04-company", tmp_path)
    parts = list(claims.fill("{most.difficulty:.1f} nats of {@guess:.0f}", numbers, "results/own"))
    assert [p.text if isinstance(p, Number) else p for p in parts] == ["", "17.4", " nats of ", "115", ""]
    assert parts[1].origin == "results/own: most.difficulty"
    with pytest.raises(KeyError, match="no number 'gone'"):
        list(claims.fill("{gone}", numbers, ""))
    with pytest.raises(ValueError, match=r"results/own: word is 'easy', which claims.toml would show as '.1f'"):
        list(claims.fill("{word:.1f}", {"word": "easy"}, "results/own"))


def test_no_number_is_typed_on_the_first_page():
    text = (ROOT / "book/intro.md").read_text()
    for quoted in (r"```\{measured\}[^\n]*\n", r"\{\w+\}`[^`]*`", r"\$[^$]*\$", r"`[^`]*`", r"\]\([^)]*\)"):
        text = re.sub(quoted, "", text)
    text = text.replace("CIFAR-10", "").replace("95&nbsp;% interval", "").replace(":width: 90%", "")
    assert not re.findall(r".*\d.*", text)
