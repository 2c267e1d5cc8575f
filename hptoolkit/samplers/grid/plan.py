"""The points of a coarse-to-fine grid: a lattice in the region, then the cells around its best."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np

from hptoolkit.errors import UserError, nearest
from hptoolkit.samplers.history import Key, point_key
from hptoolkit.search_space.axis import Axis
from hptoolkit.search_space.region import TOLERANCE, Array, Region

Points = dict[Key, Array]  # positions by what tells them apart, in the order of evaluation

# By default: levels of the axes that are nearly flat, and bounds on those of the sensitive one.
_FLAT = 3
_SENSITIVE = (7, 25)
_LARGEST = 100_000
# Axes up to which a zoom evaluates all 3^k cells: 729. Beyond, moves along one axis or two.
_ALL_CELLS = 6


class GridPlan:
    """The lattice over a region, and finer ones around points of it.

    Args:
        region: The region.
        levels: Levels of some axes, over their whole range, both ends included; of a categorical
            axis all choices are taken. Of the others 3, and so many of the first one that its step
            is the finest.
        start: Position of a point that the lattice passes through and begins with.

    Raises:
        UserError: An axis is unknown, has no level, or the lattice has more than 100 000 points.
    """

    def __init__(
        self, region: Region, levels: int | Mapping[str, int] | None, start: Array | None
    ) -> None:
        self._region = region
        counts = _counts(region, levels)
        self._steps = np.array(
            [(a.high - a.low) / max(n - 1, 1) for a, n in zip(region.axes, counts, strict=True)]
        )
        self._zoomed = [
            i
            for i, a in enumerate(region.axes)
            if a.kind != "categorical" and self._steps[i] > 0 and counts[i] > 1
        ]
        self._cells: dict[tuple[Key, int], Points] = {}
        anchor = region.middle() if start is None else start
        values = [
            _values(a, n, None if start is None else float(start[i]))
            for i, (a, n) in enumerate(zip(region.axes, counts, strict=True))
        ]
        lattice = [np.array(z) for z in itertools.product(*values)]
        inside = [z for z in lattice if region.contains(z)]
        inside.sort(key=lambda z: self._distance(z - anchor))
        # Bounds may leave no point of the lattice inside: then its anchor is all there is.
        self.coarse = self._distinct(inside if inside and start is None else [anchor, *inside])

    def cells(self, key: Key, position: Array, zoom: int) -> Points:
        """The points around a position, a step of the `zoom`-th round away along some axes.

        On a logarithmic axis a step's factor is the root of the former round's.
        """
        if (key, zoom) not in self._cells:
            signs = _moves(len(self._zoomed))
            moves = np.zeros((len(signs), len(position)))
            moves[:, self._zoomed] = signs
            around = position + moves * self._steps / 2**zoom
            inside = [z for z in around if self._region.contains(z)]
            inside.sort(key=lambda z: self._distance(z - position))
            self._cells[key, zoom] = self._distinct(inside)
        return self._cells[key, zoom]

    def largest(self, zooms: int) -> int:
        """How many points there are at most with so many zooms."""
        return len(self.coarse) + zooms * (len(_moves(len(self._zoomed))) - 1)

    def _distance(self, move: Array) -> float:
        steps = self._steps[self._zoomed]
        return round(float(np.sum((move[self._zoomed] / steps) ** 2)), 6)

    def _distinct(self, positions: list[Array]) -> Points:
        points: Points = {}
        for position in positions:
            key = point_key(self._region.decode(position), self._region.search_space)
            points.setdefault(key, position)
        return points


def _moves(axes: int) -> Array:
    """The steps (n, axes) from a point to those around it, the point itself included."""
    if axes <= _ALL_CELLS:
        return np.array(list(itertools.product((0.0, -1.0, 1.0), repeat=axes))).reshape(
            3**axes, axes
        )
    moves = [np.zeros(axes)]
    for count in (1, 2):
        for along in itertools.combinations(range(axes), count):
            for signs in itertools.product((-1.0, 1.0), repeat=count):
                move = np.zeros(axes)
                move[list(along)] = signs
                moves.append(move)
    return np.array(moves)


def _values(axis: Axis, count: int, through: float | None) -> list[float]:
    """Levels of an axis; with `through` given, those a whole number of steps away from it."""
    if axis.kind == "categorical":
        return [float(i) for i in range(round(axis.low), round(axis.high) + 1)]
    if count == 1 or axis.high == axis.low:
        return [(axis.low + axis.high) / 2 if through is None else through]
    if through is None:
        return [float(z) for z in np.linspace(axis.low, axis.high, count)]
    step = (axis.high - axis.low) / (count - 1)
    first = math.ceil((axis.low - through - TOLERANCE) / step)
    last = math.floor((axis.high - through + TOLERANCE) / step)
    return [through + k * step for k in range(first, last + 1)]


def _counts(region: Region, levels: int | Mapping[str, int] | None) -> list[int]:
    names = [axis.name for axis in region.axes]
    given = dict.fromkeys(names, levels) if isinstance(levels, int) else dict(levels or {})
    for name, count in given.items():
        if name not in names:
            raise UserError(f"Levels are given for {name!r}: {nearest(name, names)}.")
        if count < 1:
            raise UserError(f"The axis {name!r} has {count} levels: 1 or more are needed.")
    counts = [given.get(a.name, _FLAT) for a in region.axes]
    counts = [
        round(a.high - a.low) + 1 if a.kind == "categorical" else n
        for a, n in zip(region.axes, counts, strict=True)
    ]
    if names and names[0] not in given and region.axes[0].kind != "categorical":
        counts[0] = _finest(region.axes, counts)
    if math.prod(counts) > _LARGEST:
        each = ", ".join(f"{name} {n}" for name, n in zip(names, counts, strict=True))
        raise UserError(
            f"The lattice has {math.prod(counts)} points before it is cut to the region ({each}), "
            f"allowed are {_LARGEST}: give fewer levels, or bounds to fewer axes."
        )
    return counts


def _finest(axes: tuple[Axis, ...], counts: list[int]) -> int:
    """Levels of the first axis so that no other logarithmic one has a finer step."""
    fewest, most = _SENSITIVE
    steps = [
        (a.high - a.low) / (n - 1)
        for a, n in zip(axes[1:], counts[1:], strict=True)
        if a.kind == axes[0].kind == "log" and a.high > a.low and n > 1
    ]
    wanted = (axes[0].high - axes[0].low) / min(steps) if steps else 0.0
    return min(max(math.ceil(wanted - TOLERANCE) + 1, fewest), most)
