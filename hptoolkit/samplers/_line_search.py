"""Searches along one axis of a lattice, larger values being better.

Each is a generator that yields the points whose values it needs and returns what it found.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple, TypeVar

from hptoolkit.samplers._lattice import Lattice, Point

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
        while (candidate := lattice.neighbour(best, axis, signed)) is not None:
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


def try_each(lattice: Lattice, axis: int, x: Point, value: float, minimum: float) -> Search[Found]:
    """Try every other choice of a categorical axis and take the best."""
    best, reached = x, value
    for candidate in lattice.others(x, axis):
        found = yield candidate
        if found > reached + minimum:
            best, reached = candidate, found
    return Found(best, reached, 1, False)
