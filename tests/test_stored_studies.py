"""Studies that were stored before the package had its present layout still open and go on.

`tests/data/studies.log.gz` is a journal that commit 901da83 wrote: six studies, begun and not
finished. The parameters expected of the next trials are those that the same commit chose when it
went on with them.
"""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from hptoolkit import storage
from tests.test_report_command import run
from tests.test_study_command import outcome, stored

HERE = Path(__file__).parent
OWN = [
    "--objective", "examples/own_objective.py:objective",
    "--coordinates", "lr*weight_decay/(1-momentum),1-momentum,weight_decay",
    "--set", "start.lr=0.001", "--set", "start.momentum=0.5", "--set", "start.weight_decay=0.01",
    "--set", "metric.direction=minimize",
]  # fmt: skip
SIZES = {
    "digits-coord": 6, "digits-gp": 6, "digits-grid": 3, "digits-cmaes": 5,
    "own_objective-objective-coord": 4, "digits-slice-lr-momentum": 3,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as that commit left it."""
    journal = tmp_path / storage.DEFAULT
    journal.parent.mkdir()
    journal.write_bytes(gzip.decompress((HERE / "data" / "studies.log.gz").read_bytes()))
    shutil.copytree(HERE.parent / "examples", tmp_path / "examples")
    return tmp_path


def rows(study: optuna.Study) -> list[tuple[Any, ...]]:
    """All that is kept of each trial."""
    return [
        (t.number, t.state, t.values, t.params, t.user_attrs, t.system_attrs, t.datetime_start,
         t.datetime_complete, t.intermediate_values, t.distributions)
        for t in study.trials
    ]  # fmt: skip


def one_more(folder: Path, name: str, *arguments: str) -> FrozenTrial:
    """The trial with which a study goes on; those before it stay as they are."""
    before = rows(stored(folder, name))
    assert len(before) == SIZES[name]
    budget = ["--trials", str(SIZES[name] + 1), "--mlflow", "off"]
    result = outcome(run(folder, *arguments, *budget))
    assert result["study"] == name
    study = stored(folder, name)
    after = rows(study)
    assert after[:-1] == before
    assert result["n_trials"] == len(after) == len(before) + 1
    return study.trials[-1]


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("coord", {"lr": 0.512, "momentum": 0.5, "weight_decay": 0.01}),
        ("grid", {"lr": 10.0, "momentum": 0.9, "weight_decay": 1e-06}),
        (
            "cmaes",
            {"lr": 0.00309100060068, "momentum": 0.9449501272738, "weight_decay": 0.00200519808881},
        ),
    ],
)
def test_a_study_goes_on_with_the_trial_that_was_next(
    folder: Path, kind: str, params: dict[str, float]
) -> None:
    trial = one_more(folder, f"digits-{kind}", "study", "digits", "--sampler", kind)
    assert trial.state == TrialState.COMPLETE
    assert trial.params == pytest.approx(params, rel=1e-6)


def test_a_study_of_the_gp_goes_on(folder: Path) -> None:
    trial = one_more(folder, "digits-gp", "study", "digits", "--sampler", "gp")
    # It may look at a corner of the box, where training diverges.
    assert trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
    # Where exactly is a matter of the libraries' versions: not where it has been.
    assert trial.params not in [t.params for t in stored(folder, "digits-gp").trials[:-1]]


def test_a_study_of_an_own_objective_goes_on(folder: Path) -> None:
    name = "own_objective-objective-coord"
    trial = one_more(folder, name, "study", *OWN, "--sampler", "coord")
    assert trial.state == TrialState.PRUNED  # its training diverges there
    assert trial.params == pytest.approx({"lr": 32.768, "momentum": 0.5, "weight_decay": 0.01})


def test_a_slice_goes_on_around_the_same_centre(folder: Path) -> None:
    options = ["digits", "--slice", "lr,momentum", "--levels", "3"]
    trial = one_more(folder, "digits-slice-lr-momentum", "report", *options)
    assert trial.params["weight_decay"] == 0.00355051577278
    seen = [t.params for t in stored(folder, "digits-slice-lr-momentum").trials]
    assert len({tuple(params.values()) for params in seen}) == 4


def test_a_study_that_is_complete_is_left_as_it_is(folder: Path) -> None:
    before = rows(stored(folder, "digits-coord"))
    options = ["digits", "--sampler", "coord", "--trials", "6", "--mlflow", "off"]
    process = run(folder, "study", *options)
    assert outcome(process)["n_trials"] == 6
    assert "Nothing is left to run: the budget of 6 trials is used up." in process.stdout
    assert rows(stored(folder, "digits-coord")) == before


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("digits-coord", {"best-so-far", "learning-curves", "boundary"}),
        ("own_objective-objective-coord", {"best-so-far", "boundary"}),
        ("digits-gp", {"best-so-far", "search-path"}),
        ("digits-slice-lr-momentum", {"best-so-far", "boundary"}),
    ],
)
def test_the_report_draws_it(folder: Path, name: str, figures: set[str]) -> None:
    before = (folder / storage.DEFAULT).read_bytes()
    process = run(folder, "report", name)
    assert process.returncode == 0, process.stderr
    drawn = json.loads(process.stdout.splitlines()[-1])
    assert (drawn["study"], drawn["n_trials"]) == (name, SIZES[name])
    assert figures <= set(drawn["figures"])
    page = (folder / drawn["report"]).read_text(encoding="utf-8")
    assert page.count(f"<h1>{name}</h1>") == 1
    assert (folder / storage.DEFAULT).read_bytes() == before


def test_all_stored_studies_are_listed(folder: Path) -> None:
    process = run(folder, "report")
    listed = [name for name in SIZES if name in process.stdout]
    assert listed == list(SIZES), process.stderr
