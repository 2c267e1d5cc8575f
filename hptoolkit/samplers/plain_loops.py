"""Who runs a trial in plain `study.optimize`, and whether they still do.

hptoolkit's own workers hold leases (hptoolkit.storage.leases). A trial of a plain script is signed
by the process and the thread that run it, so that one left behind by a killed process is not taken
for a running one for ever. Asked for with `study.ask()` it is not signed: anybody may tell it.
"""

from __future__ import annotations

import copy
import os
import threading
import time
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from hptoolkit.attributes import LEASE, PROCESS
from hptoolkit.optuna_internals import in_optimize_loop, storage_of, study_id_of, trial_id_of
from hptoolkit.processes import is_gone, started, this_machine

# A trial of another machine counts as lost when it has shown nothing new for so many times as long
# as the longest finished trial took, and for so many seconds, by the clock of who looks.
TIMES_LONGEST = 3.0
AT_LEAST = 600.0


class PlainLoops:
    """The trials that run in plain loops: since when each has shown nothing new is remembered."""

    def __init__(self) -> None:
        self._last_seen: dict[tuple[int, int], tuple[tuple[int, ...], float]] = {}

    def sign(self, study: Study, trial: FrozenTrial) -> None:
        """Say that this thread runs a trial, if it is in a loop and no lease says who does."""
        if in_optimize_loop(study) and trial.system_attrs.get(LEASE) is None:
            pid = os.getpid()
            signature: dict[str, Any] = {"machine": this_machine(), "pid": pid}
            signature |= {"start": started(pid), "thread": threading.get_ident()}
            storage_of(study).set_trial_system_attr(trial_id_of(trial), PROCESS, signature)

    def seen(
        self, study: Study, trials: list[FrozenTrial], own: int | None = None
    ) -> list[FrozenTrial]:
        """The trials, those that nobody runs any more as failed ones.

        Where a process of this machine has visibly ended, that is stored. It is not where the
        trial may yet be told. `own`: the number of the trial that this thread is at.
        """
        return [self._failed(study, t, trials) if _signed(t, own) else t for t in trials]

    def will_end(self, study: Study, trial: FrozenTrial, trials: list[FrozenTrial]) -> bool:
        """Whether somebody is known to run a trial, so that one can wait for its end."""
        if trial.state != TrialState.RUNNING:
            return False
        owner = trial.system_attrs.get(LEASE) or trial.system_attrs.get(PROCESS)
        if owner is None or _has_ended(owner):
            return False
        return not self._is_silent(study, trial, trials)

    def _failed(self, study: Study, trial: FrozenTrial, trials: list[FrozenTrial]) -> FrozenTrial:
        process = trial.system_attrs[PROCESS]
        ended = _has_ended(process)
        if ended:
            try:
                storage_of(study).set_trial_state_values(trial_id_of(trial), TrialState.FAIL)
            except UpdateFinishedTrialError:
                return storage_of(study).get_trial(trial_id_of(trial))
        elif _is_here(process):
            if not _was_left(process):
                return trial
        elif not self._is_silent(study, trial, trials):
            return trial
        failed = copy.copy(trial)
        failed.state = TrialState.FAIL
        return failed

    def _is_silent(self, study: Study, trial: FrozenTrial, trials: list[FrozenTrial]) -> bool:
        """Whether a trial has shown nothing new for a long time, compared with finished ones."""
        durations = [t.duration.total_seconds() for t in trials if t.duration is not None]
        written = (trial.params, trial.intermediate_values, trial.user_attrs)
        signs, now = tuple(len(part) for part in written), time.monotonic()
        name = (study_id_of(study), trial.number)
        before, since = self._last_seen.get(name, ((), now))
        self._last_seen[name] = (signs, since if signs == before else now)
        patience = max(AT_LEAST, TIMES_LONGEST * max(durations, default=float("inf")))
        return signs == before and now - since > patience


def _signed(trial: FrozenTrial, own: int | None) -> bool:
    attributes = trial.system_attrs
    running = trial.state == TrialState.RUNNING and trial.number != own
    return running and PROCESS in attributes and attributes.get(LEASE) is None


def _is_here(process: dict[str, Any]) -> bool:
    return bool(process["machine"] == this_machine())


def _has_ended(process: dict[str, Any]) -> bool:
    """Whether a process was one of this machine and has visibly ended."""
    return _is_here(process) and is_gone(process["pid"], process["start"])


def _was_left(process: dict[str, Any]) -> bool:
    """Whether a trial of this process was left behind, as by sys.exit()."""
    mine = process["pid"] == os.getpid()
    others = {thread.ident for thread in threading.enumerate()} - {threading.get_ident()}
    return mine and process["thread"] not in others
