"""Which axes to show: the sensitive coordinate, and the raw parameter that stands for it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hptoolkit.reporting.figures.view import StudyView


@dataclass(frozen=True)
class Pair:
    """Two raw axes and the two coordinates that take their place.

    Attributes:
        name: The raw parameter of the second axis.
        raw: The sensitive parameter, λ, and the partner: `lr`, `1-momentum`.
        coordinates: The coordinate that holds λ, and the partner: `lr/(1-momentum)`, `1-momentum`.
        slope: The partner's exponent over λ's in the coordinate: −1 in λ/(1−ρ), 1 in λα. The
            ridge runs at −slope on logarithmic raw axes.
    """

    name: str
    raw: tuple[str, str]
    coordinates: tuple[str, str]
    slope: float


def anchor(view: StudyView) -> str | None:
    """The parameter of the first coordinate that carries it: `lr`; None without coordinates."""
    coordinates = view.coordinates
    if not coordinates.axes or np.count_nonzero(coordinates.matrix[0]) < 2:
        return None
    first = coordinates.axes[0]
    present = [
        factor for factor, by in zip(coordinates.factors, coordinates.matrix[0], strict=True) if by
    ]
    return min(present, key=lambda f: first.find(f.name)).name


def pairs(view: StudyView) -> list[Pair]:
    """λ with each parameter that its coordinate holds and that the runs vary, most varied first."""
    first = anchor(view)
    if first is None or not view.varies(str(view.factors[first])):
        return []
    coordinates = view.coordinates
    powers = dict(zip(coordinates.factors, coordinates.matrix[0], strict=True))
    lead = next(factor for factor in powers if factor.name == first)
    found = [
        Pair(
            factor.name,
            (str(lead), str(factor)),
            (coordinates.axes[0], str(factor)),
            float(power / powers[lead]),
        )
        for factor, power in powers.items()
        if power and factor != lead and view.varies(str(factor))
    ]
    return sorted(found, key=lambda pair: -_span(view, pair.raw[1]))


def _span(view: StudyView, axis: str) -> float:
    """How far the runs are spread along an axis; one that lies alone far out counts for little."""
    return float(np.std([math.log(view.place(run, axis)) for run in view.runs]))
