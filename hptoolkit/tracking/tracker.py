"""The logger that a study holds: it hands finished trials on, and never waits or fails.

Optuna's storage is the truth, MLflow a copy of it. Whatever could not be written is written by the
next `sync`, so the study goes on whether MLflow works or not.
"""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from hptoolkit.tracking.location import absolute, check_uri
from hptoolkit.tracking.process import StoreProcess
from hptoolkit.tracking.records import (
    STATUS,
    Record,
    milliseconds,
    outcome_record,
    trial_record,
)
from hptoolkit.tracking.store import RejectedError, StudyIdentity
from hptoolkit.urls import redact, scrub

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

STUDY_UID = "hptoolkit:uid"  # user attribute of a study: its identity
STUDY_DEFINITION = "definition"  # user attribute of a study: its resolved definition

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

    Attributes:
        problem: What kept the last `sync` or anything since from being written; None if nothing.
        written: How many trials' runs this tracker has written.

    Raises:
        UserError: `uri` is not an address at which MLflow keeps runs.
    """

    def __init__(
        self,
        uri: str | None,
        study: Study,
        *,
        on_problem: Callable[[str], None] | None = None,
    ) -> None:
        self.uri = check_uri(uri)
        self.problem: str | None = None
        self.written = 0
        self._study = study
        self._identity = _identity(study)
        self._address = absolute(self.uri)
        self._on_problem = on_problem  # None once called
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
            summary: See `hptoolkit.tracking.records.outcome_record`.
            interrupted: Whether the study is to go on another time: its run's status is then
                KILLED, otherwise FINISHED.
        """
        trials = self._finished()
        ends = [trial.datetime_complete for trial in trials if trial.datetime_complete]
        outcome = outcome_record(
            self._identity.name,
            summary,
            interrupted=interrupted,
            start=self._identity.start,
            end=milliseconds(max(ends, default=None)),
            step=len(trials),
        )
        self._jobs.put(lambda: self._finish(trials, outcome))

    def close(self, timeout: float = 60.0) -> None:
        """Wait until everything is written, `timeout` seconds at most."""
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

    def _write(self, trials: Iterable[FrozenTrial], *, live: bool = False) -> None:
        self._waiting |= {trial.number: trial for trial in trials}
        if time.monotonic() < self._rest_until:
            return
        store = self._opened()
        if live:
            store.mark_running()
        for number in sorted(self._waiting):
            if number not in store.complete:
                self._write_one(store, self._waiting[number])
            del self._waiting[number]

    def _write_one(self, store: StoreProcess, trial: FrozenTrial) -> None:
        try:
            store.write(trial.number, trial_record(trial))
        except RejectedError as error:
            self._report(error)  # the others may be fine
        else:
            self.written += 1

    def _opened(self) -> StoreProcess:
        if self._store is None:
            self._store = StoreProcess(self._address, self._identity)
            self._store.open()
        return self._store

    def _end_process(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None

    def _report(self, reason: object) -> None:
        line = scrub(str(reason).strip().partition("\n")[0], self.uri)[:200]
        self.problem = (
            f"MLflow at {redact(self.uri)} lacks runs of this study ({line}); no trial is lost, "
            "and the study's next run logs what is missing."
        )
        on_problem, self._on_problem = self._on_problem, None
        if on_problem is not None:
            on_problem(self.problem)


def _identity(study: Study) -> StudyIdentity:
    if STUDY_UID not in study.user_attrs:
        study.set_user_attr(STUDY_UID, uuid.uuid4().hex)
    trials = study.get_trials(deepcopy=False)
    definition = study.user_attrs.get(STUDY_DEFINITION)
    # The name too: a copied study has the attributes of the first one.
    name = re.sub(r"[^\w.-]", "_", study.study_name)
    return StudyIdentity(
        name=study.study_name,
        uid=f"{name}-{study.user_attrs[STUDY_UID]}",
        definition=definition if isinstance(definition, Mapping) else {},
        start=min((milliseconds(t.datetime_start) for t in trials), default=milliseconds(None)),
    )
