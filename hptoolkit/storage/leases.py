"""Who runs a trial, and whether they still do.

A running trial carries a lease: a token of its own, the machine, and the process. While it runs,
its worker raises a number beside the lease, the beat. Whoever watches puts a trial back whose
process has gone: on the same machine at once, elsewhere when lease and beat have not changed for a
minute *by the watcher's own clock*, during which it looked. No two clocks are compared.

A trial is put back by making it WAITING again: one atomic step, after which it has the same number,
parameters and attributes, and the next worker takes it up. A trial whose owner has gone a third
time is given up.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Sized
from dataclasses import asdict, dataclass
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from hptoolkit.attributes import BEAT, ERROR, LEASE, LOST, OWNER, read
from hptoolkit.optuna_internals import storage_of, trial_id_of
from hptoolkit.processes import is_gone, started, this_machine

# Trials are run again this often because their owner has gone.
MAX_RETRIES = 2


@dataclass(frozen=True)
class Times:
    """Seconds between two beats, between two looks at the others, and until a lease expires."""

    beat: float = 10.0
    look: float = 2.0
    expiry: float = 60.0


@dataclass(frozen=True)
class Lease:
    """Who runs a trial.

    Attributes:
        token: Names this lease: another run of the same trial has another one.
        machine: See `hptoolkit.processes.this_machine`.
        pid, start: The process, and when its kernel says it began.
    """

    token: str
    machine: str
    pid: int
    start: str | None

    @classmethod
    def of_this_process(cls) -> Lease:
        pid = os.getpid()
        return cls(uuid.uuid4().hex[:16], this_machine(), pid, started(pid))

    @classmethod
    def read(cls, trial: FrozenTrial) -> Lease | None:
        """The lease that a trial carries, None if there is none (any more)."""
        try:
            return cls(**trial.system_attrs[LEASE])
        except (KeyError, TypeError):
            return None

    def attributes(self) -> dict[str, Any]:
        """What is stored of it, as a system attribute."""
        return {LEASE: asdict(self)}

    def has_visibly_gone(self) -> bool:
        """Whether the process was one of this machine and has ended."""
        return self.machine == this_machine() and is_gone(self.pid, self.start)


def owner() -> str:
    """This process as people read it; kept as a trial's user attribute OWNER."""
    return f"{socket.gethostname()}:{os.getpid()}"


def renew(study: Study, trial_id: int, lease: Lease, beat: int) -> bool:
    """Raise the beat of one's own trial; False if it is no longer one's own.

    A trial that was put back too early, and that nobody has taken up yet, is taken back.
    """
    storage = storage_of(study)
    trial = storage.get_trial(trial_id)
    if trial.state.is_finished() or Lease.read(trial) not in (None, lease):
        return False
    try:
        if trial.state == TrialState.WAITING and not take(study, trial_id, lease):
            return False
        storage.set_trial_system_attr(trial_id, BEAT, beat)
    except UpdateFinishedTrialError:
        return False
    return True


def take(study: Study, trial_id: int, lease: Lease) -> bool:
    """Make a waiting trial one's own; False if somebody else was faster."""
    try:
        if not storage_of(study).set_trial_state_values(trial_id, TrialState.RUNNING):
            return False
        for name, value in lease.attributes().items():
            storage_of(study).set_trial_system_attr(trial_id, name, value)
        storage_of(study).set_trial_user_attr(trial_id, OWNER, owner())
    except UpdateFinishedTrialError:
        return False
    return True


def put_back_orphans(study: Study) -> list[int]:
    """Put back the running trials whose process on this machine has gone; their numbers."""
    orphans = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        lease = Lease.read(trial)
        if lease is not None and lease.has_visibly_gone() and put_back_lost(study, trial):
            orphans.append(trial.number)
    return orphans


def put_back(study: Study, trial_id: int) -> None:
    """Let a running trial wait to be run again, with its number, parameters and seed."""
    try:
        # A watcher must not take the next owner for this one.
        storage_of(study).set_trial_system_attr(trial_id, LEASE, None)
        storage_of(study).set_trial_state_values(trial_id, TrialState.WAITING)
    except UpdateFinishedTrialError:
        pass  # somebody has finished it


def put_back_lost(study: Study, seen: FrozenTrial) -> bool:
    """Put back a trial whose owner has gone, or give it up; True if it waits to be run again.

    Args:
        study: The study.
        seen: The trial as it was when its owner was found to have gone. Nothing is done if it has
            another owner by now. Two who find the same owner gone count it once.
    """
    storage, trial_id = storage_of(study), trial_id_of(seen)
    trial = storage.get_trial(trial_id)
    if trial.state != TrialState.RUNNING or _identity(trial) != _identity(seen):
        return False
    lost = [*trial.system_attrs.get(LOST, ())]
    if _identity(trial) not in lost:
        lost.append(_identity(trial))
    last_owner = read(trial.user_attrs, OWNER, str) or "one without a name"
    try:
        storage.set_trial_system_attr(trial_id, LOST, lost)
        if len(lost) <= MAX_RETRIES:
            put_back(study, trial_id)
            return True
        storage.set_trial_user_attr(
            trial_id,
            ERROR,
            f"The process that ran it has gone {len(lost)} times, last "
            f"{last_owner}: killed, out of memory, or its "
            "machine was lost. It is not run again.",
        )
        storage.set_trial_state_values(trial_id, TrialState.FAIL)
    except UpdateFinishedTrialError:
        pass  # its owner has finished it after all
    return False


class Watcher:
    """Finds out, look by look, whose owner has gone.

    Only time in which it looked counts: after a pause, or when the storage could not be reached for
    a while, the others get their time anew.
    """

    def __init__(self, times: Times) -> None:
        self._times = times
        self._ages: dict[int, tuple[tuple[Any, ...], float]] = {}
        self._looked: float | None = None

    def look(self, study: Study, own: int | None) -> float:
        """Put back the trials whose owner has gone, other than one's `own`; when to look again.

        Returns:
            Seconds: more, the more trials run, so that a thousand workers do not ask all the time.
        """
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        pause = self._times.look * max(1.0, len(running) / 20)
        now = time.monotonic()
        longest = max(2 * pause, self._times.beat)
        elapsed = 0.0 if self._looked is None else min(now - self._looked, longest)
        self._looked = now
        ages: dict[int, tuple[tuple[Any, ...], float]] = {}
        for trial in running:
            if trial_id_of(trial) == own:
                continue
            before, age = self._ages.get(trial_id_of(trial), ((), 0.0))
            signs = _signs_of_life(trial)
            age = age + elapsed if signs == before else 0.0
            lease = Lease.read(trial)
            if (lease is not None and lease.has_visibly_gone()) or age >= self._times.expiry:
                put_back_lost(study, trial)
            else:
                ages[trial_id_of(trial)] = (signs, age)
        self._ages = ages
        return pause


def _identity(trial: FrozenTrial) -> str:
    lease = Lease.read(trial)
    # Without a lease (a plain Optuna worker; killed before it wrote one): when it was begun.
    return lease.token if lease else str(trial.datetime_start)


def _signs_of_life(trial: FrozenTrial) -> tuple[Any, ...]:
    """What changes while a worker lives; one without a lease is known by what it writes."""
    if Lease.read(trial) is not None:
        return (_identity(trial), trial.system_attrs.get(BEAT))
    written: tuple[Sized, ...] = (
        trial.params,
        trial.intermediate_values,
        trial.user_attrs,
        trial.system_attrs,
    )
    return (_identity(trial), *(len(part) for part in written))
