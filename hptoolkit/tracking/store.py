"""One study's runs in an MLflow store: a parent for the study, a child for each trial.

Runs are found by tags, never by what an earlier process knew, so that a run cut short is completed
and nothing is logged twice by whoever comes next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hptoolkit.tracking import batches, study_runs
from hptoolkit.tracking.best_model import UnusableError, log_model
from hptoolkit.tracking.connection import connect, experiment_id
from hptoolkit.tracking.data_sets import DataSet, as_input
from hptoolkit.tracking.entries import params, tags
from hptoolkit.tracking.environment import environment_tags
from hptoolkit.tracking.identity import StudyIdentity
from hptoolkit.tracking.records import (
    BEST_MODEL,
    DESCRIPTION,
    MODEL_ID,
    PARENT,
    REPORT,
    SOURCE,
    TRIAL_NUMBER,
    UID,
    Record,
    definition_tags,
    experiment_name,
)
from hptoolkit.tracking.view import tag as view_tag

if TYPE_CHECKING:
    from mlflow.entities import Run

_UNFINISHED = ("RUNNING", "SCHEDULED")


class RejectedError(RuntimeError):
    """The store is well and will not take this record."""


class RunStore:
    """The runs of one study. Opening it imports MLflow and creates what is missing.

    Every method raises whatever MLflow raises when its store fails.
    """

    def __init__(self, uri: str, study: StudyIdentity) -> None:
        self._client = client = connect(uri)
        self._uid, self._maximize = study.uid, study.maximize
        self._experiment = experiment_id(client, uri, experiment_name(study.definition))
        parents, trials = self._find()
        if not parents:
            created = self._create_parent(study)
            # Another process may have done the same at the same time.
            parents = self._find()[0] or [created]
        self._parent = study_runs.keep_first(client, parents)
        inputs = self._parent.inputs
        self._read = {d.dataset.digest for d in inputs.dataset_inputs} if inputs else set()
        self._complete_params(study.definition)
        self._running = self._parent.info.status == "RUNNING"
        children = {n: study_runs.keep_first(client, runs) for n, runs in trials.items()}
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
            # Its tags it has from the start.
            batches.log(self._client, run_id, trial.params, trial.metrics)
            self._log_data_sets(run_id, trial.data_sets)
            self._client.set_terminated(run_id, trial.status, trial.end)
        except MlflowException as error:
            if error.error_code == "INVALID_PARAMETER_VALUE":
                raise RejectedError(f"{trial.name}: {error.message}") from error
            raise
        self.complete.add(number)

    @property
    def has(self) -> dict[str, str]:
        """Which report (`REPORT`) and which model (`BEST_MODEL`) the study's run has."""
        tags = self._parent.data.tags
        return {tag: tags[tag] for tag in (REPORT, BEST_MODEL) if tag in tags}

    @property
    def run_id(self) -> str:
        """The id of the study's run."""
        return str(self._parent.info.run_id)

    def mark_running(self) -> None:
        """The study goes on (again)."""
        if not self._running:
            self._client.update_run(self.run_id, status="RUNNING")
            self._running = True

    def finish(self, study: Record) -> None:
        """Add the outcome to the study's run and end it."""
        run_id = self.run_id
        batches.log(self._client, run_id, study.params, study.metrics, study.tags)
        self._client.set_terminated(run_id, study.status, study.end)
        self._running = False
        if study.metrics:
            name, view = view_tag(self._uid, study, self._maximize)
            self._client.set_experiment_tag(self._experiment, name, view)

    def attach(self, folder: str, mark: str) -> None:
        """Keep the files in a folder with the study's run, `description.md` as its description.

        `mark`: what state of the study they show.
        """
        self._client.log_artifacts(self.run_id, folder)
        file = Path(folder) / "description.md"
        text = {DESCRIPTION: file.read_text(encoding="utf-8")} if file.exists() else {}
        batches.log(self._client, self.run_id, {}, tags=tags({REPORT: mark} | text))

    def log_model(self, checkpoint: str, number: int) -> None:
        """Log the network that a trial left in a file, in the place of an earlier one.

        Raises:
            RejectedError: No model can be made of the file.
        """
        run_id = self.run_id
        tags = {UID: self._uid, TRIAL_NUMBER: str(number)}
        trial = self._run_ids.get(number)
        try:
            model = log_model(self._client, run_id, trial, checkpoint, tags)
        except UnusableError as error:
            raise RejectedError(str(error)) from error
        earlier = self._client.get_run(run_id).data.tags.get(MODEL_ID)
        batches.log(self._client, run_id, {}, tags={BEST_MODEL: str(number), MODEL_ID: model})
        if earlier is not None:
            self._client.delete_logged_model(earlier)

    def _find(self) -> tuple[list[Run], dict[int, list[Run]]]:
        return study_runs.find(self._client, self._experiment, self._uid)

    def _create_parent(self, study: StudyIdentity) -> Run:
        return self._client.create_run(
            self._experiment,
            start_time=study.start,
            run_name=study.name,
            tags={
                **environment_tags(),
                **definition_tags(study.definition),
                **SOURCE,
                UID: study.uid,
            },
        )

    def _create_child(self, trial: Record) -> str:
        run = self._client.create_run(
            self._experiment,
            start_time=trial.start,
            run_name=trial.name,
            tags={**trial.tags, **SOURCE, UID: self._uid, PARENT: self.run_id},
        )
        return str(run.info.run_id)

    def _log_data_sets(self, run_id: str, data_sets: Sequence[DataSet]) -> None:
        """Log what a trial read, and with the study's run what no earlier trial has read."""
        if not data_sets:
            return
        self._client.log_inputs(run_id, [as_input(data_set) for data_set in data_sets])
        new = [data_set for data_set in data_sets if data_set.digest not in self._read]
        if new:
            self._client.log_inputs(self.run_id, [as_input(d) for d in new])
            self._read |= {data_set.digest for data_set in new}

    def _complete_params(self, definition: Mapping[str, Any]) -> None:
        """Log the definition; the part that is there already is write-once and stays."""
        from mlflow.exceptions import MlflowException

        wanted, present = params(definition), self._parent.data.params
        missing = {k: v for k, v in wanted.items() if k not in present}
        try:
            batches.log(self._client, self.run_id, missing)
        except MlflowException:
            # Another process may have written the same at the same time.
            if wanted.keys() - self._client.get_run(self.run_id).data.params:
                raise

    def _adopt(self, child: Run) -> None:
        parent = self.run_id
        if child.data.tags.get(PARENT) != parent:
            self._client.set_tag(child.info.run_id, PARENT, parent)
