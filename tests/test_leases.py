"""Leases: whose worker has gone, when that is noticed, and what becomes of the trial."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import FrozenTrial, Trial, TrialState

import hptoolkit as hpt
from hptoolkit import processes as machine
from hptoolkit import storage
from hptoolkit.attributes import CLAIM, LEASE, LOST, SEED
from hptoolkit.execution.worker import run
from hptoolkit.samplers.history import History
from hptoolkit.storage import leases
from hptoolkit.storage.leases import Lease, Times, Watcher
from tests import page

SPACE: dict[str, BaseDistribution] = {name: FloatDistribution(0.0, 1.0) for name in "xy"}
QUICK = Times(beat=0.05, look=0.02, expiry=0.4)


@dataclass
class Listener:
    ended: list[FrozenTrial] = field(default_factory=list)

    def trial_began(self, trial: Trial) -> None:
        pass

    def trial_ended(self, trial: FrozenTrial) -> None:
        self.ended.append(trial)


def _dead_process() -> int:
    """The pid of a process that has ended and was waited for."""
    process = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                             capture_output=True, text=True, check=True)  # fmt: skip
    return int(process.stdout)


def _running(study: optuna.Study, lease: Lease | None) -> int:
    """A running trial that carries a lease; its id."""
    attributes = lease.attributes() if lease else {}
    template = optuna.trial.create_trial(state=TrialState.RUNNING, system_attrs=attributes)
    return study._storage.create_new_trial(study._study_id, template)


def _elsewhere() -> Lease:
    return replace(Lease.of_this_process(), machine="another")


def test_a_trial_put_back_is_the_same_trial() -> None:
    study = optuna.create_study()
    trial = study.ask()
    x = trial.suggest_float("x", 0.0, 1.0)
    trial.set_user_attr(SEED, 7)
    storage.put_back(study, trial._trial_id)
    storage.put_back(study, trial._trial_id)
    assert [t.state for t in study.trials] == [TrialState.WAITING]
    again = study.ask()
    assert (again.number, again.user_attrs) == (0, {SEED: 7})
    assert again.suggest_float("x", 0.0, 1.0) == x
    study.tell(again, 1.0)
    storage.put_back(study, again._trial_id)
    assert [(t.number, t.state, t.value) for t in study.trials] == [(0, TrialState.COMPLETE, 1.0)]


def test_a_dead_process_is_told_from_a_later_one_with_its_pid() -> None:
    pid = os.getpid()
    assert not machine.is_gone(pid, machine.started(pid))
    assert not machine.is_gone(pid, None)
    assert machine.is_gone(_dead_process(), None)
    if sys.platform == "linux":
        assert machine.is_gone(pid, "1")
        unreaped = subprocess.Popen([sys.executable, "-c", ""])
        time.sleep(0.3)
        assert machine.is_gone(unreaped.pid, None)
        unreaped.wait()


def test_only_orphans_of_this_machine_are_put_back_at_once() -> None:
    study = optuna.create_study()
    dead = replace(Lease.of_this_process(), pid=_dead_process())
    for lease in (dead, Lease.of_this_process(), replace(dead, machine="another"), None):
        _running(study, lease)
    assert storage.put_back_orphans(study) == [0]
    assert storage.put_back_orphans(study) == []
    assert [t.state for t in study.trials] == [TrialState.WAITING, *[TrialState.RUNNING] * 3]


def _watch(
    study: optuna.Study, seconds: float, meanwhile: Callable[[], Any] = lambda: None
) -> None:
    watcher, end = Watcher(QUICK), time.monotonic() + seconds
    while time.monotonic() < end:
        watcher.look(study, None)
        meanwhile()
        time.sleep(QUICK.look)


@pytest.mark.parametrize("minutes", [-1, 0, 1])
def test_clocks_that_differ_by_a_minute_do_no_harm(minutes: int) -> None:
    """One worker elsewhere beats, one does not; both clocks are wrong by the same."""
    study = optuna.create_study()
    began = datetime.now() + timedelta(minutes=minutes)
    alive, silent = _elsewhere(), _elsewhere()
    for lease in (alive, silent):
        template = optuna.trial.create_trial(
            state=TrialState.RUNNING, system_attrs=lease.attributes()
        )
        template.datetime_start = began
        study._storage.create_new_trial(study._study_id, template)
    beats = iter(range(1000))
    before = time.monotonic()
    _watch(study, 0.75 * QUICK.expiry, lambda: leases.renew(study, 0, alive, next(beats)))
    if time.monotonic() - before < QUICK.expiry:
        assert [t.state for t in study.trials] == [TrialState.RUNNING] * 2
    _watch(study, 2 * QUICK.expiry, lambda: leases.renew(study, 0, alive, next(beats)))
    assert [t.state for t in study.trials] == [TrialState.RUNNING, TrialState.WAITING]


def test_time_in_which_nobody_looked_does_not_count() -> None:
    study = optuna.create_study()
    _running(study, _elsewhere())
    watcher = Watcher(QUICK)
    watcher.look(study, None)
    time.sleep(1.5 * QUICK.expiry)  # the storage could not be reached, or the watcher was stopped
    watcher.look(study, None)
    assert study.trials[0].state == TrialState.RUNNING


def test_a_worker_without_a_lease_lives_as_long_as_it_writes() -> None:
    study = optuna.create_study()
    writing, silent = study.ask(), study.ask()
    steps = iter(range(1000))
    _watch(study, 2 * QUICK.expiry, lambda: writing.report(0.0, next(steps)))
    assert study.trials[writing.number].state == TrialState.RUNNING
    assert study.trials[silent.number].state == TrialState.WAITING


def test_a_third_loss_gives_a_trial_up_and_is_counted_once_by_two_watchers() -> None:
    study = optuna.create_study()
    _running(study, _elsewhere())
    for losses in (1, 2, 3):
        seen = study._storage.get_trial(0)
        leases.put_back_lost(study, seen)
        leases.put_back_lost(study, seen)
        assert len(study.trials[0].system_attrs[LOST]) == losses
        if losses < 3:
            assert study.trials[0].state == TrialState.WAITING
            assert leases.take(study, 0, _elsewhere())
    assert study.trials[0].state == TrialState.FAIL
    assert "has gone 3 times" in study.trials[0].user_attrs["hptoolkit:error"]


def test_who_comes_back_late_takes_up_what_nobody_runs_and_leaves_what_somebody_does() -> None:
    study = optuna.create_study()
    first, second = _elsewhere(), _elsewhere()
    trial_id = _running(study, first)
    assert leases.renew(study, trial_id, first, 1)
    storage.put_back(study, trial_id)
    assert leases.renew(study, trial_id, first, 2)
    assert study.trials[0].state == TrialState.RUNNING
    storage.put_back(study, trial_id)
    assert leases.take(study, trial_id, second)
    assert not leases.take(study, trial_id, first)
    assert not leases.renew(study, trial_id, first, 3)
    assert study.trials[0].system_attrs[LEASE] == asdict(second)
    study.tell(0, 1.0)
    assert not leases.renew(study, trial_id, second, 1)


def test_a_late_result_does_not_replace_the_one_that_is_there() -> None:
    study = optuna.create_study()
    listener = Listener()

    def objective(trial: Trial) -> float:
        if trial.number == 0:
            study._storage.set_trial_state_values(trial._trial_id, TrialState.COMPLETE, [1.0])
        return 2.0

    run(study, objective, trials=2, listener=listener)
    assert [t.value for t in study.trials] == [1.0, 2.0]
    assert [t.number for t in listener.ended] == [1]


def test_a_worker_abandons_a_trial_that_has_become_anothers() -> None:
    study = optuna.create_study()
    other, listener = _elsewhere(), Listener()
    slept = []

    def objective(trial: Trial) -> float:
        if trial.number > 0:
            return 0.0
        storage.put_back(study, trial._trial_id)
        leases.take(study, trial._trial_id, other)
        began = time.monotonic()
        try:
            time.sleep(30.0)
        finally:
            slept.append(time.monotonic() - began)
            study._storage.set_trial_state_values(trial._trial_id, TrialState.COMPLETE, [1.0])
        return 2.0

    ending = run(study, objective, trials=2, listener=listener, times=QUICK)
    assert (ending.exit_code, ending.reason) == (0, "the budget of 2 trials is used up")
    assert slept[0] < 5.0
    assert [t.value for t in study.trials] == [1.0, 0.0]
    assert [t.number for t in listener.ended] == [1]


def test_a_worker_waits_for_others_takes_over_the_dead_and_keeps_their_numbers() -> None:
    study = optuna.create_study()
    _running(study, replace(Lease.of_this_process(), pid=_dead_process()))
    silent = _running(study, _elsewhere())
    listener = Listener()
    ending = run(study, lambda trial: float(trial.number), trials=3, listener=listener, times=QUICK)
    assert ending.reason == "the budget of 3 trials is used up"
    assert [(t.number, t.value) for t in study.trials] == [(0, 0.0), (1, 1.0), (2, 2.0)]
    assert [t.number for t in listener.ended][-1] == silent


def test_a_surplus_trial_waits_for_a_larger_budget() -> None:
    study = optuna.create_study()
    study.enqueue_trial({"x": 0.5})
    study.enqueue_trial({"x": 0.25})

    def objective(trial: Trial) -> float:
        return trial.suggest_float("x", 0.0, 1.0)

    run(study, objective, trials=1, listener=Listener())
    assert [t.state for t in study.trials] == [TrialState.COMPLETE, TrialState.WAITING]
    run(study, objective, trials=2, listener=Listener())
    assert [t.value for t in study.trials] == [0.5, 0.25]


def test_an_interrupt_ends_the_waiting_for_others() -> None:
    study = optuna.create_study()
    _running(study, _elsewhere())
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    ending = run(study, lambda trial: 0.0, trials=1, listener=Listener())
    timer.join()
    assert ending.exit_code == 130
    assert study.trials[0].state == TrialState.RUNNING


def test_a_claim_is_made_for_who_died_before_choosing() -> None:
    grid = hpt.GridSampler(page.COORDINATES, start=page.START, search_space=page.SEARCH_SPACE)
    undisturbed = optuna.create_study(sampler=grid)
    run(undisturbed, page.objective, trials=3, listener=Listener())

    study = optuna.create_study(sampler=grid)
    dead = _running(study, replace(Lease.of_this_process(), pid=_dead_process()))
    later = _running(study, Lease.of_this_process())
    storage.put_back_orphans(study)
    assert grid.claim(study, study._storage.get_trial(later))
    claims = [t.system_attrs[CLAIM] for t in study.trials]
    assert claims == [t.params for t in undisturbed.trials[:2]]
    study._storage.set_trial_system_attr(later, LEASE, None)
    study._storage.set_trial_state_values(later, TrialState.WAITING)
    run(study, page.objective, trials=3, listener=Listener())
    assert dead == 0
    assert [t.params for t in study.trials] == [t.params for t in undisturbed.trials]


def test_a_worker_waits_for_the_last_points_instead_of_repeating_them() -> None:
    grid = hpt.GridSampler(search_space=SPACE, levels=3, zooms=0)
    study = optuna.create_study(sampler=grid)
    elsewhere = _running(study, _elsewhere())
    assert grid.claim(study, study._storage.get_trial(elsewhere))
    claim = study.trials[0].system_attrs[CLAIM]

    def finish() -> None:
        for name, value in claim.items():
            study._storage.set_trial_param(elsewhere, name, value, SPACE[name])
        study._storage.set_trial_state_values(elsewhere, TrialState.COMPLETE, [9.0])

    def objective(trial: Trial) -> float:
        return trial.suggest_float("x", 0, 1) + trial.suggest_float("y", 0, 1)

    timer = threading.Timer(1.0, finish)
    timer.start()
    ending = run(study, objective, trials=100, listener=Listener())
    timer.join()
    assert ending.reason == "all 9 points of the grid are evaluated"
    assert len({tuple(t.params.values()) for t in study.trials}) == len(study.trials) == 9


def test_a_point_whose_worker_died_three_times_is_given_up() -> None:
    study = optuna.create_study(sampler=hpt.RandomSampler(search_space=SPACE, seed=0))
    trial = study.ask(SPACE)
    key = tuple(trial.params.values())
    study._storage.set_trial_system_attr(trial._trial_id, LOST, ["a", "b", "c"])
    study.tell(trial, state=TrialState.FAIL)
    history = History(study.get_trials(), SPACE, study.direction, 1)
    assert {tuple(o.params.values()) for o in history.failures} == {key}
    assert history.outcome(history.failures[0].key) == -math.inf
