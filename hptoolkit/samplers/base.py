"""What all samplers share towards Optuna: a choice is made, shown to other workers, handed over.

Optuna asks for parameters late, at the first `suggest`. Choosing in `before_trial` instead, and
storing the choice at once, lets other workers see it; a trial waits for those numbered before it.
A trial that is run again, because its worker has gone, keeps the choice that was made for it.
"""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Sequence
from typing import Any
from zlib import crc32

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from hptoolkit.attributes import CLAIM, COORDINATES
from hptoolkit.errors import UserError
from hptoolkit.optuna_internals import contains, storage_of, trial_id_of
from hptoolkit.samplers.earlier_trials import is_decided, stored_trials
from hptoolkit.samplers.search import CoordinateSearch
from hptoolkit.search_space.initial_value import initial_value
from hptoolkit.search_space.region import SearchSpace


class StudyExhausted(RuntimeError):
    """Raised by `study.ask()` when the search has ended and nothing is left to evaluate."""


class CoordinateSampler(CoordinateSearch, BaseSampler):
    """A sampler over raw names that searches coordinates; subclasses implement `propose`.

    Its arguments are those of `CoordinateSearch`.
    """

    def claim(self, study: Study, trial: FrozenTrial) -> bool:
        """Choose a trial's parameters before it starts, for a caller that can put it back.

        Earlier trials whose worker died before it chose are chosen for first, so that the sequence
        of points stays the same.

        Returns:
            False if nothing is to be evaluated before a running trial ends, or at all.
        """
        if is_decided(trial) or len(study.directions) > 1:
            return True
        trials = self._settled(study, trial)
        space = self._search_space(trials)
        others_run = any(t.state == TrialState.RUNNING and t.number != trial.number for t in trials)
        if not space:
            return not others_run
        abandoned = [t for t in trials if t.state == TrialState.WAITING and not is_decided(t)]
        for earlier in (t for t in abandoned if t.number < trial.number):
            params = self._proposal(study, earlier, trials, space)
            if params is not None:
                storage_of(study).set_trial_system_attr(trial_id_of(earlier), CLAIM, params)
                trials = stored_trials(study)
        params = self._proposal(study, trial, trials, space)
        if params is None:
            return not others_run and self.why_finished(study) is None
        storage_of(study).set_trial_system_attr(trial_id_of(trial), CLAIM, params)
        return True

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> SearchSpace:
        return dict(self._declared or self._search_space(stored_trials(study)))

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        if len(study.directions) > 1 or is_decided(trial):
            return
        trials = self._settled(study, trial)
        space = self._search_space(trials)
        if space:
            params = self._choose(study, trial, trials, space)
            storage_of(study).set_trial_system_attr(trial_id_of(trial), CLAIM, params)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: SearchSpace
    ) -> dict[str, Any]:
        _require_single_objective(study)
        if not search_space:
            return {}
        claim = trial.system_attrs.get(CLAIM)  # of a trial that was claimed before it started
        if claim is None:
            claim = storage_of(study).get_trial_system_attrs(trial_id_of(trial)).get(CLAIM, {})
        if claim.keys() == search_space.keys():
            return dict(claim)
        return self._choose(study, trial, stored_trials(study), search_space)

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
        if param_name in self.start and not self._search_space(stored_trials(study)):
            value = self.start[param_name]
            if not contains(param_distribution, value):
                raise UserError(
                    f"The start lies outside the region: {param_name} = {value} there, the "
                    f"objective suggests it from {param_distribution}."
                )
            return value
        # Later trials come here for what is not (yet) part of the search space.
        rng = None
        if trial.number or not self.begins_in_the_middle:
            rng = np.random.default_rng([self.seed, trial.number, crc32(param_name.encode())])
        known = {**self.start, **trial.params}
        return initial_value(param_name, param_distribution, self.coordinates, self.box, known, rng)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        if len(study.directions) > 1:
            return
        names = self.coordinates.names
        if names and all(name in trial.params for name in names):
            point = self.coordinates.from_raw({name: trial.params[name] for name in names})
            storage_of(study).set_trial_user_attr(trial_id_of(trial), COORDINATES, point)
        # The trial's result is stored only after this call.
        ended = copy.copy(trial)
        ended.state, ended.values = state, list(values) if values is not None else None
        trials = [ended if t.number == trial.number else t for t in stored_trials(study)]
        space = self._search_space(trials)
        if space:
            region = self.region(space)
            history = self._history(study, trials, space, trial.number)
            if self.ends(region) and self.finished(region, history):
                with contextlib.suppress(RuntimeError):  # outside study.optimize
                    study.stop()

    def _proposal(
        self, study: Study, trial: FrozenTrial, trials: list[FrozenTrial], space: SearchSpace
    ) -> dict[str, Any] | None:
        """The raw parameters of the point to evaluate next, None if there is none."""
        region = self.region(space)
        history = self._history(study, trials, space, trial.number)
        position = self.propose(region, history)
        for name, note in history.notes.items():
            storage_of(study).set_trial_system_attr(trial_id_of(trial), name, note)
        return None if position is None else region.decode(position)

    def _choose(
        self, study: Study, trial: FrozenTrial, trials: list[FrozenTrial], space: SearchSpace
    ) -> dict[str, Any]:
        params = self._proposal(study, trial, trials, space)
        if params is not None:
            return params
        region = self.region(space)
        history = self._history(study, trials, space, trial.number)
        reason = self.finished(region, history)
        if self.ends(region) and reason:
            try:
                study.stop()
            except RuntimeError:  # outside study.optimize: by study.ask
                storage_of(study).set_trial_state_values(trial_id_of(trial), TrialState.FAIL)
                raise StudyExhausted(f"The search has ended: {reason}.") from None
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
        """The stored trials, once those that this one's choice depends on are known."""
        if not self.depends_on_others and self._declared is not None:
            return stored_trials(study)
        return self._earlier.settled(study, trial.number, lambda t: bool(self._search_space(t)))


def _require_single_objective(study: Study) -> None:
    if len(study.directions) > 1:
        raise UserError(
            f"The study has {len(study.directions)} objectives, this sampler searches for one: "
            "create the study with a single direction, or use one of Optuna's samplers."
        )
