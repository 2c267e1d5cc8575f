"""The best configuration of a study: that with the best mean, repeats of one configuration pooled.

The luckiest of many runs is better than its configuration; the mean of its repeats is not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from optuna.study import Study
from optuna.trial import TrialState

from hptoolkit.search_space.axis import rounded

Point = tuple[tuple[str, Any], ...]


def point_of(params: Mapping[str, Any]) -> Point:
    """What tells one configuration from another: raw values, to 12 significant digits."""
    return tuple((name, _shown(value)) for name, value in sorted(params.items()))


def _shown(value: Any) -> Any:
    # A choice may be a list, which has no hash, or NaN, which is not itself.
    return rounded(value) if isinstance(value, float) and math.isfinite(value) else repr(value)


@dataclass(frozen=True)
class Incumbent:
    """A configuration and its complete runs.

    Attributes:
        params: Raw parameters.
        numbers, values: The runs' numbers, in order, and what each came to.
    """

    params: dict[str, Any]
    numbers: tuple[int, ...]
    values: tuple[float, ...]

    @property
    def value(self) -> float:
        """The mean of its runs."""
        return math.fsum(self.values) / len(self.values)


class Standings:
    """The configurations of a study that were judged, run by run."""

    def __init__(self, *, maximize: bool) -> None:
        self._sign = 1.0 if maximize else -1.0
        self._points: dict[Point, Incumbent] = {}

    @classmethod
    def of(cls, study: Study) -> Self:
        """Those of a study's complete trials."""
        standings = cls(maximize=study.direction.name == "MAXIMIZE")
        for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
            standings.add(trial.number, trial.params, trial.value)
        return standings

    def add(self, number: int, params: Mapping[str, Any], value: float | None) -> Incumbent | None:
        """Count one more run; its configuration with it. None for a value that is not finite."""
        if value is None or not math.isfinite(value):
            return None
        point = point_of(params)
        known = self._points.get(point, Incumbent(dict(params), (), ()))
        runs = sorted([*zip(known.numbers, known.values, strict=True), (number, value)])
        numbers, values = zip(*runs, strict=True)
        self._points[point] = Incumbent(known.params, numbers, values)
        return self._points[point]

    def best(self) -> Incumbent | None:
        """The configuration with the best mean, the earliest of equals; None if there is none."""
        return max(
            self._points.values(), key=lambda i: (self._sign * i.value, -i.numbers[0]), default=None
        )


def incumbent(study: Study) -> Incumbent | None:
    """The best configuration of a study; None before a trial is complete."""
    return Standings.of(study).best()
