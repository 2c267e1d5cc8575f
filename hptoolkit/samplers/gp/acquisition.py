"""The search for the best point of the region by a criterion of the GP's posterior."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import numpy as np
import torch
from botorch.acquisition.analytic import LogExpectedImprovement, PosteriorMean
from botorch.generation.gen import gen_candidates_scipy
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
    """Local maxima reached from starts (s, c) in the region, by BoTorch; columns in `held` stay."""
    span = columns.high - columns.low
    if all(i in held or span[i] == 0 for i in range(len(span))):
        return starts
    inside = torch.from_numpy(np.clip(starts, columns.low, columns.high)).unsqueeze(1)
    if held:
        # One at a time, since each is held at places of its own.
        ends = [_ends(criterion, columns, x[None], _fixed(x, held)) for x in inside]
        reached = np.vstack(ends)
    else:
        reached = _ends(criterion, columns, inside, None)
    reached = np.clip(reached, columns.low, columns.high)
    better = _evaluate(criterion, reached) > _evaluate(criterion, starts)
    return np.where(better[:, None], reached, starts)


def _ends(
    criterion: Criterion, columns: Columns, starts: Tensor, fixed: dict[int, float] | None
) -> Array:
    """Where BoTorch's search ends from starts (s, 1, c), with the values of some columns fixed."""
    every = torch.arange(len(columns.low))
    constraints = [
        (every, -torch.from_numpy(normal), -float(offset))
        for normal, offset in zip(columns.normals, columns.offsets, strict=True)
    ]
    # Recorded, since BoTorch shows its warnings whatever filter there is: that a search stops at a
    # number of iterations is meant.
    with warnings.catch_warnings(record=True):
        ends, _ = gen_candidates_scipy(
            starts,
            criterion,  # type: ignore[arg-type]
            torch.from_numpy(columns.low),
            torch.from_numpy(columns.high),
            inequality_constraints=constraints or None,
            options={"maxiter": _ITERATIONS},
            fixed_features=fixed,
        )
    found: Array = ends.detach().squeeze(1).numpy()
    return found


def _fixed(start: Tensor, held: list[int]) -> dict[int, float]:
    return {i: float(start[0, i]) for i in held}


def _snapped(region: Region, columns: Columns, points: Array) -> Array:
    """The columns of the parameters that would be evaluated at points (n, c)."""
    return np.array(
        [columns.encode(region.encode(region.decode(columns.decode(point)))) for point in points]
    )


def _evaluate(criterion: Criterion, points: Array) -> Array:
    with torch.no_grad():
        return criterion(torch.from_numpy(points).unsqueeze(1)).numpy()
