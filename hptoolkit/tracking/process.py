"""A study's runs written by another process.

MLflow is 5 s of pure Python to import and to create a store, and 30 ms a trial. In a thread that
would hold the interpreter's lock, which a training of many small operations needs all the time:
it was seen to fall to a third of its speed meanwhile. A process of its own takes from training
only its share of the cores, and a Ctrl-C does not reach it in the middle of a run.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, cast

from hptoolkit.tracking.identity import StudyIdentity
from hptoolkit.tracking.records import BEST_MODEL, REPORT, Record
from hptoolkit.tracking.store import RejectedError

_IMPORT_ROOT = str(Path(__file__).resolve().parents[2])


class StoreProcess:
    """The methods of `RunStore`, carried out elsewhere.

    Each raises RejectedError as RunStore's do, and RuntimeError or OSError when the store or the
    process fails.
    """

    def __init__(self, uri: str, study: StudyIdentity) -> None:
        self._opening = {"uri": uri, "study": asdict(study)}  # by pipe: it may hold a password
        paths = [_IMPORT_ROOT, os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "hptoolkit.tracking.writer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            start_new_session=True,
        )
        # Never None, since both are pipes.
        self._requests = cast(IO[str], self._process.stdin)
        self._replies = cast(IO[str], self._process.stdout)
        self.complete: set[int] = set()
        self.has: dict[str, str] = {}

    def open(self) -> None:
        """Find the study's runs (again), or create them."""
        found = self._ask("open", **self._opening)
        self.complete, self.has = set(found["complete"]), found["has"]

    def write(self, number: int, trial: Record) -> None:
        self._ask("write", number=number, trial=asdict(trial))
        self.complete.add(number)

    def mark_running(self, *, watch: bool) -> None:
        """The study goes on; `watch`: whether the machine's load is logged until it ends."""
        self._ask("mark_running", watch=watch)

    def finish(self, study: Record) -> None:
        self._ask("finish", study=asdict(study))

    def attach(self, folder: str, mark: str) -> None:
        self._ask("attach", folder=folder, mark=mark)
        self.has[REPORT] = mark

    def log_model(self, checkpoint: str, number: int) -> None:
        self._ask("log_model", checkpoint=checkpoint, number=number)
        self.has[BEST_MODEL] = str(number)

    def kill(self) -> None:
        """End the process whatever it does; from any thread."""
        self._process.kill()

    def close(self) -> None:
        """End the process and release what it held."""
        self._process.kill()
        self._process.communicate()

    def _ask(self, name: str, **arguments: Any) -> Any:
        reply = json.loads(self._exchange(json.dumps({"do": name, **arguments})))
        if "rejected" in reply:
            raise RejectedError(reply["rejected"])
        if "failed" in reply:
            raise RuntimeError(reply["failed"])
        return reply["done"]

    def _exchange(self, line: str) -> str:
        print(line, file=self._requests, flush=True)
        reply = self._replies.readline()
        if not reply:
            raise RuntimeError("the process that writes to it has ended")
        return reply
