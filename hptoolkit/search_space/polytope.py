"""Uniform points of a region: a parallelepiped around it, of which what lies outside is rejected.

The k named axes of a region lie between pairs of parallel planes: the bounds of k factors, those
of k coordinates, and perhaps of other monomials. Any k independent pairs make a parallelepiped
around the region; once linear programming has drawn each pair tight, the smallest one is little
larger than the region, also where that is a thin slice or a cut-off corner, and a pair without
width costs nothing.

A parameter that takes only some values is drawn from their cells: the ends reach half a cell
further, the value is rounded, and kept if the rounded point lies in the region.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution

from hptoolkit.coordinates.monomial import Factor
from hptoolkit.errors import UserError
from hptoolkit.search_space.axis import numeric_range
from hptoolkit.search_space.linear_program import minimum
from hptoolkit.search_space.region import TOLERANCE, Array, Region

# Along the axes, points are spread more evenly over each; worth this many rejections for one.
_WORTH = 100.0
# Slack, relative to the bounds, with which a region without width is not empty: a solver's own.
_THIN = 1e-6


class Proposals:
    """The way from uniform points of the unit cube to uniform points of a region.

    Args:
        region: The region, of d axes.
        along_axes: Keep the cube's edges along the axes, unless that rejects far more points.
    """

    def __init__(self, region: Region, along_axes: bool = False) -> None:
        self._region = region
        named, d = len(region.coordinates.axes), len(region.axes)
        ends, shifts = _cells(region)
        self._rounds = bool(np.any(shifts > 0))
        self._offsets = region.offsets + _room(region, ends, shifts) + TOLERANCE

        self._corner, self._edges = np.zeros(d), np.zeros((d, d))
        own = slice(named, d)
        self._corner[own] = region.low[own] - ends[own, 0]
        self._edges[own, own] = np.diag(region.high[own] - region.low[own] + ends[own].sum(axis=1))
        if named:
            upper, _ = region.pairs()
            slabs = region.inequalities[[*upper[:named], *upper[named + d :]], :named]
            about = ~np.any(region.inequalities[:, named:], axis=1)
            corner, edges = _parallelepiped(
                np.vstack([slabs, np.eye(named)]),
                region.inequalities[about, :named],
                self._offsets[about],
                along_axes,
            )
            self._corner[:named], self._edges[:named, :named] = corner, edges

    def accepted(self, unit: Array) -> Iterator[Array]:
        """The positions (d,) in the region for points (n, d) of the unit cube, in their order."""
        positions = self._corner + unit @ self._edges.T
        inside = np.all(positions @ self._region.inequalities.T <= self._offsets, axis=1)
        for position in positions[inside]:
            if self._rounds:
                position = self._region.encode(self._region.decode(position))
                if not self._region.contains(position):
                    continue
            yield position


def bounding_box(region: Region) -> Array:
    """The least and largest value (d, 2) of each axis in the region."""
    box = np.column_stack([region.low, region.high])
    named = len(region.coordinates.axes)
    for i, row in enumerate(np.eye(len(region.axes))[:named]):
        least, largest = _range(row, region.inequalities, region.offsets)
        box[i] = max(box[i, 0], least), min(box[i, 1], largest)
    return box


def project(region: Region, position: Array) -> Array:
    """The point of the region nearest to a position, in units of the axes' lengths.

    Least distance programming by non-negative least squares: C. Lawson, R. Hanson, Solving Least
    Squares Problems, 1974, chapter 23.
    """
    from scipy.optimize import nnls

    lengths = np.where(region.high > region.low, region.high - region.low, 1.0)
    # The least move u with  −G·L u ≥ G z − h.
    sides = -region.inequalities * lengths
    excess = region.inequalities @ position - region.offsets
    target = np.zeros(len(position) + 1)
    target[-1] = 1.0
    system = np.vstack([sides.T, excess])
    residual = system @ nnls(system, target)[0] - target
    move: Array = -lengths * residual[:-1] / residual[-1]
    return position + move


def _parallelepiped(
    slabs: Array, inequalities: Array, offsets: Array, along_axes: bool
) -> tuple[Array, Array]:
    """Corner (k,) and edges (k, k) of a parallelepiped of k slabs, drawn tight.

    The slabs (n, k) end with the k axes.
    """
    k = slabs.shape[1]
    bounds = np.array([_range(row, inequalities, offsets) for row in slabs])
    widths = bounds[:, 1] - bounds[:, 0]
    choices = np.array(list(itertools.combinations(range(len(slabs)), k)))
    with np.errstate(divide="ignore"):
        sizes = np.sum(np.log(np.maximum(widths, 1e-12))[choices], axis=1) - np.log(
            np.abs(np.linalg.det(slabs[choices]))
        )
    chosen = choices[np.argmin(sizes)]
    if along_axes and sizes[-1] <= np.min(sizes) + math.log(_WORTH):
        chosen = choices[-1]
    inverse = np.linalg.inv(slabs[chosen])
    return inverse @ bounds[chosen, 0], inverse * widths[chosen]


def _range(row: Array, inequalities: Array, offsets: Array) -> tuple[float, float]:
    """The least and largest row · z over the polytope inequalities · z ≤ offsets."""
    ends = []
    for sign in (1.0, -1.0):
        solution = minimum(sign * row, inequalities, offsets)
        if solution is None:
            # It holds a point, but is so thin that it passes for empty.
            solution = minimum(sign * row, inequalities, offsets + _THIN * (1.0 + abs(offsets)))
        if solution is None:
            raise UserError("The region is empty within rounding: widen the ranges or the bounds.")
        ends.append(float(row @ solution))
    return ends[0], max(ends)


def _room(region: Region, ends: Array, shifts: Array) -> Array:
    """By how much each of the region's inequalities is widened before values are rounded.

    A factor's bounds by half a cell; the others by the most that rounding can move them, as they
    are judged afterwards.
    """
    named = len(region.coordinates.axes)
    upper, lower = region.pairs()
    # The rows in terms of what is rounded: the factors, and the axes of other parameters.
    rows = region.inequalities[upper].copy()
    rows[:, :named] = rows[:, :named] @ region.coordinates.matrix
    room = np.zeros(len(region.offsets))
    room[upper] = room[lower] = np.abs(rows) @ shifts
    room[upper[:named]], room[lower[:named]] = ends[:named, 1], ends[:named, 0]
    return room


def _cells(region: Region) -> tuple[Array, Array]:
    """Half cells of the values at the two ends (d, 2), and the farthest that rounding goes (d,).

    Of the factors first, in logarithms, then of the other axes; 0 for continuous parameters.
    """
    halves = []
    for factor in region.coordinates.factors:
        halves.append(_half_cells(factor, region.search_space[factor.name]))
    for axis in region.axes[len(halves) :]:
        distribution = region.search_space[axis.name]
        if axis.kind == "log":
            halves.append(_half_cells(Factor(axis.name), distribution))
        else:
            halves.append([(axis.step or 0.0) / 2])
    ends = np.array([(half[0], half[-1]) for half in halves], dtype=np.float64)
    return ends.reshape(-1, 2), np.array([max(half) for half in halves])


def _half_cells(factor: Factor, distribution: BaseDistribution) -> list[float]:
    """Half the cells, in the factor's logarithm, from its least value to its largest.

    Of evenly spaced values those at the ends are enough: the largest cell is one of them.
    """
    if isinstance(distribution, CategoricalDistribution):
        logs = sorted(math.log(factor.value(float(c))) for c in distribution.choices)  # type: ignore[arg-type]
        return [(b - a) / 2 for a, b in itertools.pairwise(logs)] or [0.0]
    low, high = numeric_range(factor, distribution)
    step = getattr(distribution, "step", None)
    if step is None or low == high:
        return [0.0]
    halves = [
        abs(math.log(factor.value(end + half) / factor.value(end)))
        for end, half in ((low, step / 2), (high, -step / 2))
    ]
    return halves[::-1] if factor.complement else halves
