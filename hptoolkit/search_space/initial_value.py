"""A parameter's value while the ranges of those suggested after it are not known yet."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution

from hptoolkit.coordinates import Coordinates
from hptoolkit.coordinates.monomial import Factor, evaluate, parse
from hptoolkit.errors import UserError
from hptoolkit.search_space.axis import (
    from_axis,
    numeric_range,
    own_axis,
    random_value,
    rounded,
    to_axis,
    to_value,
)

# Random values that are tried before the interval's middle is taken.
_PATIENCE = 64


def initial_value(
    name: str,
    distribution: BaseDistribution,
    coordinates: Coordinates,
    box: Mapping[str, tuple[float, float]],
    known: Mapping[str, Any],
    rng: np.random.Generator | None = None,
) -> Any:
    """The middle of a parameter's axis, moved into the box as far as it is known where that lies.

    A bound on a product of parameters binds the last of them to be known. Where the others leave
    it no room, it goes as near to the bound as its range lets it.

    Args:
        name, distribution: Of the parameter.
        coordinates: Decide on which axis the middle is: a factor's, or the parameter's own.
        box: Bounds on axes and on other products of parameters.
        known: Values of parameters suggested before, and of those that a start gives.
        rng: Draws the value instead, uniformly on the axis.
    """
    if isinstance(distribution, CategoricalDistribution) and name not in coordinates.names:
        return random_value(distribution, rng) if rng else distribution.choices[0]
    factor = next((f for f in coordinates.factors if f.name == name), None)
    low, high = _ends(name, distribution, factor)
    least, largest = low, high
    for bound in _bounds(name, distribution, factor, box, known):
        least, largest = max(least, bound[0]), min(largest, bound[1])
    if least > largest:
        # Past its range, or past another bound: the last one to be met counts.
        nearest = min(max(least if least > high else largest, low), high)
        least = largest = nearest

    def inside(value: Any) -> bool:
        slack = 1e-9
        return least - slack <= _place(distribution, factor, value) <= largest + slack

    drawn = (random_value(distribution, rng, factor) for _ in range(_PATIENCE)) if rng else ()
    middles = ((low + high) / 2, (least + largest) / 2, least, largest)
    candidates = [*_first(drawn, inside), *(_value(distribution, factor, m) for m in middles)]
    return next((value for value in candidates if inside(value)), candidates[-1])


def _first(values: Iterable[Any], accepts: Callable[[Any], bool]) -> list[Any]:
    return next(([value] for value in values if accepts(value)), [])


def _ends(name: str, distribution: BaseDistribution, factor: Factor | None) -> tuple[float, float]:
    """The ends of the axis: of the factor's logarithm, or the parameter's own."""
    if factor is None:
        axis = own_axis(name, distribution)
        return axis.low, axis.high
    low, high = sorted(factor.value(end) for end in numeric_range(factor, distribution))
    # A region without a logarithm is refused as soon as it is built.
    return math.log(max(low, 1e-300)), math.log(max(high, 1e-300))


def _place(distribution: BaseDistribution, factor: Factor | None, value: Any) -> float:
    if factor is None:
        return to_axis(distribution, value)
    return math.log(max(factor.value(float(value)), 1e-300))


def _value(distribution: BaseDistribution, factor: Factor | None, place: float) -> Any:
    if factor is None:
        return from_axis(distribution, place)
    return to_value(distribution, factor.value(rounded(math.exp(place))), factor)


def _bounds(
    name: str,
    distribution: BaseDistribution,
    factor: Factor | None,
    box: Mapping[str, tuple[float, float]],
    known: Mapping[str, Any],
) -> Iterable[tuple[float, float]]:
    """Intervals of the axis that bounds leave once every other parameter in them is known."""
    for expression, (least, largest) in box.items():
        if factor is None:
            if expression == name:
                ends = least, largest
                if getattr(distribution, "log", False):
                    ends = math.log(least), math.log(largest)
                yield ends
            continue
        try:
            exponents = parse(expression)
        except UserError:
            continue  # the name of an axis that is no monomial
        power = float(exponents.pop(factor, 0))
        if not power or any(f.name not in known for f in exponents):
            continue
        others = evaluate(exponents, {f: f.value(float(known[f.name])) for f in exponents})
        room = sorted(math.log(end / others) / power for end in (least, largest))
        yield room[0], room[1]
