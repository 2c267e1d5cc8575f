"""The region searched: a box of raw parameters, cut with a box of coordinates.

A *position* z has one number an axis: the natural logarithm of a coordinate, constants in it apart
(and of a parameter that the coordinates do not name, if its distribution is logarithmic), the value
of a linear parameter, the index of a categorical choice. In the named coordinates the raw box is a
polytope,

    low ≤ A⁻¹ z ≤ high        (logarithms of the factors),

and so is its cut with bounds on coordinates. Nothing is clipped: what lies outside is outside.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution, FloatDistribution

from hptoolkit.coordinates import Coordinates
from hptoolkit.errors import UserError, nearest
from hptoolkit.search_space import chebyshev
from hptoolkit.search_space.axis import (
    Axis,
    check_in_range,
    from_axis,
    own_axis,
    rounded,
    to_axis,
    to_value,
)
from hptoolkit.search_space.bounds import check_bounds, cut_axes, factor_bounds, image_of_box

Array = npt.NDArray[np.float64]
SearchSpace = dict[str, BaseDistribution]

# Slack, in units of z, for a position that arithmetic put just across its border.
TOLERANCE = 1e-9


class Region:
    """The polytope of positions, and the way from positions to raw parameters and back.

    Args:
        coordinates: The axes; parameters that they do not name become axes of their own.
        search_space: Raw parameters' distributions.
        box: Bounds (low, high) on some of the axes, or on any other monomial of the parameters
            that the coordinates name, in its own units.

    Raises:
        UserError: A distribution cannot be laid on a logarithmic axis, coordinates need a
            parameter that the search space lacks, or the region is empty.
    """

    def __init__(
        self,
        coordinates: Coordinates,
        search_space: Mapping[str, BaseDistribution],
        box: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        self.search_space: SearchSpace = dict(search_space)
        missing = [name for name in coordinates.names if name not in search_space]
        if missing:
            raise lacking(coordinates, missing, search_space)
        if searched := [name for name in coordinates.constants if name in search_space]:
            raise UserError(
                f"{', '.join(searched)} is given as a constant of the coordinates, but the search "
                "space has it: leave out one of the two."
            )
        self.coordinates = coordinates
        own = [name for name in search_space if name not in self.coordinates.names]
        self._own = own
        low, high = factor_bounds(self.coordinates.factors, search_space)
        named = len(self.coordinates.axes)
        spans = image_of_box(self.coordinates.matrix, low, high)
        axes = [
            Axis(name, "log", *span, shift=float(shift))
            for name, span, shift in zip(
                self.coordinates.axes, spans, self.coordinates.shifts, strict=True
            )
        ] + [own_axis(name, search_space[name]) for name in own]
        names = [axis.name for axis in axes]
        on_axes = {name: ends for name, ends in (box or {}).items() if name in names}
        across = {name: ends for name, ends in (box or {}).items() if name not in names}
        self.axes: tuple[Axis, ...] = cut_axes(axes, on_axes)
        bounds = np.array([(axis.low, axis.high) for axis in self.axes]).reshape(-1, 2)
        rows = np.zeros((named, len(self.axes)))
        rows[:, :named] = self.coordinates.inverse
        cuts, least, largest = self._cuts(across, names)
        self.low, self.high = bounds[:, 0], bounds[:, 1]
        # The polytope as G z ≤ h: the factors' bounds, the axes' own, and those across axes.
        identity = np.eye(len(self.axes))
        self.inequalities: Array = np.vstack([rows, -rows, identity, -identity, cuts, -cuts])
        self.offsets: Array = np.concatenate([high, -low, self.high, -self.low, largest, -least])
        self._middle = self._find_middle(low, high)

    def contains(self, position: Array) -> bool:
        """Whether a position lies in the region, its border included."""
        return bool(np.all(self.inequalities @ position <= self.offsets + TOLERANCE))

    def pairs(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Rows of G that bound from above, and those that bound the same from below.

        Of the factors, then the axes, then the monomials that are no axes.
        """
        counts = len(self.coordinates.factors), len(self.axes), len(self._across)
        starts = np.cumsum([0, *(2 * n for n in counts)])
        upper = np.concatenate([s + np.arange(n) for s, n in zip(starts, counts, strict=False)])
        return upper, upper + np.repeat(counts, counts)

    def middle(self) -> Array:
        """The centre of the raw box if it is in the region, else the polytope's deepest point."""
        return self._middle.copy()

    def interval(self, position: Array, axis: int) -> tuple[float, float]:
        """The stretch (low, high) of an axis through a position that lies in the region."""
        slope = self.inequalities[:, axis]
        others = self.inequalities @ position - slope * position[axis]
        room = self.offsets - others
        low = np.max(room[slope < 0] / slope[slope < 0], initial=-math.inf)
        high = np.min(room[slope > 0] / slope[slope > 0], initial=math.inf)
        return float(low), float(high)

    def is_continuous(self, axis: int) -> bool:
        """Whether a step along an axis changes parameters of continuous range only."""
        named = len(self.coordinates.axes)
        if axis >= named:
            moved = [self._own[axis - named]]
        else:
            column = self.coordinates.inverse[:, axis]
            moved = [f.name for f, by in zip(self.coordinates.factors, column, strict=True) if by]
        distributions = [self.search_space[name] for name in moved]
        return all(isinstance(d, FloatDistribution) and d.step is None for d in distributions)

    def encode(self, params: Mapping[str, Any]) -> Array:
        """The position of raw parameters. Raises UserError where one has no place on its axis."""
        named = {name: float(params[name]) for name in self.coordinates.names}
        point = self.coordinates.from_raw(named)
        logs = np.log([point[axis] for axis in self.coordinates.axes])
        position = [float(z) for z in logs - self.coordinates.shifts]
        for name in self._own:
            position.append(to_axis(self.search_space[name], params[name]))
        return np.array(position, dtype=np.float64)

    def decode(self, position: Array) -> dict[str, Any]:
        """Raw parameters at a position: what their distributions allow, of plain Python types.

        Values are rounded to 12 significant digits, so that 0.256 reads 0.256; integers, steps and
        choices go to the nearest one. Recompute coordinates from the result, not from `position`.
        """
        factors = self.coordinates.factors
        logs = self.coordinates.inverse @ position[: len(factors)]
        params: dict[str, Any] = {}
        for factor, log in zip(factors, logs, strict=True):
            value = factor.value(rounded(math.exp(log)))
            params[factor.name] = to_value(self.search_space[factor.name], value, factor)
        for name, z in zip(self._own, position[len(factors) :], strict=True):
            params[name] = from_axis(self.search_space[name], float(z))
        return {name: params[name] for name in self.search_space}

    def describe(self, params: Mapping[str, Any]) -> dict[str, float]:
        """The coordinates of raw parameters that were evaluated, by axis."""
        return self.coordinates.from_raw({n: float(params[n]) for n in self.coordinates.names})

    def check_start(self, start: Mapping[str, Any]) -> Array:
        """The position of a start, given by all or some raw parameters; the rest from the middle.

        Raises UserError for an unknown name or a start outside the region.
        """
        for name in start:
            if name not in self.search_space:
                raise UserError(
                    f"The start names {name!r}, which the search space lacks: "
                    f"{nearest(name, self.search_space)}."
                )
        params = {**self.decode(self.middle()), **start}
        if not start:
            return self.encode(params)  # rounding may have moved the middle over a narrow border
        for name, value in start.items():
            check_in_range(name, value, self.search_space[name])
        position = self.encode(params)
        for axis, z in zip(self.axes, position, strict=True):
            if not axis.low - TOLERANCE <= z <= axis.high + TOLERANCE:
                there, low, high = (axis.value(place) for place in (z, axis.low, axis.high))
                raise UserError(
                    f"The start lies outside the region: {axis.name} is {there:.4g} there, "
                    f"allowed are {low:.4g} to {high:.4g}. Move the start or widen the region."
                )
        if not self.contains(position):
            raise UserError(
                f"The start lies outside the region: it breaks a bound of {', '.join(self._across)}"
                ". Move the start or widen the bound."
            )
        return position

    def _cuts(
        self, across: Mapping[str, tuple[float, float]], axes: list[str]
    ) -> tuple[Array, Array, Array]:
        """Rows of G and their lower and upper bounds, for bounds on monomials that are no axes."""
        self._across = list(across)
        factors = self.coordinates.factors
        rows, shifts = np.zeros((len(across), len(self.axes))), []
        for row, (name, (least, largest)) in zip(rows, across.items(), strict=True):
            exponents, shift = self.coordinates.reduce(name)
            shifts.append(shift)
            if any(factor not in factors for factor in exponents):
                raise UserError(
                    f"Bounds are given for {name!r}, which is no axis: {nearest(name, axes)}."
                )
            check_bounds(name, least, largest, logarithmic=True)
            powers = np.array([float(exponents.get(factor, 0)) for factor in factors])
            row[: len(factors)] = powers @ self.coordinates.inverse
        ends = np.log(np.array(list(across.values())).reshape(-1, 2))
        ends -= np.array(shifts).reshape(-1, 1)
        return rows, ends[:, 0], ends[:, 1]

    def _find_middle(self, low: Array, high: Array) -> Array:
        named = len(self.coordinates.axes)
        middle: Array = (self.low + self.high) / 2
        if named:
            middle[:named] = self.coordinates.matrix @ ((low + high) / 2)
        for i, axis in enumerate(self.axes):
            if axis.kind == "categorical":
                middle[i] = 0.0
        if self.contains(middle):
            return middle
        deepest = chebyshev.centre(self.inequalities, self.offsets)
        if deepest is None:
            raise UserError(
                "The region is empty: no point of the raw ranges lies within the bounds on the "
                "coordinates. Widen the ranges or the bounds."
            )
        return deepest


def lacking(
    coordinates: Coordinates, missing: Sequence[str], search_space: Iterable[str]
) -> UserError:
    """The error for a search space without some of the parameters that coordinates name."""
    present = ", ".join(search_space) or "no parameter"
    return UserError(
        f"The coordinates {', '.join(coordinates.axes)} need {', '.join(missing)}, which the "
        f"search space ({present}) lacks. Search it too, or leave it out of the coordinates."
    )
