"""A study over positions, in memory, that repeats a stored one over raw parameters.

An Optuna sampler that is asked in this shadow searches coordinates without knowing. What it leaves
behind is stored with the raw trials (`shadow_trials`), so that another process can rebuild the same
shadow. The state that CMA-ES pickles is rebuilt by asking it again, at the same trials, with the
same others finished.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from hptoolkit.optuna_internals import CONSTRAINTS, trial_id_of
from hptoolkit.samplers.history import chosen_params
from hptoolkit.samplers.reparameterized import shadow_trials
from hptoolkit.samplers.reparameterized.shadow_trials import Rejected
from hptoolkit.search_space.region import TOLERANCE, Array, Region

_NAME = "shadow"

# The sampler for the trial of that number, at that attempt, counted from 0 both.
Samplers = Callable[[int, int], BaseSampler]


@dataclass
class _Mirror:
    """A raw trial as it was when last looked at, and its shadow; None: one's own, just asked."""

    trial: FrozenTrial | None
    params: dict[str, Any] | None
    rejected: Rejected
    shadow_id: int


class Shadow:
    """The shadow of a study in a region.

    Args:
        region: The region, of d axes.
        bounds: (d, 2) ends of the axes between which the sampler may choose.
        direction: The study's.
    """

    def __init__(self, region: Region, bounds: Array, direction: StudyDirection) -> None:
        self.region = region
        self.direction = direction
        self._space = {
            axis.name: _distribution(region, i, *bounds[i]) for i, axis in enumerate(region.axes)
        }
        self._mirrors: list[_Mirror] = []
        self._open: list[_Mirror] = []  # those that the shadow does not know to be finished
        self._spaces: dict[tuple[str, ...], IntersectionSearchSpace] = {}
        self._storage = InMemoryStorage()
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            self._study_id = self._storage.create_new_study([direction], _NAME)
        finally:
            optuna.logging.set_verbosity(verbosity)

    def follow(self, trials: Sequence[FrozenTrial], samplers: Samplers) -> bool:
        """Take over what is new in raw trials; False if what was taken over has changed since."""
        if len(trials) < len(self._mirrors):
            return False
        for mirror, trial in zip(self._mirrors, trials, strict=False):
            if mirror.trial is trial:
                continue
            may_change = mirror.trial is None or not mirror.trial.state.is_finished()
            same = chosen_params(trial, self.region.search_space) == mirror.params
            if not (may_change and same and shadow_trials.rejected(trial) == mirror.rejected):
                return False
            mirror.trial = trial
        began_empty = not self._mirrors
        for trial in trials[len(self._mirrors) :]:
            if shadow_trials.asks_again(trial):
                unfinished = shadow_trials.unfinished(trial)
                if not began_empty and self._has_finished(unfinished, trial):
                    return False
                self._finish_all(unfinished)
            self._append(trial, samplers)
        self._finish_all(set())
        return True

    def ask(self, sampler: BaseSampler) -> tuple[Trial, Array]:
        """A trial whose parameters the sampler has chosen, and its position."""
        _share(self._spaces, sampler)
        study = optuna.load_study(study_name=_NAME, storage=self._storage, sampler=sampler)
        trial = study.ask(self._space)
        return trial, np.array([float(trial.params[axis.name]) for axis in self.region.axes])

    def reject(self, trial: Trial, worst: bool) -> float | None:
        """Say that a trial's position lies outside the region: pruned, or the `worst` known."""
        trials = self._storage.get_all_trials(self._study_id, deepcopy=False)
        values = [t.value for t in trials if t.state == TrialState.COMPLETE and t.value is not None]
        if not worst or not values:
            self._storage.set_trial_state_values(trial_id_of(trial), TrialState.PRUNED)
            return None
        value = min(values) if self.direction == StudyDirection.MAXIMIZE else max(values)
        self._storage.set_trial_state_values(trial_id_of(trial), TrialState.COMPLETE, [value])
        return value

    def adopt(self, trial: Trial, params: dict[str, Any], rejected: Rejected) -> None:
        """Take a trial for the shadow of the next raw one, which will evaluate the parameters."""
        self._move(trial, self._place(params))
        self._add(_Mirror(None, params, rejected, trial_id_of(trial)))

    def notes(self, trial: Trial, rejected: Rejected) -> dict[str, Any]:
        """System attributes for the raw trial, from which another shadow learns the same."""
        return shadow_trials.notes(
            self._storage.get_trial_system_attrs(trial_id_of(trial)),
            self._storage.get_study_system_attrs(self._study_id),
            rejected,
            self._unfinished(),
        )

    def _append(self, trial: FrozenTrial, samplers: Samplers) -> None:
        for name, value in shadow_trials.of_study(trial).items():
            self._storage.set_study_system_attr(self._study_id, name, value)
        params = chosen_params(trial, self.region.search_space)
        place = None if params is None else self._place(params)
        if place is not None and shadow_trials.asks_again(trial):
            shadow_id = self._asked_again(trial, place, samplers)
        else:
            for position, value in shadow_trials.rejected(trial):
                self._create_rejected(position, value)
            shadow_id = self._create(
                create_trial(
                    state=TrialState.RUNNING,
                    params=place or {},
                    distributions=self._space if place else {},
                    system_attrs=shadow_trials.of_trial(trial),
                )
            )
        self._add(_Mirror(trial, params, shadow_trials.rejected(trial), shadow_id))

    def _asked_again(self, trial: FrozenTrial, place: dict[str, Any], samplers: Samplers) -> int:
        """Let the sampler go through the choice of a raw trial once more; the shadow's number."""
        rejected = shadow_trials.rejected(trial)
        for attempt, (position, value) in enumerate(rejected):
            again, _ = self.ask(samplers(trial.number, attempt))
            state = TrialState.PRUNED if value is None else TrialState.COMPLETE
            values = None if value is None else [value]
            try:
                self._move(again, self._params(position))
            except ValueError:  # rejected when the search space was another one
                state, values = TrialState.FAIL, None
            self._storage.set_trial_state_values(trial_id_of(again), state, values)
        again, _ = self.ask(samplers(trial.number, len(rejected)))
        self._move(again, place)
        return trial_id_of(again)

    def _create_rejected(self, position: list[float], value: float | None) -> None:
        try:
            outside = self._params(position)
        except ValueError:
            return  # rejected when the search space was another one
        state = TrialState.PRUNED if value is None else TrialState.COMPLETE
        self._create(
            create_trial(state=state, value=value, params=outside, distributions=self._space)
        )

    def _move(self, trial: Trial, place: dict[str, Any] | None) -> None:
        """Give a trial of the shadow other parameters than the sampler chose."""
        for name, value in (place or {}).items():
            distribution = self._space[name]
            internal = distribution.to_internal_repr(value)
            self._storage.set_trial_param(trial_id_of(trial), name, internal, distribution)

    def _add(self, mirror: _Mirror) -> None:
        self._mirrors.append(mirror)
        self._open.append(mirror)

    def _unfinished(self) -> set[int]:
        """The numbers of the raw trials that the shadow does not know to be finished."""
        return {mirror.trial.number for mirror in self._open if mirror.trial}

    def _has_finished(self, numbers: set[int], before: FrozenTrial) -> bool:
        """Whether the shadow knows that one of those numbers, of earlier raw trials, has ended."""
        return any(number < before.number for number in numbers - self._unfinished())

    def _finish_all(self, but: set[int]) -> None:
        """Finish what has a raw trial that is finished, but for those of these numbers."""
        still_open = []
        for mirror in self._open:
            trial = mirror.trial
            if trial and trial.state.is_finished() and trial.number not in but:
                self._finish(mirror.shadow_id, trial)
            else:
                still_open.append(mirror)
        self._open = still_open

    def _create(self, trial: FrozenTrial) -> int:
        return self._storage.create_new_trial(self._study_id, trial)

    def _finish(self, shadow_id: int, trial: FrozenTrial) -> None:
        for name, value in trial.system_attrs.items():
            if name.startswith(CONSTRAINTS):
                self._storage.set_trial_system_attr(shadow_id, name, value)
        for step, value in trial.intermediate_values.items():
            self._storage.set_trial_intermediate_value(shadow_id, step, value)
        known = bool(self._storage.get_trial(shadow_id).params)
        state = trial.state if known else TrialState.FAIL
        values = trial.values if state != TrialState.FAIL else None
        self._storage.set_trial_state_values(shadow_id, state, values)

    def _place(self, params: Mapping[str, Any]) -> dict[str, Any] | None:
        """Parameters of the shadow for raw ones; None if they lie outside its space."""
        try:
            return self._params(self.region.encode(params))
        except ValueError:  # a value without a logarithm, an unknown choice, or out of range
            return None

    def _params(self, position: Sequence[float] | Array) -> dict[str, Any]:
        params: dict[str, Any] = {}
        for (name, distribution), z in zip(self._space.items(), position, strict=True):
            if isinstance(distribution, FloatDistribution):
                low, high = distribution.low, distribution.high
                inside = min(max(float(z), low), high)
                if abs(inside - z) > TOLERANCE:
                    raise ValueError(f"{name} is {z} there, allowed are {low} to {high}")
                params[name] = inside
            else:
                distribution.to_internal_repr(round(z))
                params[name] = round(z)
        return params


def _share(
    spaces: dict[tuple[str, ...], IntersectionSearchSpace],
    sampler: BaseSampler,
    path: tuple[str, ...] = (),
) -> None:
    """Let a fresh sampler know the search space that those before it read from all the trials."""
    for name, value in vars(sampler).items():
        if isinstance(value, IntersectionSearchSpace):
            setattr(sampler, name, spaces.setdefault((*path, name), value))
        elif isinstance(value, BaseSampler):
            _share(spaces, value, (*path, name))


def _distribution(region: Region, index: int, low: float, high: float) -> BaseDistribution:
    axis = region.axes[index]
    if axis.kind == "categorical":
        return CategoricalDistribution(range(math.ceil(low), math.floor(high) + 1))
    if not axis.step:
        return FloatDistribution(low, high)
    # Bounds on the axis may lie between two values that the parameter can take.
    first = region.search_space[axis.name].low  # type: ignore[attr-defined]
    least = math.ceil((low - first) / axis.step - TOLERANCE)
    most = math.floor((high - first) / axis.step + TOLERANCE)
    return FloatDistribution(first + least * axis.step, first + most * axis.step, step=axis.step)
