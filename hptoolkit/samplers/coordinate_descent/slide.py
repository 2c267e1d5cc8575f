"""A move along an axis that slides along the walls it meets.

In the logarithms of the raw factors a move along a coordinate is a straight line, and most walls,
the bounds of raw parameters, are oblique to the coordinates. A parameter that comes to its bound
is held there, and the others that the axis moves go on, as long as its coordinate changes. A move
that begins at a wall and has none of them left goes on with the least change of the other
coordinates, so that a corner is no trap; to do so in the midst of a move costs trainings (on 22
tables of real ones, 20 random starts each, 5 % ± 1 more of them). Other bounds (of the axis
itself, or of coordinates that a box cuts) end the move on the border.
"""

from __future__ import annotations

import math

import numpy as np

from hptoolkit.search_space.bounds import image_of_box
from hptoolkit.search_space.region import Array, Region

# Changes of a position, a unit of the move, that are rounding's.
_NOTHING = 1e-12
# How near to a bound is on it: rounding of raw parameters moves a position by less.
_NEAR = 1e-6


def slide(region: Region, position: Array, axis: int, distance: float) -> tuple[Array, float]:
    """Where a move along an axis ends, and how far along it that is.

    Args:
        position: (d,) where it begins, in the region.
        distance: In units of the axis, with its sign; infinite for as far as it goes.

    Returns:
        The position, in the region, and the distance with the move's sign: |distance| at most.
    """
    named = len(region.coordinates.axes)
    sign = math.copysign(1.0, distance)
    left, gone, here = abs(distance), 0.0, position.copy()
    upper, lower = region.pairs()
    factor_of = {int(row): i for i in range(named) for row in (upper[i], lower[i])}
    held: list[int] = []
    while left > 0:
        direction = _direction(region, axis, held, at_once=gone == 0.0)
        if direction is None:
            break
        slopes = sign * region.inequalities @ direction
        meets = np.flatnonzero(slopes > _NOTHING)
        room = np.maximum(region.offsets - region.inequalities @ here, 0.0)[meets] / slopes[meets]
        step = min(left, float(np.min(room, initial=math.inf)))
        here, left, gone = here + sign * step * direction, left - step, gone + step
        reached = [int(row) for row in meets[room <= step + _NOTHING]]
        if any(row not in factor_of for row in reached):
            break
        held += [factor_of[row] for row in reached]
    return here, sign * gone


def _direction(region: Region, axis: int, held: list[int], at_once: bool) -> Array | None:
    """The move (d,) that raises an axis by 1 while some factors are held; None if there is none."""
    named = len(region.coordinates.axes)
    direction = np.zeros(len(region.axes))
    direction[axis] = 1.0
    if axis >= named or not held:
        return direction
    factors = region.coordinates.inverse[:, axis].copy()
    factors[held] = 0.0
    straight = region.coordinates.matrix @ factors
    if straight[axis] > _NOTHING:
        direction[:named] = straight / straight[axis]
        return direction
    if not at_once:
        return None
    others = [i for i in range(named) if i != axis]
    rows = region.coordinates.inverse[held]
    change = np.linalg.lstsq(rows[:, others], -rows[:, axis], rcond=None)[0]
    direction[others] = change
    exact = np.allclose(rows @ direction[:named], 0.0, atol=1e-9)
    return direction if exact else None


def bounds_met(region: Region, position: Array) -> tuple[str, ...]:
    """The bounds that a position lies on, as a user reads them: `lr at its upper bound 10`."""
    coordinates, named = region.coordinates, len(region.coordinates.axes)
    factors = coordinates.inverse @ position[:named]
    upper, lower = region.pairs()
    low, high = -region.offsets[lower[:named]], region.offsets[upper[:named]]
    met = []
    for factor, at, least, largest in zip(coordinates.factors, factors, low, high, strict=True):
        for end in (least, largest):
            if least < largest and abs(at - end) < _NEAR:
                top = (end == largest) != factor.complement
                met.append(_sentence(factor.name, top, factor.value(math.exp(end))))
    # An axis that no box cuts ends where its factors do.
    implied = image_of_box(coordinates.matrix, low, high)
    for i, axis in enumerate(region.axes):
        for end, top in ((axis.low, False), (axis.high, True)):
            cut = i >= named or abs(end - implied[i][top]) > _NEAR
            if axis.kind != "categorical" and cut and axis.low < axis.high:
                value = math.exp(end) if axis.kind == "log" else end
                if abs(position[i] - end) < _NEAR:
                    met.append(_sentence(axis.name, top, value))
    return tuple(met)


def _sentence(name: str, top: bool, value: float) -> str:
    return f"{name} at its {'upper' if top else 'lower'} bound {value:.4g}"
