from __future__ import annotations

import json
from pathlib import Path

import pytest

from hptoolkit import UserError
from hptoolkit.execution.user_function import resolve
from tests.test_study_command import outcome, run

OBJECTIVE = """
import math

def objective(trial):
    lr = trial.suggest_float("lr", 1e-5, 1.0, log=True)
    weight_decay = trial.suggest_float("weight_decay", 1e-6, 1.0, log=True)
    return (math.log2(lr * weight_decay / 1e-4)) ** 2 + 0.1 * math.log2(weight_decay / 0.01) ** 2

value = 3
"""
AXES = ["--coordinates", "lr*weight_decay,weight_decay", "--mlflow", "off"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(OBJECTIVE)
    return tmp_path


@pytest.mark.parametrize("name", ["mine:objective", "mine.py:objective"])
def test_a_function_of_a_trial_is_tuned(folder: Path, name: str) -> None:
    arguments = ["--objective", name, *AXES, "--set", "metric.direction=minimize"]
    process = run(folder, *arguments, "--set", "start.lr=0.01", "--set", "start.weight_decay=0.08")
    result = outcome(process)
    assert result["study"] == "mine-objective-coord"
    assert result["best"]["value"] < 0.6
    assert result["n_trials"] <= 20
    assert result["best"]["coordinates"]["lr*weight_decay"] == pytest.approx(1e-4, rel=0.5)
    assert "λα" in process.stdout


def test_other_samplers_learn_the_space_from_the_first_trial(folder: Path) -> None:
    arguments = ["--objective", "mine:objective", *AXES, "--sampler", "random", "--trials", "4"]
    result = outcome(run(folder, *arguments))
    assert result["n_trials"] == 4
    again = outcome(run(folder, *arguments))
    assert json.dumps(again) == json.dumps(result)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mine", "not MODULE:FUNCTION"),
        ("nowhere:objective", "no module 'nowhere'"),
        ("nowhere.py:objective", "There is no file nowhere.py"),
        ("mine.py:objectiv", "did you mean 'objective'"),
        ("mine.py:value", "is a int"),
        ("broken.py:objective", "cannot be imported, it raises SyntaxError"),
        ("empty.py:objective", "it has no function"),
    ],
)
def test_what_cannot_be_resolved(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.chdir(folder)
    (folder / "broken.py").write_text("def objective(:")
    (folder / "empty.py").write_text("x = 1")
    with pytest.raises(UserError, match=message):
        resolve(name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digits", "--objective", "mine:objective"], "not both"),
        (["--objective", "mine:objective", "--start", "lr-range"], "needs the built-in objective"),
        (
            ["--objective", "mine:objective", "--coordinates", "auto"],
            "needs the built-in objective",
        ),
        (["--objective", "mine:objective", "--set", "training.epochs=3"], "Unknown field"),
    ],
)
def test_bad_combinations(folder: Path, arguments: list[str], message: str) -> None:
    process = run(folder, *arguments)
    assert process.returncode == 2
    assert message in process.stderr
    assert not (folder / "studies").exists()
