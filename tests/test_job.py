"""A job is sent to a worker: what arrives chooses the same points, and evaluates the same."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from hptoolkit.config import sampler_factory
from hptoolkit.config.load import load_study
from hptoolkit.execution.builtin_study import TrainingProblem
from hptoolkit.execution.job import Job
from hptoolkit.execution.open_study import open_study

DEFINED = load_study("digits")


def evaluate(trial: optuna.Trial) -> float:
    """No training: a smooth function of the parameters that the definition searches."""
    ranges: dict[str, Any] = dict(DEFINED.distributions)
    values = [trial.suggest_float(n, d.low, d.high, log=d.log) for n, d in ranges.items()]
    return -sum((value - 0.3) ** 2 for value in values)


@pytest.mark.parametrize("kind", sampler_factory.SAMPLERS)
def test_a_sampler_that_was_sent_goes_on_as_the_one_that_stayed(kind: str, tmp_path: Path) -> None:
    address = str(tmp_path / "studies.log")
    sampler, pruner = sampler_factory.sampler(kind, DEFINED), sampler_factory.pruner(DEFINED)
    study = open_study(DEFINED, kind, sampler, pruner, address, fresh=False, raw=False)
    study.optimize(evaluate, n_trials=4)
    problem = TrainingProblem(DEFINED, (), None, None)
    job = Job(address, study.study_name, problem, sampler, pruner)
    sent: Job = pickle.loads(pickle.dumps(job))
    assert sent.problem == problem
    there = sent.open()
    there.optimize(evaluate, n_trials=1)
    alone = open_study(DEFINED, kind, sampler, pruner, address, fresh=True, raw=False)
    alone.optimize(evaluate, n_trials=5)
    assert there.trials[4].params == alone.trials[4].params


def test_a_job_does_not_show_its_password() -> None:
    sampler, pruner = sampler_factory.sampler("coord", DEFINED), sampler_factory.pruner(DEFINED)
    problem = TrainingProblem(DEFINED, (), None, None)
    job = Job("postgresql://me:secret@host/studies", "mine", problem, sampler, pruner)
    assert "secret" not in repr(replace(job, study="another"))
