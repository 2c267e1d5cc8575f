"""The project's attributes and an objective's own do not get in each other's way."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from hptoolkit import attributes, storage
from hptoolkit.execution import studies
from hptoolkit.reporting import figures
from hptoolkit.tracking.trial_record import trial_record
from tests.commands import command

# What an objective may have stored under the names that the project once used.
VALUES: tuple[Any, ...] = (0.25, "a text", None, True, [1, 2], {"a": 1}, [], [{"epoch": "x"}])
NAMES = [key.removeprefix(attributes.PREFIX) for key in attributes._KINDS]
OWN = """
def objective(trial):
    value = trial.suggest_float("x", 0.001, 1.0, log=True)
    for name in {names!r}:
        trial.set_user_attr(name, {value!r})
    return value
"""


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_an_objective_s_attributes_are_its_own(tmp_path: Path, value: Any) -> None:
    (tmp_path / "own.py").write_text(OWN.format(names=NAMES, value=value))
    options = ("--objective", "own.py:objective", "--mlflow", "off", "--trials", "3")
    done = command(tmp_path, "study", *options, "--coordinates", "x")
    assert done.code == 0, done.stderr
    (trial, *_) = _load(tmp_path / "studies/studies.log", done.outcome["study"]).trials
    for name in NAMES:
        assert trial.user_attrs[name] == value
    assert done.outcome["best"]["coordinates"].keys() == {"x"}
    assert command(tmp_path, "report", done.outcome["study"]).code == 0
    record = trial_record(trial, "value")
    assert record.params == {"x": str(trial.params["x"])}


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_study_of_plain_optuna_may_use_the_names(value: Any) -> None:
    study = optuna.create_study()
    for name in NAMES:
        study.set_user_attr(name, value)
    for number in range(3):
        study.add_trial(
            create_trial(
                state=TrialState.COMPLETE if number else TrialState.FAIL,
                value=1.0 if number else None,
                params={"lr": 0.1},
                distributions={"lr": optuna.distributions.FloatDistribution(0.01, 1, log=True)},
                user_attrs=dict.fromkeys(NAMES, value),
            )
        )
    figures.make(study, studies.definition_of(study))
    for trial in study.trials:
        trial_record(trial, "value")


def test_own_and_foreign_are_told_apart() -> None:
    new = {"error": 0.25, attributes.ERROR: "RuntimeError", "seed": 7}
    assert attributes.own(new) == {attributes.ERROR: "RuntimeError"}
    assert attributes.foreign(new) == {"error": 0.25, "seed": 7}
    old = {"error": "RuntimeError", "seed": 7, "history": "mine", "other": 1}
    assert attributes.own(old) == {attributes.ERROR: "RuntimeError", attributes.SEED: 7}
    assert attributes.foreign(old) == {"history": "mine", "other": 1}
    assert attributes.read(old, attributes.SEED, int) == 7
    # An old study that was given an outcome since keeps its definition.
    study = {"definition": {"name": "x"}, attributes.OUTCOME: {"trials": 1}, "slice": {}}
    assert attributes.own(study).keys() == {
        attributes.DEFINITION, attributes.OUTCOME, attributes.SLICE
    }  # fmt: skip
    assert attributes.own({attributes.DEFINITION: {}, "slice": {}}) == {attributes.DEFINITION: {}}
    assert attributes.read(old, attributes.HISTORY, list) is None


def test_a_study_stored_without_the_prefix_is_read_and_goes_on(tmp_path: Path) -> None:
    """The file was written by version 0.1, of digits with a network of width 1."""
    (tmp_path / "studies").mkdir()
    log = tmp_path / "studies/studies.log"
    shutil.copy(Path(__file__).parent / "data/studies-0.1.log", log)
    done = command(tmp_path, "report", "digits-coord")
    assert done.code == 0, done.stderr
    assert done.outcome["best"]["coordinates"]["lr*weight_decay/(1-momentum)"] == 2e-5
    assert "learning-curves" in done.outcome["figures"]
    fields = ("model.width=1", "training.epochs=2", "data.train_size=400")
    sets = [part for field in fields for part in ("--set", field)]
    done = command(tmp_path, "study", "digits", *sets, "--trials", "4", "--mlflow", "off")
    assert done.code == 0, done.stderr
    assert (done.outcome["study"], done.outcome["n_trials"]) == ("digits-coord", 4)
    study = _load(log, "digits-coord")
    assert studies.definition_of(study) is not None
    seeds = [attributes.read(trial.user_attrs, attributes.SEED, int) for trial in study.trials]
    assert seeds == [0, 0, 0, 0]
    assert "seed" in study.trials[0].user_attrs
    assert attributes.SEED in study.trials[3].user_attrs
    slices = studies.slices(str(log), "digits")
    assert [study.study_name for study in slices] == ["digits-slice-lr-momentum"]
    assert json.loads(json.dumps(trial_record(study.trials[0], "value").params))["seed"] == "0"


def _load(log: Path, name: str) -> optuna.Study:
    return optuna.load_study(study_name=name, storage=storage.connect(str(log)))
