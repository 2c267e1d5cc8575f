"""Axis-aligned coordinate descent: Page's search, automated."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.study import Study

from hptoolkit.coordinates import Coordinates
from hptoolkit.errors import UserError, nearest
from hptoolkit.samplers.base import CoordinateSampler
from hptoolkit.samplers.coordinate_descent.descent import Descent, Plan, replay, upcoming
from hptoolkit.samplers.coordinate_descent.forecast import forecast
from hptoolkit.samplers.coordinate_descent.lattice import Lattice, Point
from hptoolkit.samplers.coordinate_descent.slide import bounds_met
from hptoolkit.samplers.history import History
from hptoolkit.search_space.axis import Axis
from hptoolkit.search_space.region import Array, Region

LINE_SEARCHES = ("doubling", "accelerated")

# Coarse steps into which the range of a linear parameter is divided.
_LINEAR_STEPS = 8
# Refinements for a sampler that was told nothing and therefore does not end.
_ENDLESS = 20


@dataclass(frozen=True)
class Improvement:
    """A line search that improved, as a user reads it.

    Attributes:
        axis: The coordinate that was searched; None for the start.
        trial: Number of the first trial at the point reached: of one that did not fail, if any.
        trainings: How many points had been evaluated when the line search was over.
        params: Raw parameters of the point.
        value: The objective's value there, the mean of its repeats; infinite where all failed.
        held: The bounds that the point lies on: what kept the search from going further.
    """

    axis: str | None
    trial: int
    trainings: int
    params: dict[str, Any]
    value: float
    held: tuple[str, ...] = ()


class CoordinateDescentSampler(CoordinateSampler):
    """Line searches along the coordinates in turn, doubling or halving until it gets worse.

    With the axes λα/(1−ρ), 1−ρ and α this is the search of D. Page, "How to Train Your ResNet 5".
    A point is never evaluated twice. At a wall the search slides: a parameter that comes to its
    bound is held there while the others go on along the axis, and a line search that got better
    up to a wall looks at the border, too. A pruned trial counts as
    worse than what it was compared with; a crashed one is tried again, twice at most. The search
    ends when no axis brings anything any more.

    Args:
        coordinates, search_space, box, start, seed: See `CoordinateSampler`.
        factor: Step on a logarithmic axis, above 1; 2 doubles and halves.
        order: Axes in the order in which to search them; by default the coordinates' own order,
            then the other parameters.
        directions: First direction on an axis, "up" or "down"; "up" where none is given. Later
            searches begin in the direction that last improved.
        line_search: "doubling" steps by the factor until it gets worse, as Page did.
            "accelerated" doubles the step itself, then interpolates: on recorded tables of real
            runs it ends on the same points with a fifth fewer trainings, and from seven or more
            doublings off with a quarter to a half fewer (tests/test_line_search.py); close to the
            optimum the two take the same number. Hence the default.
        refine: How often the steps are refined to their root once the search stands still.
        minimum_improvement: A value counts as better only if it is better by more than this (in
            the objective's units); differences below it are taken for noise.
    """

    def __init__(
        self,
        coordinates: Coordinates | None = None,
        *,
        search_space: Mapping[str, BaseDistribution] | None = None,
        box: Mapping[str, tuple[float, float]] | None = None,
        start: Mapping[str, Any] | None = None,
        seed: int | None = None,
        factor: float = 2.0,
        order: Sequence[str] | None = None,
        directions: Mapping[str, str] | None = None,
        line_search: str = "accelerated",
        refine: int = 0,
        minimum_improvement: float = 0.0,
    ) -> None:
        super().__init__(coordinates, search_space=search_space, box=box, start=start, seed=seed)
        if not 1.0 < factor < math.inf:
            raise UserError(f"The step factor is {factor}: a number above 1 is needed, such as 2.")
        if not 0 <= refine <= _ENDLESS:
            raise UserError(
                f"refine is {refine}: a number of halvings from 0 to {_ENDLESS} is needed."
            )
        if not 0.0 <= minimum_improvement < math.inf:
            raise UserError(
                f"minimum_improvement is {minimum_improvement}: a number from 0 on is needed."
            )
        if repeated := [axis for axis, n in Counter(order or ()).items() if n > 1]:
            raise UserError(
                f"The order names {repeated[0]!r} more than once: leave out the others."
            )
        if line_search not in LINE_SEARCHES:
            raise UserError(
                f"Unknown line search {line_search!r}: {nearest(line_search, LINE_SEARCHES)}."
            )
        for axis, direction in (directions or {}).items():
            if direction not in ("up", "down"):
                raise UserError(f"The direction of {axis!r} is {direction!r}: 'up' or 'down'.")
        self.factor = factor
        self.order = tuple(order or ())
        self.directions = dict(directions or {})
        self.line_search = line_search
        self.refine = refine
        self.minimum_improvement = minimum_improvement
        self._made: tuple[Region, Descent, Lattice] | None = None
        if self._declared is not None:
            self._rules(self.region(self._declared))

    def propose(self, region: Region, history: History) -> Array | None:
        descent, lattice = self._descent(region)
        running = {o.key: o for o in history.observations if o.value is None}
        point = upcoming(
            descent,
            lattice,
            lambda p: history.outcome(lattice.key(p)),
            lambda p: lattice.key(p) in history.pending,
            lambda p: forecast(running[lattice.key(p)], history),
        )
        return None if point is None else lattice.position(point)

    def proposes(self, region: Region, history: History) -> bool:
        return self.propose(region, history) is not None

    def finished(self, region: Region, history: History) -> str | None:
        plan, lattice = self._plan(region, history)
        if plan.missing is not None:
            return None
        if plan.value == -np.inf:
            return "no trial succeeded, not even at the start"
        names = ", ".join(axis.name for axis in region.axes)
        step = self.factor ** (0.5**self.refine)
        reason = f"no step by a factor of {step:.3g} along {names} is better than the best point"
        best = plan.moves[-1].target if plan.moves else (0.0,) * len(region.axes)
        held = bounds_met(region, lattice.position(best))
        return f"{reason}, which lies with {' and '.join(held)}" if held else reason

    def improvements(self, study: Study) -> list[Improvement]:
        """The start and every line search that improved, so far: Page's table."""
        trials = study.get_trials(deepcopy=False)
        space = self._search_space(trials)
        if not space:
            return []
        region = self.region(space)
        history = History(trials, space, study.direction, len(trials))
        plan, lattice = self._plan(region, history)
        visited = {o.key: o for o in reversed([*history.observations, *history.failures])}

        def row(axis: str | None, point: Point, asked: int) -> Improvement:
            first = visited[lattice.key(point)]
            value = history.outcome(first.key)
            return Improvement(
                axis=axis,
                trial=first.trial.number,
                trainings=asked,
                params=first.params,
                value=history.sign * (value or 0.0),
                held=bounds_met(region, lattice.position(point)),
            )

        start: Point = (0.0,) * len(region.axes)
        if plan.missing == start:
            return []
        return [
            row(None, start, 1),
            *(
                row(region.axes[move.axis].name, move.target, trainings)
                for move, trainings in zip(plan.moves, plan.trainings, strict=True)
            ),
        ]

    def _refinements(self, region: Region) -> int:
        return self.refine if self.ends(region) else _ENDLESS

    def _plan(self, region: Region, history: History) -> tuple[Plan, Lattice]:
        descent, lattice = self._descent(region)
        return replay(descent, lattice, lambda p: history.outcome(lattice.key(p))), lattice

    def _descent(self, region: Region) -> tuple[Descent, Lattice]:
        if self._made is None or self._made[0] is not region:
            finest = 1 << self._refinements(region)
            steps = np.array([self._step(axis) / _strides(axis, finest) for axis in region.axes])
            lattice = Lattice(region, region.check_start(self.start), steps)
            self._made = (region, self._rules(region), lattice)
        return self._made[1:]

    def _rules(self, region: Region) -> Descent:
        names = [axis.name for axis in region.axes]
        for name in (*self.order, *self.directions):
            if name not in names:
                raise UserError(f"{name!r} is no axis of the search: {nearest(name, names)}.")
        rest = [name for name in names if name not in self.order]
        finest = 1 << self._refinements(region)
        return Descent(
            order=tuple(names.index(name) for name in (*self.order, *rest)),
            directions=tuple(-1 if self.directions.get(n) == "down" else 1 for n in names),
            strides=tuple(_strides(axis, finest) for axis in region.axes),
            refinements=self._refinements(region),
            minimum_improvement=self.minimum_improvement,
            accelerated=self.line_search == "accelerated",
        )

    def _step(self, axis: Axis) -> float:
        if axis.kind == "log":
            return float(np.log(self.factor))
        if axis.kind == "categorical":
            return 1.0
        step = (axis.high - axis.low) / _LINEAR_STEPS
        if axis.step:
            step = max(round(step / axis.step), 1) * axis.step
        return step or 1.0


def _strides(axis: Axis, finest: int) -> int:
    return 1 if axis.kind == "categorical" else finest
