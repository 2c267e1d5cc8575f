"""Points at whole steps from a start: the places that grid and coordinate descent evaluate."""

from __future__ import annotations

import math

import numpy as np

from hptoolkit.samplers.coordinate_descent.slide import slide
from hptoolkit.samplers.history import Key, point_key
from hptoolkit.search_space.region import TOLERANCE, Array, Region

# Steps from the start; whole numbers but where a wall is in the way.
Point = tuple[float, ...]

# The least part of a stride that is worth a step of its own, up to the border.
_PART = 0.5
# Differences between steps that arithmetic makes.
_SAME = 1e-9


class Lattice:
    """Points start + k·step in a region, k integer but at walls, along which steps slide.

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
        self._slid: dict[tuple[Point, int, int], Point] = {}
        self._extents: dict[tuple[Point, int, int], tuple[float, float]] = {}
        self._neighbours: dict[tuple[Point, int, int, bool], Point | None] = {}

    def position(self, point: Point) -> Array:
        """The position of a point."""
        return self._start + np.array(point, dtype=np.float64) * self._steps

    def key(self, point: Point) -> Key:
        """The key of the parameters at a point."""
        if point not in self._keys:
            params = self.region.decode(self.position(point))
            self._keys[point] = point_key(params, self.region.search_space)
        return self._keys[point]

    def neighbour(self, point: Point, axis: int, stride: int, border: bool = False) -> Point | None:
        """The point `stride` steps along an axis; None if a wall is in the way.

        A step that rounding undoes is doubled. One that would cross the border stops on it if
        `border` is set.
        """
        question = (point, axis, stride, border)
        if question not in self._neighbours:
            self._neighbours[question] = self._step_from(point, axis, stride, border)
        return self._neighbours[question]

    def _step_from(self, point: Point, axis: int, stride: int, border: bool) -> Point | None:
        while True:
            down, up = self.extent(point, axis, abs(stride), border)
            if not (up if stride > 0 else down):
                return None
            neighbour = self.moved(point, axis, stride)
            if self.key(neighbour) != self.key(point):
                return neighbour
            stride *= 2

    def moved(self, point: Point, axis: int, by: int) -> Point:
        """The point `by` steps along an axis, or as far as one can go, sliding along walls."""
        straight = (*point[:axis], point[axis] + by, *point[axis + 1 :])
        if self.region.contains(self.position(straight)):
            return straight
        question = (point, axis, by)
        if question not in self._slid:
            position = self.position(point)
            here, _ = slide(self.region, position, axis, by * float(self._steps[axis]))
            steps = (here - self._start) / self._steps
            whole = np.round(steps)
            self._slid[question] = tuple(
                np.where(np.abs(steps - whole) < _SAME, whole, steps).tolist()
            )
        return self._slid[question]

    def extent(self, point: Point, axis: int, stride: int, border: bool = False) -> tuple[int, int]:
        """How many strides one can go from a point along an axis: down (≤ 0) and up (≥ 0).

        With `border`, the last one may be a part of a stride, up to the border.
        """
        question = (point, axis, stride)
        if question not in self._extents:
            length = stride * float(self._steps[axis])
            position = self.position(point)
            down, up = (
                abs(slide(self.region, position, axis, sign * math.inf)[1]) / length
                for sign in (-1.0, 1.0)
            )
            self._extents[question] = (down, up)
        down, up = self._extents[question]
        least = _PART if border else 1.0 - TOLERANCE
        return -math.floor(down + 1.0 - least), math.floor(up + 1.0 - least)

    def others(self, point: Point, axis: int) -> list[Point]:
        """The points with the other choices of a categorical axis, in the choices' order."""
        low, high = self.region.low[axis], self.region.high[axis]
        first = round(self._start[axis])
        choices = (choice - first for choice in range(round(low), round(high) + 1))
        points = [(*point[:axis], choice, *point[axis + 1 :]) for choice in choices]
        return [other for other in points if other != point]
