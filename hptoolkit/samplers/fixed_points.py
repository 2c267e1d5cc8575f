"""A design: points that were fixed beforehand, evaluated in their order."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution

from hptoolkit.coordinates import Coordinates
from hptoolkit.errors import UserError
from hptoolkit.samplers.base import CoordinateSampler
from hptoolkit.samplers.history import History, Key
from hptoolkit.search_space.region import Array, Region


class DesignSampler(CoordinateSampler):
    """Evaluates given points in their order, then all of them again for each repeat.

    The search ends when every point has been evaluated so often. A crashed point is tried again,
    twice at most; a point that runs is not given to another worker.

    Args:
        coordinates, search_space, box, seed: See `CoordinateSampler`. Nothing here is random.
        points: Raw parameters, each of the search space. Points that are equal are one.
        repeats: How often to evaluate each.
    """

    def __init__(
        self,
        coordinates: Coordinates | None = None,
        *,
        search_space: Mapping[str, BaseDistribution],
        points: Sequence[Mapping[str, Any]],
        box: Mapping[str, tuple[float, float]] | None = None,
        seed: int | None = None,
        repeats: int = 1,
    ) -> None:
        if not points:
            raise UserError("The design has no point: at least one is needed.")
        if repeats < 1:
            raise UserError(f"repeats is {repeats}: 1 or more is needed.")
        start = points[0]
        super().__init__(coordinates, search_space=search_space, box=box, start=start, seed=seed)
        self.repeats = repeats
        region = self.region(search_space)
        positions = [region.check_start(point) for point in points]
        self._points = [(region.decode(position), position) for position in positions]

    def propose(self, region: Region, history: History) -> Array | None:
        seen = Counter(o.key for o in history.observations)
        for count in range(self.repeats):
            for key, position in self._distinct(history).items():
                if seen[key] <= count and key not in history.given_up:
                    return position
        return None

    def proposes(self, region: Region, history: History) -> bool:
        return self.propose(region, history) is not None

    def finished(self, region: Region, history: History) -> str | None:
        told = Counter(o.key for o in history.observations if o.value is not None)
        keys = self._distinct(history)
        if any(told[key] < self.repeats and key not in history.given_up for key in keys):
            return None
        if all(history.outcome(key) == -math.inf for key in keys):
            return f"none of the {len(keys)} points of the design succeeded"
        times = f" {self.repeats} times" if self.repeats > 1 else ""
        return f"all {len(keys)} points of the design are evaluated{times}"

    def _distinct(self, history: History) -> dict[Key, Array]:
        """The points' positions, in order."""
        return {history.key(params): position for params, position in self._points}
