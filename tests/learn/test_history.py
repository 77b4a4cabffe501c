"""What the record of a training says of models that failed."""

import torch

from lpntk.learn.history import History


def test_a_model_that_gave_a_sample_more_than_a_hundred_nats_counts_in_no_mean():
    loss = torch.tensor([[[1.0, 100.0]], [[1.0, 101.0]], [[1.0, torch.inf]]])  # (models, epochs, samples)
    history = History(loss, loss, loss < 2)
    assert history.diverged.tolist() == [False, False, True]
    assert history.unstable.tolist() == [False, True, True]
    assert history.difficulty().isnan().tolist() == [[False] * 2, [True] * 2, [True] * 2]
