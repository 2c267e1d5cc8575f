"""Coordinate descent on a lattice, as plain sequential code.

The search is a generator: it yields a point whose value it needs next and is sent that value. To
resume, replay it: known values are sent at once, and the first unknown point is the one to
evaluate. To keep several workers busy, replay it under guesses about the points that still run.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from hptoolkit.samplers.coordinate_descent.lattice import Lattice, Point
from hptoolkit.samplers.coordinate_descent.line_search import (
    Found,
    Search,
    accelerated,
    double_or_halve,
    try_each,
)

# Guesses about unknown points that are followed before no further point is looked for.
_MAX_GUESSES = 1000
# How often a point does as the one before it, and as its reports so far make expect.
_PERSISTENCE = 0.6
_TRUST = 0.85


@dataclass(frozen=True)
class Move:
    """A line search that improved: along which axis, from where to where, and the value there."""

    axis: int
    source: Point
    target: Point
    value: float


@dataclass(frozen=True)
class Descent:
    """The rules of a descent.

    Attributes:
        order: Axes in the order in which they are searched.
        directions: First direction on each axis (+1 or -1), until a search succeeds on it.
        strides: Steps of the lattice in a coarse step along each axis.
        refinements: How often the steps are halved (on a logarithmic axis: the factor's root
            taken) once the search stands still.
        minimum_improvement: A value counts as better only if it exceeds by more than this.
        accelerated: Whether steps grow along an axis whose values are not rounded.
    """

    order: tuple[int, ...]
    directions: tuple[int, ...]
    strides: tuple[int, ...]
    refinements: int = 0
    minimum_improvement: float = 0.0
    accelerated: bool = True

    def search(self, lattice: Lattice, moves: list[Move]) -> Search[None]:
        """Line searches along the axes in turn until none of them brings anything.

        An axis on which neither direction differs by more than the noise is flat: it is left
        alone until the others rest, and then looked at once more. Appends to `moves`.
        """
        x: Point = (0,) * len(self.strides)
        value = yield x
        directions = list(self.directions)
        for level in range(self.refinements + 1):
            rested: set[int] = set()
            flat: set[int] = set()
            last_look = False
            for axis in _cycle(self.order):
                if rested >= set(self.order):
                    break
                if rested | flat >= set(self.order):
                    last_look, flat = True, set()
                if axis in rested | flat:
                    continue
                found = yield from self._line(lattice, axis, level, x, value, directions[axis])
                if found.point != x:
                    moves.append(Move(axis, x, found.point, found.value))
                    x, value, directions[axis] = found.point, found.value, found.direction
                    rested, last_look = {axis}, False
                elif found.flat and not last_look:
                    flat.add(axis)
                else:
                    rested.add(axis)

    def _line(
        self, lattice: Lattice, axis: int, level: int, x: Point, value: float, direction: int
    ) -> Search[Found]:
        if lattice.region.axes[axis].kind == "categorical":
            return try_each(lattice, axis, x, value, self.minimum_improvement)
        stride = direction * max(self.strides[axis] >> level, 1)
        grows = self.accelerated and lattice.region.is_continuous(axis)
        line_search = accelerated if grows else double_or_halve
        return line_search(lattice, axis, x, value, stride, self.minimum_improvement)


@dataclass
class Plan:
    """Where a descent stands, given what is known.

    Attributes:
        moves: The line searches that improved, in order.
        trainings: For each of them, how many points had been asked for when it was over.
        missing: The point whose value is needed next; None when the descent has ended.
        value: The best value sent so far.
        improved: Whether the last value sent was the best.
    """

    moves: list[Move] = field(default_factory=list)
    trainings: list[int] = field(default_factory=list)
    missing: Point | None = None
    value: float = -math.inf
    improved: bool = False


def replay(descent: Descent, lattice: Lattice, outcome: Callable[[Point], float | None]) -> Plan:
    """Follow a descent as far as the outcomes of its points are known."""
    plan = Plan()
    search = descent.search(lattice, plan.moves)
    point: Point | None = next(search)
    asked = set()
    while point is not None:
        value = outcome(point)
        if value is None:
            plan.missing = point
            return plan
        asked.add(point)
        plan.improved = value > plan.value + descent.minimum_improvement
        plan.value = max(plan.value, value)
        try:
            point = search.send(value)
        except StopIteration:
            point = None
        plan.trainings += [len(asked)] * (len(plan.moves) - len(plan.trainings))
    return plan


def upcoming(
    descent: Descent,
    lattice: Lattice,
    outcome: Callable[[Point], float | None],
    pending: Callable[[Point], bool],
    expected: Callable[[Point], float | None] = lambda point: None,
) -> Point | None:
    """The point to evaluate next while others run: the likeliest one that the descent will come to.

    A running point is guessed to come to what is `expected` of it, or else to do as the point
    before it did: to be better after one that was better, worse after one that was worse. The
    opposite is followed as well, as far as it is likely.
    """
    # Entries: minus the logarithm of the guesses' probability, their order of making, the guesses.
    queue: list[tuple[float, int, dict[Point, float]]] = [(0.0, 0, {})]
    made = 0
    for _ in range(_MAX_GUESSES):
        if not queue:
            return None
        cost, _, guesses = heapq.heappop(queue)

        def guessed(point: Point, guesses: dict[Point, float] = guesses) -> float | None:
            value = outcome(point)
            return guesses.get(point) if value is None else value

        plan = replay(descent, lattice, guessed)
        if plan.missing is None:
            continue
        if not pending(plan.missing):
            return plan.missing
        for probability, value in _guesses(plan, expected(plan.missing), descent):
            made += 1
            entry = (cost - math.log(probability), made, {**guesses, plan.missing: value})
            heapq.heappush(queue, entry)
    return None


def _guesses(plan: Plan, expected: float | None, descent: Descent) -> list[tuple[float, float]]:
    """What the missing point of a plan may come to: probabilities and values."""
    base = plan.value if math.isfinite(plan.value) else 0.0
    better = base + abs(base) + 2 * descent.minimum_improvement + 1.0
    if expected is None:
        likely, other = (better, -math.inf) if plan.improved else (-math.inf, better)
        return [(_PERSISTENCE, likely), (1 - _PERSISTENCE, other)]
    other = -math.inf if expected > plan.value + descent.minimum_improvement else better
    return [(_TRUST, expected), (1 - _TRUST, other)]


def _cycle(order: Sequence[int]) -> Iterator[int]:
    while True:
        yield from order
