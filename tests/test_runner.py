from __future__ import annotations

import math
import os
import signal
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

import numpy as np
import optuna
import pytest
import torch
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
    assert "RuntimeError: out of memory" in failed.user_attrs["hptoolkit:error"]
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
        assert "a number is needed" in study.trials[0].user_attrs["hptoolkit:error"]


def test_an_infinite_value_is_pruned_and_never_the_best() -> None:
    study = _study()

    def objective(trial: Trial) -> float:
        value = page.objective(trial)
        return math.inf if trial.number == 3 else value

    run(study, objective, trials=6, listener=Listener())
    assert study.trials[3].state == TrialState.PRUNED
    assert study.trials[3].user_attrs["hptoolkit:pruned_reason"] == "the objective returned inf"
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


@pytest.mark.parametrize(
    ("returned", "value"),
    [
        (Decimal("0.25"), 0.25),
        (torch.tensor(0.25), 0.25),
        (torch.tensor([0.25], requires_grad=True), 0.25),
        (np.array(0.25), 0.25),
        (np.float32(0.25), 0.25),
        (Fraction(1, 4), 0.25),
        ([0.25], 0.25),
        (True, 1.0),
        ("0.25", None),
        (torch.tensor([1.0, 2.0]), None),
        (np.array([1.0, 2.0]), None),
        ([1.0, 2.0], None),
        (1j, None),
        (None, None),
    ],
    ids=str,
)
def test_what_float_takes_is_a_result(returned: object, value: float | None) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    run(study, lambda trial: returned, trials=1, listener=Listener())  # type: ignore[arg-type,return-value]
    trial = study.trials[0]
    assert trial.value == value
    assert trial.state == (TrialState.FAIL if value is None else TrialState.COMPLETE)
    if value is None:
        assert "a number is needed" in trial.user_attrs["hptoolkit:error"]


def test_an_objective_may_stop_the_study() -> None:
    study = _study()

    def objective(trial: Trial) -> float:
        value = page.objective(trial)
        if trial.number == 2:
            trial.study.stop()
        return value

    ending = run(study, objective, trials=8, listener=Listener())
    assert ending.reason == "the objective called study.stop()"
    assert [t.state for t in study.trials] == 3 * [TrialState.COMPLETE]
    run(study, page.objective, trials=5, listener=Listener())  # another run goes on
    assert len(study.trials) == 5


@pytest.mark.parametrize("code", [0, 3, "a message"])
def test_an_objective_that_exits_has_failed(code: int | str) -> None:
    study = _study()

    def objective(trial: Trial) -> float:
        value = page.objective(trial)
        if trial.number == 1:
            raise SystemExit(code)
        return value

    ending = run(study, objective, trials=4, listener=Listener())
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.COMPLETE, TrialState.FAIL, *2 * [TrialState.COMPLETE]]
    assert f"sys.exit({code!r})" in study.trials[1].user_attrs["hptoolkit:error"]
    assert ending.exit_code == 0
