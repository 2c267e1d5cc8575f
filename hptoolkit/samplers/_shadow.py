"""A study over positions, in memory, that repeats a stored one over raw parameters.

An Optuna sampler that is asked in this shadow searches coordinates without knowing. What it leaves
behind (CMA-ES keeps its state in trials, quasi-random samplers count in the study) is stored with
the raw trials, so that another process can rebuild the same shadow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from hptoolkit.region import TOLERANCE, Array, Region
from hptoolkit.samplers._history import chosen_params

# System attributes of raw trials: what was proposed before and lay outside the region, what the
# sampler wrote into its study, and the prefix of what it wrote into its trial.
REJECTED = "hptoolkit:rejected"
OF_STUDY = "hptoolkit:inner_study"
OF_TRIAL = "hptoolkit:inner:"

_NAME = "shadow"

# A position outside the region, and the value that the sampler was told; None: that it was pruned.
Rejected = list[tuple[list[float], float | None]]


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
        self._storage = InMemoryStorage()
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            self._study_id = self._storage.create_new_study([direction], _NAME)
        finally:
            optuna.logging.set_verbosity(verbosity)

    def follow(self, trials: Sequence[FrozenTrial]) -> bool:
        """Take over what is new in raw trials; False if what was taken over has changed since."""
        if len(trials) < len(self._mirrors):
            return False
        for mirror, trial in zip(self._mirrors, trials, strict=False):
            if mirror.trial is trial:
                continue
            known = mirror.trial is None or not mirror.trial.state.is_finished()
            chosen = chosen_params(trial, self.region.search_space)
            if not known or (chosen, _rejected(trial)) != (mirror.params, mirror.rejected):
                return False
            mirror.trial = trial
            if trial.state.is_finished():
                self._finish(mirror.shadow_id, trial)
        for trial in trials[len(self._mirrors) :]:
            self._append(trial)
        return True

    def ask(self, sampler: BaseSampler) -> tuple[Trial, Array]:
        """A trial whose parameters the sampler has chosen, and its position."""
        study = optuna.load_study(study_name=_NAME, storage=self._storage, sampler=sampler)
        trial = study.ask(self._space)
        return trial, np.array([float(trial.params[axis.name]) for axis in self.region.axes])

    def reject(self, trial: Trial, worst: bool) -> float | None:
        """Say that a trial's position lies outside the region: pruned, or the `worst` known."""
        trials = self._storage.get_all_trials(self._study_id, deepcopy=False)
        values = [t.value for t in trials if t.state == TrialState.COMPLETE and t.value is not None]
        if not worst or not values:
            self._storage.set_trial_state_values(trial._trial_id, TrialState.PRUNED)
            return None
        value = min(values) if self.direction == StudyDirection.MAXIMIZE else max(values)
        self._storage.set_trial_state_values(trial._trial_id, TrialState.COMPLETE, [value])
        return value

    def adopt(self, trial: Trial, params: dict[str, Any], rejected: Rejected) -> None:
        """Take a trial for the shadow of the next raw one, which will evaluate the parameters."""
        for name, value in (self._place(params) or {}).items():
            distribution = self._space[name]
            internal = distribution.to_internal_repr(value)
            self._storage.set_trial_param(trial._trial_id, name, internal, distribution)
        self._mirrors.append(_Mirror(None, params, rejected, trial._trial_id))

    def notes(self, trial: Trial, rejected: Rejected) -> dict[str, Any]:
        """System attributes for the raw trial, from which another shadow learns the same."""
        left = self._storage.get_trial_system_attrs(trial._trial_id)
        notes = {OF_TRIAL + name: value for name, value in left.items()}
        of_study = self._storage.get_study_system_attrs(self._study_id)
        return (
            notes
            | ({OF_STUDY: of_study} if of_study else {})
            | ({REJECTED: rejected} if rejected else {})
        )

    def _append(self, trial: FrozenTrial) -> None:
        for name, value in trial.system_attrs.get(OF_STUDY, {}).items():
            self._storage.set_study_system_attr(self._study_id, name, value)
        for position, value in _rejected(trial):
            try:
                outside = self._params(position)
            except ValueError:
                continue  # rejected when the search space was another one
            state = TrialState.PRUNED if value is None else TrialState.COMPLETE
            self._create(
                create_trial(state=state, value=value, params=outside, distributions=self._space)
            )
        params = chosen_params(trial, self.region.search_space)
        place = None if params is None else self._place(params)
        shadow_id = self._create(
            create_trial(
                state=TrialState.RUNNING,
                params=place or {},
                distributions=self._space if place else {},
                system_attrs={
                    name.removeprefix(OF_TRIAL): value
                    for name, value in trial.system_attrs.items()
                    if name.startswith(OF_TRIAL)
                },
            )
        )
        self._mirrors.append(_Mirror(trial, params, _rejected(trial), shadow_id))
        if trial.state.is_finished():
            self._finish(shadow_id, trial)

    def _create(self, trial: FrozenTrial) -> int:
        return self._storage.create_new_trial(self._study_id, trial)

    def _finish(self, shadow_id: int, trial: FrozenTrial) -> None:
        for name, value in trial.system_attrs.items():
            if name.startswith("constraints"):
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


def _rejected(trial: FrozenTrial) -> Rejected:
    return [(position, value) for position, value in trial.system_attrs.get(REJECTED, [])]


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
