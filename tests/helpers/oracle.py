"""Slow and obvious: the kernel by its definition, from full Jacobians and all K x K blocks, in float64."""

import copy

import torch
import torch.nn.functional as F
from torch.func import functional_call, jacrev


def jacobian(model, x):
    """(n, k, p): one sample at a time, every logit by every trainable parameter."""
    model = copy.deepcopy(model).double()
    params = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    rows = []
    for x_i in x.double() if x.is_floating_point() else x:
        j = jacrev(lambda w: functional_call(model, w, (x_i[None],))[0])(params)  # noqa: B023 (used at once)
        rows.append(torch.cat([j[name].flatten(1) for name in params], dim=1))
    return torch.stack(rows)


def sign_vector(logits, label, signs):
    k = len(logits)
    s = torch.full((k,), -1.0, dtype=torch.float64)
    s[label] = 1.0
    if signs == "label":
        return s / k**0.5
    if signs == "ones":
        return torch.ones(k, dtype=torch.float64) / k**0.5
    if signs == "centred":
        return (s - s.mean()) / k**0.5
    others = torch.softmax(logits, 0)
    others[label] = 0.0
    s = -others
    s[label] = others.sum()  # 1 - q cancels where the sample is learned
    return s


def oracle_kernel(model, x, y, x2=None, y2=None, *, signs="label"):
    """(n, n2) float64: the block Theta_ij = J_i J_j^T of every pair, contracted with s_i and s_j."""
    x2, y2 = (x, y) if x2 is None else (x2, y2)
    double = copy.deepcopy(model).double()
    as_input = lambda t: t.double() if t.is_floating_point() else t
    with torch.no_grad():
        z, z2 = double(as_input(x)), double(as_input(x2))
    j, j2 = jacobian(model, x), jacobian(model, x2)
    kappa = torch.empty(len(x), len(x2), dtype=torch.float64)
    for a in range(len(x)):
        s_a = sign_vector(z[a], y[a], signs)
        for b in range(len(x2)):
            theta = j[a] @ j2[b].T  # (k, k)
            kappa[a, b] = s_a @ theta @ sign_vector(z2[b], y2[b], signs)
    return kappa


def alone(model, x, y):
    """The kernel from one backward pass per sample, by autograd: for what torch.func or a deep copy cannot enter."""
    rows = []
    for i in range(len(x)):
        model.zero_grad()
        z = model(x[i : i + 1])
        torch.autograd.backward(z, (2 * F.one_hot(y[i : i + 1], z.shape[1]) - 1).to(z) / z.shape[1] ** 0.5)
        gradients = [torch.zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in model.parameters()]
        rows.append(torch.cat(gradients).double())
    model.zero_grad()
    return torch.stack(rows) @ torch.stack(rows).T


def relative_error(got, want):
    """Relative Frobenius error of a matrix against the oracle's."""
    return float((got.double() - want).norm() / want.norm())


def assert_close_to_oracle(got, want, tolerance=1e-5):
    """The relative Frobenius error is below the tolerance; if it is not, the three worst entries are told."""
    want = want.double()
    assert got.shape == want.shape, f"shape {tuple(got.shape)}, the oracle's is {tuple(want.shape)}"
    error = relative_error(got, want)
    if error < tolerance:
        return
    off = (got.double() - want).abs().nan_to_num(torch.inf).flatten()
    lines = [f"relative error {error:.3g}, must be below {tolerance:.3g}; the worst of {len(off)} entries:"]
    for place in off.argsort(descending=True)[:3]:
        index = tuple(int(i) for i in torch.unravel_index(place, want.shape))
        lines.append(f"  {index}: got {float(got[index]):.8g}, the oracle says {float(want[index]):.8g}")
    raise AssertionError("\n".join(lines))
