"""A study as plain values, from which the figures are drawn."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution

from hptoolkit.coordinates import Coordinates
from hptoolkit.coordinates.monomial import Factor
from hptoolkit.search_space.axis import rounded


@dataclass(frozen=True)
class Run:
    """A trial that ran.

    Attributes:
        number: Its number in the study.
        state: "complete", "pruned", "diverged", "failed" or "running".
        params: Raw parameters.
        coordinates: Values by axis; empty where they are not defined.
        value: What it was judged by, None unless complete.
        seed: Of the training, where it is known.
        curve: (epoch, metric) after each epoch.
        epochs: Epochs that it trained.
        seconds: How long it took.
        reason: Why it was pruned, or that it is complete but at chance.
    """

    number: int
    state: str
    params: Mapping[str, Any]
    coordinates: Mapping[str, float]
    value: float | None
    seed: int | None = None
    curve: tuple[tuple[int, float], ...] = ()
    epochs: int = 0
    seconds: float | None = None
    reason: str = ""

    @property
    def point(self) -> tuple[str, ...]:
        """What tells one configuration from another; a choice may be a list, or NaN."""
        values = (value for _, value in sorted(self.params.items()))
        return tuple(repr(rounded(v) if isinstance(v, float) else v) for v in values)


@dataclass(frozen=True)
class Point:
    """A configuration that was judged, its repeats pooled.

    Attributes:
        runs: Its complete runs.
        value: Their mean.
    """

    runs: tuple[Run, ...]
    value: float

    @property
    def params(self) -> Mapping[str, Any]:
        return self.runs[0].params

    @property
    def coordinates(self) -> Mapping[str, float]:
        return self.runs[0].coordinates


@dataclass(frozen=True)
class Step:
    """A configuration that was the best when it was found; `along`: the axis searched, if one."""

    run: Run
    value: float
    along: str | None = None


@dataclass(frozen=True)
class StudyView:
    """A study as plain values.

    Attributes:
        name: The study's.
        metric: Name of what is judged; `maximize`: which way.
        space: Raw parameters' distributions.
        coordinates: Theory's coordinates over some of them; without axes where there are none.
        searched: Whether they are the axes that the study searched.
        runs: In order.
        steps: The start, and what improved on it.
        box: Bounds on coordinates.
        slice_of: The two parameters of a slice.
        by_option: Whether the ranges are a definition's, which --set changes.
        drawn: How many runs a figure draws at most.
    """

    name: str
    metric: str
    maximize: bool
    space: Mapping[str, BaseDistribution]
    coordinates: Coordinates
    searched: bool
    runs: tuple[Run, ...]
    steps: tuple[Step, ...] = ()
    box: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    slice_of: tuple[str, str] | None = None
    by_option: bool = False
    drawn: int = 400

    @cached_property
    def points(self) -> tuple[Point, ...]:
        """The configurations with a complete run, in order."""
        found: defaultdict[tuple[Any, ...], list[Run]] = defaultdict(list)
        for run in self.runs:
            if run.value is not None:
                found[run.point].append(run)
        return tuple(
            Point(tuple(runs), math.fsum(r.value for r in runs if r.value is not None) / len(runs))
            for runs in found.values()
        )

    @cached_property
    def best(self) -> Point | None:
        """The configuration with the best mean, the earliest of equals."""
        sign = 1.0 if self.maximize else -1.0
        return max(self.points, key=lambda p: sign * p.value, default=None)

    @property
    def scale(self) -> float:
        """What a value is multiplied by where it is shown: accuracies are shown in per cent."""
        return 100.0 if self.metric.endswith("accuracy") else 1.0

    @cached_property
    def factors(self) -> dict[str, Factor]:
        """The parameters that have a logarithmic axis, and what stands on it: 1−ρ for ρ."""
        known = {factor.name: factor for factor in self.coordinates.factors}
        for name, distribution in self.space.items():
            if name in known or isinstance(distribution, CategoricalDistribution):
                continue
            if getattr(distribution, "log", False):
                known[name] = Factor(name)
        return known

    @cached_property
    def factors_by_axis(self) -> dict[str, Factor]:
        """The same by what stands on the axis: `1-momentum`."""
        return {str(factor): factor for factor in self.factors.values()}

    def place(self, run: Run | Point, axis: str) -> float:
        """The value on an axis: a coordinate, a factor such as 1-momentum, or a parameter."""
        if axis in self.coordinates.axes and axis in run.coordinates:
            return float(run.coordinates[axis])
        if axis in self.factors_by_axis:
            factor = self.factors_by_axis[axis]
            return factor.value(float(run.params[factor.name]))
        return float(run.params[axis])

    def varies(self, axis: str) -> bool:
        """Whether the runs lie at more than one place of an axis."""
        places = {rounded(self.place(run, axis)) for run in self.runs}
        return len(places) > 1

    def to_draw(self) -> list[Run]:
        """The runs that a figure draws: all, or the steps, the best and some of the others."""
        if len(self.runs) <= self.drawn:
            return list(self.runs)
        sign = 1.0 if self.maximize else -1.0
        ranked = sorted(
            (r for r in self.runs if r.value is not None), key=lambda r: -sign * (r.value or 0.0)
        )
        chosen = {r.number for r in ranked[: self.drawn // 4]} | {s.run.number for s in self.steps}
        others = [r for r in self.runs if r.number not in chosen]
        even = np.linspace(0, len(others) - 1, max(self.drawn - len(chosen), 1)).astype(int)
        chosen |= {others[i].number for i in even} if others else set()
        return [r for r in self.runs if r.number in chosen]
