import pytest
import torch

from lpntk.kernel.reading import cosine, pairs, shares
from lpntk.phenomena.relations.readings import sweep

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("device", DEVICES)
def test_a_sweep_over_rows_counts_what_the_whole_matrix_shows(device):
    generator = torch.Generator().manual_seed(3)
    phi, y = torch.randn(23, 4, generator=generator), torch.randint(3, (23,), generator=generator)
    y[0] = 2  # three classes, whatever was drawn
    kappa = phi @ phi.T
    found = sweep(kappa, y, step=7, device=device)
    both = pairs(kappa, y)
    every = torch.cat([both.same, both.different])
    assert found["pairs"] == len(every)
    assert found["positive"] == pytest.approx(float((every > 0).double().mean()))
    assert found["negative"] == pytest.approx(float((every < 0).double().mean()))
    assert found["small"] == pytest.approx(float((3 * every.abs() < 0.1).double().mean()))
    own = int((kappa.argmax(1) == torch.arange(23)).sum())
    assert found["own_nearest"] == pytest.approx(own / (23 - own))
    by_label = pairs(cosine(kappa), y)
    for name, values in (("same", by_label.same), ("different", by_label.different)):
        assert found[f"{name}.negative"] == pytest.approx(float((values < 0).double().mean()))
        for key, share in shares(values).items():
            assert found[f"{name}.{key}"] == pytest.approx(share), (name, key)
    with pytest.raises(ValueError, match=r"shape \(23, 23\) for 23 labels; got \(23, 22\)"):
        sweep(kappa[:, :22], y)
