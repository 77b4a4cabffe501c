"""Slow and obvious: the kernel by its definition, from full Jacobians and all K x K blocks, in float64."""

import copy

import torch
import torch.nn.functional as F


def jacobian(model, x):
    """(n, k, p): one sample at a time, every logit by every trainable parameter."""
    model = copy.deepcopy(model).double()
    params = [p for p in model.parameters() if p.requires_grad]
    flat = lambda gradients: torch.cat([gradient.flatten() for gradient in gradients])
    rows = []
    for x_i in x.double() if x.is_floating_point() else x:
        with torch.enable_grad():
            (z,) = model(x_i[None])
        by_logit = [torch.autograd.grad(z_k, params, retain_graph=True, materialize_grads=True) for z_k in z]
        rows.append(torch.stack([*map(flat, by_logit)]))
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
    j = jacobian(model, x)
    j2 = j if x2 is x else jacobian(model, x2)
    s2 = torch.stack([sign_vector(z_b, y_b, signs) for z_b, y_b in zip(z2, y2, strict=True)])
    kappa = torch.empty(len(x), len(x2), dtype=torch.float64)
    for a in range(len(x)):
        theta = torch.einsum("kp,blp->bkl", j[a], j2)  # (n2, k, k)
        kappa[a] = torch.einsum("k,bkl,bl->b", sign_vector(z[a], y[a], signs), theta, s2)
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


def loss_norm(model, x, y, i):
    """How long is the loss gradient of the i-th sample?"""
    loss = F.cross_entropy(model(x[i : i + 1]), y[i : i + 1])
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))]).norm()


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
