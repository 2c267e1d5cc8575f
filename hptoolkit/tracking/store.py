"""One study's runs in an MLflow store: a parent for the study, a child for each trial.

Runs are found by tags, never by what an earlier process knew, so that a run cut short is completed
and nothing is logged twice by whoever comes next.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hptoolkit.tracking.connection import connect, experiment_id
from hptoolkit.tracking.environment import Monitor, environment_tags, watch
from hptoolkit.tracking.limits import log, tags
from hptoolkit.tracking.model import UnusableError, log_model
from hptoolkit.tracking.study_record import UID, StudyRecord, view
from hptoolkit.tracking.trial_record import TRIAL_NUMBER, DataSet, Record

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Run

# Tags of a study's run.
REPORT = "hptoolkit.report"  # the state of the study that its report shows
BEST_MODEL = "hptoolkit.best_model"  # the number of its model's trial
_MODEL_ID = "hptoolkit.best_model_id"
_PARENT = "mlflow.parentRunId"
_DESCRIPTION = "mlflow.note.content"  # Markdown, shown at the head of a run
_SOURCE = {"mlflow.source.name": "hptoolkit.study", "mlflow.source.type": "LOCAL"}
_READER = json.dumps({"tags": {"mlflow.source.name": "hptoolkit.training.data"}})
_UNFINISHED = ("RUNNING", "SCHEDULED")


class RejectedError(RuntimeError):
    """The store is well and will not take this record."""


class RunStore:
    """The runs of one study; to be opened first.

    Every method raises whatever MLflow raises when its store fails.

    Attributes:
        complete: The numbers of the trials whose runs are complete.
        has: Which report (`REPORT`) and which model (`BEST_MODEL`) the study's run has.
    """

    _monitor: Monitor | None = None

    def open(self, uri: str, study: StudyRecord) -> tuple[set[int], dict[str, str]]:
        """Find the study's runs (again), or create them; imports MLflow.

        Returns `complete` and `has`.
        """
        self._uri, self._study = uri, study
        self._client = connect(uri)
        self._experiment = experiment_id(self._client, uri, study.experiment)
        parents, trials = self._find()
        if not parents:
            created = self._create_parent()
            # Another process may have done the same at the same time.
            parents = self._find()[0] or [created]
        parent = self._keep_first(parents)
        self._run_id: str = parent.info.run_id
        self._running = parent.info.status == "RUNNING"
        inputs = parent.inputs
        self._read = {d.dataset.digest for d in inputs.dataset_inputs} if inputs else set()
        self._complete_params(parent)
        children = {number: self._keep_first(runs) for number, runs in trials.items()}
        for run in children.values():
            if run.data.tags.get(_PARENT) != self._run_id:
                self._client.set_tag(run.info.run_id, _PARENT, self._run_id)
        self._run_ids = {number: run.info.run_id for number, run in children.items()}
        self.complete = {n for n, run in children.items() if run.info.status not in _UNFINISHED}
        present = parent.data.tags
        self.has = {tag: present[tag] for tag in (REPORT, BEST_MODEL) if tag in present}
        return self.complete, self.has

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
            log(self._client, run_id, trial.params, trial.metrics)
            self._log_data_sets(run_id, trial.data_sets)
            self._client.set_terminated(run_id, trial.status, trial.end)
        except MlflowException as error:
            if error.error_code == "INVALID_PARAMETER_VALUE":
                experiment_id(self._client, self._uri, self._study.experiment)  # deleted meanwhile?
                raise RejectedError(f"{trial.name}: {error.message}") from error
            raise
        self.complete.add(number)

    def mark_running(self, load: bool) -> None:
        """The study goes on (again); `load`: whether the machine's is logged until it ends."""
        if not self._running:
            self._client.update_run(self._run_id, status="RUNNING")
            self._running = True
        if load and self._monitor is None:
            self._monitor = watch(self._run_id, self._uri)

    def finish(self, outcome: Record) -> None:
        """Add the outcome to the study's run and end it."""
        if self._monitor is not None:
            self._monitor.finish()
            self._monitor = None
        log(self._client, self._run_id, outcome.params, outcome.metrics, outcome.tags)
        self._client.set_terminated(self._run_id, outcome.status, outcome.end)
        self._running = False
        if outcome.metrics:
            self._client.set_experiment_tag(self._experiment, *view(self._study, outcome))

    def attach(self, folder: str, state: str) -> None:
        """Keep the files in a folder with the study's run, `description.md` as its description.

        `state`: of the study, which they show.
        """
        self._client.log_artifacts(self._run_id, folder)
        file = Path(folder) / "description.md"
        text = {_DESCRIPTION: file.read_text(encoding="utf-8")} if file.exists() else {}
        log(self._client, self._run_id, {}, tags=tags({REPORT: state} | text))
        self.has[REPORT] = state

    def log_model(self, checkpoint: str, number: int) -> None:
        """Log the network that a trial left in a file, in the place of an earlier one.

        Raises:
            RejectedError: No model can be made of the file.
        """
        run_id, trial = self._run_id, self._run_ids.get(number)
        marks = {UID: self._study.uid, TRIAL_NUMBER: str(number)}
        try:
            model = log_model(self._client, run_id, trial, checkpoint, marks)
        except UnusableError as error:
            raise RejectedError(str(error)) from error
        earlier = self._client.get_run(run_id).data.tags.get(_MODEL_ID)
        log(self._client, run_id, {}, tags={BEST_MODEL: str(number), _MODEL_ID: model})
        if earlier is not None:
            self._client.delete_logged_model(earlier)
        self.has[BEST_MODEL] = str(number)

    def _find(self) -> tuple[list[Run], dict[int, list[Run]]]:
        """The study's own runs (one, normally), and its trials' by number."""
        parents: list[Run] = []
        trials: defaultdict[int, list[Run]] = defaultdict(list)
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment],
                filter_string=f"tags.`{UID}` = '{self._study.uid}'",
                max_results=1000,
                page_token=token,
            )
            for run in page:
                number = run.data.tags.get(TRIAL_NUMBER)
                (parents if number is None else trials[int(number)]).append(run)
            token = page.token
            if not token:
                return parents, trials

    def _keep_first(self, runs: list[Run]) -> Run:
        """One of the runs that processes made at the same time, whichever process chooses.

        The others are deleted.
        """
        keep, *others = sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id))
        for run in others:
            self._client.delete_run(run.info.run_id)
        return keep

    def _create_parent(self) -> Run:
        return self._client.create_run(
            self._experiment,
            start_time=self._study.start,
            run_name=self._study.name,
            tags={**environment_tags(), **self._study.tags, **_SOURCE, UID: self._study.uid},
        )

    def _create_child(self, trial: Record) -> str:
        run = self._client.create_run(
            self._experiment,
            start_time=trial.start,
            run_name=trial.name,
            tags={**trial.tags, **_SOURCE, UID: self._study.uid, _PARENT: self._run_id},
        )
        return str(run.info.run_id)

    def _complete_params(self, parent: Run) -> None:
        """Log the definition; the part that is there already is write-once and stays."""
        from mlflow.exceptions import MlflowException

        wanted, present = self._study.params, parent.data.params
        try:
            log(self._client, self._run_id, {k: v for k, v in wanted.items() if k not in present})
        except MlflowException:
            # Another process may have written the same at the same time.
            if wanted.keys() - self._client.get_run(self._run_id).data.params:
                raise

    def _log_data_sets(self, run_id: str, data_sets: Sequence[DataSet]) -> None:
        """Log what a trial read, and with the study's run what no earlier trial has read."""
        if not data_sets:
            return
        self._client.log_inputs(run_id, [_as_input(data_set) for data_set in data_sets])
        new = [data_set for data_set in data_sets if data_set.digest not in self._read]
        if new:
            self._client.log_inputs(self._run_id, [_as_input(data_set) for data_set in new])
            self._read |= {data_set.digest for data_set in new}


def _as_input(data_set: DataSet) -> DatasetInput:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    entity = Dataset(
        name=data_set.name,
        digest=data_set.digest,
        source_type="code",
        source=_READER,
        schema=data_set.schema,
        profile=data_set.profile,
    )
    return DatasetInput(entity, [InputTag("mlflow.data.context", data_set.context)])
