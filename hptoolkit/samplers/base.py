"""What all samplers share towards Optuna: a choice is made, shown to other workers, handed over.

Optuna asks for parameters late, at the first `suggest`. Choosing in `before_trial` instead, and
storing the choice at once, lets other workers see it; a trial waits for those numbered before it.
A trial that is run again, because its worker has gone, keeps the choice that was made for it.
"""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Sequence
from typing import Any
from zlib import crc32

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import TrialPruned
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from hptoolkit.attributes import CLAIM, COORDINATES, PRUNED_REASON
from hptoolkit.errors import UserError
from hptoolkit.optuna_internals import contains, in_optimize_loop, storage_of, trial_id_of
from hptoolkit.samplers.earlier_trials import is_decided, stored_trials
from hptoolkit.samplers.history import MAX_CRASHES
from hptoolkit.samplers.search import CoordinateSearch
from hptoolkit.search_space.axis import choice_index
from hptoolkit.search_space.bounds import factor_bounds
from hptoolkit.search_space.initial_value import initial_value
from hptoolkit.search_space.region import SearchSpace, lacking

# Why a trial was pruned that Optuna began after the search had ended.
_ENDED = "the search has ended"


class StudyExhausted(RuntimeError):
    """Raised by `study.ask()` when the search has ended and nothing is left to evaluate."""


class CoordinateSampler(CoordinateSearch, BaseSampler):
    """A sampler over raw names that searches coordinates; subclasses implement `propose`.

    Its arguments are those of `CoordinateSearch`.
    """

    _said_left_out = False  # that a trial has no place in the coordinates

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
        if self._declared is not None:
            return dict(self._declared)
        learned = self._search_space(stored_trials(study))
        # Stored as JSON, a tuple is a list, which is no choice of the objective's: such a one is
        # taken from the claim in `sample_independent`.
        return {name: space for name, space in learned.items() if not _holds_lists(space)}

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        if len(study.directions) > 1:
            return
        self._loops.sign(study, trial)
        if is_decided(trial):
            return
        trials = self._settled(study, trial)
        space = self._search_space(trials)
        if space:
            params = self._choose(study, trial, trials, space)
            if params is not None:
                storage_of(study).set_trial_system_attr(trial_id_of(trial), CLAIM, params)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: SearchSpace
    ) -> dict[str, Any]:
        _require_single_objective(study)
        if not search_space:
            return {}
        claim = _claim(study, trial)
        if not claim.keys() >= search_space.keys():
            trials = stored_trials(study)
            known = self._search_space(trials)
            whole = known if known.keys() >= search_space.keys() else search_space
            params = self._choose(study, trial, trials, whole)
            if params is None:
                # Optuna has no other way to end a trial that it has begun, without a training.
                storage_of(study).set_trial_user_attr(trial_id_of(trial), PRUNED_REASON, _ENDED)
                raise TrialPruned(f"{_ENDED}: nothing is left to evaluate.")
            claim = params
            if claim.keys() > search_space.keys():
                storage_of(study).set_trial_system_attr(trial_id_of(trial), CLAIM, claim)
        return {name: _as_chosen(claim[name], space) for name, space in search_space.items()}

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
        claim = _claim(study, trial)
        if isinstance(param_distribution, CategoricalDistribution) and param_name in claim:
            index = choice_index(param_distribution, claim[param_name])
            if index is not None:
                return param_distribution.choices[index]
        factors = tuple(f for f in self.coordinates.factors if f.name == param_name)
        factor_bounds(factors, {param_name: param_distribution})  # refuses what has no logarithm
        trials = stored_trials(study)
        crashes = sum(t.state == TrialState.FAIL for t in trials)
        # A start that always crashes before everything is suggested teaches nothing.
        begins = crashes < MAX_CRASHES and not self._search_space(trials)
        if param_name in self.start and begins:
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
        self._note_coordinates(study, trial, state)
        if not in_optimize_loop(study):
            return  # nothing to stop: whoever asks and tells asks `why_finished` as well
        # The trial's result is stored only after this call.
        ended = copy.copy(trial)
        ended.state, ended.values = state, list(values) if values is not None else None
        others = self._loops.seen(study, stored_trials(study), trial.number)
        trials = [ended if t.number == trial.number else t for t in others]
        space = self._search_space(trials)
        if space:
            region = self.region(space)
            history = self._history(study, trials, space, trial.number)
            if self.ends(region) and self.finished(region, history):
                study.stop()

    def _note_coordinates(self, study: Study, trial: FrozenTrial, state: TrialState) -> None:
        """Store a trial's coordinates. That one has none, and is left out, is said once.

        Raises UserError if no trial so far has the parameters that the coordinates name.
        """
        names = self.coordinates.names
        missing = [name for name in names if name not in trial.params]
        if missing and state != TrialState.COMPLETE:
            return
        if missing and not self._search_space(stored_trials(study)):
            raise lacking(self.coordinates, missing, trial.params)
        try:
            if missing:
                raise UserError(f"it lacks {', '.join(missing)}.")
            if names:
                point = self.coordinates.from_raw({name: trial.params[name] for name in names})
                storage_of(study).set_trial_user_attr(trial_id_of(trial), COORDINATES, point)
        except UserError as error:
            if not self._said_left_out:
                self._said_left_out = True
                warnings.warn(
                    f"Trial {trial.number} has no place in the coordinates and is left out of "
                    f"them, as others like it will be: {error}",
                    stacklevel=2,
                )

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
    ) -> dict[str, Any] | None:
        """The parameters to evaluate; None if the search has ended, of which `optimize` is told."""
        pause = 0.02
        while True:
            params = self._proposal(study, trial, trials, space)
            if params is not None:
                return params
            region = self.region(space)
            history = self._history(study, trials, space, trial.number)
            reason = self.finished(region, history)
            pending = [o.trial for o in history.observations if o.value is None]
            last = [t for t in pending if self._loops.will_end(study, t, trials)]
            # What to evaluate depends on trials that others run: what one asks and tells itself
            # cannot be waited for.
            if reason or not last or not in_optimize_loop(study):
                break
            time.sleep(pause)
            pause = min(1.5 * pause, 1.0)
            trials = self._loops.seen(study, stored_trials(study), trial.number)
            space = self._search_space(trials) or space
        if self.ends(region) and reason:
            try:
                study.stop()
            except RuntimeError:  # outside study.optimize: by study.ask
                storage_of(study).set_trial_state_values(trial_id_of(trial), TrialState.FAIL)
                raise StudyExhausted(f"The search has ended: {reason}.") from None
            return None
        if not reason and (waited_for := history.oldest_pending()):
            # Nothing is left but points that run, and their workers may be dead: run one again.
            return waited_for.params
        best = history.best()
        return best.params if best else region.decode(region.check_start(self.start))

    def _settled(self, study: Study, trial: FrozenTrial) -> list[FrozenTrial]:
        """The stored trials, once those that this one's choice depends on are known."""
        if not self.depends_on_others and self._declared is not None:
            return self._loops.seen(study, stored_trials(study), trial.number)
        return self._earlier.settled(study, trial.number, lambda t: bool(self._search_space(t)))


def _claim(study: Study, trial: FrozenTrial) -> dict[str, Any]:
    """The parameters that were chosen for a trial before it suggested any."""
    claim = trial.system_attrs.get(CLAIM)  # of a trial that was claimed before it started
    if claim is None:
        claim = storage_of(study).get_trial_system_attrs(trial_id_of(trial)).get(CLAIM, {})
    return dict(claim)


def _as_chosen(value: Any, distribution: BaseDistribution) -> Any:
    """A value that was stored as JSON as the choice that it was."""
    if isinstance(distribution, CategoricalDistribution):
        index = choice_index(distribution, value)
        return value if index is None else distribution.choices[index]
    return value


def _holds_lists(distribution: BaseDistribution) -> bool:
    if not isinstance(distribution, CategoricalDistribution):
        return False
    return any(isinstance(choice, list) for choice in distribution.choices)


def _require_single_objective(study: Study) -> None:
    if len(study.directions) > 1:
        raise UserError(
            f"The study has {len(study.directions)} objectives, this sampler searches for one: "
            "create the study with a single direction, or use one of Optuna's samplers."
        )
