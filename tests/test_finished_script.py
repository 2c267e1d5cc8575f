"""A script of one's own that is run again: it goes on, and once finished it trains nothing more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import Trial, TrialState

import hptoolkit as hpt
from tests import page

SCRIPT = """
import optuna, hptoolkit as hpt

def objective(trial):
    print("trained")
    lr = trial.suggest_float("lr", 1e-4, 10, log=True)
    return (lr - 0.1) ** 2

study = optuna.create_study(
    storage="sqlite:///own.db", study_name="own", load_if_exists=True,
    sampler=hpt.CoordinateDescentSampler(hpt.Coordinates("lr"), start={{"lr": 0.1}}),
)
{run}
print("trials", len(study.trials), study.best_params["lr"])
"""


def _sampler() -> hpt.CoordinateDescentSampler:
    return hpt.CoordinateDescentSampler(page.COORDINATES, start=page.START)


class _Counted:
    """An objective that counts its trainings: those that got parameters."""

    def __init__(self) -> None:
        self.trained = 0

    def __call__(self, trial: Trial) -> float:
        value = page.objective(trial)
        self.trained += 1
        return value


def test_optimize_adds_no_trial_to_a_search_that_has_ended() -> None:
    study = optuna.create_study(sampler=_sampler(), direction="maximize")
    objective = _Counted()
    reason = hpt.optimize(study, objective)
    assert "no step by a factor of 2" in reason
    n = len(study.trials)
    assert objective.trained == n > 10
    assert hpt.optimize(study, objective) == reason
    assert len(study.trials) == objective.trained == n


def test_the_budget_of_optimize_is_a_total() -> None:
    study = optuna.create_study(sampler=hpt.RandomSampler(seed=0), direction="maximize")
    objective = _Counted()
    for _ in range(2):
        assert hpt.optimize(study, objective, trials=4) == "the budget of 4 trials is used up"
        assert len(study.trials) == objective.trained == 4
    hpt.optimize(study, objective, trials=6)
    assert len(study.trials) == objective.trained == 6


def test_options_of_optimize_are_those_of_optuna() -> None:
    study = optuna.create_study(sampler=hpt.RandomSampler(seed=0), direction="maximize")
    seen: list[int] = []
    reason = hpt.optimize(
        study,
        page.objective,
        callbacks=[lambda study, trial: seen.append(trial.number), lambda study, _: study.stop()],
    )
    assert reason == "stopped before the search had ended"
    assert seen == [0]
    with pytest.raises(hpt.UserError, match="n_trials counts from now on"):
        hpt.optimize(study, page.objective, n_trials=3)
    with pytest.raises(hpt.UserError, match="trials is 0"):
        hpt.optimize(study, page.objective, trials=0)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_plain_optuna_prunes_what_it_begins_and_trains_nothing(n_jobs: int) -> None:
    """Optuna stores a trial before it asks the sampler: it is pruned, and the loop ends."""
    space: dict[str, BaseDistribution] = {"lr": FloatDistribution(1e-4, 10, log=True)}
    sampler = hpt.GridSampler(hpt.Coordinates("lr"), search_space=space, levels=3, zooms=0)
    study = optuna.create_study(sampler=sampler)
    trained: list[float] = []

    def objective(trial: Trial) -> float:
        trained.append(trial.suggest_float("lr", 1e-4, 10, log=True))
        return (trained[-1] - 0.1) ** 2

    study.optimize(objective)
    best, n = study.best_trial.number, len(study.trials)
    assert len(trained) == n == 3
    for extra in (1, 2):
        study.optimize(objective, n_trials=5, n_jobs=n_jobs)
        added = study.trials[n:]
        assert extra <= len(added) <= extra * n_jobs
        assert {(t.state, len(t.params)) for t in added} == {(TrialState.PRUNED, 0)}
        assert added[0].user_attrs["hptoolkit:pruned_reason"] == "the search has ended"
    assert len(trained) == 3
    assert study.best_trial.number == best


def test_a_pruned_remainder_changes_nothing_for_a_search_that_goes_on() -> None:
    """Finer steps go on from where the coarse ones ended."""

    def finish(again: bool) -> list[dict[str, float]]:
        study = optuna.create_study(sampler=_sampler(), direction="maximize")
        study.optimize(page.objective)
        if again:
            study.optimize(page.objective)
        study.sampler = hpt.CoordinateDescentSampler(page.COORDINATES, start=page.START, refine=1)
        study.optimize(page.objective)
        return [t.params for t in study.trials if t.params]

    assert finish(again=True) == finish(again=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run", "added"),
    [("print(hpt.optimize(study, objective))", 0), ("study.optimize(objective)", 1)],
)
def test_a_script_run_again(tmp_path: Path, run: str, added: int) -> None:
    (tmp_path / "own.py").write_text(SCRIPT.format(run=run))

    def outcome() -> tuple[int, str]:
        process = subprocess.run(
            [sys.executable, "own.py"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert "Traceback" not in process.stderr
        return process.stdout.count("trained"), process.stdout.splitlines()[-1]

    trained, last = outcome()
    assert trained > 1
    assert last.startswith(f"trials {trained} ")
    again, last_again = outcome()
    assert last_again == last.replace(f"trials {trained}", f"trials {trained + added}")
    assert again == added  # the objective is entered, and left at its first suggestion


def test_a_sampler_of_optunas_own_has_its_budget_too() -> None:
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(sampler=sampler, direction="maximize")
    for _ in range(2):
        hpt.optimize(study, page.objective, trials=2)
    assert len(study.trials) == 2
