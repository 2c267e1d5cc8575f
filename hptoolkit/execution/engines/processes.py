"""Workers as processes of this machine: started, watched, replaced when they die, ended together.

They are forked from one clean process that has imported everything and done nothing else (no
thread, no CUDA, no connection), which is what makes a fork safe at any time. Data sets are mapped
files (training/npz.py), of which the workers share one copy.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection, forkserver
from typing import TYPE_CHECKING, Any

from hptoolkit.attributes import OWNER, read
from hptoolkit.errors import StorageError, TrialError, UserError, first_line
from hptoolkit.execution.engines.devices import Place
from hptoolkit.execution.job import Job, see_only, work
from hptoolkit.execution.signals import blocked, ignore, noted
from hptoolkit.execution.worker import Ending, interrupted, why_over
from hptoolkit.storage.urls import scrub

if TYPE_CHECKING:
    from collections.abc import Callable

    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from hptoolkit.execution.engines.engine import View

POLL_SECONDS = 0.5
# How long a worker that was told to end may take to put its trial back.
_GRACE_SECONDS = 20.0
_REMINDER_SECONDS = 2.0
# Each death in a row makes the next worker begin a second later, up to this.
_LONGEST_DELAY = 5.0
# Deaths for each worker in a row, with no trial ended in between, after which it is no accident.
_DEATHS = 3


def warm_up(*, training: bool) -> None:
    """Start the process from which workers are forked, so that it imports while this one prepares.

    `training`: whether to import what training needs.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # one core a worker, whatever it computes with
    module = "hptoolkit.execution.engines.preload" if training else "hptoolkit.execution.job"
    multiprocessing.set_forkserver_preload(["__main__", module])
    with blocked():
        forkserver.ensure_running()


class Processes:
    """An engine: one process at each place.

    Args:
        places: Where the workers run.
        say: Called with a sentence about a worker that died.
        notes: What to know before they start.
    """

    def __init__(
        self, places: Sequence[Place], say: Callable[[str], None], notes: Sequence[str] = ()
    ) -> None:
        self.places = places
        self.notes = notes
        self._say = say
        self._workers: list[_Worker] = []
        self._deaths = 0  # in a row, without a trial that ended in between
        self._pids: set[int] = set()

    def owns(self, trial: FrozenTrial) -> bool:
        """Whether one of the workers ran a trial."""
        host, _, pid = (read(trial.user_attrs, OWNER, str) or "").rpartition(":")
        return host == socket.gethostname() and pid.isdecimal() and int(pid) in self._pids

    def run(self, job: Job, study: Study, view: View) -> Ending:
        """Run the workers until the study is over. Raises UserError if one meets bad input."""
        with noted() as received:
            try:
                for place in self.places:
                    self._start(job, place)
                return self._supervise(job, study, view, received)
            finally:
                self._stop(view, received)
                _put_back(study)
                view.look()

    def _supervise(self, job: Job, study: Study, view: View, received: list[int]) -> Ending:
        from optuna.trial import TrialState

        last = Ending("all workers have ended")
        while self._workers:
            connection.wait([worker.process.sentinel for worker in self._workers], POLL_SECONDS)
            if any(trial.state != TrialState.FAIL for trial in view.look()):
                self._deaths = 0
            if received:
                return interrupted(received[0])
            for worker in [w for w in self._workers if not w.process.is_alive()]:
                self._workers.remove(worker)
                ended = worker.result()
                if isinstance(ended, Ending) and ended.exit_code < 128:
                    last = ended
                    over = ended.exit_code != 0 or ended.for_all
                else:  # someone ended it, and not by ending the study
                    given_up = self._replace(worker, ended, job, study)
                    last, over = given_up or last, given_up is not None
                if over:
                    return last
        return why_over(study, job.trials) or last

    def _replace(self, worker: _Worker, ended: object, job: Job, study: Study) -> Ending | None:
        """Start another worker for one that died; how the study ends if too many have.

        Raises UserError if bad input, or a storage that fails, is the reason.
        """
        self._deaths += 1
        cause = scrub(worker.cause(ended), job.address)
        back = _put_back(study)
        given_up = self._deaths >= _DEATHS * len(self.places)
        if isinstance(ended, StorageError | TrialError):
            raise ended
        if given_up and isinstance(ended, UserError):
            raise ended
        if given_up:
            reason = (
                f"{self._deaths} workers died one after the other, and no trial ended meanwhile"
            )
            return Ending(f"{reason} ({cause})", 1)
        self._start(job, worker.place, delay=min(self._deaths - 1.0, _LONGEST_DELAY))
        again = f", run {', '.join(map(str, back))} is put back" if back else ""
        self._say(f"A worker died ({cause}): another takes its place{again}.")
        return None

    def _start(self, job: Job, place: Place, delay: float = 0.0) -> None:
        worker = _Worker.start(job, place, delay)
        self._workers.append(worker)
        if worker.process.pid is not None:
            self._pids.add(worker.process.pid)

    def _stop(self, view: View, received: list[int]) -> None:
        """End the workers: they put their trials back; those that do not in time are killed.

        A second Ctrl-C kills at once.
        """
        began, reminders = time.monotonic(), 0
        while alive := [w.process for w in self._workers if w.process.is_alive()]:
            passed = time.monotonic() - began
            if passed > _GRACE_SECONDS or len(received) > 1:
                for process in alive:
                    process.kill()
            elif passed >= reminders * _REMINDER_SECONDS:
                reminders += (
                    1  # more than once: a worker that has just been started does not listen
                )
                for process in alive:
                    process.terminate()
            connection.wait([process.sentinel for process in alive], POLL_SECONDS)
            view.look()
        for worker in self._workers:
            worker.process.join()
        self._workers.clear()


@dataclass
class _Worker:
    """A process at its place, and the end of a pipe from which its result is read."""

    process: Any
    place: Place
    results: connection.Connection

    @classmethod
    def start(cls, job: Job, place: Place, delay: float) -> _Worker:
        context: Any = multiprocessing.get_context(_method())
        results, sender = context.Pipe(duplex=False)
        process = context.Process(target=_main, args=(job, place, delay, sender), daemon=False)
        with blocked():
            process.start()
        sender.close()
        return cls(process, place, results)

    def result(self) -> Any:
        """How its work ended, a UserError or another error's words; None if it was killed."""
        self.process.join()
        try:
            ended = self.results.recv() if self.results.poll() else None
        except EOFError:
            ended = None
        self.results.close()
        return ended

    def cause(self, ended: object) -> str:
        """Why it died, in a few words."""
        code = self.process.exitcode or 0
        if code < 0:
            return signal.Signals(-code).name
        return str(getattr(ended, "reason", ended) or f"exit code {code}")


def _main(job: Job, place: Place, delay: float, results: connection.Connection) -> None:
    """A worker process."""
    # Whoever started it passes signals on; `runner.run` listens to them while it runs.
    ignore()
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    if place.gpu is not None:
        see_only(place.gpu)
    time.sleep(delay)
    try:
        ended: object = work(job, place.device)
    except UserError as error:
        ended = error
    except Exception as error:  # the supervisor says it in a sentence and starts another worker
        ended = f"{type(error).__name__}: {first_line(error)}"
    with suppress(BrokenPipeError):  # nobody is left to tell
        results.send(ended)


def _end_with_parent() -> None:
    """Wait until the process that started this one has gone, then end as after a SIGTERM."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    parent.join()
    deadline = time.monotonic() + _GRACE_SECONDS
    while time.monotonic() < deadline:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1.0)
    os._exit(128 + signal.SIGTERM)


def _put_back(study: Study) -> list[int]:
    from hptoolkit.storage import put_back_orphans

    try:
        return put_back_orphans(study)
    except (StorageError, OSError):
        return []  # a lease ends by itself


def _method() -> str:
    return "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
