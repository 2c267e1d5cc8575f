from __future__ import annotations

import contextlib
import json
import os
import pickle
import pickletools
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

import hptoolkit.tracking.tracker
from hptoolkit.errors import UserError
from hptoolkit.tracking import Tracker, check_uri, ui_command
from hptoolkit.tracking.store import RunStore
from hptoolkit.tracking.study_record import StudyRecord, study_record
from hptoolkit.tracking.trial_record import trial_record
from hptoolkit.tracking.writer import StoreProcess, answer

optuna.logging.set_verbosity(optuna.logging.WARNING)

PRODUCT = "lr*weight_decay/(1-momentum)"
DEFINITION = {
    "data": {"name": "digits"},
    "training": {"epochs": 3, "batch_size": 64},
    "coordinates": {"axes": [PRODUCT, "1-momentum"]},
    "mirror": "https://user:hunter2@host/data",
}
START = datetime(2026, 11, 23, 9, 30, 0)
MOMENTUM = optuna.distributions.FloatDistribution(0.0, 0.99)
LR = optuna.distributions.FloatDistribution(1e-4, 10.0, log=True)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables: making them takes seconds. `half-made.db` stands beside it.

    That is what a process leaves that is killed meanwhile, as MLflow alone makes them.
    """
    from mlflow import MlflowClient
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    half = path.with_name("half-made.db")

    def copy(_: Any) -> None:
        if not half.exists() and path.exists() and path.stat().st_size > 225_000:
            shutil.copy(path, half)

    event.listen(Engine, "commit", copy)
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    event.remove(Engine, "commit", copy)
    return path


@pytest.fixture
def store(tmp_path: Path, empty_store: Path) -> Path:
    path = tmp_path / "mlruns" / "mlflow.db"
    path.parent.mkdir()
    shutil.copy(empty_store, path)
    return path


class WithoutProcess(StoreProcess):
    """The writer called instead of started: a start takes seconds."""

    def __init__(self, uri: str, study: StudyRecord) -> None:
        self._opening = (uri, study)
        self._here = RunStore()

    def _exchange(self, method: str, arguments: tuple[Any, ...]) -> Any:
        request = pickle.loads(pickle.dumps((method, arguments)))
        return pickle.loads(pickle.dumps(answer(self._here, *request)))

    def close(self) -> None:
        pass


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hptoolkit.tracking.tracker, "StoreProcess", WithoutProcess)


@pytest.fixture
def study() -> optuna.Study:
    return make_study()


def make_study() -> optuna.Study:
    study = optuna.create_study(study_name="page", direction="maximize")
    study.set_user_attr("definition", DEFINITION)
    return study


def add_trial(
    study: optuna.Study,
    state: TrialState = TrialState.COMPLETE,
    *,
    value: float | None = 0.9,
    epochs: int = 3,
    **attributes: Any,
) -> FrozenTrial:
    lr = 0.1 * (1 + len(study.trials))
    history = [
        {"epoch": e, "train_loss": 2.0 / e, "validation_accuracy": 0.3 * e, "seconds": 1.5}
        for e in range(1, epochs + 1)
    ]
    trial = optuna.trial.create_trial(
        state=state,
        value=value if state == TrialState.COMPLETE else None,
        params={"lr": lr, "momentum": 0.5},
        distributions={"lr": LR, "momentum": MOMENTUM},
        user_attrs={
            "coordinates": {PRODUCT: lr * 5e-4 / 0.5, "1-momentum": 0.5},
            "seed": 7,
            "history": history,
            **attributes,
        },
    )
    trial.datetime_start = START + timedelta(minutes=len(study.trials))
    if state.is_finished():
        trial.datetime_complete = trial.datetime_start + timedelta(seconds=30)
    study.add_trial(trial)
    return study.trials[-1]


def synced(uri: str, study: optuna.Study) -> Tracker:
    with Tracker(uri, study) as tracker:
        tracker.sync()
    return tracker


def uri_of(store: Path) -> str:
    return f"sqlite:///{store}"


def runs(store: Path, experiment: str = "hptoolkit-digits") -> tuple[list[Any], dict[int, Any]]:
    """The studies' own runs, and the trials' runs by number, as MLflow reports them."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri_of(store))
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    every = list(client.search_runs([found.experiment_id], max_results=1000))
    parents = [run for run in every if "mlflow.parentRunId" not in run.data.tags]
    children = {
        int(run.data.tags["optuna.trial_number"]): run
        for run in every
        if "mlflow.parentRunId" in run.data.tags
    }
    assert len(parents) + len(children) == len(every), "a trial has two runs"
    return parents, children


TABLES = ("experiments", "experiment_tags", "runs", "params", "tags", "metrics", "latest_metrics")


def contents(store: Path, *others: str) -> dict[str, list[Any]]:
    tables = (*TABLES, *others)
    with contextlib.closing(sqlite3.connect(store)) as database:
        return {t: sorted(map(repr, database.execute(f"select * from {t}"))) for t in tables}


def test_a_trial_is_logged_with_parameters_coordinates_and_epochs(
    store: Path, study: optuna.Study
) -> None:
    from mlflow import MlflowClient

    add_trial(study, images_per_second=1234.5, device="cpu")
    assert synced(uri_of(store), study).written == 1
    (parent,), children = runs(store)
    run = children[0]
    assert run.data.params == {"lr": "0.1", "momentum": "0.5", "seed": "7"}
    assert run.data.metrics == {
        "Objective value": 0.9,
        "objective": 0.9,
        "coordinates/lr x weight_decay per 1-momentum": pytest.approx(1e-4),
        "coordinates/1-momentum": 0.5,
        "train_loss": pytest.approx(2 / 3),
        "validation_accuracy": pytest.approx(0.9),
        "seconds": 1.5,
        "images_per_second": 1234.5,
    }
    assert run.info.status == "FINISHED"
    assert run.info.start_time == START.timestamp() * 1000
    assert run.info.end_time - run.info.start_time == 30_000
    assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert run.data.tags["device"] == "cpu"
    assert json.loads(run.data.tags["coordinates"]) == {
        PRODUCT: pytest.approx(1e-4),
        "1-momentum": 0.5,
    }
    losses = MlflowClient(tracking_uri=uri_of(store)).get_metric_history(
        run.info.run_id, "train_loss"
    )
    assert [(m.step, m.value) for m in losses] == [(1, 2.0), (2, 1.0), (3, pytest.approx(2 / 3))]
    assert [m.timestamp - run.info.start_time for m in losses] == [10_000, 20_000, 30_000]


@pytest.mark.usefixtures("here")
def test_states_become_statuses_with_their_reasons(store: Path, study: optuna.Study) -> None:
    add_trial(study)
    add_trial(study, TrialState.PRUNED, pruned_reason="loss is not finite")
    add_trial(study, TrialState.FAIL, error="head\n" + "x" * 20_000 + "\nValueError: tail")
    add_trial(study, TrialState.RUNNING)
    add_trial(study, TrialState.WAITING)
    assert synced(uri_of(store), study).problem is None
    _, children = runs(store)
    assert {n: r.info.status for n, r in children.items()} == {
        0: "FINISHED",
        1: "KILLED",
        2: "FAILED",
    }
    assert children[1].data.tags["pruned_reason"] == "loss is not finite"
    assert "objective" not in children[1].data.metrics
    error = children[2].data.tags["error"]
    assert error.startswith("head")
    assert error.endswith("ValueError: tail")


@pytest.mark.usefixtures("here")
def test_the_study_has_a_run_with_definition_environment_and_outcome(
    store: Path, study: optuna.Study
) -> None:
    add_trial(study)
    trial = add_trial(study, value=0.95)
    summary = {
        "study": "page",
        "storage": "postgresql+psycopg2://user:hunter2@host/db",
        "n_trials": 2,
        "best": {
            "params": {"lr": 0.2, "optimizer": "sgd"},
            "coordinates": {PRODUCT: 2e-4},
            "value": 0.95,
        },
        "stopped_because": "no direction improves",
    }
    with Tracker(uri_of(store), study) as tracker:
        tracker.finish(summary)
    assert (tracker.problem, tracker.written) == (None, 2)
    (parent,), _ = runs(store)
    assert parent.info.run_name == "page"
    assert parent.info.status == "FINISHED"
    assert parent.info.start_time == START.timestamp() * 1000
    assert trial.datetime_complete is not None
    assert parent.info.end_time == trial.datetime_complete.timestamp() * 1000
    assert parent.data.params == {
        "data.name": "digits",
        "training.epochs": "3",
        "training.batch_size": "64",
        "coordinates.axes": json.dumps([PRODUCT, "1-momentum"]),
        "mirror": "https://user:***@host/data",
    }
    assert parent.data.metrics == {
        "Objective value": 0.95,
        "best/objective": 0.95,
        "best/lr": 0.2,
        "best/coordinates/lr x weight_decay per 1-momentum": 2e-4,
    }
    tags = parent.data.tags
    assert tags["coordinates"] == f"{PRODUCT}, 1-momentum"
    assert tags["stopped_because"] == "no direction improves"
    assert json.loads(tags["best"]) == summary["best"]
    assert tags["python"] == ".".join(map(str, sys.version_info[:3]))
    assert f"optuna {optuna.__version__}" in tags["packages"]
    assert tags["cores"] == str(os.cpu_count())
    assert "hunter2" not in repr(contents(store))


@pytest.mark.usefixtures("here")
def test_what_is_searched_is_no_param_of_the_study(store: Path) -> None:
    study = optuna.create_study(study_name="page", direction="maximize")
    training = {"lr": 0.4, "momentum": 0.9, "epochs": 3}
    study.set_user_attr(
        "definition",
        {
            "data": "digits",
            "training": training,
            "model": {"width": 4, "dropout": 0.1},
            "search_space": {"lr": {"low": 1e-4, "high": 10.0}, "width": {"choices": [4, 8]}},
            "metric": {"name": "validation_accuracy"},
        },
    )
    history = [{"lr": 0.3, "momentum": 0.8, "width": 4, "train_loss": 0.5}]
    trial = optuna.trial.create_trial(
        value=0.9,
        params={"lr": 0.5, "width": 4},
        distributions={"lr": LR, "width": optuna.distributions.CategoricalDistribution([4, 8])},
        user_attrs={"history": history},
    )
    study.add_trial(trial)
    with Tracker(uri_of(store), study) as tracker:
        tracker.finish({"best": {"params": trial.params, "value": 0.9}})
    (parent,), children = runs(store)
    assert parent.data.params == {
        "data": "digits",
        "training.momentum": "0.9",
        "training.epochs": "3",
        "model.dropout": "0.1",
        "search_space.lr.low": "0.0001",
        "search_space.lr.high": "10.0",
        "search_space.width.choices": "[4, 8]",
        "metric.name": "validation_accuracy",
    }
    assert children[0].data.params == {"lr": "0.5", "width": "4"}
    assert children[0].data.metrics == {
        "Objective validation_accuracy": 0.9,
        "objective": 0.9,
        "schedule/lr": 0.3,
        "schedule/momentum": 0.8,
        "schedule/width": 4,
        "train_loss": 0.5,
    }
    # MLflow's page that compares runs opens on the first of each of these orders.
    with contextlib.closing(sqlite3.connect(store)) as database:
        query = "select key from metrics where run_uuid = ? order by rowid"
        keys = [key for (key,) in database.execute(query, (children[0].info.run_id,))]
    assert keys[0] == min(keys) == "Objective validation_accuracy"
    assert min(parent.data.metrics) == "Objective validation_accuracy"


@pytest.mark.usefixtures("here")
def test_the_checkout_s_commit_is_kept(store: Path, study: optuna.Study) -> None:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    git = subprocess.run(command, capture_output=True, text=True, check=False)
    if git.returncode:
        pytest.skip("not in a git checkout")
    synced(uri_of(store), study)
    (parent,), _ = runs(store)
    commit, _, dirty = parent.data.tags["mlflow.source.git.commit"].partition("-")
    assert commit == git.stdout.strip()
    assert dirty in ("", "dirty")


@pytest.mark.usefixtures("here")
def test_a_second_sync_changes_nothing(store: Path, study: optuna.Study) -> None:
    for state in (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL):
        add_trial(study, state)
    summary = {"best": {"params": {"lr": 0.1}, "value": 0.9}, "stopped_because": "done"}
    with Tracker(uri_of(store), study) as tracker:
        tracker.sync()
        tracker.finish(summary)
    before = contents(store)
    assert synced(uri_of(store), study).written == 0
    with Tracker(uri_of(store), study) as tracker:
        tracker.finish(summary)
    assert contents(store) == before


@pytest.mark.usefixtures("here")
def test_an_interrupted_study_is_killed_running_again_then_finished(
    store: Path, study: optuna.Study
) -> None:
    def status() -> str:
        (parent,), _ = runs(store)
        return str(parent.info.status)

    synced(uri_of(store), study)
    assert status() == "RUNNING"
    with Tracker(uri_of(store), study) as tracker:
        tracker.log(add_trial(study))
        tracker.finish({"best": {"value": 0.9}}, interrupted=True)
    assert status() == "KILLED"
    synced(uri_of(store), study)
    assert status() == "KILLED"
    with Tracker(uri_of(store), study) as tracker:
        tracker.log(add_trial(study, value=0.95))
    assert status() == "RUNNING"
    with Tracker(uri_of(store), study) as tracker:
        tracker.finish({"best": {"value": 0.95}})
    assert status() == "FINISHED"
    (parent,), children = runs(store)
    assert parent.data.metrics["best/objective"] == 0.95
    assert sorted(children) == [0, 1]


@pytest.mark.usefixtures("here")
def test_fresh_and_copied_studies_have_runs_of_their_own(store: Path) -> None:
    storage = optuna.storages.InMemoryStorage()
    for value in (0.8, 0.9):
        study = make_study()
        add_trial(study, value=value)
        synced(uri_of(store), study)
    optuna.copy_study(
        from_study_name="page",
        from_storage=study._storage,
        to_storage=storage,
        to_study_name="page's copy",
    )
    synced(uri_of(store), optuna.load_study(study_name="page's copy", storage=storage))
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri_of(store))
    every = list(client.search_runs(["1"]))
    parents = {r.info.run_id: r for r in every if "mlflow.parentRunId" not in r.data.tags}
    children = [r for r in every if r.info.run_id not in parents]
    assert sorted(r.info.run_name or "" for r in parents.values()) == [
        "page",
        "page",
        "page's copy",
    ]
    assert {r.data.tags["mlflow.parentRunId"] for r in children} == set(parents)
    assert sorted(r.data.metrics["objective"] for r in children) == [0.8, 0.9, 0.9]


@pytest.mark.usefixtures("here")
def test_a_foreign_study_is_logged_as_far_as_it_goes(store: Path) -> None:
    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", -1, 1)
        trial.suggest_categorical("kind", ["a", "b"])
        for step in range(3):
            trial.report(x + step, step)
        return x

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(objective, n_trials=2)
    assert synced(uri_of(store), study).problem is None
    _, children = runs(store, "hptoolkit")
    x = study.trials[1].params["x"]
    assert children[1].data.params == {"x": repr(x), "kind": study.trials[1].params["kind"]}
    assert children[1].data.metrics == {
        "Objective value": x,
        "objective": x,
        "intermediate_value": x + 2,
    }


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_the_other_process_is_sent_nothing_that_it_would_have_to_import() -> None:
    """A user's kinds of values may be known to the study's process alone."""

    class Kind(StrEnum):
        A = "a"

    class Epoch(IntEnum):
        LAST = 3

    study = optuna.create_study(study_name=Kind.A, direction="maximize")
    study.set_user_attr("definition", {Kind.A: Kind.A, "data": Kind.A, "axes": [Kind.A]})
    study.set_metric_names([Kind.A])
    history = [{"epoch": Epoch.LAST, "loss": np.float64(0.5), Kind.A: Epoch.LAST}]
    trial = study.ask({"kind": optuna.distributions.CategoricalDistribution([Kind.A])})
    for name, value in (("note", Kind.A), ("history", history), ("seed", Epoch.LAST)):
        trial.set_user_attr(name, value)
    study.tell(trial, 0.5)
    records = study_record(study), trial_record(study.trials[0], "value")
    needed = {
        argument.split()[0]
        for record in records
        for opcode, argument, _ in pickletools.genops(pickle.dumps(record, protocol=2))
        if opcode.name == "GLOBAL"
    }
    assert needed
    assert {module.partition(".")[0] for module in needed} <= {"hptoolkit", "copy_reg"}
    assert records[0].params["a"] == "a"
    assert records[1].params == {"kind": "a", "seed": "3"}
    assert records[1].tags["note"] == "a"


@pytest.mark.usefixtures("here")
def test_several_objectives_are_several_metrics(store: Path) -> None:
    study = optuna.create_study(directions=["minimize", "maximize"])
    study.optimize(lambda trial: (1.0, 2.0), n_trials=1)
    synced(uri_of(store), study)
    _, children = runs(store, "hptoolkit")
    assert children[0].data.metrics == {"objective/0": 1.0, "objective/1": 2.0}


@pytest.mark.usefixtures("here")
def test_what_is_beyond_mlflow_s_limits_is_logged_in_parts(store: Path) -> None:
    study = make_study()
    study.set_user_attr("definition", {"data": "digits", "a": {f"k{i}": i for i in range(250)}})
    add_trial(study, epochs=800)
    assert synced(uri_of(store), study).problem is None
    (parent,), children = runs(store)
    assert len(parent.data.params) == 251
    assert parent.data.params["a.k249"] == "249"
    with contextlib.closing(sqlite3.connect(store)) as database:
        (count,) = database.execute(
            "select count(*) from metrics where run_uuid = ?", (children[0].info.run_id,)
        ).fetchone()
    assert count == 3 * 800 + 4  # three curves; the objective by two names, two coordinates


@pytest.mark.usefixtures("here")
def test_names_and_values_that_mlflow_refuses_are_made_fit(store: Path) -> None:
    import math

    study = make_study()
    trial = add_trial(
        study,
        **{
            "a:b": 1.0,
            "a*b": 2.0,
            "../up//x/": 3.0,
            "long" * 100: 4.0,
            "long" * 101: 5.0,
            "long" * 102: 6.0,
            "note": "fine",
            "flag": True,
            "huge": 10**400,
            "history": [{"loss": math.inf, "lr": None}, {"epoch": "last", "loss": math.nan}, 3],
        },
    )
    assert trial.number == 0
    assert synced(uri_of(store), study).problem is None
    _, children = runs(store)
    metrics = children[0].data.metrics
    assert metrics["a_b"] == 1.0
    assert metrics["a_b 2"] == 2.0
    assert metrics["up/x"] == 3.0
    assert metrics[("long" * 100)[:250]] == 4.0
    assert metrics[("long" * 100)[:240] + " 3"] == 6.0
    assert math.isnan(metrics["loss"])
    assert math.isnan(metrics["huge"])
    assert "lr" not in metrics
    assert "flag" not in metrics
    assert children[0].data.tags["flag"] == "true"
    assert children[0].data.tags["note"] == "fine"


@pytest.mark.usefixtures("here")
def test_one_rejected_trial_does_not_hold_up_the_others(store: Path, study: optuna.Study) -> None:
    from mlflow import MlflowClient

    add_trial(study)
    synced(uri_of(store), study)
    _, children = runs(store)
    client = MlflowClient(tracking_uri=uri_of(store))
    client.delete_run(children[0].info.run_id)
    other = client.create_run("1", tags=children[0].data.tags)
    client.log_param(other.info.run_id, "lr", "999")  # params are write-once
    add_trial(study)
    tracker = synced(uri_of(store), study)
    assert tracker.written == 1
    assert tracker.problem is not None
    assert "trial 0: Changing param values is not allowed" in tracker.problem
    _, children = runs(store)
    assert children[1].info.status == "FINISHED"


KILLED_BETWEEN = """
    import os, signal, sys
    import mlflow, optuna
    from hptoolkit.tracking import Tracker, tracker
    from hptoolkit.tracking.store import RunStore

    class ThisProcess(RunStore):  # dies by its own hand, at a known point
        def __init__(self, *opening):
            self.opening = opening

        def open(self):
            super().open(*self.opening)

    tracker.StoreProcess = ThisProcess
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(sys.argv[1])
    )
    study = optuna.load_study(study_name="page", storage=storage)
    log_batch = mlflow.MlflowClient.log_batch
    calls = 0

    def dying(*args, **kwargs):
        global calls
        calls += 1
        if calls == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)
        return log_batch(*args, **kwargs)

    mlflow.MlflowClient.log_batch = dying
    with Tracker(sys.argv[2], study) as it:
        it.sync()
"""


@pytest.mark.parametrize("call", [1, 3])
def test_a_run_cut_short_by_a_kill_is_completed(tmp_path: Path, store: Path, call: int) -> None:
    journal = str(tmp_path / "study.log")
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(journal))
    study = optuna.create_study(study_name="page", storage=storage)
    study.set_user_attr("definition", DEFINITION)
    study.set_user_attr("hptoolkit:uid", "0123")
    for _ in range(3):
        add_trial(study)
    script = tmp_path / "dying.py"
    script.write_text(textwrap.dedent(KILLED_BETWEEN))
    command = [sys.executable, str(script), journal, uri_of(store), str(call)]
    dead = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert dead.returncode == -signal.SIGKILL, dead.stderr.decode()
    (parent,), children = runs(store)
    # The first batch is the study's definition, the third the second trial.
    assert {n: r.info.status for n, r in children.items()} == (
        {} if call == 1 else {0: "FINISHED", 1: "RUNNING"}
    )
    assert bool(parent.data.params) == (call != 1)

    tracker = synced(uri_of(store), study)
    assert (tracker.problem, tracker.written) == (None, 3 if call == 1 else 2)
    (parent,), children = runs(store)
    assert parent.data.params["training.epochs"] == "3"
    assert [r.info.status for r in children.values()] == ["FINISHED"] * 3
    for number, run in children.items():
        assert run.data.params["lr"] == repr(study.trials[number].params["lr"])
        assert run.data.metrics["objective"] == 0.9
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id


@pytest.mark.usefixtures("here")
def test_what_processes_logged_twice_at_once_is_one_again_after_a_sync(
    store: Path, study: optuna.Study
) -> None:
    for _ in range(5):
        add_trial(study)
    trackers = [Tracker(uri_of(store), study) for _ in range(4)]
    for tracker in trackers:
        tracker.sync()
    for tracker in trackers:
        tracker.close()
    assert synced(uri_of(store), study).problem is None
    (parent,), children = runs(store)
    assert sorted(children) == [0, 1, 2, 3, 4]
    assert all(r.data.tags["mlflow.parentRunId"] == parent.info.run_id for r in children.values())


@pytest.mark.usefixtures("here")
def test_a_store_that_cannot_be_written_is_reported_once_and_caught_up(
    tmp_path: Path, empty_store: Path, study: optuna.Study
) -> None:
    folder = tmp_path / "mlruns"
    folder.write_text("a file in the folder's place")
    uri = f"sqlite:///{folder}/mlflow.db"
    problems: list[str] = []
    with Tracker(uri, study, on_problem=problems.append) as tracker:
        tracker.sync()
        for _ in range(3):
            tracker.log(add_trial(study))
        tracker.finish({})
    assert problems == [tracker.problem]
    assert uri in problems[0]
    assert "File exists" in problems[0]
    folder.unlink()
    folder.mkdir()
    shutil.copy(empty_store, folder / "mlflow.db")
    assert synced(uri, study).problem is None
    _, children = runs(folder / "mlflow.db")
    assert sorted(children) == [0, 1, 2]


def test_a_problem_that_passes_is_no_problem_in_the_end(
    tmp_path: Path, empty_store: Path, study: optuna.Study
) -> None:
    folder = tmp_path / "mlruns"
    folder.write_text("")
    reported = threading.Event()
    uri = f"sqlite:///{folder}/mlflow.db"
    with Tracker(uri, study, on_problem=lambda _: reported.set()) as tracker:
        tracker.log(add_trial(study))
        assert reported.wait(60)
        assert tracker.problem is not None
        folder.unlink()
        folder.mkdir()
        shutil.copy(empty_store, folder / "mlflow.db")
        tracker.log(add_trial(study))
        tracker.finish({})
    assert (tracker.problem, tracker.written) == (None, 2)


def test_a_store_whose_first_writer_is_killed_is_made_by_the_next(
    tmp_path: Path, study: optuna.Study
) -> None:
    folder = tmp_path / "mlruns"
    uri = uri_of(folder / "mlflow.db")
    add_trial(study)
    process = StoreProcess(uri, study_record(study))

    def open_it() -> None:
        with pytest.raises(RuntimeError, match="has ended"):
            process.open()

    opening = threading.Thread(target=open_it)
    opening.start()
    wait_for(
        lambda: any(path.stat().st_size > 225_000 for path in folder.glob("*")), "tables", pause=0
    )
    process.close()
    opening.join()
    assert not (folder / "mlflow.db").exists()
    tracker = synced(uri, study)
    assert (tracker.problem, tracker.written) == (None, 1)
    assert {path.name for path in folder.iterdir()} == {"mlflow.db"}


@pytest.mark.usefixtures("here")
def test_a_half_made_store_that_nobody_works_on_is_made_anew(
    tmp_path: Path, empty_store: Path, study: optuna.Study
) -> None:
    half = empty_store.with_name("half-made.db")
    young, old = tmp_path / "young.db", tmp_path / "old.db"
    for database in (young, old):
        shutil.copy(half, database)
    os.utime(old, (0, 0))
    add_trial(study)
    assert synced(uri_of(young), study).problem is not None  # a server may be making it
    tracker = synced(uri_of(old), study)
    assert (tracker.problem, tracker.written) == (None, 1)
    assert (tmp_path / "old.db.unfinished").read_bytes() == half.read_bytes()
    assert {path.name for path in tmp_path.glob("*.db*")} == {
        "young.db",
        "old.db",
        "old.db.unfinished",
    }


@pytest.mark.usefixtures("here")
def test_another_program_s_database_is_left_alone(tmp_path: Path, study: optuna.Study) -> None:
    database = tmp_path / "optuna.db"
    optuna.create_study(storage=uri_of(database))
    os.utime(database, (0, 0))
    before = database.read_bytes()
    assert synced(uri_of(database), study).problem is not None
    assert optuna.load_study(study_name=None, storage=uri_of(database)).trials == []
    assert {path.name for path in tmp_path.iterdir()} == {"optuna.db"}
    assert database.read_bytes()[:16] == before[:16]


@pytest.mark.usefixtures("here")
def test_a_store_of_another_version_is_upgraded_by_the_command_that_is_told(
    store: Path, study: optuna.Study
) -> None:
    with contextlib.closing(sqlite3.connect(store)) as database:
        database.execute("update alembic_version set version_num = '451aebb31d03'")
        database.commit()
    problem = synced(uri_of(store), study).problem
    assert problem is not None
    assert f"mlflow db upgrade {uri_of(store)}`" in problem
    assert "after that, the study's next run" in problem


@pytest.mark.usefixtures("here")
def test_a_deleted_experiment_comes_back_by_the_command_that_is_told(
    store: Path, study: optuna.Study
) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri_of(store))
    with Tracker(uri_of(store), study) as tracker:
        tracker.log(add_trial(study))
        wait_for(lambda: tracker.written == 1, "first run")
        client.delete_experiment("1")
        tracker.log(add_trial(study))
    problem = synced(uri_of(store), study).problem
    assert problem is not None
    assert problem == tracker.problem
    assert "'hptoolkit-digits' was deleted" in problem
    assert "no trial is lost: after that, the study's next run" in problem
    (command,) = re.findall("`(.*)`", problem)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(command, shell=True, check=True, timeout=120, env=os.environ | {"PATH": path})
    assert synced(uri_of(store), study).problem is None
    _, children = runs(store)
    assert sorted(children) == [0, 1]


def test_no_credential_is_shown(study: optuna.Study) -> None:
    uri = "postgresql+psycopg2://user:hunter2@127.0.0.1:1/runs?password=hunter3"
    add_trial(study)
    tracker = synced(uri, study)
    assert tracker.problem is not None
    assert "hunter" not in tracker.problem
    assert "postgresql+psycopg2://user:***@127.0.0.1:1/runs?password=***" in tracker.problem
    assert "hunter" not in ui_command(uri)


def test_a_server_that_hangs_holds_up_neither_study_nor_exit(study: optuna.Study) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        tracker = Tracker(uri, study)
        tracker.sync()
        tracker.log(add_trial(study))
        tracker.close(timeout=0.2)
    assert tracker.problem is not None
    assert "within 0.2 s" in tracker.problem


def test_the_default_store_is_made_in_silence_where_the_study_started(tmp_path: Path) -> None:
    script = """
        import os, optuna
        from hptoolkit.tracking import Tracker
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study()
        tracker = Tracker(None, study)
        os.mkdir("elsewhere")
        os.chdir("elsewhere")
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
        tracker.log(study.trials[0])
        tracker.finish({})
        tracker.close(60)
        assert tracker.problem is None, tracker.problem
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert files == {"elsewhere", "mlruns", "mlruns/mlflow.db"}
    _, children = runs(tmp_path / "mlruns" / "mlflow.db", "hptoolkit")
    assert children[0].info.status == "FINISHED"


@pytest.mark.usefixtures("here")
def test_artifacts_of_a_local_store_stand_beside_it(store: Path, study: optuna.Study) -> None:
    from mlflow import MlflowClient

    synced(uri_of(store), study)
    (parent,), _ = runs(store)
    client = MlflowClient(tracking_uri=uri_of(store))
    client.log_text(parent.info.run_id, "hello", "report.txt")
    (file,) = store.parent.rglob("report.txt")
    assert file.is_relative_to(store.parent / "hptoolkit-digits")


def test_the_writer_finishes_what_a_killed_study_asked_for_and_ends(store: Path) -> None:
    script = """
        import os, signal, sys, optuna
        from hptoolkit.tracking import Tracker, writer

        def dying(message, pipe):
            send(message, pipe)
            if message[0] == "write":
                print(tracker._store._process.pid, flush=True)
                os.kill(os.getpid(), signal.SIGKILL)

        send, writer._send = writer._send, dying
        study = optuna.create_study()
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
        tracker = Tracker(sys.argv[1], study)
        tracker.sync()
        tracker.close()
    """
    command = [sys.executable, "-c", textwrap.dedent(script), uri_of(store)]
    killed = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    writer = int(killed.stdout)

    def gone() -> bool:
        try:
            os.kill(writer, 0)
        except ProcessLookupError:
            return True
        return False

    wait_for(gone, "end of the writer", 30)
    _, children = runs(store, "hptoolkit")
    assert children[0].info.status == "FINISHED"


@pytest.mark.parametrize(
    ("uri", "command"),
    [
        (None, "mlflow ui --backend-store-uri sqlite:///mlruns/mlflow.db"),
        (
            "sqlite:////data/my runs/mlflow.db",
            "mlflow ui --backend-store-uri 'sqlite:////data/my runs/mlflow.db'",
        ),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("https://me:hunter2@runs.example", "https://me:***@runs.example"),
    ],
)
def test_the_command_that_shows_the_runs(uri: str | None, command: str) -> None:
    assert ui_command(uri) == command


@pytest.mark.parametrize(
    "uri", ["mlruns", "file:mlruns", "sqlite://", "postgres://me:hunter2@host/db", "", "htp://h"]
)
def test_an_address_without_runs_is_refused(uri: str, study: optuna.Study) -> None:
    with pytest.raises(UserError, match="not the address of an MLflow store") as refused:
        Tracker(uri, study)
    assert "hunter2" not in str(refused.value)
    assert check_uri(None) in str(refused.value)


# Real servers.


def get(url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(
    ready: Callable[[], bool], what: str, seconds: float = 120, pause: float = 0.2
) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if ready():
                return
        time.sleep(pause)
    pytest.fail(f"no {what} within {seconds:g} s")


@contextlib.contextmanager
def serving(command: list[str], folder: Path, port: int) -> Iterator[str]:
    """The server of an `mlflow` command; killed with its workers, as by a power cut, at the end."""
    program = shutil.which(command[0], path=str(Path(sys.executable).parent))
    assert program is not None
    server = subprocess.Popen(
        [program, *command[1:], "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"},
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: bool(experiments(url)), "MLflow server")
        yield url
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def experiments(url: str) -> dict[str, str]:
    found = get(f"{url}/api/2.0/mlflow/experiments/search", {"max_results": 100})["experiments"]
    return {experiment["name"]: experiment["experiment_id"] for experiment in found}


def served_runs(url: str) -> list[dict[str, Any]]:
    experiment = experiments(url).get("hptoolkit-digits")
    if experiment is None:
        return []
    answer = get(f"{url}/api/2.0/mlflow/runs/search", {"experiment_ids": [experiment]})
    return [
        {
            "status": run["info"]["status"],
            "tags": {tag["key"]: tag["value"] for tag in run["data"]["tags"]},
            "metrics": {m["key"]: m["value"] for m in run["data"].get("metrics", [])},
            "id": run["info"]["run_id"],
        }
        for run in answer.get("runs", [])
    ]


@pytest.mark.slow
def test_the_printed_command_shows_the_runs(
    tmp_path: Path, study: optuna.Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    add_trial(study)
    add_trial(study, TrialState.PRUNED)
    add_trial(study, TrialState.FAIL)
    with Tracker(None, study) as tracker:
        tracker.finish({"best": {"value": 0.9}})
    with serving(shlex.split(ui_command()), tmp_path, free_port()) as url:
        found = served_runs(url)
        parent = next(run for run in found if "mlflow.parentRunId" not in run["tags"])
        children = {run["tags"]["optuna.trial_number"]: run for run in found if run is not parent}
        assert parent["status"] == "FINISHED"
        assert parent["metrics"]["best/objective"] == 0.9
        assert {n: run["status"] for n, run in children.items()} == {
            "0": "FINISHED",
            "1": "KILLED",
            "2": "FAILED",
        }
        assert {run["tags"]["mlflow.parentRunId"] for run in children.values()} == {parent["id"]}
        assert children["0"]["metrics"]["coordinates/1-momentum"] == 0.5
        curve = get(
            f"{url}/api/2.0/mlflow/metrics/get-history"
            f"?run_id={children['1']['id']}&metric_key=train_loss"
        )
        assert [(m["step"], m["value"]) for m in curve["metrics"]][:2] == [(1, 2.0), (2, 1.0)]
        with urllib.request.urlopen(f"{url}/", timeout=20) as page:
            assert b"MLflow" in page.read()


@pytest.mark.slow
def test_a_server_that_dies_in_the_study_has_all_runs_after_the_next_sync(
    tmp_path: Path, study: optuna.Study
) -> None:
    command = ["mlflow", "server", "--backend-store-uri", "sqlite:///server.db"]
    port = free_port()
    problems: list[str] = []
    with serving(command, tmp_path, port) as url:
        tracker = Tracker(url, study, on_problem=problems.append)
        tracker.sync()
        tracker.log(add_trial(study))
        wait_for(lambda: tracker.written == 1, "first run")
    for _ in range(3):
        tracker.log(add_trial(study, loss=float("nan")))
    tracker.finish({"best": {"value": 0.9}})
    tracker.close(60)
    assert problems == [tracker.problem]
    assert "onnection refused" in problems[0]
    with serving(command, tmp_path, port) as url:
        assert len(served_runs(url)) == 2
        with Tracker(url, study) as tracker:
            tracker.finish({"best": {"value": 0.9}})
        assert (tracker.problem, tracker.written) == (None, 3)
        found = served_runs(url)
        assert [run["status"] for run in found] == ["FINISHED"] * 5
        numbers = sorted(run["tags"].get("optuna.trial_number", "study") for run in found)
        assert numbers == ["0", "1", "2", "3", "study"]
        before = get(f"{url}/api/2.0/mlflow/runs/search", {"experiment_ids": ["1"]})
        with Tracker(url, study) as tracker:
            tracker.sync()
        assert get(f"{url}/api/2.0/mlflow/runs/search", {"experiment_ids": ["1"]}) == before
