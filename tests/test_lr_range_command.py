from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from hptoolkit import UserError
from hptoolkit.config.load import load_study
from hptoolkit.config.start import from_page
from hptoolkit.execution.range_test import begin_at
from hptoolkit.training.lr_range import Suggestion
from tests import forked
from tests.test_study_command import environment, outcome, run

SUGGESTION = Suggestion(low=0.0444, high=0.444, steepest=0.2, minimum=1.1)


def lr_range(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hptoolkit.lr_range", *arguments]
    return forked.run(command, cwd=folder, env=environment())


def test_the_suggestion_goes_through_the_coordinates() -> None:
    """At (ρ, α) = (0.5, 0.01) the product is λ/50: bounds 0.044 and 4.4 for λ, by hand."""
    digits = from_page(load_study("digits"))
    begun = begin_at(digits, SUGGESTION)
    assert begun.start == {"lr": 0.44, "momentum": 0.5, "weight_decay": 0.01}
    assert begun.coordinates.box == {"lr*weight_decay/(1-momentum)": (0.00088, 0.088)}
    raw = begin_at(digits.over_raw_axes(), SUGGESTION)
    assert raw.coordinates.box == {"lr": (0.044, 4.4)}


def test_a_study_that_does_not_search_lr_is_told_so() -> None:
    defined = load_study("digits", ["search_space={momentum={low=0.0, high=0.9}}", "coord={}"])
    with pytest.raises(UserError, match="needs a study that searches 'lr'"):
        begin_at(defined, SUGGESTION)


def test_the_command_draws_and_suggests(tmp_path: Path) -> None:
    process = lr_range(tmp_path, "digits", "--mlflow", "off", "--set", "model.width=4")
    assert process.returncode == 0, process.stderr
    result = json.loads(process.stdout.splitlines()[-1])
    suggestion = result["suggestion"]
    assert 0 < suggestion["low"] < suggestion["high"] < suggestion["minimum"]
    assert suggestion["high"] == pytest.approx(10 * suggestion["low"])
    assert len(result["lrs"]) == len(result["losses"]) == len(result["smoothed"])
    page = (tmp_path / "studies" / "digits-lr-range.html").read_text()
    assert "learning rate" in page
    assert "<script src=" not in page  # works offline
    again = lr_range(tmp_path, "digits", "--mlflow", "off", "--set", "model.width=4")
    assert json.loads(again.stdout.splitlines()[-1]) == result


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digitz"], "did you mean 'digits'"),
        (["digits", "--lowest", "1", "--highest", "0.1"], "must rise"),
        (["digits", "--set", "training.batch_size=5000"], "larger than the training split"),
    ],
)
def test_bad_input(tmp_path: Path, arguments: list[str], message: str) -> None:
    process = lr_range(tmp_path, *arguments)
    assert process.returncode == 2
    assert message in process.stderr
    assert "Traceback" not in process.stderr
    assert not list(tmp_path.rglob("*"))


@pytest.mark.slow
def test_a_study_from_the_range_test_needs_a_handful_of_runs(tmp_path: Path) -> None:
    arguments = ["digits", "--start", "lr-range", "--mlflow", "off"]
    result = outcome(run(tmp_path, *arguments))
    assert result["best"]["value"] >= 0.97
    assert result["n_trials"] <= 15
    again = run(tmp_path, *arguments)
    assert "Nothing is left to run" in again.stdout


@pytest.mark.slow
def test_the_figure_is_kept_in_mlflow(tmp_path: Path) -> None:
    process = lr_range(tmp_path, "digits", "--set", "model.width=4")
    assert process.returncode == 0, process.stderr
    assert "not written" not in process.stdout
    figures = list((tmp_path / "mlruns").rglob("digits-lr-range.html"))
    assert len(figures) == 1
    with sqlite3.connect(tmp_path / "mlruns" / "mlflow.db") as database:
        params = dict(database.execute("select key, value from params"))
        metrics = {key for (key,) in database.execute("select distinct key from metrics")}
    # What was run, and nothing that was not: one learning rate, epochs.
    assert {name: params[name] for name in ("momentum", "weight_decay", "width")} == {
        "momentum": "0.9",
        "weight_decay": "0.00096",
        "width": "4",
    }
    assert not {"lr", "epochs", "schedule"} & params.keys()
    assert metrics == {"loss", "schedule/lr", "suggested_high", "suggested_low"}
