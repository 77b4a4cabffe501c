"""The page book/example.md, whose numbers are worked out by hand: its code is run, and its numbers are compared."""

import re
from pathlib import Path

import pytest
import torch
from torch.func import functional_call, jacrev

PAGE = Path(__file__).parents[3].joinpath("book", "example.md").read_text()


@pytest.fixture(scope="module")
def page():
    """What the code of the page defines."""
    names = {}
    exec(re.search(r"```python\n(.*?)```", PAGE, re.S)[1], names)
    return names


def said(pattern):
    """The numbers that the page has where a pattern matches."""
    return [float(word) for word in re.findall(r"-?\d+(?:\.\d+)?", re.search(pattern, PAGE)[0])]


def test_the_kernel_is_the_one_by_hand(page):
    byhand = torch.tensor([[7 / 3, -2 / 3], [-2 / 3, 4]])
    torch.testing.assert_close(page["kappa"], byhand)
    printed = torch.tensor(said(r"`\[\[2.*?\]\]`")).view(2, 2)
    torch.testing.assert_close(page["kappa"], printed, atol=5e-5, rtol=0)
    assert float(page["cosine"][0, 1]) == pytest.approx(said(r"`-0\.2182`")[0], abs=5e-5)
    angle = torch.rad2deg(torch.acos(page["cosine"][0, 1]))
    assert float(angle) == pytest.approx(said(r"\d+ degrees")[0], abs=0.5)


def test_probabilities_errors_and_the_step_are_those_by_hand(page):
    model, x, y = page["Four"]().double(), page["x"].double(), page["y"]
    q = model(x).softmax(1).detach()
    table = [said(r"\(0\.665, 0\.245, 0\.090\)"), said(r"\(0\.867, 0\.117, 0\.016\)")]
    torch.testing.assert_close(q, torch.tensor(table).double(), atol=6e-4, rtol=0)
    error = torch.nn.functional.one_hot(y, 3) - q
    torch.testing.assert_close(
        error[1], torch.tensor(said(r"\(-0\.867, 0\.883, -0\.016\)")).double(), atol=6e-4, rtol=0
    )
    weights = {name: value.detach() for name, value in model.named_parameters()}
    logits = lambda w, x: functional_call(model, w, (x,))
    blocks = [jacrev(logits)(weights, sample) for sample in x]
    jacobians = [torch.cat([b[name].reshape(3, -1) for name in weights], dim=1) for b in blocks]
    theta = jacobians[0] @ jacobians[1].T
    assert theta.tolist() == [[4, 0, -2], [0, 2, 0], [-2, 0, 4]]
    move = theta @ error[1]
    torch.testing.assert_close(move, torch.tensor(said(r"\(-3\.436, 1\.765, 1\.670\)")).double(), atol=6e-4, rtol=0)
    change = 0.01 * q[0, 0] * (move[0] - q[0] @ move)
    assert float(change) == pytest.approx(said(r"-0\.01153")[0], abs=5e-6)
    step = jacobians[1].T @ error[1]
    stepped = {"a": weights["a"] + 0.01 * step[:1], "v": weights["v"] + 0.01 * step[1:]}
    true = logits(stepped, x[0]).softmax(0)[0] - q[0, 0]
    assert float(true) == pytest.approx(said(r"true step gives \$(-[\d.]+)")[0], abs=5e-6)
