"""Points at whole steps from a start: the places that grid and coordinate descent evaluate."""

from __future__ import annotations

import math

import numpy as np

from hptoolkit.samplers.history import Key, point_key
from hptoolkit.search_space.region import TOLERANCE, Array, Region

Point = tuple[int, ...]


class Lattice:
    """Points start + k·step in a region, k integer; what lies outside is a wall.

    What has been worked out is kept: a descent is replayed over the same points for every trial.

    Args:
        region: The region.
        start: Position of the point (0, …, 0).
        steps: Length of the finest step along each axis, in units of the position.
    """

    def __init__(self, region: Region, start: Array, steps: Array) -> None:
        self.region = region
        self._start = start
        self._steps = steps
        self._keys: dict[Point, Key] = {}
        self._neighbours: dict[tuple[Point, int, int], Point | None] = {}

    def position(self, point: Point) -> Array:
        """The position of a point."""
        return self._start + np.array(point, dtype=np.float64) * self._steps

    def key(self, point: Point) -> Key:
        """The key of the parameters at a point."""
        if point not in self._keys:
            params = self.region.decode(self.position(point))
            self._keys[point] = point_key(params, self.region.search_space)
        return self._keys[point]

    def neighbour(self, point: Point, axis: int, stride: int) -> Point | None:
        """The point `stride` steps along an axis; None if a wall is in the way.

        A step that rounding undoes is doubled.
        """
        question = (point, axis, stride)
        if question not in self._neighbours:
            self._neighbours[question] = self._step_from(point, axis, stride)
        return self._neighbours[question]

    def _step_from(self, point: Point, axis: int, stride: int) -> Point | None:
        while True:
            neighbour = self.moved(point, axis, stride)
            if not self.region.contains(self.position(neighbour)):
                return None
            if self.key(neighbour) != self.key(point):
                return neighbour
            stride *= 2

    def moved(self, point: Point, axis: int, by: int) -> Point:
        """The point `by` steps along an axis, whether a wall is in the way or not."""
        return (*point[:axis], point[axis] + by, *point[axis + 1 :])

    def extent(self, point: Point, axis: int, stride: int) -> tuple[int, int]:
        """How many strides one can go from a point along an axis: down (≤ 0) and up (≥ 0)."""
        position = self.position(point)
        low, high = self.region.interval(position, axis)
        length, slack = stride * self._steps[axis], TOLERANCE
        down = math.floor((position[axis] - low + slack) / length)
        up = math.floor((high - position[axis] + slack) / length)
        return -max(down, 0), max(up, 0)

    def others(self, point: Point, axis: int) -> list[Point]:
        """The points with the other choices of a categorical axis, in the choices' order."""
        low, high = self.region.low[axis], self.region.high[axis]
        first = round(self._start[axis])
        choices = (choice - first for choice in range(round(low), round(high) + 1))
        points = [(*point[:axis], choice, *point[axis + 1 :]) for choice in choices]
        return [other for other in points if other != point]
