"""The share of the results' variance that one axis explains."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# Bandwidths that are tried, as shares of the axis' span.
BANDWIDTHS = (0.02, 0.04, 0.08, 0.16, 0.32, 0.64)
# A share of the span; nearer places are the same place.
_SAME = 1e-9
# Fewer points leave nothing to leave out.
FEWEST = 6


def explained(places: Array, values: Array) -> float:
    """R² of a smooth curve over an axis, each point predicted from the others.

        R² = 1 − Σ_i (y_i − f_{−i}(x_i))² / Σ_i (y_i − ȳ_{−i})²,

    where f_{−i} is a local linear regression with a Gaussian kernel (W. Cleveland, Robust locally
    weighted regression, 1979, without the robustness) over all points but i, and ȳ_{−i} their
    mean. The bandwidth is the one of six with the largest R². Nothing about the curve's shape is
    assumed; a single axis that decides the results has 1, one that says nothing 0.

    Args:
        places: (n,) positions on the axis, logarithms where it is logarithmic.
        values: (n,) results, one a configuration.

    Returns:
        The share, from 0 to 1; what falls below 0 is 0. NaN for fewer than six points or for
        results that are all equal.
    """
    n = len(values)
    if n < FEWEST or np.ptp(values) == 0:
        return float("nan")
    span = float(np.ptp(places))
    if span == 0:
        return 0.0
    x = (places - places.min()) / span
    total = float(np.sum((values - (values.sum() - values) / (n - 1)) ** 2))
    residuals = [
        float(np.sum((values - _left_out(x, values, bandwidth)) ** 2)) for bandwidth in BANDWIDTHS
    ]
    return max(1.0 - min(residuals) / total, 0.0)


def _left_out(x: Array, y: Array, bandwidth: float) -> Array:
    """(n,) predictions at each x from the other points."""
    offset = x[None, :] - x[:, None]
    # The nearest other point keeps its weight however far it is, so that a gap has a prediction.
    squares = (offset / bandwidth) ** 2
    np.fill_diagonal(squares, np.inf)
    weights = np.exp(-0.5 * (squares - squares.min(axis=1, keepdims=True)))
    s0, s1, s2 = (np.sum(weights * offset**k, axis=1) for k in range(3))
    t0, t1 = weights @ y, (weights * offset) @ y
    spread = s0 * s2 - s1 * s1
    # All weight at one other place: no slope can be told, the mean stands.
    line = spread > (_SAME * s0) ** 2 + 1e-6 * s0 * s2
    slope = np.divide(s0 * t1 - s1 * t0, spread, out=np.zeros_like(x), where=line)
    fitted = (t0 - slope * s1) / s0
    # Extrapolation beyond the other values says nothing.
    others = np.where(np.isfinite(squares), y[None, :], np.nan)
    clipped: Array = np.clip(fitted, np.nanmin(others, axis=1), np.nanmax(others, axis=1))
    return clipped
