from __future__ import annotations

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import TrialState

from hptoolkit.attributes import LOST
from hptoolkit.samplers.history import MAX_CRASHES, History, Memory

SPACE = {"x": IntDistribution(0, 3), "y": FloatDistribution(0.0, 1.0, step=0.5)}


def _view(history: History) -> tuple[object, ...]:
    keys = sorted({o.key for o in (*history.observations, *history.failures)})
    return (
        [(o.trial.number, o.key, o.value) for o in history.observations],
        [o.trial.number for o in history.failures],
        history.pending,
        history.given_up,
        [history.outcome(key) for key in keys],
    )


@pytest.mark.parametrize("seed", range(6))
def test_what_is_remembered_is_what_is_read_anew(seed: int) -> None:
    """Trials that end out of order, some after losing a worker; two studies with one memory."""
    rng = np.random.default_rng(seed)
    memory = Memory()
    sampler = optuna.samplers.RandomSampler(seed=seed)
    studies = [optuna.create_study(sampler=sampler) for _ in range(2)]
    running: list[list[optuna.Trial]] = [[], []]
    for _ in range(80):
        i = int(rng.random() < 0.1)
        study = studies[i]
        if len(running[i]) < 4 and rng.random() < 0.5:
            if rng.random() < 0.2:
                study.enqueue_trial({"x": 0, "y": 0.0})
            running[i].append(study.ask(SPACE if rng.random() < 0.9 else {}))
        elif running[i]:
            trial = running[i].pop(int(rng.integers(len(running[i]))))
            state = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL][rng.integers(3)]
            if rng.random() < 0.2:
                study._storage.set_trial_system_attr(trial._trial_id, LOST, ["a", "b"])
            value = rng.normal() if state == TrialState.COMPLETE else None
            study.tell(trial, value, state=state)
        trials = study.get_trials(deepcopy=False)
        number = int(rng.integers(len(trials) + 1))
        direction = study.direction
        remembered = History(trials, SPACE, direction, number, memory)
        assert _view(remembered) == _view(History(trials, SPACE, direction, number))


def test_repeats_are_pooled_and_failures_counted() -> None:
    study = optuna.create_study(direction="maximize")
    points = [(0, 1.0), (0, 3.0), (1, None), (2, 5.0)] + [(3, "crash")] * MAX_CRASHES
    for x, value in points:
        study.enqueue_trial({"x": x, "y": 0.0})
        trial = study.ask(SPACE)
        if value == "crash":
            study.tell(trial, state=TrialState.FAIL)
        elif value is None:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, float(value))
    study.enqueue_trial({"x": 1, "y": 1.0})
    study.ask(SPACE)
    history = History(study.get_trials(), SPACE, study.direction, 99)
    assert history.outcome((0, 0.0)) == 2.0
    assert history.outcome((1, 0.0)) == history.outcome((3, 0.0)) == -np.inf
    assert history.outcome((2, 0.5)) is None
    assert history.pending == {(1, 1.0)}
    best = history.best()
    assert best is not None
    assert best.key == (2, 0.0)
