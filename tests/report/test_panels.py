import matplotlib.pyplot as plt
import pandas as pd
import torch
from matplotlib.colors import to_hex

from lpntk.data.dataset import load
from lpntk.report import panels
from lpntk.report.plots import BLUE, VERMILION


def test_mean_and_spread_over_epochs_in_order():
    frame = pd.DataFrame({"epoch": [8, 0, 8, 0], "v": [4.0, 1.0, 6.0, 1.0]})
    _, ax = plt.subplots()
    panels.over(ax, frame, "epoch", "v")
    assert ax.lines[0].get_ydata().tolist() == [1, 5]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0", "8"]
    assert ax.collections[0].get_datalim(ax.transData).y1 == 5 + 2**0.5


def test_a_gallery_names_the_sample_and_tells_its_neighbours_labels_by_colour():
    digits = load("digits")
    phi = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    axes = panels.gallery(digits, digits.x_train[:3], torch.tensor([4, 4, 7]), phi @ phi.T, [0], count=2).axes
    words = [[text.get_text() for text in ax.texts] for ax in axes]
    assert words == [["4"], ["0.60", "0.00"], ["4"], ["0.00", "0.60"]]  # most similar, then least
    assert [to_hex(text.get_color()).upper() for text in axes[1].texts] == [BLUE, VERMILION]
