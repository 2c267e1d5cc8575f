"""What a study has found out, as the samplers see it: read anew for every trial."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hptoolkit.axes import rounded
from hptoolkit.region import SearchSpace

# System attribute with the parameters a sampler chose, written before the trial starts, so that
# other workers see them; user attributes that the study command writes.
CLAIM = "hptoolkit:params"
RETRY_OF = "retry_of"
INTERRUPTED = "interrupted"

# A point that crashed this often is given up and counts as worse than any other.
MAX_CRASHES = 3

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Observation:
    """A trial whose parameters are known: its value is None while it runs."""

    trial: FrozenTrial
    params: dict[str, Any]
    key: Key
    value: float | None  # larger is better; -inf for a pruned or diverged trial


def point_key(params: Mapping[str, Any], search_space: SearchSpace) -> Key:
    """What tells one point from another: the raw values, to 12 significant digits."""
    values = (params[name] for name in search_space)
    return tuple(rounded(value) if isinstance(value, float) else value for value in values)


class Memory:
    """What was read from finished trials, which never change: a sampler keeps one between asks."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[FrozenTrial, Observation | None]] = {}
        self._question: tuple[SearchSpace, float] = ({}, 0.0)

    def observe(
        self, trials: Iterable[FrozenTrial], search_space: SearchSpace, sign: float
    ) -> list[Observation]:
        """The trials whose parameters in the search space are known, failed ones too."""
        if self._question != (search_space, sign):
            self._question, self._known = (dict(search_space), sign), {}
        known, observations = self._known, []
        for trial in trials:
            seen, observation = known.get(trial.number, (None, None))
            if seen is not trial:
                observation = _observe(trial, search_space, sign)
                if trial.state.is_finished():
                    known[trial.number] = (trial, observation)
            if observation is not None:
                observations.append(observation)
        return observations


class History:
    """The trials of a study that lie in a search space, in the order of their numbers.

    Attributes:
        sign: 1 if the study maximizes, -1 if it minimizes: observed values are its product with
            what the objective returned.
        draws: How many trials were asked for before the one being sampled, retries not counted;
            together with the seed it fixes every random choice.
        trials: All stored trials, and `number`: that of the one being sampled.
        notes: System attributes that the sampler wants stored with the trial being sampled; they
            are there before its choice is announced to other workers.
    """

    def __init__(
        self,
        trials: Sequence[FrozenTrial],
        search_space: SearchSpace,
        direction: StudyDirection,
        number: int,
        memory: Memory | None = None,
    ) -> None:
        self.search_space = search_space
        self.sign = 1.0 if direction == StudyDirection.MAXIMIZE else -1.0
        self.draws = sum(t.number < number and RETRY_OF not in t.user_attrs for t in trials)
        self.trials = trials
        self.number = number
        self.notes: dict[str, Any] = {}
        self._memory = memory or Memory()

    @cached_property
    def _known(self) -> list[Observation]:
        known = self._memory.observe(self.trials, self.search_space, self.sign)
        sampled = self.number
        return [o for o in known if o.trial.number != sampled or o.trial.state.is_finished()]

    @cached_property
    def observations(self) -> list[Observation]:
        """Trials that run, are complete or were pruned."""
        return [o for o in self._known if o.trial.state != TrialState.FAIL]

    @cached_property
    def failures(self) -> list[Observation]:
        """Trials that failed by themselves; those that were interrupted are left out."""
        failed = [o for o in self._known if o.trial.state == TrialState.FAIL]
        return [o for o in failed if not o.trial.user_attrs.get(INTERRUPTED, False)]

    @cached_property
    def given_up(self) -> set[Key]:
        """Points that crashed too often."""
        crashes = Counter(o.key for o in self.failures)
        return {key for key, n in crashes.items() if n >= MAX_CRASHES}

    @cached_property
    def pending(self) -> set[Key]:
        """Points that are being evaluated."""
        return {o.key for o in self.observations if o.value is None}

    @cached_property
    def _outcomes(self) -> dict[Key, float]:
        outcomes = dict.fromkeys(self.given_up, -math.inf)
        repeats: defaultdict[Key, list[float]] = defaultdict(list)
        for o in self.observations:
            if o.value is not None:
                repeats[o.key].append(o.value)
        for key, values in repeats.items():
            complete = [v for v in values if v > -math.inf]
            outcomes[key] = math.fsum(complete) / len(complete) if complete else -math.inf
        return outcomes

    def key(self, params: Mapping[str, Any]) -> Key:
        """What tells one point from another."""
        return point_key(params, self.search_space)

    def outcome(self, key: Key) -> float | None:
        """The value of a point, larger being better: the mean of its repeats; None if unknown.

        -inf for a point that was pruned, diverged, or crashed too often.
        """
        return self._outcomes.get(key)

    def best(self) -> Observation | None:
        """The best complete observation, repeats pooled; the earliest of equals."""
        complete = [o for o in self.observations if o.value is not None and o.value > -math.inf]
        return max(complete, key=lambda o: self.outcome(o.key) or 0.0, default=None)

    def first(self, key: Key) -> int:
        """The number of the first trial at a point."""
        return next(o.trial.number for o in self.observations if o.key == key)


def chosen_params(trial: FrozenTrial, search_space: SearchSpace) -> dict[str, Any] | None:
    """A trial's parameters in the search space, if all are known."""
    params = trial.params
    if any(name not in params for name in search_space):
        # A trial that has just begun: its choice is announced before it suggests anything.
        params = trial.system_attrs.get(CLAIM, {})
        if trial.state.is_finished() or any(name not in params for name in search_space):
            return None
    return {name: params[name] for name in search_space}


def _observe(trial: FrozenTrial, search_space: SearchSpace, sign: float) -> Observation | None:
    params = chosen_params(trial, search_space)
    if params is None:
        return None
    return Observation(trial, params, point_key(params, search_space), _value(trial, sign))


def _value(trial: FrozenTrial, sign: float) -> float | None:
    if trial.state == TrialState.PRUNED:
        return -math.inf
    if trial.state != TrialState.COMPLETE or trial.value is None:
        return None
    value = sign * trial.value
    return -math.inf if math.isnan(value) else value
