"""`python -m hptoolkit.report` as a user runs it: in a process of its own, in an empty folder."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from hptoolkit import storage
from tests import forked

# Trainings of a tenth of a second: one epoch at width 2.
QUICK = ["--set", "training.epochs=1", "--set", "model.width=2", "--mlflow", "off"]
CENTRE = ["--at", "lr=0.5", "--at", "momentum=0.75", "--at", "weight_decay=0.01"]


def run(folder: Path, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"hptoolkit.{module}", *arguments]
    return forked.run(command, cwd=folder, env=environment())


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default"}


def outcome(process: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert process.returncode == 0, process.stderr
    return dict(json.loads(process.stdout.splitlines()[-1]))


def stored(folder: Path, name: str) -> optuna.Study:
    address = str(folder / storage.DEFAULT)
    return optuna.load_study(study_name=name, storage=storage.connect(address))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished search of twelve quick trainings."""
    made = tmp_path_factory.mktemp("report")
    outcome(run(made, "study", "digits", "--sampler", "random", "--trials", "12", *QUICK))
    return made


def test_a_study_gets_one_page_that_needs_no_network(folder: Path) -> None:
    process = run(folder, "report", "digits")
    result = outcome(process)
    assert result["study"] == "digits-random"
    assert result["n_trials"] == 12
    assert result["best"]["value"] == stored(folder, "digits-random").best_value
    assert {"search-path", "collapse", "exponents", "boundary", "best-so-far"} <= set(
        result["figures"]
    )
    # One epoch is no curve: the report says so and shows the rest.
    assert any("Learning curves need" in note for note in result["not_shown"])
    assert result["report"] == "studies/digits-random-report.html"
    assert "Report: studies/digits-random-report.html" in process.stdout
    assert f"{result['findings'][0]}\n" in process.stdout
    page = (folder / result["report"]).read_text(encoding="utf-8")
    assert page.count("<h1>digits-random</h1>") == 1
    assert not re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=", page)
    assert page.count("plotly.js v") == 1
    assert all(f'id="{name}"' in page for name in result["figures"])
    assert not list(folder.glob("studies/*.part"))


def test_another_place_for_the_page(folder: Path) -> None:
    result = outcome(run(folder, "report", "digits-random", "--output", "pages/mine.html"))
    assert (folder / result["report"]).stat().st_size > 1_000_000
    refused = run(folder, "report", "digits-random", "--output", "pages")
    assert refused.returncode == 2
    assert "--output pages is a folder" in refused.stderr


@pytest.mark.slow
def test_a_slice_is_a_study_that_goes_on(folder: Path) -> None:
    options = ["digits", "--slice", "lr,momentum", "--levels", "3", *QUICK, *CENTRE]
    first = outcome(run(folder, "report", *options, "--trials", "4"))
    assert first["study"] == "digits-slice-lr-momentum"
    assert first["stopped_because"] == "the budget of 4 trials is used up"
    second = outcome(run(folder, "report", *options))
    assert second["n_trials"] == 9
    assert second["stopped_because"] == "all 9 points of the design are evaluated"
    assert "slice-momentum" in second["figures"]
    assert (folder / "studies" / "digits-slice-lr-momentum-report.html").exists()

    study = stored(folder, "digits-slice-lr-momentum")
    points = [(trial.params["lr"], trial.params["momentum"]) for trial in study.trials]
    assert points[0] == (0.5, 0.75)
    assert set(points) == {(a, b) for a in (0.25, 0.5, 1.0) for b in (0.5, 0.75, 0.875)}
    assert {trial.params["weight_decay"] for trial in study.trials} == {0.01}
    assert (
        study.trials[0].user_attrs["hptoolkit:coordinates"]["lr*weight_decay/(1-momentum)"] == 0.02
    )
    # What is stored need not be told again, and repeats are other seeds of the same points.
    again = outcome(
        run(folder, "report", "digits", "--slice", "lr,momentum", "--repeats", "2", *QUICK)
    )
    assert again["n_trials"] == 18
    study = stored(folder, "digits-slice-lr-momentum")
    assert [trial.user_attrs["hptoolkit:seed"] for trial in study.trials] == [0] * 9 + [1] * 9
    assert "pooled over repeats of the better half, 5 degrees of freedom" in again["findings"][0]

    # The search's own report shows the slice if the same training was run, which it was.
    search = run(folder, "report", "digits-random")
    assert "slice-momentum" in outcome(search)["figures"]
    page = (folder / "studies/digits-random-report.html").read_text(encoding="utf-8")
    assert "Held: α = 0.01." in page

    refused = run(folder, "report", *options, "--factor", "3")
    assert refused.returncode == 2
    assert "steps by factors of 2, and --factor asks for 3: use --fresh" in refused.stderr


@pytest.mark.slow
def test_a_slice_is_run_by_several_workers(folder: Path) -> None:
    options = ["digits", "--slice", "momentum,weight_decay", "--levels", "3", *QUICK, *CENTRE]
    process = run(folder, "report", *options, "--workers", "2")
    assert outcome(process)["stopped_because"] == "all 9 points of the design are evaluated"
    trials = stored(folder, "digits-slice-momentum-weight_decay").trials
    points = {(trial.params["momentum"], trial.params["weight_decay"]) for trial in trials}
    assert points == {(a, b) for a in (0.5, 0.75, 0.875) for b in (0.005, 0.01, 0.02)}
    assert len(trials) == 9
    assert len({trial.user_attrs["hptoolkit:owner"] for trial in trials}) == 2
    refused = run(folder, "report", "digits", "--workers", "2")
    assert "--workers belongs to --slice" in refused.stderr


@pytest.mark.slow
def test_a_killed_slice_repeats_nothing(tmp_path: Path) -> None:
    options = ["digits", "--slice", "lr,weight_decay", "--levels", "2", *QUICK, *CENTRE]
    slow = [*options, "--set", "training.epochs=8", "--storage", "sqlite:///studies.db"]
    process = forked.Process(
        [sys.executable, "-m", "hptoolkit.report", *slow], cwd=tmp_path, env=environment(),
        stdout=forked.DEVNULL,
    )  # fmt: skip
    reported = "SELECT count(*) FROM trial_intermediate_values"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(sqlite3.OperationalError), sqlite3.connect(tmp_path / "studies.db") as db:
            if db.execute(reported).fetchone()[0]:
                break
        time.sleep(0.05)
    process.kill()
    process.wait(timeout=60)
    outcome(run(tmp_path, "report", *slow))
    name, address = "digits-slice-lr-weight_decay", f"sqlite:///{tmp_path / 'studies.db'}"
    trials = optuna.load_study(study_name=name, storage=address).trials
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    assert len(complete) == len({tuple(trial.params.values()) for trial in complete}) == 4
    assert {trial.user_attrs["hptoolkit:seed"] for trial in complete} == {0}


@pytest.mark.slow
def test_an_own_objective_is_sliced_around_its_best(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import math\n"
        "def f(trial):\n"
        "    rate = trial.suggest_float('rate', 1e-3, 10.0, log=True)\n"
        "    decay = trial.suggest_float('decay', 1e-5, 1.0, log=True)\n"
        "    return math.log(rate * decay / 1e-3) ** 2 + 0.01 * math.log(decay / 1e-2) ** 2\n"
    )
    own = ["--objective", "mine.py:f", "--coordinates", "rate*decay,decay", "--mlflow", "off"]
    direction = ["--set", "metric.direction=minimize"]
    result = outcome(run(tmp_path, "study", *own, *direction, "--trials", "10"))
    best = result["best"]["params"]
    slice_of = ["report", result["study"], "--slice", "rate,decay", "--levels", "3"]
    process = run(tmp_path, *slice_of, "--mlflow", "off")
    cut = outcome(process)
    assert cut["n_trials"] == 9
    assert "slice-decay" in cut["figures"]
    assert stored(tmp_path, cut["study"]).trials[0].params == best


def test_a_plain_optuna_study_is_reported(tmp_path: Path) -> None:
    address = tmp_path / "plain.log"
    study = optuna.create_study(study_name="my study/1", storage=storage.connect(str(address)))
    study.optimize(lambda trial: trial.suggest_float("x", 0.0, 1.0) ** 2, n_trials=5)
    result = outcome(run(tmp_path, "report", "my study/1", "--storage", "plain.log"))
    assert result["report"] == "studies/my_study_1-report.html"
    assert result["figures"] == ["best-so-far", "boundary"]
    listed = run(tmp_path, "report", "--storage", "plain.log")
    assert listed.stdout == "my study/1: 5 runs\n"
    sliced = run(tmp_path, "report", "my study/1", "--slice", "x,y", "--storage", "plain.log")
    assert "keeps no definition of hptoolkit" in sliced.stderr


def test_a_page_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    address = str(tmp_path / "plain.log")
    optuna.create_study(study_name="plain", storage=storage.connect(address))
    (tmp_path / "studies").touch()
    process = run(tmp_path, "report", "plain", "--storage", "plain.log")
    assert process.returncode == 2
    assert process.stderr.startswith("Error: The page studies/plain-report.html cannot be written")
    assert len(process.stderr.strip().splitlines()) == 1


def test_no_finished_trial(tmp_path: Path) -> None:
    address = str(tmp_path / "empty.log")
    optuna.create_study(study_name="empty", storage=storage.connect(address))
    result = outcome(run(tmp_path, "report", "empty", "--storage", address))
    assert (result["figures"], result["best"]) == ([], None)
    assert result["findings"] == ["None of the 0 runs has finished with a value yet."]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digitz"], "has no study 'digitz': did you mean 'digits-.*Valid: digits-random"),
        (["digits", "--levels", "5"], "--levels belongs to --slice"),
        (["digits", "--slice", "lr"], "'lr' names 1 parameters: two"),
        (["digits", "--slice", "lr,momentun"], "'momentun'.*did you mean 'momentum'"),
        (["digits", "--slice", "lr,weight_decay", "--levels", "x"], "--levels 'x'"),
        (["digits", "--slice", "lr,weight_decay", "--at", "lr"], "'lr' is not NAME=VALUE"),
        (["digits", "--slice", "lr,weight_decay", "--at", "lr=1000"], "from 1e-05 to 100"),
        (["digits", "--slice", "lr,weight_decay", "--factor", "1"], "--factor 1"),
        (["digits", "--slice", "lr,weight_decay", "--mlflow", "ftp://host"], "not the address"),
        (["nothing", "--slice", "lr,momentum"], "Neither a stored study nor a definition"),
        (["digits-random", "--slice", "lr,momentum", "--set", "seed=1"], "is a stored study"),
        (["digits", "--storage", "elsewhere.log"], "holds no study: run one by"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    folder: Path, arguments: list[str], message: str
) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    process = run(folder, "report", *arguments)
    assert process.returncode == 2, process.stdout
    assert re.search(message, process.stderr)
    assert "Traceback" not in process.stderr
    assert len(process.stderr.strip().splitlines()) == 1
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert after == before


def test_help_is_fast_and_lists_the_command(tmp_path: Path) -> None:
    assert "--slice" in run(tmp_path, "report", "--help").stdout
    assert "hptoolkit.report" in run(tmp_path, "__main__").stdout
    loaded = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "hptoolkit.report", "--help"],
        capture_output=True, text=True, check=True,
    ).stderr  # fmt: skip
    heavy = r"\b(torch|mlflow|optuna|sklearn|numpy|plotly)$"
    assert not re.search(heavy, loaded, re.MULTILINE)
