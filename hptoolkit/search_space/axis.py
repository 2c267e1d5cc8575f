"""Axes, and the way from a value on an axis to one that a parameter's distribution allows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from hptoolkit.coordinates.monomial import Factor
from hptoolkit.errors import UserError


@dataclass(frozen=True)
class Axis:
    """One axis of the search: a coordinate, or a parameter that no coordinate names.

    `low` and `high` are positions; `step` is the spacing of the values a linear parameter can take,
    `shift` the logarithm of the constants in a coordinate, which positions leave out.
    """

    name: str
    kind: Literal["log", "linear", "categorical"]
    low: float
    high: float
    step: float | None = None
    shift: float = 0.0

    def value(self, position: float) -> float:
        """The coordinate or the parameter's value at a position."""
        return math.exp(position + self.shift) if self.kind == "log" else position


def own_axis(name: str, distribution: BaseDistribution) -> Axis:
    """The axis of a parameter that no coordinate names: logarithmic where its distribution is."""
    if isinstance(distribution, CategoricalDistribution):
        return Axis(name, "categorical", 0.0, float(len(distribution.choices) - 1), 1.0)
    if not isinstance(distribution, FloatDistribution | IntDistribution):
        raise UserError(f"The parameter {name!r} has the unknown distribution {distribution}.")
    if distribution.log:
        return Axis(name, "log", math.log(distribution.low), math.log(distribution.high))
    step = None if distribution.step is None else float(distribution.step)
    return Axis(name, "linear", float(distribution.low), float(distribution.high), step)


def numeric_range(factor: Factor, distribution: BaseDistribution) -> tuple[float, float]:
    """The least and largest value of a parameter that a coordinate names."""
    if isinstance(distribution, FloatDistribution | IntDistribution):
        return float(distribution.low), float(distribution.high)
    if isinstance(distribution, CategoricalDistribution) and all(
        isinstance(c, int | float) and not isinstance(c, bool) for c in distribution.choices
    ):
        values = [float(c) for c in distribution.choices if isinstance(c, int | float)]
        return min(values), max(values)
    raise UserError(
        f"The coordinates name {factor.name!r}, whose distribution {distribution} is not numeric: "
        "use suggest_float or suggest_int, or leave it out of the coordinates."
    )


def to_axis(distribution: BaseDistribution, value: Any) -> float:
    """The place of a value on its parameter's own axis."""
    if isinstance(distribution, CategoricalDistribution):
        index = choice_index(distribution, value)
        if index is None:
            raise ValueError(f"{value!r} is none of the choices {distribution.choices}.")
        return float(index)
    logarithmic = getattr(distribution, "log", False)
    return math.log(value) if logarithmic else float(value)


def choice_index(distribution: CategoricalDistribution, value: Any) -> int | None:
    """The place of a value among the choices; None if it is none of them.

    What was stored as JSON counts as what it was before: a list may have been a tuple.
    """
    try:
        return int(distribution.to_internal_repr(value))
    except (ValueError, TypeError):
        plain = _plain(value)
        return next((i for i, c in enumerate(distribution.choices) if _plain(c) == plain), None)


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def from_axis(distribution: BaseDistribution, z: float) -> Any:
    """The allowed value at a place on the parameter's own axis."""
    if isinstance(distribution, CategoricalDistribution):
        index = min(max(round(z), 0), len(distribution.choices) - 1)
        return distribution.choices[index]
    logarithmic = getattr(distribution, "log", False)
    return to_value(distribution, rounded(math.exp(z) if logarithmic else z))


def to_value(distribution: BaseDistribution, value: float, factor: Factor | None = None) -> Any:
    """The allowed value nearest to a numeric one, of a plain Python type.

    A choice is the nearest on the logarithmic axis of the `factor` that coordinates name.
    """
    if isinstance(distribution, CategoricalDistribution) and factor is not None:
        place = math.log(factor.value(value))
        return min(
            distribution.choices,
            key=lambda c: abs(math.log(factor.value(float(c))) - place),  # type: ignore[arg-type]
        )
    if isinstance(distribution, IntDistribution):
        step = 1 if distribution.log else distribution.step
        steps = round((value - distribution.low) / step)
        return int(min(max(distribution.low + steps * step, distribution.low), distribution.high))
    if isinstance(distribution, FloatDistribution):
        if distribution.step is not None:
            steps = round((value - distribution.low) / distribution.step)
            value = rounded(distribution.low + steps * distribution.step)
        return float(min(max(value, distribution.low), distribution.high))
    raise UserError(f"The distribution {distribution} is not numeric.")


def rounded(value: float) -> float:
    """A value to 12 significant digits, so that 0.256 reads 0.256 after its logarithm."""
    return float(f"{value:.12g}")


def random_value(
    distribution: BaseDistribution, rng: np.random.Generator, factor: Factor | None = None
) -> Any:
    """A value drawn uniformly on its axis: on that of `factor` where a coordinate names it."""
    if factor is not None:
        low, high = sorted(factor.value(end) for end in numeric_range(factor, distribution))
        if low > 0:
            drawn = math.exp(rng.uniform(math.log(low), math.log(high)))
            return to_value(distribution, factor.value(drawn), factor)
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[int(rng.integers(len(distribution.choices)))]
    axis = own_axis("", distribution)
    # Discrete values get a cell of equal width each, those at the ends too.
    half = (axis.step or 0.0) / 2
    return from_axis(distribution, float(rng.uniform(axis.low - half, axis.high + half)))


def check_in_range(name: str, value: Any, distribution: BaseDistribution) -> None:
    """Raises UserError unless a parameter may start at a value."""
    if isinstance(distribution, CategoricalDistribution):
        if choice_index(distribution, value) is not None:
            return
        allowed = f"one of {', '.join(map(str, distribution.choices))}"
    else:
        low, high = distribution.low, distribution.high  # type: ignore[attr-defined]
        number = isinstance(value, Real) and not isinstance(value, bool)
        if number and low <= value <= high:
            return
        allowed = f"a number from {low:g} to {high:g}"
    raise UserError(
        f"The start lies outside the region: {name} = {value!r} there, allowed is {allowed}. "
        "Move the start or widen the range."
    )
