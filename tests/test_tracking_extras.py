# ruff: noqa: F811, that is fixtures of test_tracking
"""What MLflow keeps besides numbers: data sets, report, machine load, a view of the runs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from hptoolkit.tracking import Tracker
from tests.test_tracking import (  # noqa: F401
    PRODUCT,
    add_trial,
    contents,
    empty_store,
    here,
    make_study,
    runs,
    store,
    study,
    synced,
    uri_of,
)

DATA = {
    "name": "digits",
    "image_shape": [8, 8, 1],
    "training": {"images": 1150, "digest": "0123456789abcdef"},
    "validation": {"images": 288, "digest": "fedcba9876543210"},
}


def inputs(run: Any) -> set[tuple[str, str, str]]:
    """Name, digest and context of each data set that a run read."""
    return {
        (i.dataset.name, i.dataset.digest, tag.value)
        for i in run.inputs.dataset_inputs
        for tag in i.tags
        if tag.key == "mlflow.data.context"
    }


@pytest.mark.usefixtures("here")
def test_runs_name_the_images_they_read_by_digest(store: Path, study: optuna.Study) -> None:
    other = {**DATA, "training": {"images": 1150, "digest": "ffff"}}
    add_trial(study, data=DATA)
    add_trial(study, TrialState.PRUNED, data=DATA)
    add_trial(study, data=other)
    add_trial(study, data={"name": "digits"})  # of another version of hptoolkit
    assert synced(uri_of(store), study).problem is None
    (parent,), children = runs(store)
    validation = ("digits", "fedcba9876543210", "validation")
    both = {("digits", "0123456789abcdef", "training"), validation}
    assert [inputs(children[n]) for n in range(4)] == [
        both,
        both,
        {("digits", "ffff", "training"), validation},
        set(),
    ]
    assert inputs(parent) == both | {("digits", "ffff", "training")}
    (entity,) = {
        i.dataset.profile for i in children[1].inputs.dataset_inputs if "1150" in i.dataset.profile
    }
    assert json.loads(entity)["features_shape"] == [1150, 8, 8, 1]
    before = contents(store, "datasets", "inputs", "input_tags")
    assert synced(uri_of(store), study).written == 0
    assert contents(store, "datasets", "inputs", "input_tags") == before


def report(text: str) -> Callable[[Path], None]:
    def draw(folder: Path) -> None:
        (folder / "report.html").write_text(text)
        (folder / "description.md").write_text(f"# {text}")
        (folder / "figures").mkdir()
        (folder / "figures" / "path.json").write_text("{}")

    return draw


def artifacts(store: Path) -> dict[str, str]:
    (parent,), _ = runs(store)
    folder = Path(parent.info.artifact_uri.removeprefix("file://"))
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_text() for path in files}


@pytest.mark.usefixtures("here")
def test_the_report_is_drawn_and_kept_once_for_each_state(store: Path, study: optuna.Study) -> None:
    drawn: list[str] = []

    def counted(text: str) -> Callable[[Path], None]:
        return lambda folder: (drawn.append(text), report(text)(folder))[1]

    add_trial(study)
    with Tracker(uri_of(store), study) as tracker:
        tracker.finish({"best": {"value": 0.9}})
        tracker.attach("1 trial", counted("first"))
        tracker.attach("1 trial", counted("again"))
    assert (tracker.problem, tracker.attached) == (None, ["the report"])
    before = contents(store)
    with Tracker(uri_of(store), study) as tracker:
        tracker.finish({"best": {"value": 0.9}})
        tracker.attach("1 trial", counted("another process"))
    assert tracker.attached == []
    assert contents(store) == before
    assert artifacts(store)["report.html"] == "first"
    assert artifacts(store)["figures/path.json"] == "{}"
    (parent,), _ = runs(store)
    assert parent.data.tags["mlflow.note.content"] == "# first"
    assert parent.info.status == "FINISHED"
    with Tracker(uri_of(store), study) as tracker:
        tracker.attach("2 trials", counted("second"))
    assert drawn == ["first", "second"]
    assert artifacts(store)["report.html"] == "second"


@pytest.mark.usefixtures("here")
def test_a_folder_that_takes_no_artifacts_loses_no_run(store: Path, study: optuna.Study) -> None:
    blocked = store.parent / "hptoolkit-digits"
    problems: list[str] = []
    with Tracker(uri_of(store), study, on_problem=problems.append) as tracker:
        tracker.sync()
        tracker.log(add_trial(study))
        tracker.finish({"best": {"value": 0.9}})
        wait_until(lambda: tracker.written == 1)
        blocked.write_text("a file in the folder's place")
        tracker.attach("1 trial", report("first"))
        tracker.log(add_trial(study))
    assert problems == [tracker.problem]
    assert "no trial is lost" in problems[0]
    assert "--sync-mlflow" in problems[0]
    blocked.unlink()
    with Tracker(uri_of(store), study) as tracker:
        tracker.finish({"best": {"value": 0.9}})
        tracker.attach("2 trials", report("second"))
    assert (tracker.problem, tracker.attached) == (None, ["the report"])
    assert artifacts(store)["report.html"] == "second"
    assert sorted(runs(store)[1]) == [0, 1]


@pytest.mark.usefixtures("here")
def test_a_damaged_checkpoint_costs_the_model_alone(
    tmp_path: Path,
    store: Path,
    study: optuna.Study,
) -> None:
    from mlflow import MlflowClient

    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"not a checkpoint")
    add_trial(study)
    with Tracker(uri_of(store), study) as tracker:
        tracker.finish({"best": {"value": 0.9}})
        tracker.log_model(broken, 0)
        tracker.attach("1 trial", report("first"))
    assert tracker.problem is not None
    assert "best_model" in tracker.problem
    assert tracker.attached == ["the report"]
    assert not list(MlflowClient(tracking_uri=uri_of(store)).search_logged_models(["1"]))


@pytest.mark.usefixtures("here")
def test_the_machine_s_load_is_logged_while_the_study_runs(
    store: Path,
    study: optuna.Study,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("psutil")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "1")

    def load() -> list[str]:
        (parent,), _ = runs(store)
        return [key for key in parent.data.metrics if key.startswith("system/")]

    with Tracker(uri_of(store), study, system_metrics=True) as tracker:
        tracker.log(add_trial(study))
        wait_until(lambda: bool(tracker.written) and bool(load()))
        tracker.finish({"best": {"value": 0.9}})
    assert "system/cpu_utilization_percentage" in load()
    assert "SystemMetricsMonitor" not in {thread.name for thread in threading.enumerate()}
    before = contents(store)
    time.sleep(1.5)
    assert contents(store) == before


@pytest.mark.usefixtures("here")
def test_a_store_has_a_view_of_the_study_s_trials(store: Path, study: optuna.Study) -> None:
    from mlflow import MlflowClient

    add_trial(study)
    best = {"params": {"lr": 0.1, "momentum": 0.5}, "value": 0.9,
            "coordinates": {PRODUCT: 1e-4, "1-momentum": 0.5, "lr": 0.1}}  # fmt: skip
    with Tracker(uri_of(store), study) as tracker:
        tracker.finish({"best": best})
    client = MlflowClient(tracking_uri=uri_of(store))
    tags = client.get_experiment("1").tags
    (view,) = [json.loads(v) for k, v in tags.items() if k.startswith("mlflow.sharedViewState.")]
    assert view["name"] == "page: trials, best first"
    state = json.loads(view["state"])
    assert state["orderByAsc"] is False
    assert state["selectedColumns"] == [
        "metrics.`objective`",
        "params.`lr`",
        "params.`momentum`",
        "metrics.`coordinates/lr x weight_decay per 1-momentum`",
        "metrics.`coordinates/1-momentum`",
        "metrics.`images_per_second`",
    ]
    found = client.search_runs(["1"], state["searchFilter"])
    assert [run.info.run_name for run in found] == ["trial 0"]


@pytest.mark.usefixtures("here")
def test_processes_that_begin_a_study_at_once_share_one_run(store: Path, tmp_path: Path) -> None:
    """Each with a connection of its own, to a study that has no identity yet."""
    backend = str(tmp_path / "study.log")

    def connect() -> optuna.Study:
        file = optuna.storages.journal.JournalFileBackend(backend)
        return optuna.create_study(
            study_name="page",
            storage=optuna.storages.JournalStorage(file),
            direction="maximize",
            load_if_exists=True,
        )

    first = connect()
    first.set_user_attr("definition", {"data": "digits"})
    problems: list[str] = []

    def work(number: int) -> None:
        own = connect()
        with Tracker(uri_of(store), own, on_problem=problems.append) as tracker:
            tracker.sync()
            for _ in range(3):
                trial = own.ask()
                trial.suggest_float("lr", 0.1, 1)
                own.tell(trial, number)
                tracker.log(own.trials[trial.number])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    with Tracker(uri_of(store), connect()) as tracker:
        tracker.finish({"best": {"value": 3.0}})
    (parent,), children = runs(store)
    assert sorted(children) == list(range(12))
    assert {r.data.tags["mlflow.parentRunId"] for r in children.values()} == {parent.info.run_id}
    assert {r.info.status for r in children.values()} == {"FINISHED"}


def wait_until(ready: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.1)
