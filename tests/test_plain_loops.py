"""Plain scripts that share a study, with no other worker than `study.optimize`: kills and waits."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import TrialState

import hptoolkit as hpt
from hptoolkit import storage
from hptoolkit.attributes import PROCESS
from hptoolkit.samplers import plain_loops
from hptoolkit.samplers.plain_loops import PlainLoops

SPACE: dict[str, BaseDistribution] = {
    "lr": FloatDistribution(1e-4, 10.0, log=True),
    "wd": FloatDistribution(1e-6, 1e-1, log=True),
}
START = {"lr": 1e-3, "wd": 1e-2}
HERE = Path(__file__).parents[1]


def response(lr: float, wd: float) -> float:
    return (math.log2(lr * wd / 4e-5)) ** 2 + 0.1 * (math.log2(wd / 2.5e-3)) ** 2


def objective(trial: optuna.Trial) -> float:
    return response(*(trial.suggest_float(n, d.low, d.high, log=True) for n, d in SPACE.items()))  # type: ignore[attr-defined]


def sampler(told: bool = True) -> hpt.CoordinateDescentSampler:
    space = SPACE if told else None
    coordinates = hpt.Coordinates("lr*wd", "wd")
    return hpt.CoordinateDescentSampler(coordinates, search_space=space, start=START, seed=0)


def script(body: str, file: Path) -> subprocess.Popen[str]:
    """A process that runs `study.optimize` of this module's search on a stored study."""
    code = f"""
    import os, time, optuna
    from hptoolkit import storage
    from tests.test_plain_loops import objective, sampler
    study = optuna.create_study(
        study_name="s", storage=storage.connect({str(file)!r}), sampler=sampler(),
        load_if_exists=True,
    )
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code) + textwrap.dedent(body)],
        cwd=HERE,
        env={**os.environ, "PYTHONPATH": str(HERE)},
        text=True,
        stderr=subprocess.PIPE,
    )


def points(study: optuna.Study) -> Counter[tuple[float, ...]]:
    return Counter(tuple(t.params.values()) for t in study.trials if t.state.name == "COMPLETE")


@pytest.mark.parametrize("victim", [0, 3, 8])
def test_a_trial_of_a_killed_script_is_run_again_at_once(tmp_path: Path, victim: int) -> None:
    alone = optuna.create_study(sampler=sampler())
    alone.optimize(objective, n_trials=60)
    body = f"""
    def killed(trial):
        value = objective(trial)
        if trial.number == {victim}:
            os._exit(9)
        return value
    study.optimize(killed)
    """
    assert script(body, tmp_path / "s.log").wait(timeout=60) == 9
    study = optuna.load_study(
        study_name="s", storage=storage.connect(str(tmp_path / "s.log")), sampler=sampler()
    )
    study.optimize(objective, n_trials=60)
    states = [t.state for t in study.trials]
    assert states.count(TrialState.FAIL) == 1
    assert states[victim] == TrialState.FAIL
    assert points(study) == points(alone)


def test_two_scripts_evaluate_no_point_twice(tmp_path: Path) -> None:
    body = """
    def slow(trial):
        value = objective(trial)
        time.sleep(0.03 + 0.05 * (trial.number % 3))
        return value
    study.optimize(slow)
    """
    both = [script(body, tmp_path / "s.log") for _ in range(2)]
    said = "".join(process.communicate(timeout=120)[1] for process in both)
    assert [process.returncode for process in both] == [0, 0], said
    study = optuna.load_study(
        study_name="s", storage=storage.connect(str(tmp_path / "s.log")), sampler=sampler()
    )
    assert max(points(study).values()) == 1
    # The one that waits when the search ends has begun its trial, which is pruned untrained.
    ended = [t for t in study.trials if t.state != TrialState.COMPLETE]
    assert [(t.state, t.params) for t in ended] in ([], [(TrialState.PRUNED, {})])


def test_a_trial_left_by_sys_exit_is_run_again_in_the_same_process() -> None:
    """As in a notebook: the process lives on, and Optuna leaves the trial as it is."""
    study = optuna.create_study(sampler=sampler())

    def exits(trial: optuna.Trial) -> float:
        if trial.number == 2:
            objective(trial)
            raise SystemExit
        return objective(trial)

    with pytest.raises(SystemExit):
        study.optimize(exits)
    study.optimize(objective, n_trials=60)
    alone = optuna.create_study(sampler=sampler())
    alone.optimize(objective, n_trials=60)
    assert points(study) == points(alone)
    assert study.trials[2].state == TrialState.RUNNING  # nobody but its caller ends it


def test_what_is_asked_for_by_hand_stays_open_whoever_asked(tmp_path: Path) -> None:
    """`study.ask()` in one process and `study.tell()` in another is a way of working."""
    body = "from tests.test_plain_loops import SPACE; study.ask(SPACE)"
    assert script(body, tmp_path / "s.log").wait(timeout=60) == 0
    study = optuna.load_study(
        study_name="s", storage=storage.connect(str(tmp_path / "s.log")), sampler=sampler()
    )
    second = study.ask(SPACE)
    assert study.trials[0].state == TrialState.RUNNING
    assert PROCESS not in study.trials[0].system_attrs
    assert second.params != pytest.approx(START)
    study.tell(0, 1.0)


def test_a_trial_of_another_machine_is_given_up_after_a_long_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = optuna.create_study()
    done, far = study.ask(SPACE), study.ask(SPACE)
    study.tell(done, 1.0)
    process: dict[str, Any] = {"machine": "another", "pid": 1, "start": "1", "thread": 1}
    study._storage.set_trial_system_attr(far._trial_id, PROCESS, process)
    clock = [1000.0]
    monkeypatch.setattr(plain_loops.time, "monotonic", lambda: clock[0])
    loops = PlainLoops()

    def state() -> TrialState:
        return loops.seen(study, study.get_trials(deepcopy=False))[1].state

    assert state() == TrialState.RUNNING
    clock[0] += plain_loops.AT_LEAST - 1
    assert state() == TrialState.RUNNING
    far.report(0.5, 1)  # a sign of life
    clock[0] += plain_loops.AT_LEAST - 1
    assert state() == TrialState.RUNNING
    clock[0] += plain_loops.AT_LEAST - 1
    assert state() == TrialState.RUNNING
    clock[0] += 2
    assert state() == TrialState.FAIL
    assert study.trials[1].state == TrialState.RUNNING  # it may be told after all


def test_threads_of_a_process_wait_for_each_other() -> None:
    study = optuna.create_study(sampler=sampler())
    threads = set()

    def slow(trial: optuna.Trial) -> float:
        threads.add(threading.get_ident())
        time.sleep(0.02 * (1 + trial.number % 3))
        return objective(trial)

    study.optimize(slow, n_jobs=3)
    assert len(threads) == 3
    assert max(points(study).values()) == 1
