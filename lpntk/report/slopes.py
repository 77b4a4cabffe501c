"""At which rate does it fall? A power of the width, fitted in logarithms, with an interval over seeds."""

import numpy as np


def slope(widths: np.ndarray, values: np.ndarray, level: float = 0.95) -> tuple[float, float, float]:
    """Fit ``values = c width^slope``: a line per seed in log-log, and the t interval of the mean of the seeds' slopes.

    Args:
        widths: (m,) at least two different ones.
        values: (seeds, m) positive.
        level: of the interval.

    Returns:
        The slope, and both ends of its interval.

    Raises:
        ValueError: if there are fewer than two widths or seeds, or a value is not positive.
    """
    u, v = np.log2(np.asarray(widths, float)), np.asarray(values, float)
    if len(np.unique(u)) < 2 or not (v > 0).all():
        raise ValueError(f"a slope needs two widths and positive values; got widths {widths}, smallest {v.min():.3g}")
    if len(v) < 2:
        raise ValueError(f"an interval over seeds needs two of them; got values of shape {v.shape}: raise seeds")
    u = u - u.mean()
    return mean_interval(np.log2(v) @ u / (u @ u), level)


def mean_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float, float]:
    """Return the mean of (seeds,) numbers and its t interval; its ends are NaN if there is one seed, all if none."""
    from scipy import stats  # slow to import

    values = np.asarray(values, float)
    n, nan = len(values), float("nan")
    mean = float(values.mean()) if n else nan
    if n < 2:
        return mean, nan, nan
    half = float(stats.t.ppf((1 + level) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n))
    return mean, mean - half, mean + half
