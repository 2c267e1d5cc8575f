"""What a study has found out, as the samplers see it: read anew for every trial."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from hptoolkit.attributes import CLAIM, LOST
from hptoolkit.optuna_internals import FIXED_PARAMS
from hptoolkit.search_space.axis import choice_index, rounded
from hptoolkit.search_space.region import SearchSpace

# A point that crashed this often, or whose process did, is given up: worse than any other.
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
    """What tells one point from another: the raw values, to 12 significant digits.

    Of a choice its index: a list cannot be a key, NaN equals nothing, a tuple is stored as a list.
    """
    return tuple(_part(params[name], distribution) for name, distribution in search_space.items())


def _part(value: Any, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        index = choice_index(distribution, value)
        return repr(value) if index is None else index  # of an earlier search space
    return rounded(value) if isinstance(value, float) else value


@dataclass
class Digest:
    """Trials read one by one, in the order of their numbers.

    Attributes:
        observations: Those that run or wait to be run again, are complete or were pruned.
        failures: Those that failed.
        pending: Points that are being evaluated, or wait for it.
        values: Values of each point, larger being better; -inf for a pruned or diverged trial.
    """

    observations: list[Observation] = field(default_factory=list)
    failures: list[Observation] = field(default_factory=list)
    pending: set[Key] = field(default_factory=set)
    values: dict[Key, tuple[float, ...]] = field(default_factory=dict)

    def add(self, trial: FrozenTrial, search_space: SearchSpace, sign: float) -> None:
        """Read one more trial; leave it out if its parameters are not known."""
        params = chosen_params(trial, search_space)
        if params is None:
            return
        key, value = point_key(params, search_space), _value(trial, sign)
        observation = Observation(trial, params, key, value)
        if trial.state == TrialState.FAIL:
            self.failures.append(observation)
            return
        self.observations.append(observation)
        if value is None:
            self.pending.add(key)
        else:
            self.values[key] = (*self.values.get(key, ()), value)

    def copy(self) -> Digest:
        return Digest(
            list(self.observations),
            list(self.failures),
            set(self.pending),
            dict(self.values),
        )


# Threads share a sampler; a lock of its own could be neither copied nor pickled.
_LOCK = threading.Lock()


class Memory:
    """What was read from finished trials, which never change: a sampler keeps one between asks.

    It reaches up to the first trial that runs, so that an ask reads few trials, however many there
    are.
    """

    def __init__(self) -> None:
        self._question: tuple[SearchSpace, float] | None = None
        self._trials: list[FrozenTrial] = []
        self._digest = Digest()

    def recall(
        self, trials: Sequence[FrozenTrial], search_space: SearchSpace, sign: float, number: int
    ) -> tuple[int, Digest]:
        """How many of the trials, all numbered below `number`, are known, and their digest."""
        with _LOCK:
            known = self._trials
            beyond = bool(known) and known[-1].number >= number
            # Comparing is fast: nearly always the trials are the very same objects.
            same = self._question == (search_space, sign) and trials[: len(known)] == known
            if beyond or not same:
                self._question, self._trials = (dict(search_space), sign), []
                self._digest = Digest()
            for trial in trials[len(self._trials) :]:
                if trial.number >= number or not trial.state.is_finished():
                    break
                self._trials.append(trial)
                self._digest.add(trial, search_space, sign)
            return len(self._trials), self._digest.copy()


class History:
    """The trials of a study that lie in a search space, in the order of their numbers.

    Attributes:
        sign: 1 if the study maximizes, -1 if it minimizes: observed values are its product with
            what the objective returned.
        observations, failures, pending: See `Digest`.
        given_up: Points that crashed too often.
        trials: All stored trials.
        number: That of the trial being sampled; with the seed it fixes every random choice.
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
        self.trials = trials
        self.number = number
        self.notes: dict[str, Any] = {}
        known, digest = (memory or Memory()).recall(trials, search_space, self.sign, number)
        for trial in trials[known:]:
            if trial.number != number or trial.state.is_finished():
                digest.add(trial, search_space, self.sign)
        self.observations = digest.observations
        self.failures = digest.failures
        self.pending = digest.pending
        self._values = digest.values
        crashes: Counter[Key] = Counter()
        for o in self.failures:
            crashes[o.key] += max(1, len(o.trial.system_attrs.get(LOST, ())))
        self.given_up = {key for key, n in crashes.items() if n >= MAX_CRASHES}

    def key(self, params: Mapping[str, Any]) -> Key:
        """What tells one point from another."""
        return point_key(params, self.search_space)

    def outcome(self, key: Key) -> float | None:
        """The value of a point, larger being better: the mean of its repeats; None if unknown.

        -inf for a point that was pruned, diverged, or crashed too often.
        """
        values = self._values.get(key)
        if values is None:
            return -math.inf if key in self.given_up else None
        complete = [v for v in values if v > -math.inf]
        return math.fsum(complete) / len(complete) if complete else -math.inf

    def begins(self) -> bool:
        """Whether the trial being sampled is the first whose parameters nobody has fixed."""
        earlier = [t for t in self.trials if t.number < self.number]
        return sum(FIXED_PARAMS in t.system_attrs for t in earlier) == self.number

    def oldest_pending(self) -> Observation | None:
        """The first of the trials that run."""
        return next((o for o in self.observations if o.value is None), None)

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
        # A trial that has just begun, or failed early: its choice was announced before.
        params = {**trial.system_attrs.get(CLAIM, {}), **params}
        complete = trial.state == TrialState.COMPLETE
        if complete or any(name not in params for name in search_space):
            return None
    return {name: params[name] for name in search_space}


def _value(trial: FrozenTrial, sign: float) -> float | None:
    if trial.state == TrialState.PRUNED:
        return -math.inf
    if trial.state != TrialState.COMPLETE or trial.value is None:
        return None
    value = sign * trial.value
    return -math.inf if math.isnan(value) else value
