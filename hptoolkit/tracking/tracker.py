"""The logger that a study holds: it hands finished trials on, and never waits or fails.

Optuna's storage is the truth, MLflow a copy of it. Whatever could not be written is written by the
next `sync`, so the study goes on whether MLflow works or not.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from hptoolkit.storage.urls import absolute, redact
from hptoolkit.tracking.connection import UnusableStoreError, check_uri, why
from hptoolkit.tracking.store import BEST_MODEL, REPORT, RejectedError
from hptoolkit.tracking.study_record import outcome_record, study_record
from hptoolkit.tracking.trial_record import STATUS, Record, milliseconds, trial_record
from hptoolkit.tracking.writer import StoreProcess

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

_RETRY_AFTER = 30.0  # seconds of rest for a store that failed


class Tracker:
    """Writes one study's runs to MLflow, through a thread and a process of its own.

    Every method returns at once and none raises for MLflow's sake. Make it after the study's
    attributes are stored, in the process that uses it (a thread does not survive a fork), and
    close it, or use it as a context manager.

    Args:
        uri: An MLflow tracking URI, a server or a database; None for the file
            `mlruns/mlflow.db` under the current folder.
        study: The study whose trials are logged. A foreign one is given an identity.
        on_problem: Called with one sentence, without credentials, the first time that MLflow
            fails; from the tracker's thread.
        system_metrics: Whether to log the machine's load too while trials are logged, where psutil
            is installed.

    Attributes:
        problem: What kept the last `sync` or anything since from being written; None if nothing.
        written: How many trials' runs this tracker has written.
        attached: What else: "the report", "the best model".

    Raises:
        UserError: `uri` is not an address at which MLflow keeps runs.
    """

    def __init__(
        self,
        uri: str | None,
        study: Study,
        *,
        on_problem: Callable[[str], None] | None = None,
        system_metrics: bool = False,
    ) -> None:
        self.uri = check_uri(uri)
        self.problem: str | None = None
        self.written = 0
        self.attached: list[str] = []
        self._study = study
        self._record = study_record(study)
        self._address = absolute(self.uri)
        self._on_problem = on_problem  # None once called
        self._load = system_metrics
        self._store: StoreProcess | None = None
        self._waiting: dict[int, FrozenTrial] = {}
        self._rest_until = 0.0
        self._given_up = False
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        # A daemon: a store that hangs must not keep the process from exiting.
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def log(self, trial: FrozenTrial) -> None:
        """Write a trial that has just finished; the study's run is marked as running."""
        self._jobs.put(lambda: self._write([trial], live=True))

    def sync(self) -> None:
        """Write every finished trial that has no complete run yet; if there is none, nothing."""
        trials = self._finished()
        self._jobs.put(lambda: self._sync(trials))

    def finish(self, summary: Mapping[str, Any], *, interrupted: bool = False) -> None:
        """Write what is missing, and the outcome on the study's run, which ends.

        Args:
            summary: See `hptoolkit.tracking.study_record.outcome_record`.
            interrupted: Whether the study is to go on another time: its run's status is then
                KILLED, otherwise FINISHED.
        """
        trials = self._finished()
        ends = [trial.datetime_complete for trial in trials if trial.datetime_complete]
        outcome = outcome_record(
            self._record,
            summary,
            interrupted=interrupted,
            end=milliseconds(max(ends, default=None)),
            step=len(trials),
        )
        self._jobs.put(lambda: self._finish(trials, outcome))

    def attach(self, state: str, draw: Callable[[Path], None]) -> None:
        """Keep a report and figures with the study's run, unless those of this state are there.

        Args:
            state: Tells the state of the study that they show from every other.
            draw: Writes them into a folder; called if they are needed, from another thread.
        """
        self._jobs.put(lambda: self._attach(state, draw))

    def log_model(self, checkpoint: Path, number: int) -> None:
        """Log the best network, unless that of this trial is there; it replaces an earlier one.

        Args:
            checkpoint: A file of `hptoolkit.training.classifier.pack`.
            number: The trial's.
        """
        path = str(checkpoint.absolute())
        self._jobs.put(lambda: self._log_model(path, number))

    def close(self, timeout: float = 60.0) -> None:
        """Wait until everything is written, `timeout` seconds at most."""
        if not self._thread.is_alive():
            return
        self._jobs.put(None)
        self._thread.join(timeout)
        if self._thread.is_alive():
            self._given_up = True
            if (store := self._store) is not None:
                store.kill()  # which ends the thread's waiting for it
            self._report(f"it did not finish writing within {timeout:g} s")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _finished(self) -> list[FrozenTrial]:
        trials = self._study.get_trials(deepcopy=False)
        return [trial for trial in trials if trial.state.name in STATUS]

    # What follows runs in the tracker's thread.

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except Exception as error:  # a store, a server or a process may fail in any way
                if self._given_up:
                    break
                self._rest_until = time.monotonic() + _RETRY_AFTER
                self._end_process()
                self._report(error)
        self._end_process()

    def _sync(self, trials: Iterable[FrozenTrial]) -> None:
        # Afresh: other processes may have written, and a store that failed gets another chance.
        self._rest_until, self.problem = 0.0, None
        if self._store is not None:
            self._store.open()
        self._write(trials)

    def _finish(self, trials: Iterable[FrozenTrial], outcome: Record) -> None:
        self._sync(trials)
        self._opened().finish(outcome)

    def _attach(self, state: str, draw: Callable[[Path], None]) -> None:
        if self._rests():
            return
        store = self._opened()
        if store.has.get(REPORT) != state:
            with tempfile.TemporaryDirectory() as folder:
                draw(Path(folder))
                store.attach(folder, state)
            self.attached.append("the report")

    def _log_model(self, checkpoint: str, number: int) -> None:
        if self._rests():
            return
        store = self._opened()
        if store.has.get(BEST_MODEL) != str(number):
            try:
                store.log_model(checkpoint, number)
            except RejectedError as error:
                self._report(error)  # the report may be fine
            else:
                self.attached.append("the best model")

    def _rests(self) -> bool:
        """Whether the store has failed a moment ago."""
        return time.monotonic() < self._rest_until

    def _write(self, trials: Iterable[FrozenTrial], *, live: bool = False) -> None:
        self._waiting |= {trial.number: trial for trial in trials}
        if self._rests():
            return
        store = self._opened()
        if live:
            store.mark_running(self._load)
        for number in sorted(self._waiting):
            if number not in store.complete:
                self._write_one(store, self._waiting[number])
            del self._waiting[number]

    def _write_one(self, store: StoreProcess, trial: FrozenTrial) -> None:
        try:
            store.write(trial.number, trial_record(trial, self._record.goal))
        except RejectedError as error:
            self._report(error)  # the others may be fine
        else:
            self.written += 1

    def _opened(self) -> StoreProcess:
        if self._store is None:
            self._store = StoreProcess(self._address, self._record)
            self._store.open()
        return self._store

    def _end_process(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def _report(self, reason: object) -> None:
        after = "after that, " if isinstance(reason, UnusableStoreError) else ""
        self.problem = (
            f"MLflow at {redact(self.uri)} lacks runs or figures of this study "
            f"({why(reason, self.uri)}); no trial is lost: {after}the study's next run, or "
            "--sync-mlflow, logs what is missing."
        )
        on_problem, self._on_problem = self._on_problem, None
        if on_problem is not None:
            on_problem(self.problem)
