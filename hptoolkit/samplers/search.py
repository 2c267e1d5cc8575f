"""What a sampler searches, and what it is asked: where to go next, whether the search has ended.

It has no state: every answer is a pure function of the stored trials, the sampler's arguments and
the trial's number. A study that is killed and resumed, or run by several processes on one storage,
goes on exactly as one process would.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from hptoolkit.coordinates import Coordinates
from hptoolkit.errors import UserError
from hptoolkit.samplers.earlier_trials import EarlierTrials, stored_trials
from hptoolkit.samplers.history import History, Memory
from hptoolkit.samplers.learned_space import LearnedSpace
from hptoolkit.samplers.plain_loops import PlainLoops
from hptoolkit.search_space.bounds import factor_bounds
from hptoolkit.search_space.region import Array, Region, SearchSpace

# A storage's integers have 63 bits.
_SEEDS = 1 << 63


class CoordinateSearch(abc.ABC):
    """A search of a region's positions; subclasses implement `propose`.

    Args:
        coordinates: The axes. None or `Coordinates()`: every parameter is an axis of its own.
        search_space: Raw parameters' distributions, as the objective suggests them. None: they are
            learned from the first trial, which then runs at `start`, or in the middle, each
            parameter as far as the ranges are known when it is suggested.
        box: Bounds (low, high) on some axes, which cut the region further.
        start: Raw values of the first point; parameters left out start in the region's middle.
        seed: Fixes every random choice, 0 to 2⁶³ − 1; None draws one.
    """

    # Whether a choice depends on what other trials chose, and has to wait until they have.
    depends_on_others = True
    # Whether the first trial, without a start, runs at the region's middle rather than at random.
    begins_in_the_middle = True

    def __init__(
        self,
        coordinates: Coordinates | None = None,
        *,
        search_space: Mapping[str, BaseDistribution] | None = None,
        box: Mapping[str, tuple[float, float]] | None = None,
        start: Mapping[str, Any] | None = None,
        seed: int | None = None,
    ) -> None:
        self.coordinates = coordinates or Coordinates()
        self.box = dict(box or {})
        self.start = dict(start or {})
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        if not 0 <= seed < _SEEDS:
            raise UserError(f"The seed is {seed}: a whole number from 0 to 2**63 - 1 is needed.")
        self.seed = seed
        self._declared = None if search_space is None else dict(search_space)
        self._region: Region | None = None
        self._memory = Memory()
        self._learned = LearnedSpace(self.coordinates.names, self.start, self._can_search)
        self._loops = PlainLoops()
        self._earlier = EarlierTrials(self._loops)
        if self._declared is not None:
            self.region(self._declared).check_start(self.start)

    @abc.abstractmethod
    def propose(self, region: Region, history: History) -> Array | None:
        """The position to evaluate next; None if there is none until a running trial ends."""

    def finished(self, region: Region, history: History) -> str | None:
        """Why the search has ended, in a clause; None while it has not."""
        return None

    def proposes(self, region: Region, history: History) -> bool:
        """Whether there is a point to evaluate now, rather than when a running trial has ended."""
        return True

    def generator(self, history: History) -> np.random.Generator:
        """The source of the random choices for the trial being sampled."""
        return np.random.default_rng([self.seed, history.number])

    def ends(self, region: Region) -> bool:
        """Whether the sampler stops a study by itself.

        Told nothing about the problem (no coordinates, no start, no search space), it has no
        measure of what is fine enough, and goes on for as long as it is asked.
        """
        return bool(self.start or self._declared or region.coordinates.axes)

    def region(self, search_space: Mapping[str, BaseDistribution]) -> Region:
        """The region over a search space."""
        if self._region is None or self._region.search_space != search_space:
            self._region = Region(self.coordinates, search_space, self.box)
        return self._region

    def why_finished(self, study: Study, stored: list[FrozenTrial] | None = None) -> str | None:
        """Why the search of a study has ended, in a clause; None while it has not.

        The trials, if the caller has just read them, are given as `stored`.
        """
        trials = self._loops.seen(study, stored_trials(study) if stored is None else stored)
        space = self._search_space(trials)
        if not space:
            return None
        return self.finished(self.region(space), self._history(study, trials, space))

    def waits(self, study: Study, stored: list[FrozenTrial] | None = None) -> bool:
        """Whether a worker had better wait: what to evaluate next depends on trials that run.

        The trials, if the caller has just read them, are given as `stored`.
        """
        trials = self._loops.seen(study, stored_trials(study) if stored is None else stored)
        if not any(t.state == TrialState.RUNNING for t in trials):
            return False
        space = self._search_space(trials)
        if not space:
            return True  # the first trial teaches it
        region = self.region(space)
        history = self._history(study, trials, space)
        return not self.proposes(region, history) and not self.finished(region, history)

    def _can_search(self, space: Mapping[str, BaseDistribution]) -> bool:
        """Whether the parameters that the coordinates name have places on logarithmic axes."""
        try:
            factor_bounds(self.coordinates.factors, space)
        except UserError:
            return False
        return True

    def _search_space(self, trials: list[FrozenTrial]) -> SearchSpace:
        """The search space that was given, or learned from the trials; empty if not yet known."""
        return self._declared if self._declared is not None else self._learned.of(trials)

    def _history(
        self, study: Study, trials: list[FrozenTrial], space: SearchSpace, number: int | None = None
    ) -> History:
        """What the trials have found out, for that numbered `number`; None: for the next one."""
        asking = len(trials) if number is None else number
        return History(trials, space, study.direction, asking, self._memory)
