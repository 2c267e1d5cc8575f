"""What a study has found out, as the samplers see it: read anew for every trial."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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


class History:
    """The trials of a study that lie in a search space, in the order of their numbers.

    Attributes:
        observations: Trials that run, are complete or were pruned.
        failures: Trials that failed by themselves; those that were interrupted are left out.
        sign: 1 if the study maximizes, -1 if it minimizes: observed values are its product with
            what the objective returned.
        draws: How many trials were asked for before the one being sampled, retries not counted;
            together with the seed it fixes every random choice.
    """

    def __init__(
        self,
        trials: Iterable[FrozenTrial],
        search_space: SearchSpace,
        direction: StudyDirection,
        number: int,
    ) -> None:
        self.search_space = search_space
        self.sign = 1.0 if direction == StudyDirection.MAXIMIZE else -1.0
        self.observations: list[Observation] = []
        self.failures: list[Observation] = []
        self.draws = 0
        for trial in trials:
            if trial.number < number and RETRY_OF not in trial.user_attrs:
                self.draws += 1
            params = _params(trial, search_space)
            if params is None or (trial.number == number and not trial.state.is_finished()):
                continue
            key = self.key(params)
            if trial.state == TrialState.FAIL:
                if not trial.user_attrs.get(INTERRUPTED, False):
                    self.failures.append(Observation(trial, params, key, None))
                continue
            self.observations.append(Observation(trial, params, key, _value(trial, self.sign)))
        crashes = Counter(o.key for o in self.failures)
        self.given_up = {key for key, n in crashes.items() if n >= MAX_CRASHES}
        self.pending = {o.key for o in self.observations if o.value is None}
        values: defaultdict[Key, list[float]] = defaultdict(list)
        for o in self.observations:
            if o.value is not None:
                values[o.key].append(o.value)
        self._values = values

    def key(self, params: Mapping[str, Any]) -> Key:
        """What tells one point from another: the raw values, to 12 significant digits."""
        return tuple(
            rounded(value) if isinstance(value, float) else value
            for value in (params[name] for name in self.search_space)
        )

    def outcome(self, key: Key) -> float | None:
        """The value of a point, larger being better: the mean of its repeats; None if unknown.

        -inf for a point that was pruned, diverged, or crashed too often.
        """
        values = self._values.get(key)
        if values is None:
            return -math.inf if key in self.given_up else None
        complete = [v for v in values if v > -math.inf]
        return math.fsum(complete) / len(complete) if complete else -math.inf

    def best(self) -> Observation | None:
        """The best complete observation, repeats pooled; the earliest of equals."""
        complete = [o for o in self.observations if o.value is not None and o.value > -math.inf]
        return max(complete, key=lambda o: self.outcome(o.key) or 0.0, default=None)

    def first(self, key: Key) -> int:
        """The number of the first trial at a point."""
        return next(o.trial.number for o in self.observations if o.key == key)


def _params(trial: FrozenTrial, search_space: SearchSpace) -> dict[str, Any] | None:
    params = trial.params
    if any(name not in params for name in search_space):
        # A trial that has just begun: its choice is announced before it suggests anything.
        params = trial.system_attrs.get(CLAIM, {})
        if trial.state.is_finished() or any(name not in params for name in search_space):
            return None
    return {name: params[name] for name in search_space}


def _value(trial: FrozenTrial, sign: float) -> float | None:
    if trial.state == TrialState.PRUNED:
        return -math.inf
    if trial.state != TrialState.COMPLETE or trial.value is None:
        return None
    value = sign * trial.value
    return -math.inf if math.isnan(value) else value
