import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from rows import each_row

from lpntk.report.panels import bars, grid, legend_above
from lpntk.report.spread import estimate, interval, keyed, words_and_seeds

NAN = float("nan")
RUNS = pd.DataFrame({"of": "a", "seed": [0, 0, 1, 1], "cosine": [0.1, 0.3, 0.5, 0.7]})  # means 0.2 and 0.6


def test_numbers_of_a_row_get_its_words_as_key():
    table = pd.DataFrame({"setting": ["ntk-1", "ntk-2"], "low": [1.0, 2.0], "k": [10, 10], "column": "x"})
    assert keyed(table, "{setting}.{k}.{column}", ["low"]) == {"ntk-1.10.low": 1.0, "ntk-2.10.low": 2.0}
    assert keyed(table.set_index("setting"), "{setting}.{column}", ["k"]) == {"ntk-1.k": 10, "ntk-2.k": 10}


@each_row(
    ("given", "text"),
    [((0.5, 0.4, 0.6), "0.50 (0.40 to 0.60)"), ((0.5, NAN, NAN), "0.50"), ((NAN, NAN, NAN), "-")],
)
def test_an_estimate_has_its_interval_in_brackets(given, text):
    assert estimate(*given, "{:.2f}") == text


def test_an_interval_that_is_not_known_is_a_dash():
    assert interval(0.4, 0.6, "{:.1f}") == "0.4 to 0.6"
    assert interval(NAN, NAN) == "-"


@each_row(
    ("rows", "text"),
    [(RUNS, "0.40 ± 0.26 (seeds ± 0.28)"), (RUNS[RUNS.seed == 0], "0.20 ± 0.14"), (RUNS[:1], "0.10")],
)
def test_the_spread_between_seeds_stands_behind_that_over_all(rows, text):
    assert words_and_seeds(rows, ["of"], ["cosine"], "{:.2f}")["cosine"].item() == text


def test_bars_are_means_and_standard_deviations_of_columns():
    _, (ax,) = grid(1, 1)
    bars(ax, [8, 16], pd.DataFrame([[1.0, 5.0], [3.0, np.nan]]), color="black")
    line, _, (sticks,) = ax.containers[0]
    assert line.get_ydata().tolist() == [2, 5]
    np.testing.assert_allclose(sticks.get_segments()[0][:, 1], [2 - 2**0.5, 2 + 2**0.5])
    plt.close("all")


def test_a_grid_has_no_empty_panels_and_one_legend_of_all():
    figure, axes = grid(3, 2)
    assert len(axes) == 3
    assert [ax.axison for ax in figure.axes] == [True, True, True, False]
    for ax, label in zip(axes, ("one", "two", "one"), strict=True):
        ax.plot([0, 1], [0, 1], label=label)
    legend_above(figure)
    legend_above(figure, axes[1])
    assert [[text.get_text() for text in legend.get_texts()] for legend in figure.legends] == [["one", "two"], ["two"]]
    plt.close("all")
