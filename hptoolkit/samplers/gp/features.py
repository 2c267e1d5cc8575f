"""The GP's inputs: one column a raw parameter, and the linear map to the axes it sees.

Columns are the logarithms of the factors that the coordinates name, the place of a numeric
parameter of its own, and one indicator a choice of a categorical one. In columns the raw box is a
box, and a parameter that can take only some values is held by fixing its column alone. The
model's *features* are linear in the columns: the coordinates, with the first one's exponents free.
"""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from optuna.distributions import CategoricalDistribution, FloatDistribution

from hptoolkit.search_space.region import Array, Region

Kind = Literal["sensitive", "flat", "own"]


@dataclass(frozen=True)
class Layout:
    """How d features arise from c columns: features = columns · weightsᵀ, in units of the region.

    Attributes:
        weights: (d, c) map by theory: the coordinates' matrix over each axis's span.
        axis: (d,) index of each feature's axis; a categorical axis has one feature a choice.
        kinds: Of each axis, which decides its length-scale's prior.
        learned: Columns whose exponents in the first coordinate are fitted.
        anchor: The column whose exponent there is held; it fixes the coordinate's scale.
    """

    weights: Array
    axis: npt.NDArray[np.int64]
    kinds: tuple[Kind, ...]
    learned: tuple[int, ...]
    anchor: int


class Columns:
    """The way between positions in a region and columns, and the region in columns.

    Args:
        region: The region.
        learn: Whether the coordinates are a theory to be learned: the first one sensitive, the
            others nearly flat. If not, all axes are alike and stay as they are.

    Attributes:
        low, high: (c,) bounds of the columns.
        normals, offsets: Further bounds, normals · columns ≤ offsets, where a box of coordinates
            cuts the raw box; no rows otherwise.
        choices: Columns of each categorical axis.
        discrete: Columns of numeric parameters that can take only some values.
    """

    def __init__(self, region: Region, learn: bool = True) -> None:
        self.region = region
        named = self.named = len(region.coordinates.axes)
        bounds = region.offsets[: 2 * named]
        low, high = [-bounds[named:]], [bounds[:named]]
        self.discrete = [
            i
            for i, factor in enumerate(region.coordinates.factors)
            if not _is_continuous(region.search_space[factor.name])
        ]
        # Columns of each axis that is a parameter of its own.
        self._own: list[range] = []
        self.choices: list[range] = []
        first = named
        for axis in region.axes[named:]:
            distribution = region.search_space[axis.name]
            if isinstance(distribution, CategoricalDistribution):
                block = range(first, first + len(distribution.choices))
                self.choices.append(block)
                low.append(np.zeros(len(block)))
                high.append(np.ones(len(block)))
            else:
                block = range(first, first + 1)
                if not _is_continuous(distribution):
                    self.discrete.append(first)
                low.append(np.array([axis.low]))
                high.append(np.array([axis.high]))
            self._own.append(block)
            first = block.stop
        self.low, self.high = np.concatenate(low), np.concatenate(high)
        self.layout = self._layout(learn)
        self.normals, self.offsets = self._cuts()

    def encode(self, position: Array) -> Array:
        """The columns of a position."""
        columns = np.zeros(len(self.low))
        columns[: self.named] = self.region.coordinates.inverse @ position[: self.named]
        for block, z in zip(self._own, position[self.named :], strict=True):
            if block in self.choices:
                columns[block[round(z)]] = 1.0
            else:
                columns[block[0]] = z
        return columns

    def decode(self, columns: Array) -> Array:
        """The position of columns; of the choices the one with the largest indicator."""
        own = [
            float(np.argmax(columns[block])) if block in self.choices else columns[block[0]]
            for block in self._own
        ]
        return np.array([*(self.region.coordinates.matrix @ columns[: self.named]), *own])

    def interval(self, points: Array, column: int) -> tuple[Array, Array]:
        """The ends (n,), (n,) of the stretch of a column through points (n, c) of the region."""
        low = np.full(len(points), self.low[column])
        high = np.full(len(points), self.high[column])
        slopes = self.normals[:, column]
        room = self.offsets - points @ self.normals.T + points[:, [column]] * slopes
        for slope, bound in zip(slopes, room.T, strict=True):
            if slope > 0:
                high = np.minimum(high, bound / slope)
            elif slope < 0:
                low = np.maximum(low, bound / slope)
        return np.minimum(low, points[:, column]), np.maximum(high, points[:, column])

    def mix(self, a: Array, b: Array, shares: Array) -> Array:
        """Points (n, c) on the way from `a` to `b`, (n,) shares of it; choices jump half-way."""
        points = a + shares[:, None] * (b - a)
        for block in self.choices:
            points[:, block] = np.where(shares[:, None] > 0.5, b[:, block], a[:, block])
        return points

    def _layout(self, learn: bool) -> Layout:
        axes, coordinates, named = self.region.axes, self.region.coordinates, self.named
        spans = np.array([(axis.high - axis.low) or 1.0 for axis in axes])
        owners = [[i] * len(block) for i, block in enumerate(self._own, named)]
        axis = np.array([*range(named), *itertools.chain(*owners)], dtype=np.int64)
        scales = spans[axis]
        for block in self.choices:
            # Two choices lie one unit apart.
            scales[block] = math.sqrt(2.0)
        weights = np.diag(1.0 / scales)
        weights[:named, :named] = coordinates.matrix / spans[:named, None]
        kinds: list[Kind] = ["own" for _ in axes]
        if not (named and learn):
            return Layout(weights, axis, tuple(kinds), (), 0)
        kinds[0] = "sensitive"
        for i in range(1, named):
            kinds[i] = "flat"
        present = [i for i in range(named) if coordinates.matrix[0, i]]
        anchor = min(
            present, key=lambda i: _place(coordinates.factors[i].name, coordinates.axes[0])
        )
        learned = tuple(i for i in range(named) if i != anchor and self.high[i] > self.low[i])
        return Layout(weights, axis, tuple(kinds), learned, anchor)

    def _cuts(self) -> tuple[Array, Array]:
        """The region's bounds that are tighter than what the raw box implies."""
        named = self.named
        normals = self.region.inequalities[:, :named] @ self.region.coordinates.matrix
        low, high = self.low[:named], self.high[:named]
        largest = np.maximum(normals, 0.0) @ high + np.minimum(normals, 0.0) @ low
        offsets = self.region.offsets
        cuts = np.any(normals, axis=1) & (largest > offsets + 1e-9 * np.maximum(1.0, abs(offsets)))
        return np.pad(normals[cuts], ((0, 0), (0, len(self.low) - named))), offsets[cuts]


def _is_continuous(distribution: object) -> bool:
    return isinstance(distribution, FloatDistribution) and distribution.step is None


def _place(name: str, expression: str) -> int:
    found = re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", expression)
    return found.start() if found else len(expression)
