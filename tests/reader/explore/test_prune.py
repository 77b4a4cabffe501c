"""What goes and what it costs is what the study of selection says."""

import pandas as pd
import pytest
from scipy import stats

from lpntk.phenomena.less_data.selection.study import chosen, study
from lpntk.reader.explore import prune

ARMS, SHARES = ["balanced", "heads"], [0.5, 0.2]
HOW = {"n": 60, "shares": SHARES, "scorers": 1, "epochs": 2, "early": 1, "ratio": 0.2, "seed": 1, "arms": ARMS,
       "device": "cpu", "lr": 0.1, "batch_size": 16}  # fmt: skip


@pytest.fixture(scope="module")
def selected(network, digits, cache):
    frame = study(network, digits, repeats=3, by_steps=[], cache=cache, **HOW)
    frame["best"] = 1.0  # what the best epoch would add does not count
    return frame, *chosen(network, digits, repeat=0, cache=cache, **HOW)


def test_what_is_kept_and_measured_is_what_the_study_says(selected, digits):
    frame, rows, kept = selected
    explorer = prune.prune_it_yourself(digits, rows, kept, frame, shown=60)
    assert explorer.choice == {"method": "heads", "removed": 50}
    labels = explorer.given["labels"]
    assert labels == sorted(str(int(label)) for label in digits.y_train[rows])
    order = sorted(range(60), key=lambda i: (int(digits.y_train[rows[i]]), i))
    for (arm, share), part in kept.items():
        explorer.choice = {"method": arm, "removed": round(100 * (1 - share))}
        state = explorer.state
        assert [order[i] for i, bit in enumerate(state["kept"]) if bit == "1"] == sorted(part.tolist(), key=order.index)
        assert state["left"] == len(part)
        last = frame[(frame["arm"] == arm) & (frame["share"] == share)]["last"].to_numpy()
        assert len(last) == state["repeats"] == 3
        low, high = stats.t.interval(0.9, 2, loc=last.mean(), scale=stats.sem(last))
        assert [state[end] for end in ("mean", "low", "high")] == pytest.approx([last.mean(), low, high], abs=1e-5)
        assert f"{state['left']} of 60 samples are kept. Test accuracy {state['mean']:.1%}" in state["said"]
    explorer.choice = {"method": "balanced", "removed": 0}
    assert explorer.state["kept"] == "1" * 60
    assert explorer.state["mean"] == pytest.approx(frame[frame["arm"] == "all"]["last"].mean(), abs=1e-5)


def test_fewer_samples_may_be_shown_than_are_selected_from(selected, digits):
    frame, rows, kept = selected
    explorer = prune.prune_it_yourself(digits, rows, kept, frame, shown=25)
    assert len(explorer.state["kept"]) == len(explorer.given["labels"]) == explorer.given["sprite"]["n"] == 25
    assert explorer.state["n"] == 60


def test_what_was_not_measured_is_refused_and_one_repeat_has_no_interval(selected, digits):
    frame, rows, kept = selected
    with pytest.raises(ValueError, match=r"expected a row of 'heads' with the share 0.5 in the frame; got none"):
        prune.prune_it_yourself(digits, rows, kept, frame[frame["share"] != 0.5], shown=60)
    explorer = prune.prune_it_yourself(digits, rows, kept, frame, shown=60)
    with pytest.raises(ValueError, match=r"expected a removed among 0, 50, 80; got 30"):
        explorer.choice = {"method": "heads", "removed": 30}
    with pytest.raises(ValueError, match=r"expected a method among heads, balanced; got 'el2n'"):
        explorer.choice = {"method": "el2n", "removed": 50}
    alone = prune.measured(pd.DataFrame(frame[frame["repeat"] == 0]), "heads", 0.5)
    assert (alone["low"], alone["high"], alone["repeats"]) == (None, None, 1)
