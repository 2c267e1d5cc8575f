"""The bounds of axes: what a box of raw parameters comes to, and its cut with a box of axes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution

from hptoolkit.coordinates.monomial import Factor
from hptoolkit.errors import UserError
from hptoolkit.search_space.axis import Axis, numeric_range

Array = npt.NDArray[np.float64]


def factor_bounds(
    factors: tuple[Factor, ...], search_space: Mapping[str, BaseDistribution]
) -> tuple[Array, Array]:
    """Logarithms of each factor's least and largest value."""
    bounds = []
    for factor in factors:
        least, largest = numeric_range(factor, search_space[factor.name])
        ends = sorted((factor.value(least), factor.value(largest)))
        if ends[0] <= 0:
            remedy = "end below 1" if factor.complement else "start above 0"
            raise UserError(
                f"The parameter {factor.name!r} ranges from {least:g} to {largest:g}, so that "
                f"'{factor}' reaches {ends[0]:g}, which has no place on a logarithmic axis: let "
                f"its range {remedy}."
            )
        bounds.append((math.log(ends[0]), math.log(ends[1])))
    array = np.array(bounds, dtype=np.float64).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def image_of_box(matrix: Array, low: Array, high: Array) -> list[tuple[float, float]]:
    """The least and largest value of each row of `matrix` over the box (interval arithmetic)."""
    positive, negative = np.maximum(matrix, 0), np.minimum(matrix, 0)
    least, largest = positive @ low + negative @ high, positive @ high + negative @ low
    return [(float(a), float(b)) for a, b in zip(least, largest, strict=True)]


def cut_axes(axes: list[Axis], box: Mapping[str, tuple[float, float]]) -> tuple[Axis, ...]:
    """The axes with their bounds narrowed to those of the box."""
    cut = []
    for axis in axes:
        if axis.name in box:
            least, largest = box[axis.name]
            check_bounds(axis.name, least, largest, logarithmic=axis.kind == "log")
            ends = (least, largest)
            if axis.kind == "log":
                ends = (math.log(least) - axis.shift, math.log(largest) - axis.shift)
            low, high = max(axis.low, ends[0]), min(axis.high, ends[1])
            if low > high:
                raise UserError(
                    f"The region is empty: the bounds ({least:g}, {largest:g}) of {axis.name!r} do "
                    "not meet the raw ranges. Widen one of them."
                )
            axis = replace(axis, low=low, high=high)
        cut.append(axis)
    return tuple(cut)


def check_bounds(name: str, least: float, largest: float, *, logarithmic: bool) -> None:
    """Raises UserError unless they rise, and have a place on a logarithmic axis if it is one."""
    if not least <= largest or (logarithmic and least <= 0):
        raise UserError(
            f"The bounds of {name!r} are ({least:g}, {largest:g}): two values in rising order are "
            "needed, above 0 on a logarithmic axis."
        )
