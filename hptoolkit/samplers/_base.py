"""The part that all samplers share: from Optuna's raw names to positions in a region and back.

A sampler here has no state: what it proposes is a pure function of the stored trials, its
arguments and the trial's number. A study that is killed and resumed, or run by several processes
on one storage, goes on exactly as one process would.

Optuna asks for parameters late, at the first `suggest`. Choosing in `before_trial` instead, and
storing the choice at once, lets other workers see it; a trial waits for those numbered before it.
A trial that is run again, because its worker has gone, keeps the choice that was made for it.
"""

from __future__ import annotations

import abc
import copy
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any
from zlib import crc32

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from hptoolkit.axes import random_value
from hptoolkit.coordinates import Coordinates
from hptoolkit.errors import UserError
from hptoolkit.region import Array, Region, SearchSpace, lacking
from hptoolkit.samplers._history import CLAIM, LEASE, History, Memory

# Seconds that a trial waits for an earlier one to announce its choice: its worker may be dead. One
# with a lease is put back by those who watch it (hptoolkit.storage.leases), after a minute or so.
_PATIENCE = 2.0
_PATIENCE_LEASED = 120.0

COORDINATES = "coordinates"  # user attribute of every trial: its coordinates, by axis


class StudyExhausted(RuntimeError):
    """Raised by `study.ask()` when the search has ended and nothing is left to evaluate."""


class CoordinateSampler(BaseSampler, abc.ABC):
    """A sampler over raw names that searches coordinates; subclasses implement `propose`.

    Args:
        coordinates: The axes. None or `Coordinates()`: every parameter is an axis of its own.
        search_space: Raw parameters' distributions, as the objective suggests them. None: they are
            learned from the first trial, which then runs at `start`.
        box: Bounds (low, high) on some axes, which cut the region further.
        start: Raw values of the first point; parameters left out start in the region's middle.
        seed: Fixes every random choice; None draws one.
    """

    # Whether a choice depends on what other trials chose, and has to wait until they have.
    depends_on_others = True

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
        self.seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
        self._declared = None if search_space is None else dict(search_space)
        self._region: Region | None = None
        self._memory = Memory()
        self._learned = _Learned()
        self._awaited_since: dict[tuple[int, int], float] = {}
        if self._declared is not None:
            missing = [n for n in self.coordinates.names if n not in self._declared]
            if missing:
                raise lacking(self.coordinates, missing, self._declared)
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

        Told nothing about the problem (no coordinates that apply, no start, no search space), it
        has no measure of what is fine enough, and goes on for as long as it is asked.
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
        trials = _stored(study) if stored is None else stored
        space = self._search_space(trials)
        if not space:
            return None
        history = History(trials, space, study.direction, len(trials), self._memory)
        return self.finished(self.region(space), history)

    def waits(self, study: Study, stored: list[FrozenTrial] | None = None) -> bool:
        """Whether a worker had better wait: what to evaluate next depends on trials that run.

        The trials, if the caller has just read them, are given as `stored`.
        """
        trials = _stored(study) if stored is None else stored
        if not any(t.state == TrialState.RUNNING for t in trials):
            return False
        space = self._search_space(trials)
        if not space:
            return True  # the first trial teaches it
        region = self.region(space)
        history = History(trials, space, study.direction, len(trials), self._memory)
        return not self.proposes(region, history) and not self.finished(region, history)

    def claim(self, study: Study, trial: FrozenTrial) -> bool:
        """Choose a trial's parameters before it starts, for a caller that can put it back.

        Earlier trials whose worker died before it chose are chosen for first, so that the sequence
        of points stays the same.

        Returns:
            False if nothing is to be evaluated before a running trial ends, or at all.
        """
        if _is_decided(trial) or study._is_multi_objective():
            return True
        trials = self._settled(study, trial)
        space = self._search_space(trials)
        others_run = any(t.state == TrialState.RUNNING and t.number != trial.number for t in trials)
        if not space:
            return not others_run
        abandoned = [t for t in trials if t.state == TrialState.WAITING and not _is_decided(t)]
        for earlier in (t for t in abandoned if t.number < trial.number):
            params = self._proposal(study, earlier, trials, space)
            if params is not None:
                study._storage.set_trial_system_attr(earlier._trial_id, CLAIM, params)
                trials = _stored(study)
        params = self._proposal(study, trial, trials, space)
        if params is None:
            return not others_run and self.why_finished(study) is None
        study._storage.set_trial_system_attr(trial._trial_id, CLAIM, params)
        return True

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> SearchSpace:
        return dict(self._declared or self._search_space(_stored(study)))

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        if study._is_multi_objective() or _is_decided(trial):
            return
        trials = self._settled(study, trial)
        space = self._search_space(trials)
        if space:
            params = self._choose(study, trial, trials, space)
            study._storage.set_trial_system_attr(trial._trial_id, CLAIM, params)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: SearchSpace
    ) -> dict[str, Any]:
        _require_single_objective(study)
        if not search_space:
            return {}
        claim = trial.system_attrs.get(CLAIM)  # of a trial that was claimed before it started
        if claim is None:
            claim = study._storage.get_trial_system_attrs(trial._trial_id).get(CLAIM, {})
        if claim.keys() == search_space.keys():
            return dict(claim)
        return self._choose(study, trial, _stored(study), search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        _require_single_objective(study)
        if self._declared is not None and param_name in self._declared:
            raise UserError(
                f"The objective suggests {param_name!r} from {param_distribution}, the sampler was "
                f"given {self._declared[param_name]}: the value it chose lies outside. Give both "
                "the same range."
            )
        if param_name in self.start and not self._search_space(_stored(study)):
            value = self.start[param_name]
            if not param_distribution._contains(param_distribution.to_internal_repr(value)):
                raise UserError(
                    f"The start lies outside the region: {param_name} = {value} there, the "
                    f"objective suggests it from {param_distribution}."
                )
            return value
        return self.first_value(trial, param_name, param_distribution)

    def first_value(self, trial: FrozenTrial, name: str, distribution: BaseDistribution) -> Any:
        """A value for a parameter that is not (yet) part of the search space: drawn at random."""
        rng = np.random.default_rng([self.seed, trial.number, crc32(name.encode())])
        factor = next((f for f in self.coordinates.factors if f.name == name), None)
        return random_value(distribution, rng, factor)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        if study._is_multi_objective():
            return
        names = self.coordinates.names
        if names and all(name in trial.params for name in names):
            point = self.coordinates.from_raw({name: trial.params[name] for name in names})
            study._storage.set_trial_user_attr(trial._trial_id, COORDINATES, point)
        root = getattr(study, "_study", study)  # Hyperband hands over one bracket of the study
        if not root._thread_local.in_optimize_loop:
            return
        # The trial's result is stored only after this call.
        ended = copy.copy(trial)
        ended.state, ended.values = state, list(values) if values is not None else None
        trials = [ended if t.number == trial.number else t for t in _stored(study)]
        space = self._search_space(trials)
        if space:
            region = self.region(space)
            history = History(trials, space, study.direction, trial.number, self._memory)
            if self.ends(region) and self.finished(region, history):
                root.stop()

    def _proposal(
        self, study: Study, trial: FrozenTrial, trials: list[FrozenTrial], space: SearchSpace
    ) -> dict[str, Any] | None:
        """The raw parameters of the point to evaluate next, None if there is none."""
        region = self.region(space)
        history = History(trials, space, study.direction, trial.number, self._memory)
        position = self.propose(region, history)
        for name, note in history.notes.items():
            study._storage.set_trial_system_attr(trial._trial_id, name, note)
        return None if position is None else region.decode(position)

    def _choose(
        self, study: Study, trial: FrozenTrial, trials: list[FrozenTrial], space: SearchSpace
    ) -> dict[str, Any]:
        params = self._proposal(study, trial, trials, space)
        if params is not None:
            return params
        region = self.region(space)
        history = History(trials, space, study.direction, trial.number, self._memory)
        reason = self.finished(region, history)
        if self.ends(region) and reason:
            root = getattr(study, "_study", study)
            if not root._thread_local.in_optimize_loop:
                study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
                raise StudyExhausted(f"The search has ended: {reason}.")
            warnings.warn(
                f"The search has ended: {reason}. The best point is evaluated once more.",
                stacklevel=2,
            )
        if not reason and (waited_for := history.oldest_pending()):
            # Nothing is left but points that run, and their workers may be dead: run one again.
            return waited_for.params
        best = history.best()
        return best.params if best else region.decode(region.check_start(self.start))

    def _settled(self, study: Study, trial: FrozenTrial) -> list[FrozenTrial]:
        """The stored trials, once those numbered below this one have announced their choice."""
        pause = 0.01
        while True:
            trials = _stored(study)
            if not self.depends_on_others and self._declared is not None:
                return trials
            awaited = [t for t in trials if t.number < trial.number and self._is_awaited(study, t)]
            if not awaited or not self._search_space(trials):
                return trials
            time.sleep(pause)
            pause = min(1.5 * pause, 0.25)

    def _is_awaited(self, study: Study, trial: FrozenTrial) -> bool:
        if trial.state != TrialState.RUNNING or trial.params or _is_decided(trial):
            return False
        # By one's own clock: that of the trial's machine may be wrong.
        now = time.monotonic()
        since = self._awaited_since.setdefault((study._study_id, trial.number), now)
        leased = trial.system_attrs.get(LEASE) is not None
        return now - since < (_PATIENCE_LEASED if leased else _PATIENCE)

    def _search_space(self, trials: list[FrozenTrial]) -> SearchSpace:
        return self._declared if self._declared is not None else self._learned.space(trials)


class _Learned:
    """What all complete trials suggested, with the range that the latest one used.

    Complete trials never change: of those seen before only the latest is looked at again.
    """

    def __init__(self) -> None:
        self._seen: tuple[int, FrozenTrial, list[str]] | None = None

    def space(self, trials: list[FrozenTrial]) -> SearchSpace:
        complete = [t for t in trials if t.state == TrialState.COMPLETE and t.params]
        if not complete:
            return {}
        count, last, names = self._seen or (0, complete[0], [])
        if not 0 < count < len(complete) or complete[count - 1] is not last:
            count, names = 0, list(complete[0].distributions)
        for trial in complete[count:-1]:
            names = [name for name in names if name in trial.distributions]
        if len(complete) > 1:
            self._seen = (len(complete) - 1, complete[-2], names)
        latest = complete[-1].distributions
        return {name: latest[name] for name in names if name in latest}


def _stored(study: Study) -> list[FrozenTrial]:
    return study._storage.get_all_trials(study._study_id, deepcopy=False)


def _is_decided(trial: FrozenTrial) -> bool:
    """Whether a trial's parameters were chosen before, by a sampler or by who enqueued it."""
    return CLAIM in trial.system_attrs or "fixed_params" in trial.system_attrs


def _require_single_objective(study: Study) -> None:
    if study._is_multi_objective():
        raise UserError(
            f"The study has {len(study.directions)} objectives, this sampler searches for one: "
            "create the study with a single direction, or use one of Optuna's samplers."
        )
