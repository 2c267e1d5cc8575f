"""Searches along one axis of a lattice, larger values being better.

Each is a generator that yields the points whose values it needs and returns what it found.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import NamedTuple, TypeVar

from hptoolkit.samplers.coordinate_descent.lattice import Lattice, Point

# Strides between the ends of a bracket from which on its parabola is believed.
_NARROW = 6

_T = TypeVar("_T")
Search = Generator[Point, float, _T]


class Found(NamedTuple):
    """Where a line search ended.

    Attributes:
        point: The best point, the one begun with if none was better.
        value: Its value.
        direction: +1 or -1: the way that led there, or the way that was tried first.
        flat: No value met differed from the first by more than the noise.
    """

    point: Point
    value: float
    direction: int
    flat: bool


def double_or_halve(
    lattice: Lattice, axis: int, x: Point, value: float, stride: int, minimum: float
) -> Search[Found]:
    """Step until it gets worse; if the first step is worse, step the other way until it does.

    Page's line search: on a logarithmic axis with a factor of 2, doubling or halving.

    Args:
        lattice, axis, x, value: Where to search, and the value at x.
        stride: Steps of the lattice to go at a time; its sign is the direction tried first.
        minimum: Only a value larger by more than this is better: the noise.
    """
    flat = None
    for signed in (stride, -stride):
        best, reached = x, value
        # Only a search that came nearer to a wall step by step looks at the border, too.
        while (candidate := lattice.neighbour(best, axis, signed, border=best != x)) is not None:
            found = yield candidate
            if best == x:
                differs = not abs(found - value) <= minimum
                flat = not differs and flat is not False
            if not found > reached + minimum:
                break
            best, reached = candidate, found
        if best != x:
            return Found(best, reached, 1 if signed > 0 else -1, False)
    return Found(x, value, 1 if stride > 0 else -1, bool(flat))


def accelerated(
    lattice: Lattice, axis: int, x: Point, value: float, stride: int, minimum: float
) -> Search[Found]:
    """Double the step while it gets better, then interpolate inside the bracket so found.

    The best point then lies between two that are not better. The next one is where the parabola
    through the three is largest, until both neighbours at one stride are known to be no better:
    what `double_or_halve` finds, with a number of steps that grows with the logarithm of the
    distance. Where the bracket does not halve in two steps, the wider side of it is bisected.

    Arguments and result are those of `double_or_halve`; positions are even along the axis.
    """
    # Only a search that came nearer to a wall step by step looks at the border, too.
    whole = lattice.extent(x, axis, abs(stride))
    lowest, highest = lattice.extent(x, axis, abs(stride), border=True)
    values = {0: value}  # by the number of strides from x
    best, forwards = 0, 1 if stride > 0 else -1
    for sign in (forwards, -forwards):
        step = 1
        while True:
            low, high = (lowest, highest) if best in whole and best else whole
            offset = min(max(best + sign * step, low), high)
            if offset == best:
                break
            values[offset] = yield lattice.moved(x, axis, offset * abs(stride))
            if not values[offset] > values[best] + minimum:
                break
            best, step = offset, 2 * step
        if best:
            break
    if not best:
        flat = len(values) > 1 and all(abs(v - value) <= minimum for v in values.values())
        return Found(x, value, forwards, flat)

    widths: list[int] = []
    while True:
        left = max((k for k in values if k < best), default=lowest - 1)
        right = min((k for k in values if k > best), default=highest + 1)
        centre = _vertex(values, left, best, right)
        settled = right - left <= _NARROW and centre is not None and round(centre) == best
        if right - left == 2 or settled:
            return Found(lattice.moved(x, axis, best * abs(stride)), values[best], sign, False)
        widths.append(right - left)
        slow = len(widths) > 2 and widths[-1] > widths[-3] / 2
        offset = _bisect(left, best, right)
        if centre is not None and not slow:
            offset = _nearest_gap(centre, left, best, right)
        values[offset] = yield lattice.moved(x, axis, offset * abs(stride))
        if values[offset] > values[best] + minimum:
            best = offset


def _vertex(values: dict[int, float], left: int, best: int, right: int) -> float | None:
    """Where the parabola through three points is largest; None if one of them has no value."""
    below = values[best] - values.get(left, -math.inf)
    above = values[best] - values.get(right, -math.inf)
    if not math.isfinite(below + above):
        return None
    # Slopes on the two sides; the parabola is level where they balance.
    rise, fall = below / (best - left), above / (right - best)
    if rise + fall == 0:
        return None
    return (left + best) / 2 + (right - left) / 2 * rise / (rise + fall)


def _nearest_gap(centre: float, left: int, best: int, right: int) -> int:
    """The unknown place nearest to the centre."""
    gaps = [*range(left + 1, best), *range(best + 1, right)]
    nearest: int = min(gaps, key=lambda place: abs(place - centre))
    return nearest


def _bisect(left: int, best: int, right: int) -> int:
    """The middle of the wider gap."""
    if right - best > best - left:
        return (best + right) // 2
    return (left + best + 1) // 2


def try_each(lattice: Lattice, axis: int, x: Point, value: float, minimum: float) -> Search[Found]:
    """Try every other choice of a categorical axis and take the best."""
    best, reached = x, value
    for candidate in lattice.others(x, axis):
        found = yield candidate
        if found > reached + minimum:
            best, reached = candidate, found
    return Found(best, reached, 1, False)
