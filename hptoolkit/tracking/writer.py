"""The process that writes a study's runs, and the pipe to it.

MLflow is 5 s of pure Python to import and to create a store, and 30 ms a trial. In a thread that
would hold the interpreter's lock, which a training of many small operations needs all the time:
it was seen to fall to a third of its speed meanwhile. A process of its own takes from training
only its share of the cores, and a Ctrl-C does not reach it in the middle of a run. It is started
afresh, so it inherits neither torch nor MLflow and never imports a user's `__main__`.

A request is a pickled (method of `RunStore`, its arguments) on standard input; the reply is what
the method returns, or the error. It ends with its input, so that what the study asked for last is
still written if the study itself is killed.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import IO, Any, cast

from hptoolkit.tracking.connection import UnusableStoreError
from hptoolkit.tracking.store import BEST_MODEL, REPORT, RejectedError, RunStore
from hptoolkit.tracking.study_record import StudyRecord
from hptoolkit.tracking.trial_record import Record

_IMPORT_ROOT = str(Path(__file__).resolve().parents[2])


class StoreProcess:
    """A `RunStore` in another process.

    Each method raises RejectedError and UnusableStoreError as the store's own do, and RuntimeError
    or OSError when the store or the process fails.
    """

    def __init__(self, uri: str, study: StudyRecord) -> None:
        self._opening = (uri, study)  # by pipe: it may hold a password
        paths = [_IMPORT_ROOT, os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", "from hptoolkit.tracking.writer import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            start_new_session=True,
        )
        # Never None, since both are pipes.
        self._requests = cast(IO[bytes], self._process.stdin)
        self._replies = cast(IO[bytes], self._process.stdout)
        self.complete: set[int] = set()
        self.has: dict[str, str] = {}

    def open(self) -> None:
        self.complete, self.has = self._ask("open", *self._opening)

    def write(self, number: int, trial: Record) -> None:
        self._ask("write", number, trial)
        self.complete.add(number)

    def mark_running(self, load: bool) -> None:
        self._ask("mark_running", load)

    def finish(self, outcome: Record) -> None:
        self._ask("finish", outcome)

    def attach(self, folder: str, state: str) -> None:
        self._ask("attach", folder, state)
        self.has[REPORT] = state

    def log_model(self, checkpoint: str, number: int) -> None:
        self._ask("log_model", checkpoint, number)
        self.has[BEST_MODEL] = str(number)

    def kill(self) -> None:
        """End the process whatever it does; from any thread."""
        self._process.kill()

    def close(self) -> None:
        """End the process and release what it held."""
        self._process.kill()
        self._process.communicate()

    def _ask(self, method: str, *arguments: Any) -> Any:
        reply = self._exchange(method, arguments)
        if isinstance(reply, Exception):
            raise reply
        return reply

    def _exchange(self, method: str, arguments: tuple[Any, ...]) -> Any:
        _send((method, arguments), self._requests)
        try:
            return pickle.load(self._replies)
        except (EOFError, pickle.UnpicklingError):
            raise RuntimeError("the process that writes to it has ended") from None


def answer(store: RunStore, method: str, arguments: tuple[Any, ...]) -> Any:
    """The reply to a request: what the method returns, or the error to raise."""
    try:
        return getattr(store, method)(*arguments)
    except (RejectedError, UnusableStoreError) as error:
        return error
    except Exception as error:  # whatever MLflow, its database or its server raises
        cause = _root_cause(error)
        return RuntimeError(str(cause) or type(cause).__name__)


def main() -> None:
    requests, replies = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what a library prints must not be a reply
    store = RunStore()
    while True:
        try:
            request = pickle.load(requests)
        except (EOFError, pickle.UnpicklingError):  # at the end, or cut short by a kill
            return
        _send(answer(store, *request), replies)


def _send(message: object, pipe: IO[bytes]) -> None:
    pickle.dump(message, pipe)
    pipe.flush()


def _root_cause(error: BaseException) -> BaseException:
    """The first in the chain: MLflow wraps errors until nobody can read them."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error
