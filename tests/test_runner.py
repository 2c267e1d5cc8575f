from __future__ import annotations

import math
import os
import signal
from dataclasses import dataclass, field

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

import hptoolkit as hpt
from hptoolkit.execution.worker import run, used, why_over
from tests import page


@dataclass
class Listener:
    ended: list[int] = field(default_factory=list)

    def trial_began(self, trial: Trial) -> None:
        pass

    def trial_ended(self, trial: FrozenTrial) -> None:
        self.ended.append(trial.number)


def _study() -> optuna.Study:
    sampler = hpt.CoordinateDescentSampler(
        page.COORDINATES, start=page.START, search_space=page.SEARCH_SPACE
    )
    return optuna.create_study(sampler=sampler, direction="maximize")


def test_runs_until_the_search_has_ended() -> None:
    study, listener = _study(), Listener()
    ending = run(study, page.objective, trials=100, listener=listener)
    assert ending.exit_code == 0
    assert ending.reason.startswith("no step by a factor of 2")
    assert listener.ended == list(range(len(study.trials)))
    assert len(study.trials) <= 28


def test_the_budget_is_the_total() -> None:
    study = _study()
    assert run(study, page.objective, trials=5, listener=Listener()).reason.startswith("the budget")
    assert used(study) == 5
    run(study, page.objective, trials=5, listener=Listener())
    assert used(study) == 5
    run(study, page.objective, trials=8, listener=Listener())
    assert used(study) == 8


def test_a_signal_puts_the_trial_back_and_the_sequence_is_the_same() -> None:
    undisturbed = _study()
    run(undisturbed, page.objective, trials=100, listener=Listener())

    study = _study()
    hits = {4: signal.SIGINT, 9: signal.SIGTERM}
    codes = []

    def objective(trial: Trial) -> float:
        value = page.objective(trial)
        if trial.number in hits:
            os.kill(os.getpid(), hits.pop(trial.number))
        return value

    before = signal.getsignal(signal.SIGINT)
    for _ in range(3):
        codes.append(run(study, objective, trials=100, listener=Listener()).exit_code)
    assert codes == [130, 143, 0]
    assert signal.getsignal(signal.SIGINT) is before
    assert {t.state for t in study.trials} == {TrialState.COMPLETE}
    table = [(t.number, t.params, t.value) for t in study.trials]
    assert table == [(t.number, t.params, t.value) for t in undisturbed.trials]
    assert used(study) == len(undisturbed.trials)


def test_a_crash_is_kept_with_its_error_and_the_study_goes_on() -> None:
    study = _study()

    def objective(trial: Trial) -> float:
        value = page.objective(trial)
        if trial.number == 2:
            raise RuntimeError("out of memory")
        return value

    assert run(study, objective, trials=100, listener=Listener()).exit_code == 0
    failed = study.trials[2]
    assert failed.state == TrialState.FAIL
    assert "RuntimeError: out of memory" in failed.user_attrs["error"]
    assert study.trials[3].params == failed.params


def test_a_study_whose_every_trial_crashes_ends() -> None:
    study = _study()

    def objective(trial: Trial) -> float:
        page.objective(trial)
        raise RuntimeError("no such kernel")

    ending = run(study, objective, trials=100, listener=Listener())
    assert ending.exit_code == 1
    assert [t.params for t in study.trials] == [page.START] * 3
    # The start is given up, the study is not: the same command tries the next point, λ doubled.
    assert why_over(study, 100) is None
    assert run(study, objective, trials=100, listener=Listener()).exit_code == 1
    assert [t.params["lr"] for t in study.trials] == [0.001] * 3 + [0.002] * 3
    # With a budget of what has ended there is nothing left to run.
    assert why_over(study, 6).reason == "the budget of 6 trials is used up"  # type: ignore[union-attr]


def test_values_that_are_none_are_failures_with_a_reason() -> None:
    for value in (None, "a", (1.0, 2.0)):
        study = _study()

        def objective(trial: Trial, value: object = value) -> float:
            page.objective(trial)
            return value  # type: ignore[return-value]

        assert run(study, objective, trials=10, listener=Listener()).exit_code == 1
        assert "a number is needed" in study.trials[0].user_attrs["error"]


def test_an_infinite_value_is_pruned_and_never_the_best() -> None:
    study = _study()

    def objective(trial: Trial) -> float:
        value = page.objective(trial)
        return math.inf if trial.number == 3 else value

    run(study, objective, trials=6, listener=Listener())
    assert study.trials[3].state == TrialState.PRUNED
    assert study.trials[3].user_attrs["pruned_reason"] == "the objective returned inf"
    assert math.isfinite(study.best_value)


def test_an_interrupt_raised_by_the_objective_itself_ends_the_study() -> None:
    study = _study()

    def objective(trial: Trial) -> float:
        page.objective(trial)
        raise KeyboardInterrupt

    assert run(study, objective, trials=10, listener=Listener()).exit_code == 130
    (trial,) = study.trials
    assert (trial.number, trial.state) == (0, TrialState.WAITING)
    assert trial.params == page.START
