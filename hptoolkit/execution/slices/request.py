"""A request for a slice on the command line, and the lattice that it comes to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution

from hptoolkit.errors import UserError, nearest
from hptoolkit.execution.slices.lattice import Slice

LEVELS, FACTOR, REPEATS = (7, 7), 2.0, 1


@dataclass(frozen=True)
class SliceRequest:
    """A request for a slice; None where it leaves the choice to us.

    Attributes:
        names: Two raw parameters, comma-separated.
        levels: `7`, or `11,7` for each of the two.
        factor, repeats: See `Slice`.
        at: `name=value` of the centre.
    """

    names: str
    levels: str | None = None
    factor: float | None = None
    repeats: int | None = None
    at: tuple[str, ...] = ()


def pair(request: SliceRequest) -> tuple[str, str]:
    """The two parameters. Raises UserError for another number of them."""
    names = [name.strip() for name in request.names.split(",") if name.strip()]
    if len(names) != 2:
        raise UserError(
            f"--slice {request.names!r} names {len(names)} parameters: two, comma-separated, are "
            "needed, such as lr,momentum."
        )
    return names[0], names[1]


def new_slice(
    request: SliceRequest, best: Mapping[str, Any], space: Mapping[str, BaseDistribution]
) -> Slice:
    """A new lattice around a configuration, some of whose values --at replaces.

    Raises UserError for a value that is no number, lies outside the search space, or is missing.
    """
    centre = dict(best)
    for name, text in _assigned(request.at).items():
        if name not in space:
            raise UserError(
                f"--at names {name!r}, which the study does not search: {nearest(name, space)}."
            )
        centre[name] = _value(name, text, space[name])
    missing = [name for name in space if name not in centre]
    if missing:
        raise UserError(f"The slice's centre lacks {', '.join(missing)}: give it by --at.")
    factor = FACTOR if request.factor is None else request.factor
    if not 1.0 < factor < math.inf:
        raise UserError(f"--factor {factor:g}: a number above 1 is needed, such as 2.")
    return Slice(
        pair(request),
        {name: centre[name] for name in space},
        _levels(request.levels) if request.levels else LEVELS,
        factor,
        request.repeats or REPEATS,
    )


def continued_slice(request: SliceRequest, stored: Slice) -> Slice:
    """The stored lattice, repeated or enlarged as requested. Raises UserError for other changes."""
    for name, value in _assigned(request.at).items():
        if str(stored.centre.get(name)) != value and not _equal(stored.centre.get(name), value):
            raise UserError(
                f"The stored slice has {name} = {stored.centre.get(name)} at its centre, and --at "
                f"asks for {value}: use --fresh to begin another."
            )
    if request.factor not in (None, stored.factor):
        raise UserError(
            f"The stored slice steps by factors of {stored.factor:g}, and --factor asks for "
            f"{request.factor:g}: use --fresh to begin another."
        )
    levels = _levels(request.levels) if request.levels else stored.levels
    return Slice(
        stored.names, stored.centre, levels, stored.factor, request.repeats or stored.repeats
    )


def _levels(text: str) -> tuple[int, int]:
    parts = text.split(",")
    if len(parts) > 2 or not all(part.strip().isdecimal() and int(part) > 1 for part in parts):
        raise UserError(f"--levels {text!r}: a number above 1, or two as in 11,7, are needed.")
    return int(parts[0]), int(parts[-1])


def _equal(value: Any, text: str) -> bool:
    try:
        return float(value) == float(text)
    except (TypeError, ValueError):
        return False


def _assigned(assignments: Iterable[str]) -> dict[str, str]:
    pairs = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name.strip() or not text.strip():
            raise UserError(f"--at {assignment!r} is not NAME=VALUE, such as lr=0.5.")
        pairs[name.strip()] = text.strip()
    return pairs


def _value(name: str, text: str, distribution: BaseDistribution) -> Any:
    choices = getattr(distribution, "choices", None)
    if choices is not None:
        for choice in choices:
            if str(choice) == text:
                return choice
        raise UserError(f"--at {name}={text}: one of {', '.join(map(str, choices))} is needed.")
    low, high = distribution.low, distribution.high  # type: ignore[attr-defined]
    whole = type(low) is int
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = None
    if value is None or not low <= value <= high:
        kind = "whole number" if whole else "number"
        raise UserError(f"--at {name}={text}: a {kind} from {low:g} to {high:g} is needed.")
    return value
