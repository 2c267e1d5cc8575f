"""Studies stored before the layout of packages: a search and a slice, three trials each."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hptoolkit import storage
from tests import test_report_command as commands

QUICK = ["--set", "training.epochs=1", "--set", "model.width=2", "--mlflow", "off"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    address = tmp_path / storage.DEFAULT
    address.parent.mkdir()
    shutil.copy(Path(__file__).with_name("stored") / "digits.log", address)
    return tmp_path


def test_an_old_search_goes_on(folder: Path) -> None:
    before = commands.stored(folder, "digits-coord").trials
    process = commands.run(folder, "study", "digits", *QUICK, "--trials", "4")
    result = commands.outcome(process)
    assert (result["study"], result["n_trials"]) == ("digits-coord", 4)
    trials = commands.stored(folder, "digits-coord").trials
    assert [t.user_attrs for t in trials[:3]] == [t.user_attrs for t in before]
    assert len({tuple(trial.params.values()) for trial in trials}) == 4
    # Nobody reads the configuration that was kept with each trial once.
    assert ["config" in trial.user_attrs for trial in trials] == [True] * 3 + [False]


@pytest.mark.slow
def test_an_old_slice_is_completed(folder: Path) -> None:
    process = commands.run(folder, "report", "digits", "--slice", "lr,momentum", *QUICK)
    result = commands.outcome(process)
    assert (result["study"], result["n_trials"]) == ("digits-slice-lr-momentum", 4)
    assert result["stopped_because"] == "all 4 points of the design are evaluated"
