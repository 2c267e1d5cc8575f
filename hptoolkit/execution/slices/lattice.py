"""Two-dimensional slices: a lattice over two parameters around a point, the others held.

D. Page, "How to Train Your ResNet 5: Hyperparameters", shows the flat directions in such slices
over (λ, N), (λ, 1−ρ) and (λ, α): on logarithmic axes they are ridges at 45°.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution

from hptoolkit.coordinates import Coordinates
from hptoolkit.coordinates.monomial import Factor
from hptoolkit.errors import UserError, nearest
from hptoolkit.search_space.axis import numeric_range, rounded, to_value

# Slack for a value that arithmetic put just across the end of its range, relative.
_SLACK = 1e-9


@dataclass(frozen=True)
class Slice:
    """A lattice over two parameters, by factors along each.

    Attributes:
        names: The two raw parameters.
        centre: Raw values of the point in the middle; the other parameters keep theirs.
        levels: How many values of each; of an even number, one more lies above the centre.
        factor: Step along each logarithmic axis: λ, α, N, and 1−ρ for a momentum.
        repeats: How often each point is run, each time with another seed.
    """

    names: tuple[str, str]
    centre: dict[str, Any]
    levels: tuple[int, int]
    factor: float
    repeats: int


def factors(
    names: tuple[str, str], coordinates: Coordinates, search_space: Mapping[str, BaseDistribution]
) -> tuple[Factor, Factor]:
    """What is multiplied along each axis of a slice: the parameter, or one minus it.

    Raises UserError for a name that is not searched, or that has no logarithmic axis.
    """
    if names[0] == names[1]:
        raise UserError(f"--slice {names[0]},{names[1]}: two different parameters are needed.")
    known = {factor.name: factor for factor in coordinates.factors}
    both = []
    for name in names:
        if name not in search_space:
            raise UserError(
                f"--slice names {name!r}, which the study does not search: "
                f"{nearest(name, search_space)}."
            )
        factor = known.get(name) or _own_factor(name, search_space[name])
        numeric_range(factor, search_space[name])
        both.append(factor)
    return both[0], both[1]


def points(
    lattice: Slice, coordinates: Coordinates, search_space: Mapping[str, BaseDistribution]
) -> tuple[list[dict[str, Any]], list[str]]:
    """The lattice's points in the order in which to run them, and a note on what is left out.

    The coarse lattice of every second value comes first, then the rest; both from the centre
    outwards, so that a slice that is cut short shows the whole at half the resolution.

    Raises UserError if no more than one value of a parameter lies in its range.
    """
    axes = factors(lattice.names, coordinates, search_space)
    steps = [_offsets(levels) for levels in lattice.levels]
    values: list[dict[int, Any]] = []
    notes = []
    for factor, offsets in zip(axes, steps, strict=True):
        allowed, outside = _values(
            factor, lattice.centre[factor.name], offsets, lattice.factor, search_space[factor.name]
        )
        if len(allowed) < 2:
            raise UserError(
                f"The slice has {len(allowed)} value of {factor.name} within its range: take a "
                "smaller --factor, more --levels, or another centre by --at."
            )
        if outside:
            notes.append(
                f"{outside} of {len(offsets)} values of {factor} lie outside the range of "
                f"{factor.name} and are left out."
            )
        values.append(allowed)
    order = sorted(((i, j) for i in values[0] for j in values[1]), key=_when)
    first, second = lattice.names
    return [{**lattice.centre, first: values[0][i], second: values[1][j]} for i, j in order], notes


def _own_factor(name: str, distribution: BaseDistribution) -> Factor:
    if name.endswith("momentum"):
        return Factor(name, complement=True)
    if getattr(distribution, "log", False) or isinstance(distribution, CategoricalDistribution):
        return Factor(name)
    raise UserError(
        f"--slice takes parameters of a logarithmic axis, and {name!r} has none: give its range "
        "log = true, or name it in the coordinates."
    )


def _offsets(levels: int) -> range:
    return range(-((levels - 1) // 2), levels // 2 + 1)


def _values(
    factor: Factor, centre: Any, offsets: range, step: float, distribution: BaseDistribution
) -> tuple[dict[int, Any], int]:
    """The allowed values by their offset, and how many fall outside the range."""
    low, high = numeric_range(factor, distribution)
    allowed: dict[int, Any] = {}
    outside = 0
    for offset in sorted(offsets, key=abs):
        value = factor.value(rounded(factor.value(float(centre)) * step**offset))
        slack = _SLACK * max(abs(low), abs(high))
        if not low - slack <= value <= high + slack:
            outside += 1
            continue
        taken = to_value(distribution, rounded(value), factor)
        if taken not in allowed.values():  # rounding makes neighbours equal
            allowed[offset] = taken
    return dict(sorted(allowed.items())), outside


def _when(offsets: tuple[int, int]) -> tuple[Any, ...]:
    fine = any(offset % 2 for offset in offsets)
    return fine, max(map(abs, offsets)), sum(o * o for o in offsets), offsets
