"""The GP's inputs: one column a raw parameter, and the linear map to the axes it sees.

Columns are the logarithms of the factors that the coordinates name, the place of a numeric
parameter of its own, and one indicator a choice of a categorical one. In columns the raw box is a
box, and a parameter that can take only some values is held by fixing its column alone. The
model's *features* are linear in the columns: the coordinates, with the first one's exponents free.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from optuna.distributions import FloatDistribution

from hptoolkit.region import Array, Region

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

    Attributes:
        low, high: (c,) bounds of the columns.
        normals, offsets: Further bounds, normals · columns ≤ offsets, where a box of coordinates
            cuts the raw box; without rows otherwise.
        choices: Columns of each categorical axis.
        discrete: Columns of numeric parameters that can take only some values.
    """

    def __init__(self, region: Region) -> None:
        self.region = region
        self.named = len(region.coordinates.axes)
        axes = region.axes
        spans = [(a.high - a.low) or 1.0 for a in axes]
        named, factors = self.named, region.coordinates.factors
        low: list[float] = list(-region.offsets[named : 2 * named])
        high: list[float] = list(region.offsets[:named])
        owner, scale = list(range(named)), spans[:named]
        self.choices: list[list[int]] = []
        self.discrete = [
            i for i, f in enumerate(factors) if not _is_continuous(region.search_space[f.name])
        ]
        for i, a in enumerate(axes[named:], named):
            count = int(a.high) + 1 if a.kind == "categorical" else 1
            columns = list(range(len(low), len(low) + count))
            if a.kind == "categorical":
                self.choices.append(columns)
                low, high = low + [0.0] * count, high + [1.0] * count
                # Two choices lie one unit apart.
                scale += [math.sqrt(2.0)] * count
            else:
                if not _is_continuous(region.search_space[a.name]):
                    self.discrete += columns
                low, high = [*low, a.low], [*high, a.high]
                scale.append(spans[i])
            owner += [i] * count
        self.low, self.high = np.array(low), np.array(high)
        self.layout = self._layout(np.array(scale), np.array(owner))
        self.normals, self.offsets = self._cuts()

    def encode(self, position: Array) -> Array:
        """The columns of a position."""
        columns = np.zeros(len(self.low))
        columns[: self.named] = self.region.coordinates.inverse @ position[: self.named]
        column = self.named
        for a, z in zip(self.region.axes[self.named :], position[self.named :], strict=True):
            if a.kind == "categorical":
                columns[column + round(z)] = 1.0
                column += int(a.high) + 1
            else:
                columns[column] = z
                column += 1
        return columns

    def decode(self, columns: Array) -> Array:
        """The position of columns; of the choices the one with the largest indicator."""
        position = list(self.region.coordinates.matrix @ columns[: self.named])
        column = self.named
        for a in self.region.axes[self.named :]:
            count = int(a.high) + 1 if a.kind == "categorical" else 1
            block = columns[column : column + count]
            position.append(float(np.argmax(block)) if a.kind == "categorical" else block[0])
            column += count
        return np.array(position, dtype=np.float64)

    def mix(self, a: Array, b: Array, shares: Array) -> Array:
        """Points (n, c) on the way from `a` to `b`, (n,) shares of it; choices jump half-way."""
        points = a + shares[:, None] * (b - a)
        for block in self.choices:
            points[:, block] = np.where(shares[:, None] > 0.5, b[:, block], a[:, block])
        return points

    def _layout(self, scale: Array, owner: npt.NDArray[np.int64]) -> Layout:
        coordinates = self.region.coordinates
        weights = np.diag(1.0 / scale)
        weights[: self.named, : self.named] = coordinates.matrix / scale[: self.named, None]
        kinds: list[Kind] = ["own" for _ in self.region.axes]
        if not self.named:
            return Layout(weights, owner, tuple(kinds), (), 0)
        present = [i for i in range(self.named) if coordinates.matrix[0, i]]
        anchor = min(
            present, key=lambda i: _place(coordinates.factors[i].name, coordinates.axes[0])
        )
        kinds[0] = "sensitive"
        for i in range(1, self.named):
            kinds[i] = "flat"
        learned = tuple(i for i in range(self.named) if i != anchor and self.high[i] > self.low[i])
        return Layout(weights, owner, tuple(kinds), learned, anchor)

    def _cuts(self) -> tuple[Array, Array]:
        """Bounds of the coordinates that are tighter than what the raw box implies."""
        matrix, axes = self.region.coordinates.matrix, self.region.axes[: self.named]
        low, high = self.low[: self.named], self.high[: self.named]
        normals, offsets = [], []
        for row, a in zip(matrix, axes, strict=True):
            for normal, offset in ((row, a.high), (-row, -a.low)):
                largest = np.maximum(normal, 0) @ high + np.minimum(normal, 0) @ low
                if largest > offset + 1e-12 * max(1.0, abs(offset)):
                    normals.append(np.pad(normal, (0, len(self.low) - self.named)))
                    offsets.append(offset)
        return np.array(normals).reshape(-1, len(self.low)), np.array(offsets)


def _is_continuous(distribution: object) -> bool:
    return isinstance(distribution, FloatDistribution) and distribution.step is None


def _place(name: str, expression: str) -> int:
    found = re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", expression)
    return found.start() if found else len(expression)
