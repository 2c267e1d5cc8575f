"""Any of Optuna's samplers, in coordinates."""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection

from hptoolkit.coordinates import Coordinates
from hptoolkit.errors import UserError
from hptoolkit.samplers.base import CoordinateSampler
from hptoolkit.samplers.history import History
from hptoolkit.samplers.reparameterized.shadow import Shadow
from hptoolkit.samplers.reparameterized.shadow_trials import Rejected
from hptoolkit.search_space.polytope import bounding_box, project
from hptoolkit.search_space.region import Array, Region

# How often a sampler is asked for a point in the region before its last one is moved there, and
# within what share of the axes' lengths a point is one that was just rejected.
_ATTEMPTS = 20
_SAME = 0.01

# One for all samplers: a lock of its own could be neither copied nor pickled.
_LOCK = threading.RLock()


class Reparameterized(CoordinateSampler):
    """An Optuna sampler that searches coordinates while the objective keeps its raw names.

    The sampler is asked in a shadow of the study, whose parameters are the axes: a box, the
    smallest around the region. A point outside the region is recorded there as a pruned trial,
    which TPE learns from, and the sampler is asked again; if it insists on the point (within 1 %
    of the axes' lengths), as GPs do that learn from complete trials only, then as a complete trial
    with the worst value known. After 20 points the last one is moved to the nearest of the region.

    Every trial is sampled by a fresh copy of the sampler whose random numbers depend on the seed
    and the trial's number alone, and what the sampler stores is kept with the raw trials. A study
    that is resumed goes on as it would have, therefore, with TPE, CMA-ES, quasi-random, random and
    GP samplers alike. The price: Optuna's GPSampler fits its kernel anew each time instead of from
    the last fit. A scrambled QMCSampler needs a seed of its own. A trial outside the shadow's box
    (enqueued, or of an earlier, wider range) is not shown to the sampler; a failed one neither.

    Optuna's CMA-ES pickles its state. That is neither stored nor read from the storage: a process
    that resumes a study asks it again, once a generation, with the same trials finished as then.
    Exact for one worker; for several, unless a trial chose its point after a later one had ended.

    Args:
        inner: The Optuna sampler, such as `optuna.samplers.TPESampler()`.
        coordinates, search_space, box, seed: See `CoordinateSampler`.
        start: Raw values of the first point that was not enqueued; without any the sampler chooses
            that, too.
    """

    begins_in_the_middle = False

    def __init__(
        self,
        inner: BaseSampler,
        coordinates: Coordinates | None = None,
        *,
        search_space: Mapping[str, BaseDistribution] | None = None,
        box: Mapping[str, tuple[float, float]] | None = None,
        start: Mapping[str, Any] | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(coordinates, search_space=search_space, box=box, start=start, seed=seed)
        if not isinstance(inner, BaseSampler) or isinstance(inner, CoordinateSampler):
            raise UserError(
                f"The sampler to wrap is {inner!r}: one of Optuna's is needed, such as "
                "optuna.samplers.TPESampler()."
            )
        self.inner = inner
        self._shadow: Shadow | None = None

    def propose(self, region: Region, history: History) -> Array:
        if self.start and history.begins():
            return region.check_start(self.start)
        with _LOCK:
            shadow = self._follow(region, history)
            widths = np.maximum(region.high - region.low, np.finfo(float).tiny)
            rejected: Rejected = []
            while True:
                trial, position = shadow.ask(self._sampler(history.number, len(rejected)))
                if region.contains(position):
                    break
                if len(rejected) + 1 == _ATTEMPTS:
                    position = project(region, position)
                    break
                insists = any(np.all(abs(position - r) <= _SAME * widths) for r, _ in rejected)
                rejected.append((position.tolist(), shadow.reject(trial, worst=insists)))
            history.notes |= shadow.notes(trial, rejected)
            if history.number == len(history.trials) - 1:
                shadow.adopt(trial, region.decode(position), rejected)
            else:
                self._shadow = None
            return position

    def _follow(self, region: Region, history: History) -> Shadow:
        """The shadow of the other trials: the last one brought up to date, or a new one."""
        others = [t for t in history.trials if t.number != history.number]
        direction = StudyDirection.MAXIMIZE if history.sign > 0 else StudyDirection.MINIMIZE
        shadow = self._shadow
        fits = shadow is not None and (shadow.region, shadow.direction) == (region, direction)
        if shadow is None or not fits or not shadow.follow(others, self._sampler):
            shadow = Shadow(region, bounding_box(region), direction)
            shadow.follow(others, self._sampler)
            self._shadow = shadow
        return shadow

    def _sampler(self, draw: int, attempt: int) -> BaseSampler:
        sampler = copy.deepcopy(self.inner)
        _reseed(sampler, np.random.default_rng([self.seed, draw, attempt]))
        return sampler


def _reseed(sampler: BaseSampler, rng: np.random.Generator) -> None:
    """Seed all sources of random numbers of a sampler, and of those that it uses."""
    for name, value in vars(sampler).items():
        state = getattr(value, "rng", value)
        if isinstance(value, BaseSampler):
            _reseed(value, rng)
        elif isinstance(state, np.random.RandomState):
            state.seed(int(rng.integers(2**32)))
        elif isinstance(value, np.random.Generator):
            setattr(sampler, name, np.random.default_rng(int(rng.integers(2**32))))
