"""Points of a region for the GP, in columns: evenly spread ones, those on its faces, first ones.

All are spread over the *raw* box: its middle is where a user's ranges centre, while the bounding
box of oblique axes has most of its volume outside the region.
"""

from __future__ import annotations

import numpy as np

from hptoolkit.samplers.gp.features import Columns
from hptoolkit.search_space.polytope import Proposals
from hptoolkit.search_space.region import TOLERANCE, Array

# Points of the raw box that are tried; where too few of them lie in the region, it is a thin slice.
_PATIENCE = 1 << 13


def spread(columns: Columns, count: int, seed: int) -> Array:
    """(count, c) points of a scrambled Sobol sequence over the raw box that lie in the region.

    Not rounded to what parameters allow. Fewer rows only where the region has hardly a point.
    """
    from scipy.stats.qmc import Sobol

    indicators = [i for block in columns.choices for i in block]
    numeric = [i for i in range(len(columns.low)) if i not in indicators]
    dimension = len(numeric) + len(columns.choices)
    exponent = max((count - 1).bit_length(), 4)
    while 1 << exponent <= max(_PATIENCE, count):
        unit = Sobol(dimension, seed=seed).random_base2(exponent)
        points = np.zeros((len(unit), len(columns.low)))
        low, high = columns.low[numeric], columns.high[numeric]
        points[:, numeric] = low + unit[:, : len(numeric)] * (high - low)
        for block, drawn in zip(columns.choices, unit[:, len(numeric) :].T, strict=True):
            chosen = np.minimum((drawn * len(block)).astype(np.int64), len(block) - 1)
            points[np.arange(len(unit)), np.array(block)[chosen]] = 1.0
        inside = np.all(points @ columns.normals.T <= columns.offsets + TOLERANCE, axis=1)
        if np.sum(inside) >= count:
            return points[inside][:count]
        exponent += 2
    return _in_slice(columns, count, seed)


def _in_slice(columns: Columns, count: int, seed: int) -> Array:
    """Points (≤ count, c) of a region that fills little of the raw box."""
    from hptoolkit.samplers.random import sobol_points

    region = columns.region
    positions = sobol_points(Proposals(region), len(region.axes), count - 1, seed)
    rows = [columns.encode(position) for position in positions[:count] or [region.middle()]]
    return np.array(rows)


def on_faces(columns: Columns, points: Array, rng: np.random.Generator) -> Array:
    """Points (n, c) of the region moved to its border along some of the columns, each at random.

    A third of a point's columns goes down to the border, a third up, the others stay: of a box
    these are points on faces, edges and corners. The optimum of a real problem often lies there.
    """
    moved = points.copy()
    indicators = [i for block in columns.choices for i in block]
    free = [i for i in range(len(columns.low)) if i not in indicators]
    ways = rng.integers(-1, 2, size=points.shape)
    for i in rng.permutation(np.array(free, dtype=np.int64)):
        low, high = columns.interval(moved, i)
        moved[:, i] = np.select([ways[:, i] < 0, ways[:, i] > 0], [low, high], moved[:, i])
    return moved
