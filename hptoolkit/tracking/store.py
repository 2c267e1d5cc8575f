"""One study's runs in an MLflow store: a parent for the study, a child for each trial.

Runs are found by tags, never by what an earlier process knew, so that a run cut short is completed
and nothing is logged twice by whoever comes next.
"""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from hptoolkit.tracking.environment import environment_tags
from hptoolkit.tracking.location import database_file, is_database
from hptoolkit.tracking.records import (
    PARENT,
    TRIAL_NUMBER,
    UID,
    Point,
    Record,
    definition_tags,
    experiment_name,
    params,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# MLflow takes 100 params, 100 tags and 1000 of all kinds at once.
_PARAMS_A_BATCH, _METRICS_A_BATCH = 100, 800
_UNFINISHED = ("RUNNING", "SCHEDULED")

# Read when MLflow is imported or first asks; a user's own settings stand.
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # By default a server that is down is asked for some minutes, the trials queueing behind.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


class RejectedError(RuntimeError):
    """The store is well and will not take this record."""


@dataclass(frozen=True)
class StudyIdentity:
    """What a study's run is made from, and found by.

    Attributes:
        name: The study's name.
        uid: Tells a study from every other: a fresh one of its name, a copy of it. No quotes.
        definition: The resolved definition, logged as params.
        start: When its first trial started, in milliseconds since 1970.
    """

    name: str
    uid: str
    definition: Mapping[str, Any]
    start: int


class RunStore:
    """The runs of one study. Opening it imports MLflow and creates what is missing.

    Every method raises whatever MLflow raises when its store fails.
    """

    def __init__(self, uri: str, study: StudyIdentity) -> None:
        self._client = connect(uri)
        self._uid = study.uid
        self._experiment = experiment_id(self._client, uri, experiment_name(study.definition))
        parents, trials = self._search()
        self._parent = self._keep_first(parents or [self._create_parent(study)])
        self._complete_params(study.definition)
        self._running = self._parent.info.status == "RUNNING"
        children = {number: self._keep_first(runs) for number, runs in trials.items()}
        for run in children.values():
            self._adopt(run)
        self._run_ids = {number: run.info.run_id for number, run in children.items()}
        self.complete = {n for n, run in children.items() if run.info.status not in _UNFINISHED}

    def write(self, number: int, trial: Record) -> None:
        """Write a trial's run, or complete the one begun; nothing if it is complete.

        Raises:
            RejectedError: MLflow finds the record invalid.
        """
        from mlflow.exceptions import MlflowException

        if number in self.complete:
            return
        try:
            if number not in self._run_ids:
                self._run_ids[number] = self._create_child(trial)
            run_id = self._run_ids[number]
            self._log(run_id, trial.params, trial.metrics)  # its tags it has from the start
            self._client.set_terminated(run_id, trial.status, trial.end)
        except MlflowException as error:
            if error.error_code == "INVALID_PARAMETER_VALUE":
                raise RejectedError(f"{trial.name}: {error.message}") from error
            raise
        self.complete.add(number)

    def mark_running(self) -> None:
        """The study goes on (again)."""
        if not self._running:
            self._client.update_run(self._parent.info.run_id, status="RUNNING")
            self._running = True

    def finish(self, study: Record) -> None:
        """Add the outcome to the study's run and end it."""
        run_id = self._parent.info.run_id
        self._log(run_id, study.params, study.metrics, study.tags)
        self._client.set_terminated(run_id, study.status, study.end)
        self._running = False

    def _search(self) -> tuple[list[Run], dict[int, list[Run]]]:
        """The study's own runs (one, normally), and its trials' by number."""
        parents: list[Run] = []
        trials: defaultdict[int, list[Run]] = defaultdict(list)
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment],
                filter_string=f"tags.`{UID}` = '{self._uid}'",
                max_results=1000,
                page_token=token,
            )
            for run in page:
                number = run.data.tags.get(TRIAL_NUMBER)
                (parents if number is None else trials[int(number)]).append(run)
            token = page.token
            if not token:
                return parents, trials

    def _create_parent(self, study: StudyIdentity) -> Run:
        return self._client.create_run(
            self._experiment,
            start_time=study.start,
            run_name=study.name,
            tags={**environment_tags(), **definition_tags(study.definition), UID: study.uid},
        )

    def _create_child(self, trial: Record) -> str:
        run = self._client.create_run(
            self._experiment,
            start_time=trial.start,
            run_name=trial.name,
            tags={**trial.tags, UID: self._uid, PARENT: self._parent.info.run_id},
        )
        return str(run.info.run_id)

    def _log(
        self,
        run_id: str,
        params: Mapping[str, str],
        metrics: Iterable[Point] = (),
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """In one batch, or in as many as MLflow's limits ask for."""
        from mlflow.entities import Metric, Param, RunTag

        all_params = iter([Param(key, value) for key, value in params.items()])
        all_metrics = iter([Metric(*point) for point in metrics])
        some_tags = [RunTag(key, value) for key, value in (tags or {}).items()]
        while True:
            some_params = list(islice(all_params, _PARAMS_A_BATCH))
            some_metrics = list(islice(all_metrics, _METRICS_A_BATCH))
            if not (some_params or some_metrics or some_tags):
                return
            self._client.log_batch(run_id, some_metrics, some_params, some_tags)
            some_tags = []

    def _complete_params(self, definition: Mapping[str, Any]) -> None:
        """Log the definition; the part that is there already is write-once and stays."""
        present = self._parent.data.params
        missing = {k: v for k, v in params(definition).items() if k not in present}
        self._log(self._parent.info.run_id, missing)

    def _keep_first(self, runs: list[Run]) -> Run:
        """One of the runs that processes made at the same time, whichever process chooses.

        The others are deleted.
        """
        keep, *others = sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id))
        for run in others:
            self._client.delete_run(run.info.run_id)
        return keep

    def _adopt(self, child: Run) -> None:
        parent = self._parent.info.run_id
        if child.data.tags.get(PARENT) != parent:
            self._client.set_tag(child.info.run_id, PARENT, parent)


def connect(uri: str) -> MlflowClient:
    """A client of a store. Imports MLflow; raises at once if a database cannot be written."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    # A problem reaches the user as one sentence; the rest is chatter.
    for logger in ("mlflow.store", "mlflow.tracking", "alembic", "urllib3.connectionpool"):
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    if is_database(uri):
        _try_database(uri)
    return MlflowClient(tracking_uri=uri)


def _try_database(uri: str) -> None:
    """Fail at once if the database cannot be written: MLflow itself would retry for an hour."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.pool import NullPool

    file = database_file(uri)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    with create_engine(uri, poolclass=NullPool).connect() as connection:
        if file is not None:
            connection.execute(text("BEGIN IMMEDIATE"))


def experiment_id(client: MlflowClient, uri: str, name: str) -> str:
    """The id of the experiment, made if need be; artifacts of a local store stand beside it."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        file = database_file(uri)
        folder = None if file is None else (file.parent / name).as_uri()
        # Without this tag the UI asks whether these are models or language-model traces.
        kind = {"mlflow.experimentKind": "custom_model_development"}
        try:
            return str(client.create_experiment(name, artifact_location=folder, tags=kind))
        except MlflowException:
            found = client.get_experiment_by_name(name)  # another process was faster
            if found is None:
                raise
    return str(found.experiment_id)
