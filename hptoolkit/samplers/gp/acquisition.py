"""The search for the best point of the region by a criterion of the GP's posterior."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from botorch.acquisition.analytic import LogExpectedImprovement, PosteriorMean
from scipy.optimize import LinearConstraint, minimize
from torch import Tensor

from hptoolkit.samplers.gp.evidence import Evidence
from hptoolkit.samplers.gp.features import Columns
from hptoolkit.samplers.gp.model import LearnedAxesGP
from hptoolkit.search_space.region import Array, Region

# The best of the points compared are improved by gradient ascent.
_STARTS = 4
_ITERATIONS = 30
# Points near a centre lie at 1 to 2⁻⁸ of the way to a point of the region.
_OCTAVES = 8.0

# Maps points (n, 1, c) to values (n,), larger being better, as BoTorch's acquisitions do.
Criterion = Callable[[Tensor], Tensor]


def expected_improvement(posterior: LearnedAxesGP, evidence: Evidence) -> Criterion:
    """Logarithm of the improvement expected over the largest posterior mean at evaluated points.

    Points that are being evaluated count: what they are believed to bring is no improvement.
    """
    points = np.vstack([evidence.columns, evidence.pending])
    return LogExpectedImprovement(posterior, best_f=_evaluate(mean(posterior), points).max())


def mean(posterior: LearnedAxesGP) -> Criterion:
    """The posterior mean."""
    return PosteriorMean(posterior)


def candidates(
    columns: Columns, everywhere: Array, centres: Array, rng: np.random.Generator
) -> Array:
    """Points all over the region (n, c), and as many about centres (m, c) at every distance."""
    about = centres[rng.integers(len(centres), size=len(everywhere))]
    # A step towards a point of the region, which is convex, does not leave it.
    shares = 2.0 ** -rng.uniform(0.0, _OCTAVES, size=len(everywhere))
    return np.vstack([everywhere, columns.mix(about, everywhere, shares)])


def best_first(
    criterion: Criterion, region: Region, columns: Columns, points: Array
) -> Iterator[Array]:
    """Positions that can be evaluated, best first: the best of `points` improved, then all points.

    Numeric parameters move freely at first; then those that take only some values are held where
    rounding puts them while the others move on. Choices stay as they are in `points`.
    """
    ranked = points[np.argsort(-_evaluate(criterion, points), kind="stable")]
    held = [i for block in columns.choices for i in block]
    found = _snapped(region, columns, _climb(criterion, columns, ranked[:_STARTS], held))
    if columns.discrete:
        ends = _climb(criterion, columns, found, held + columns.discrete)
        found = _snapped(region, columns, ends)
    found = found[np.argsort(-_evaluate(criterion, found), kind="stable")]
    for point in (*found, *ranked):
        position = region.encode(region.decode(columns.decode(point)))
        if region.contains(position):
            yield position


def _climb(criterion: Criterion, columns: Columns, starts: Array, held: list[int]) -> Array:
    """Local maxima reached from starts (s, c) in the region; columns in `held` stay."""
    span = columns.high - columns.low
    free = np.array([i for i in range(len(span)) if i not in held and span[i] > 0], dtype=np.int64)
    if not len(free):
        return starts
    base, index = torch.from_numpy(starts), torch.from_numpy(free)
    # All starts move at once, in units of the region, so that one size suits all columns.
    unit = torch.from_numpy(span[free])

    def objective(x: Array) -> tuple[float, Array]:
        steps = torch.from_numpy(np.asarray(x).reshape(len(starts), -1)).requires_grad_()
        value = -criterion(base.index_add(1, index, steps * unit).unsqueeze(1)).sum()
        (gradient,) = torch.autograd.grad(value, steps)
        return value.item(), gradient.numpy().ravel()

    constraints = []
    if len(columns.normals):
        room = np.maximum(columns.offsets - starts @ columns.normals.T, 0.0)
        every = np.kron(np.eye(len(starts)), columns.normals[:, free] * span[free])
        constraints.append(LinearConstraint(every, ub=room.ravel()))
    low = np.minimum((columns.low - starts)[:, free] / span[free], 0.0)
    high = np.maximum((columns.high - starts)[:, free] / span[free], 0.0)
    solution = minimize(
        objective,
        np.zeros(low.size),
        jac=True,
        method="SLSQP" if constraints else "L-BFGS-B",
        bounds=list(zip(low.ravel(), high.ravel(), strict=True)),
        constraints=constraints,
        options={"maxiter": _ITERATIONS},
    )
    ends = starts.copy()
    ends[:, free] += np.nan_to_num(np.asarray(solution.x)).reshape(len(starts), -1) * span[free]
    ends = np.clip(ends, columns.low, columns.high)
    better = _evaluate(criterion, ends) > _evaluate(criterion, starts)
    return np.where(better[:, None], ends, starts)


def _snapped(region: Region, columns: Columns, points: Array) -> Array:
    """The columns of the parameters that would be evaluated at points (n, c)."""
    return np.array(
        [columns.encode(region.encode(region.decode(columns.decode(point)))) for point in points]
    )


def _evaluate(criterion: Criterion, points: Array) -> Array:
    with torch.no_grad():
        return criterion(torch.from_numpy(points).unsqueeze(1)).numpy()
