"""Is it a power law? A discrete one, fitted from size 1 on, and whether data of that law would fit as badly.

After Clauset, Shalizi and Newman (SIAM Review 51, 2009): exponent by maximum likelihood, distance by Kolmogorov and
Smirnov, its probability by sizes drawn from the fitted law.
"""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import zeta


def power_law(sizes: np.ndarray, *, draws: int = 200, seed: int = 0) -> tuple[float, float]:
    """Fit ``P(size) = size^-alpha / zeta(alpha)`` to sizes of 1 and more.

    Args:
        sizes: (m,) whole numbers.
        draws: samples of m sizes from the fitted law.
        seed: of these.

    Returns:
        alpha, and the share of draws that lie farther from their own fit than the sizes do: below 0.1 the law is ruled
        out; above it is one of those that could be.
    """
    sizes = np.asarray(sizes)
    alpha, distance = _fit(sizes)
    rng = np.random.default_rng(seed)
    worse = [_fit(rng.zipf(alpha, len(sizes)))[1] >= distance for _ in range(draws)]
    return alpha, float(np.mean(worse))


def _fit(sizes: np.ndarray) -> tuple[float, float]:
    logs = float(np.log(sizes).mean())
    alpha = float(minimize_scalar(lambda a: a * logs + np.log(zeta(a)), bounds=(1.001, 8), method="bounded").x)
    values, counts = np.unique(sizes, return_counts=True)
    law = 1 - zeta(alpha, values + 1.0) / zeta(alpha)
    before = 1 - zeta(alpha, values.astype(float)) / zeta(alpha)
    seen = counts.cumsum() / counts.sum()
    return alpha, float(max(np.abs(seen - law).max(), np.abs(np.r_[0, seen[:-1]] - before).max()))
