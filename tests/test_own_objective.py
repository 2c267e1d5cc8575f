from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from hptoolkit import UserError
from hptoolkit.config.load import load_function
from hptoolkit.execution.user_function import resolve
from tests.commands import command
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
        (
            "exits.py:objective",
            r"exits\.py cannot be imported, it calls sys\.exit\(2\), as argparse",
        ),
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
    (folder / "exits.py").write_text(
        "import argparse\nargparse.ArgumentParser().parse_args(['--unknown'])"
    )
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


PLAIN = "def objective(trial):\n    return {0} * trial.suggest_float('x', 0.5, 0.5)\n"
OFF = ("--mlflow", "off", "--trials", "1", "--sampler", "random")


def _write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def _value(folder: Path, objective: str) -> float:
    done = command(folder, "study", "--objective", objective, *OFF)
    assert done.code == 0, done.stderr
    return float(done.outcome["best"]["value"])


def test_what_argparse_prints_at_the_import_is_not_shown(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (folder / "exits.py").write_text(
        "import argparse\nargparse.ArgumentParser().parse_args(['--unknown'])"
    )
    with pytest.raises(UserError):
        resolve("exits.py:objective")
    assert capsys.readouterr().err == ""
    (folder / "speaks.py").write_text("import sys\nsys.stderr.write('hello')\n" + OBJECTIVE)
    resolve("speaks.py:objective")
    assert capsys.readouterr().err == "hello"


def test_modules_beside_a_file_are_found_before_those_of_the_current_folder(
    tmp_path: Path,
) -> None:
    files = {
        "sub/factor_beside.py": "K = 2",
        "factor_beside.py": "K = 4",
        "sub/train.py": "from factor_beside import K\n" + PLAIN.format("K"),
    }
    _write(tmp_path, files)
    assert _value(tmp_path, "sub/train.py:objective") == 1.0


@pytest.mark.parametrize("library", ["json", "optuna", "torch", "random", "hptoolkit"])
def test_a_file_named_like_a_library_hides_nothing(tmp_path: Path, library: str) -> None:
    before = sys.modules.get(library)
    text = f"import {library}\nassert {library}.__file__ != __file__\n" + PLAIN.format("1")
    _write(tmp_path, {f"sub/{library}.py": text})
    assert _value(tmp_path, f"sub/{library}.py:objective") == 0.5
    assert sys.modules.get(library) is before


def test_a_module_beside_a_file_hides_no_library(tmp_path: Path) -> None:
    _write(tmp_path, {"sub/wave.py": "K = 2", "sub/scipy.py": "K = 2"})  # wave: seldom imported
    text = "import wave, scipy\nassert not hasattr(wave, 'K') and not hasattr(scipy, 'K')\n"
    _write(tmp_path, {"sub/train.py": text + PLAIN.format("1")})
    assert _value(tmp_path, "sub/train.py:objective") == 0.5


@pytest.mark.parametrize(
    ("objective", "name"),
    [
        ("mine:objective", "mine-objective"),
        ("mine.py:objective", "mine-objective"),
        ("./mine.py:objective", "mine-objective"),
        ("pkg.a:objective", "pkg.a-objective"),
        ("a/train.py:f", "a.train-f"),
        ("a/b/../train.py:f", "a.train-f"),
        ("/some/where/train.py:f", "some.where.train-f"),
        ("_private/tr ain.py:f", "private.tr_ain-f"),
    ],
)
def test_the_whole_path_names_a_study(objective: str, name: str) -> None:
    assert load_function(objective).name == name


def test_two_objectives_of_one_name_are_two_studies(tmp_path: Path) -> None:
    files = {
        "first/train.py": PLAIN.format("1"),
        "second/train.py": PLAIN.format("2"),
        "pkg/__init__.py": "",
        "pkg/a.py": PLAIN.format("3"),
        "pkg/b.py": PLAIN.format("4"),
    }
    _write(tmp_path, files)
    objectives = ["first/train.py", "second/train.py", "pkg.a", "pkg.b"]
    values = [_value(tmp_path, f"{objective}:objective") for objective in objectives]
    assert values == [0.5, 1.0, 1.5, 2.0]


def test_a_study_of_the_older_name_goes_on(tmp_path: Path) -> None:
    _write(tmp_path, {"pkg/__init__.py": "", "pkg/a.py": PLAIN.format("3")})
    own = ("study", "--objective", "pkg.a:objective", *OFF)
    # As it was stored before: the first part of the module's path.
    assert command(tmp_path, *own, "--set", 'name="pkg-objective"').code == 0
    done = command(tmp_path, *own, "--trials", "2")
    assert (done.outcome["study"], done.outcome["n_trials"]) == ("pkg-objective-random", 2)
    done = command(tmp_path, *own, "--fresh")
    assert (done.outcome["study"], done.outcome["n_trials"]) == ("pkg.a-objective-random", 1)
