"""Random search: uniform in the region, or a scrambled Sobol sequence in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from optuna.distributions import BaseDistribution

from hptoolkit.coordinates import Coordinates
from hptoolkit.errors import UserError, nearest
from hptoolkit.samplers.base import CoordinateSampler
from hptoolkit.samplers.history import History
from hptoolkit.search_space.polytope import Proposals
from hptoolkit.search_space.region import Array, Region

Method = Literal["uniform", "sobol"]

_BATCH = 64
# Points of the unit cube that are tried before the region is said to hold none.
_PATIENCE = 1 << 14


class RandomSampler(CoordinateSampler):
    """Points drawn uniformly from the region, each independently of the others.

    The n-th point is a function of the seed and n alone: a study that is resumed never repeats
    itself, and workers that share it never draw the same point (but where parameters take few
    values). Over the same region, uniform points are distributed alike in all coordinates; a Sobol
    sequence covers the region more evenly, along the coordinates given too.

    Args:
        coordinates, search_space, box, seed: See `CoordinateSampler`.
        start: Raw values of the first point that was not enqueued; without any it is drawn too.
        method: "uniform", or "sobol" for a scrambled Sobol sequence (A. Owen, Randomly permuted
            (t,m,s)-nets and (t,s)-sequences, 1995), of which the points in the region are taken.
    """

    depends_on_others = False
    begins_in_the_middle = False

    def __init__(
        self,
        coordinates: Coordinates | None = None,
        *,
        search_space: Mapping[str, BaseDistribution] | None = None,
        box: Mapping[str, tuple[float, float]] | None = None,
        start: Mapping[str, Any] | None = None,
        seed: int | None = None,
        method: Method = "uniform",
    ) -> None:
        super().__init__(coordinates, search_space=search_space, box=box, start=start, seed=seed)
        if method not in ("uniform", "sobol"):
            raise UserError(f"Unknown method {method!r}: {nearest(method, ('uniform', 'sobol'))}.")
        self.method = method
        self._made: tuple[Region, Proposals] | None = None
        self._sequence: tuple[Region, list[Array]] | None = None

    def propose(self, region: Region, history: History) -> Array:
        if self.start and history.begins():
            return region.check_start(self.start)
        if self.method == "uniform":
            return self._draw(region, history)
        # The first point was the start, or taught us the search space.
        taken = bool(self.start) or self._declared is None
        return self._sobol(region, max(history.number - taken, 0))

    def _draw(self, region: Region, history: History) -> Array:
        generator, proposals = self.generator(history), self._proposals(region)
        for _ in range(_PATIENCE // _BATCH):
            unit = generator.random((_BATCH, len(region.axes)))
            for position in proposals.accepted(unit):
                return position
        raise _empty(region)

    def _sobol(self, region: Region, index: int) -> Array:
        known, points = self._sequence or (None, [])
        if known is not region or len(points) <= index:
            points = sobol_points(self._proposals(region), len(region.axes), index, self.seed)
            if not points:
                raise _empty(region)
            self._sequence = (region, points)
        return points[index]

    def _proposals(self, region: Region) -> Proposals:
        if self._made is None or self._made[0] is not region:
            self._made = (region, Proposals(region, along_axes=self.method == "sobol"))
        return self._made[1]


def sobol_points(proposals: Proposals, dimension: int, index: int, seed: int) -> list[Array]:
    """The points in the region of a Sobol sequence long enough for `index`; [] if there is none."""
    from scipy.stats.qmc import Sobol

    exponent = max(index.bit_length(), 4)
    points: list[Array] = []
    while len(points) <= index:
        if not points and 1 << exponent > _PATIENCE:
            return []
        unit = Sobol(dimension, seed=seed).random_base2(exponent)
        points = list(proposals.accepted(unit))
        exponent += 1
    return points


def _empty(region: Region) -> UserError:
    bounds = ", ".join(region.coordinates.axes)
    return UserError(
        f"No value that the parameters can take lies within the bounds on {bounds}: "
        f"{_PATIENCE} points were tried. Widen the bounds."
    )
