"""Grid search from coarse to fine."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.study import Study

from hptoolkit.coordinates import Coordinates
from hptoolkit.errors import UserError
from hptoolkit.samplers.base import CoordinateSampler
from hptoolkit.samplers.grid.plan import GridPlan, Points
from hptoolkit.samplers.history import History
from hptoolkit.search_space.region import Array, Region

# Zooms of a sampler that was told nothing and therefore does not end.
_ENDLESS = 20


class GridSampler(CoordinateSampler):
    """A lattice in coordinates, cut to the region; then finer ones around its best point.

    The lattice is evaluated from its middle outwards. A zoom evaluates the cells around the best
    point of all rounds before: the 3^k − 1 points that are half a step away along some of the k
    numeric axes (on a logarithmic axis: by the root of the step's factor); the next zoom halves the
    step again. With more than 6 such axes, 3^k is out of reach: then only the 2k² points that are
    away along one axis or two. The search ends when the last zoom is done.

    Points that rounding makes equal are one. A crashed point is tried again, twice at most. A
    point is never given to two workers. A worker that finds all points of a round taken, while
    some still run, does not wait: it begins the next round around the best point known. If one of
    those that run turns out better, the round is begun again around that one: what was evaluated
    meanwhile comes on top of `count`. In the last round hptoolkit's own workers do wait.

    Args:
        coordinates, search_space, box, seed: See `CoordinateSampler`. Nothing here is random.
        start: Raw values of the first point, through which the lattice is then laid.
        levels: How many values on each axis, or on some, by name; the ends of the axis included.
            By default 3, and on the first axis, the sensitive one, as many as make its step the
            finest (7 to 25). A categorical axis has all its choices.
        zooms: How often to refine.
    """

    def __init__(
        self,
        coordinates: Coordinates | None = None,
        *,
        search_space: Mapping[str, BaseDistribution] | None = None,
        box: Mapping[str, tuple[float, float]] | None = None,
        start: Mapping[str, Any] | None = None,
        seed: int | None = None,
        levels: int | Mapping[str, int] | None = None,
        zooms: int = 2,
    ) -> None:
        super().__init__(coordinates, search_space=search_space, box=box, start=start, seed=seed)
        if not 0 <= zooms <= _ENDLESS:
            raise UserError(
                f"zooms is {zooms}: a number of refinements from 0 to {_ENDLESS} is needed."
            )
        self.levels = levels
        self.zooms = zooms
        self._made: tuple[Region, GridPlan] | None = None
        if self._declared is not None:
            self._plan(self.region(self._declared))

    def count(self, target: Study | Mapping[str, BaseDistribution]) -> int:
        """How many runs one worker needs at most in a study, or over a search space.

        Exact without zooms; a zoom's points may lie outside the region, or be known already.
        Raises UserError for a study whose search space is not known before its first trial ends.
        """
        if isinstance(target, Study):
            space = self._search_space(target.get_trials(deepcopy=False))
            if not space:
                raise UserError(
                    f"The search space of the study {target.study_name!r} is not known before its "
                    "first trial is complete: give the sampler a search_space."
                )
        else:
            space = dict(target)
        return self._plan(self.region(space)).largest(self.zooms)

    def propose(self, region: Region, history: History) -> Array | None:
        return self._first_open(region, history, self._zooms(region) + 1)

    def proposes(self, region: Region, history: History) -> bool:
        return self._first_open(region, history, self._zooms(region)) is not None

    def _first_open(self, region: Region, history: History, last: int) -> Array | None:
        """The first point up to a round that is neither known nor running."""
        waiting = False
        for number, points in enumerate(self._rounds(region, history)):
            if number > last or (number > self._zooms(region) and not waiting):
                return None
            for key, position in points.items():
                if history.outcome(key) is None:
                    if key not in history.pending:
                        return position
                    waiting = True
        return None

    def finished(self, region: Region, history: History) -> str | None:
        evaluated, zooms = 0, self._zooms(region)
        for number, points in enumerate(self._rounds(region, history)):
            if number > zooms:
                break
            if any(history.outcome(key) is None for key in points):
                return None
            evaluated += len(points)
        refined = f" and its {zooms} zooms" if zooms else ""
        return f"all {evaluated} points of the grid{refined} are evaluated"

    def _rounds(self, region: Region, history: History) -> Iterator[Points]:
        """The points of the lattice, of each zoom, and of one zoom more, as far as is known."""
        plan = self._plan(region)
        known = dict(plan.coarse)
        yield plan.coarse
        for zoom in range(1, self._zooms(region) + 2):
            values = {key: history.outcome(key) for key in known}
            done = {key: v for key, v in values.items() if v is not None and v > -math.inf}
            if not done:
                return
            best = max(done, key=lambda key: done[key])
            cells = plan.cells(best, known[best], zoom)
            new = {key: position for key, position in cells.items() if key not in known}
            known |= new
            yield new

    def _zooms(self, region: Region) -> int:
        return self.zooms if self.ends(region) else _ENDLESS

    def _plan(self, region: Region) -> GridPlan:
        if self._made is None or self._made[0] is not region:
            start = region.check_start(self.start) if self.start else None
            self._made = (region, GridPlan(region, self.levels, start))
        return self._made[1]
