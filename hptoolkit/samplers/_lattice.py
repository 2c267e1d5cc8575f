"""Points at whole steps from a start: the places that grid and coordinate descent evaluate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hptoolkit.region import Array, Region
from hptoolkit.samplers._history import Key

Point = tuple[int, ...]


class Lattice:
    """Points start + k·step in a region, k integer; what lies outside is a wall.

    Args:
        region: The region.
        start: Position of the point (0, …, 0).
        steps: Length of the finest step along each axis, in units of the position.
        key: What tells evaluated parameters apart; a step that rounding undoes is doubled.
    """

    def __init__(
        self, region: Region, start: Array, steps: Array, key: Callable[[dict[str, Any]], Key]
    ) -> None:
        self.region = region
        self._start = start
        self._steps = steps
        self._key = key
        self._keys: dict[Point, Key] = {}

    def position(self, point: Point) -> Array:
        """The position of a point."""
        return self._start + np.array(point, dtype=np.float64) * self._steps

    def key(self, point: Point) -> Key:
        """The key of the parameters at a point."""
        if point not in self._keys:
            self._keys[point] = self._key(self.region.decode(self.position(point)))
        return self._keys[point]

    def neighbour(self, point: Point, axis: int, stride: int) -> Point | None:
        """The point `stride` steps along an axis; None if a wall is in the way."""
        while True:
            neighbour = (*point[:axis], point[axis] + stride, *point[axis + 1 :])
            if not self.region.contains(self.position(neighbour)):
                return None
            if self.key(neighbour) != self.key(point):
                return neighbour
            stride *= 2

    def others(self, point: Point, axis: int) -> list[Point]:
        """The points with the other choices of a categorical axis, in the choices' order."""
        low, high = self.region.low[axis], self.region.high[axis]
        first = round(self._start[axis])
        choices = (choice - first for choice in range(round(low), round(high) + 1))
        points = [(*point[:axis], choice, *point[axis + 1 :]) for choice in choices]
        return [other for other in points if other != point]
