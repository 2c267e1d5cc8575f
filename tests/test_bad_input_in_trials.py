"""Bad input that shows only in a trial: the command ends with its sentence, nothing is counted."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from hptoolkit import storage
from tests.commands import command
from tests.test_study_command import run

OBJECTIVE = """
def objective(trial):
    return trial.suggest_float("x", {low}, 1.0, log=True)
"""
OFF = ("--mlflow", "off", "--trials", "4")


def _states(folder: Path) -> list[TrialState]:
    name = optuna.get_all_study_names(storage.connect(str(folder / "studies/studies.log")))[0]
    study = optuna.load_study(
        study_name=name, storage=storage.connect(str(folder / "studies/studies.log"))
    )
    return [trial.state for trial in study.get_trials(deepcopy=False)]


def test_a_start_outside_the_objective_s_range_ends_the_command(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OBJECTIVE.format(low=0.1))
    arguments = ["--objective", "own.py:objective", *OFF, "--set", "start.x=0.01"]
    done = command(tmp_path, "study", *arguments)
    assert done.code == 2
    assert done.stderr.startswith("Error: The start lies outside the region: x = 0.01")
    assert TrialState.FAIL not in _states(tmp_path)
    # Mended, the study goes on, and its first trial is the start.
    (tmp_path / "own.py").write_text(OBJECTIVE.format(low=0.001))
    done = command(tmp_path, "study", *arguments)
    assert done.code == 0
    assert done.outcome["n_trials"] == 4
    assert _states(tmp_path) == 4 * [TrialState.COMPLETE]


def test_the_definition_may_be_mended_instead(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OBJECTIVE.format(low=0.1))
    own = ("study", "--objective", "own.py:objective", *OFF)
    assert command(tmp_path, *own, "--set", "start.x=0.01").code == 2
    done = command(tmp_path, *own, "--set", "start.x=0.5")
    assert done.code == 0
    assert done.outcome["study"] == "own-objective-coord"
    # What has ended is not thrown away.
    done = command(tmp_path, *own, "--set", "start.x=0.25")
    assert done.code == 2
    assert "another definition" in done.stderr


@pytest.mark.parametrize("workers", [2])
def test_of_several_workers_too(tmp_path: Path, workers: int) -> None:
    (tmp_path / "own.py").write_text(OBJECTIVE.format(low=0.1))
    process = run(
        tmp_path, "--objective", "own.py:objective", *OFF, "--set", "start.x=0.01",
        "--workers", str(workers),
    )  # fmt: skip
    assert process.returncode == 2
    assert process.stderr.startswith("Error: The start lies outside the region: x = 0.01")
    assert TrialState.FAIL not in _states(tmp_path)
    assert TrialState.RUNNING not in _states(tmp_path)
