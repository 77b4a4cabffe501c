from dataclasses import replace

import pytest
import torch

from lpntk.keep.cache import Cache
from lpntk.learn.campaign import Network
from lpntk.learn.history import History
from lpntk.phenomena.difficulty.correlations import (
    Correlations,
    SizeCorrelation,
    bootstrap_interval,
    correlations,
    pearson,
    spearman,
)
from lpntk.phenomena.difficulty.sets import (
    Repetition,
    SizeRun,
    difficulty_by_size,
    learned,
    nested_subsets,
    splits,
    summarise,
    universal_set,
)
from lpntk.phenomena.difficulty.study import Case, cases, detail, steps_taken

NET = Network("mlp", (1, 2, 4), 3, {"hidden": [16]})


def toy(n=24, k=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 1, 2, 4, generator=generator), torch.arange(n) % k


def test_difficulty_of_a_hand_made_history():
    loss = torch.tensor([[[1.0, 2.0], [0.5, 1.5]], [[3.0, 4.0], [0.0, 0.0]]])  # (2 models, 2 epochs, 2 samples)
    history = History(loss, loss / 10, loss < 1)
    assert history.difficulty().tolist() == [[1.5, 3.5], [3.0, 4.0]]
    assert torch.allclose(history.difficulty("distance"), history.difficulty() / 10)
    run = summarise(history, torch.tensor([[2, 0], [1, 3]]))
    assert run.loss.tolist() == [3.5, 3.0, 1.5, 4.0]  # back in the order of the universal set
    assert torch.allclose(run.difficulty("distance"), run.loss / 10)
    assert (run.first_loss, run.last_loss, run.models, run.diverged) == (2.5, 0.5, 2, 0)
    for thing in (history, run):
        with pytest.raises(ValueError, match="measure must be 'loss' or 'distance'; got 'margin'"):
            thing.difficulty("margin")


def test_unstable_models_are_counted_and_left_out():
    loss = torch.ones(4, 2, 4)
    loss[1, 1] = torch.nan
    loss[2] = 3.0
    loss[3, 0, 2] = 101.0  # finite, and would rule every mean
    loss[0, 0, 0] = 99.0  # hard, and a mean may hold it
    accuracy = torch.tensor([[0.0, 1.0], [0.0, 0.0], [0.0, 0.5], [0.0, 0.0]])
    run = summarise(History(loss, loss, loss < 2, train_accuracy=accuracy), torch.arange(16).view(4, 4))
    assert (run.models, run.diverged, run.unstable, run.stable) == (4, 1, 2, False)
    assert run.loss[4:8].isnan().all()
    assert run.loss[12:].isnan().all()
    assert run.first_loss == pytest.approx((99 + 3 + 12) / 8)
    assert run.last_loss == 2.0
    assert run.accuracy == 0.75  # after the last epoch, of the two that are left
    row = learned([Repetition([run], run)])[0]
    assert (row["diverged"], row["unstable"]) == (1, 2)
    assert row["mean_difficulty"] == pytest.approx((100 + 3 * 2 + 4 * 6) / 8)
    assert pearson(run.loss, run.loss) == pytest.approx(1)
    one_of_ten = History(*[torch.cat([loss[3:], loss[:1].expand(9, -1, -1)])] * 3)
    assert summarise(one_of_ten, torch.arange(40).view(10, 4)).stable


def test_what_a_size_learned_is_the_mean_over_repetitions():
    runs = [run(4, torch.tensor(difficulty), last) for difficulty, last in (([1.0, 3.0], 0.5), ([4.0, 4.0], 1.5))]
    row = learned([Repetition([one], one) for one in runs])[0]
    assert (row["size"], row["models"], row["first_loss"], row["last_loss"]) == (4, 2, pytest.approx(2.3), 1.0)
    assert row["mean_difficulty"] == 3.0
    assert [one.learned for one in runs] == [True, False]


def test_nested_subsets_are_disjoint_nested_and_cover():
    made = nested_subsets(64, [16, 4, 1], seed=0)
    assert list(made) == [1, 4, 16, 64]
    for size, rows in made.items():
        assert rows.shape == (64 // size, size)
        assert sorted(rows.flatten().tolist()) == list(range(64))
    small = {frozenset(row.tolist()) for row in made[4]}
    assert all(sum(part <= set(large.tolist()) for part in small) == 4 for large in made[16])
    with pytest.raises(ValueError, match="5 does not divide 64"):
        nested_subsets(64, [5], seed=0)


def test_both_readings_of_size():
    y = torch.arange(120) % 3
    rows = universal_set(y, 16, "class", seed=0)
    assert torch.bincount(y[rows]).tolist() == [16, 16, 16]
    made = splits(len(rows), 16, [4, 1], seed=0)
    assert {size: tuple(part.shape) for size, part in made.items()} == {1: (16, 3), 4: (4, 12), 16: (1, 48)}
    for size, parts in made.items():
        assert sorted(parts.flatten().tolist()) == list(range(48))
        for part in parts:
            assert torch.bincount(y[rows][part]).tolist() == [size] * 3
    assert all(sum(set(p.tolist()) <= set(q.tolist()) for p in made[1]) == 4 for q in made[4])  # nested
    total = universal_set(y, 16, "total", seed=0)
    assert len(total.unique()) == 16
    assert {size: tuple(part.shape) for size, part in splits(16, 16, [4], seed=0).items()} == {4: (4, 4), 16: (1, 16)}
    with pytest.raises(ValueError, match="its smallest class has 40"):
        universal_set(y, 64, "class", seed=0)
    with pytest.raises(ValueError, match="reading must be 'total' or 'class'; got 'each'"):
        universal_set(y, 4, "each", seed=0)


def test_a_planted_correlation_is_found_inside_its_interval():
    generator = torch.Generator().manual_seed(0)
    a, noise = torch.randn(2, 4000, generator=generator)
    b = 0.6 * a + 0.8 * noise
    low, high = bootstrap_interval([(a, b)], seed=0)
    assert low < 0.6 < high
    assert 0.02 < high - low < 0.08  # about 4 (1 - rho^2) / sqrt(n)
    assert low < pearson(a, b) < high
    wild = b.clone()
    wild[0] = 1e6
    assert abs(pearson(a, wild)) < 0.2  # one sample rules Pearson's rho, not the ranks
    assert spearman(a, wild) == pytest.approx(spearman(a, b), abs=0.01)
    holes = a.clone()
    holes[:2000] = torch.nan
    wider = bootstrap_interval([(holes, b)], seed=0)
    assert 1.2 < (wider[1] - wider[0]) / (high - low) < 1.7  # half the samples: sqrt(2)
    assert wider[0] < pearson(a[2000:], b[2000:]) < wider[1]
    again = 0.6 * a + 0.8 * torch.randn(4000, generator=generator)
    both = bootstrap_interval([(a, b), (a, again)], seed=0)
    assert both[0] < (pearson(a, b) + pearson(a, again)) / 2 < both[1]
    assert both[1] - both[0] < high - low  # the mean of two is known better
    nothing = torch.full((4000,), torch.nan)
    assert all(end != end for end in bootstrap_interval([(a, nothing)], seed=0))
    assert pearson(a, -a) == pytest.approx(-1)
    assert pearson(a, torch.ones(4000)) != pearson(a, torch.ones(4000))  # NaN


def run(size, difficulty, last=0.1):
    return SizeRun(size, difficulty, difficulty, 2.3, last, 1.0, 1, 0, 0)


def test_a_planted_decline_is_found_by_the_statistics():
    generator = torch.Generator().manual_seed(1)
    repetitions = []
    for _ in range(3):
        whole, again, *rest = torch.randn(5, 2000, generator=generator)
        runs = [run(64, whole)]
        for size, share, noise in zip((16, 4, 1), (0.8, 0.4, 0.0), rest, strict=True):
            runs.append(run(size, share * whole + (1 - share**2) ** 0.5 * noise))
        repetitions.append(Repetition(runs, run(64, 0.95 * whole + 0.3 * again)))
    rho = correlations(repetitions, seed=0, measure="distance")
    assert [round(v.mean, 1) for v in rho.by_size.values()] == [0.8, 0.4, 0.0]
    assert rho.ceiling == pytest.approx(0.95, abs=0.02)
    assert rho.verdict == "holds"
    assert "from X = 16 to 1" in rho.reason
    first, low, high = rho.ceiling_first
    assert low < first < high < 1
    assert rho.by_rank().ceiling == pytest.approx(rho.rank_ceiling)
    assert [v.mean for v in rho.by_rank().by_size.values()] == [v.rank for v in rho.by_size.values()]
    assert rho.by_rank().verdict == "holds"
    value, ranked = rho.by_size[4], rho.by_rank().by_size[4]
    assert value.mean_low < value.mean < value.mean_high
    assert value.mean_high - value.mean_low < value.high - value.low
    assert ranked.mean_low == value.rank_low < value.rank < ranked.mean_high == value.rank_high
    starved = Repetition([run(64, whole), run(16, whole, last=2.0), *runs[2:]], run(64, whole))
    assert [v.learned for v in correlations([*repetitions, starved], seed=0).by_size.values()] == [False, True, True]
    shaky = Repetition([run(64, whole), run(16, whole), replace(runs[2], unstable=1), runs[3]], run(64, whole))
    assert [v.stable for v in correlations([*repetitions, shaky], seed=0).by_size.values()] == [True, False, True]
    unlearned = Repetition([run(64, whole, last=2.0), *runs[1:]], run(64, whole))
    assert not correlations([*repetitions, unlearned], seed=0).learned


def test_a_few_hard_samples_make_a_ceiling_that_the_ranks_do_not_have():
    whole, again = torch.randn(2, 2000, generator=torch.Generator().manual_seed(2))
    hard = torch.zeros(2000)
    hard[:5] = 1e3
    runs = [run(64, whole + hard), run(16, 0.8 * whole + 0.6 * again + hard), run(1, again)]
    rho = correlations([Repetition(runs, run(64, again + hard))], seed=0)
    assert rho.ceiling > 0.99
    assert rho.by_rank().ceiling < 0.1
    assert rho.verdict == "holds"
    assert rho.by_rank().verdict == "cannot be judged"


def test_the_experiment_is_seeded_and_complete(tmp_path):
    x, y = toy(n=16)

    def once(folder, seed=1):
        cache = Cache(tmp_path / folder)
        return difficulty_by_size(NET, x, y, 16, [4, 1], seed=seed, cache=cache, epochs=3, lr=0.1, device="cpu")

    first, repeated, other = once("a"), once("b"), once("a", seed=2)
    assert [r.size for r in first.runs] == [16, 4, 1]
    assert all(torch.allclose(a.loss, b.loss, atol=1e-5) for a, b in zip(first.runs, repeated.runs, strict=True))
    assert not torch.allclose(first.runs[0].loss, first.again.loss)
    assert not torch.allclose(first.runs[0].loss, other.runs[0].loss)
    rho = correlations([first], seed=0)
    assert set(rho.by_size) == {4, 1}
    assert rho.ceiling == pytest.approx(pearson(first.runs[0].loss, first.again.loss))


@pytest.mark.parametrize(
    ("means", "ceiling", "starved", "verdict"),
    [
        ({256: 0.8, 16: 0.3, 1: 0.0}, 0.9, (), "holds"),
        ({256: 0.3, 16: 0.8, 1: 0.0}, 0.9, (), "fails"),
        ({256: 0.8, 16: 0.5, 1: 0.4}, 0.9, (), "fails"),
        ({256: 0.8, 16: 0.05, 1: 0.06}, 0.9, (), "holds"),
        ({256: 0.8, 16: 0.3, 1: 0.0}, 0.5, (), "cannot be judged"),
        ({256: 0.8, 16: 0.3, 1: 0.0}, float("nan"), (), "cannot be judged"),
        ({256: 0.8, 16: 0.3, 4: 0.9, 1: 0.0}, 0.9, (4,), "holds"),  # a starved size is no evidence, either way
        ({256: 0.8, 16: 0.3, 1: 0.0}, 0.9, (1,), "cannot be judged"),  # its end was not seen
        ({256: 0.8, 16: 0.1, 1: 0.0}, 0.9, (256,), "cannot be judged"),  # nothing to fall from
        ({256: 0.8, 16: 0.3, 1: 0.0}, 0.9, (16, 1), "cannot be judged"),
        ({256: 0.24, 16: 0.21, 1: 0.19}, 0.9, (), "cannot be judged"),  # a fall within chance
        ({256: 0.8, 16: 0.4, 4: 0.45, 1: 0.0}, 0.9, (), "cannot be judged"),  # a rise within chance
        ({256: 0.8, 16: 0.3, 1: 0.22}, 0.9, (), "cannot be judged"),  # an end at the bar, within chance
        ({256: 0.8, 16: 0.0, 1: 0.099}, 0.9, (), "holds"),  # below 0.1 a rise does not count
        ({256: 0.3, 16: 0.45, 1: 0.0}, 0.9, (), "fails"),  # a rise of more than chance
        ({256: 0.8, 64: 0.6, 16: 0.4, 4: 0.2, 1: 0.0}, 0.9, (64, 16, 4), "cannot be judged"),  # most was not seen
    ],
)
def test_the_verdict_follows_its_rule(means, ceiling, starved, verdict):
    interval = lambda m: {"mean_low": m - 0.05, "mean_high": m + 0.05}
    by_size = {size: SizeCorrelation(m, m, m, m, 0.0, size not in starved, **interval(m)) for size, m in means.items()}
    rho = Correlations(by_size, ceiling, 0.0)
    assert rho.verdict == verdict
    assert rho.starved == sorted(starved, reverse=True)
    shaky = {size: replace(v, learned=True, stable=v.learned) for size, v in by_size.items()}
    assert Correlations(shaky, ceiling, 0.0).verdict == verdict  # unstable sizes are no evidence either
    assert Correlations(shaky, ceiling, 0.0).unstable == rho.starved
    assert Correlations(by_size, ceiling, 0.0, learned=False).verdict == "cannot be judged"


def test_cases_and_the_steps_that_starve():
    made = cases({"total": (1024, [4, 1]), "class": (64, [1])}, [0.1, 0.001], [128, 256], ["step", "constant"])
    assert len(made) == len({case.key for case in made}) == 8
    assert made[0] == Case("total", 1024, (4, 1), 0.1, 128, "step")
    assert made[1].key == "total-step-lr0_001"
    assert steps_taken(made[0], epochs=30, k=10) == {1024: 240, 4: 30, 1: 30}
    assert steps_taken(made[-2], epochs=30, k=10) == {64: 150, 1: 30}
    with pytest.raises(ValueError, match="each lr needs its batch_size: got 2 and 1"):
        cases({}, [0.1, 0.01], [128], ["step"])


def test_the_table_of_a_case_shows_what_its_verdict_rests_on():
    one = SizeCorrelation(0.5, 0.4, 0.6, mean=0.52, spread=float("nan"), rank=0.3, mean_low=0.45, mean_high=0.58,
                          rank_low=0.2, rank_high=0.35)  # fmt: skip
    size, ceiling = detail(Correlations({16: one}, 0.9, 0.01, rank_ceiling=0.7, ceiling_first=(0.91, 0.88, 0.93)))
    assert list(size.values()) == ["16", "0.50 (0.40, 0.60)", "0.52 (0.45, 0.58)", "–", "0.30 (0.20, 0.35)"]
    assert list(ceiling.values()) == ["ceiling", "0.91 (0.88, 0.93)", "0.90", "0.01", "0.70"]
    assert list(size) == list(ceiling)
