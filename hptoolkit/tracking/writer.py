"""The process that writes to MLflow: `python -m hptoolkit.tracking.writer`, see `process`.

A request is a line of JSON on standard input, `{"do": name, ...}`; each is answered by one line,
`{"done": ...}`, `{"rejected": why}` or `{"failed": why}`. It ends with its input, so that what the
study asked for last is still written if the study itself is killed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from hptoolkit.tracking import machine
from hptoolkit.tracking.data_sets import DataSet
from hptoolkit.tracking.entries import Point
from hptoolkit.tracking.identity import StudyIdentity
from hptoolkit.tracking.records import Record
from hptoolkit.tracking.store import RejectedError, RunStore


class Writer:
    """Carries out requests on the runs of the study opened last."""

    _store: RunStore
    _uri: str
    _monitor: machine.Monitor | None = None

    def open(self, uri: str, study: Mapping[str, Any]) -> dict[str, Any]:
        """The numbers of the trials whose runs are complete, and what the study's run has."""
        self._uri, self._store = uri, RunStore(uri, StudyIdentity(**study))
        return {"complete": sorted(self._store.complete), "has": self._store.has}

    def write(self, number: int, trial: Mapping[str, Any]) -> None:
        self._store.write(number, _record(trial))

    def mark_running(self, watch: bool) -> None:
        """`watch`: whether the machine's load is logged until the study ends."""
        self._store.mark_running()
        if watch and self._monitor is None:
            self._monitor = machine.watch(self._store.run_id, self._uri)

    def finish(self, study: Mapping[str, Any]) -> None:
        if self._monitor is not None:
            self._monitor.finish()
            self._monitor = None
        self._store.finish(_record(study))

    def attach(self, folder: str, mark: str) -> None:
        self._store.attach(folder, mark)

    def log_model(self, checkpoint: str, number: int) -> None:
        self._store.log_model(checkpoint, number)

    def answer(self, line: str) -> str:
        """The reply to a request."""
        arguments = json.loads(line)
        try:
            reply = {"done": getattr(self, arguments.pop("do"))(**arguments)}
        except RejectedError as error:
            reply = {"rejected": str(error)}
        except Exception as error:  # whatever MLflow, its database or its server raises
            reply = {"failed": str(_root_cause(error)) or type(error).__name__}
        return json.dumps(reply)


def main() -> None:
    replies, sys.stdout = sys.stdout, sys.stderr  # what a library prints must not be a reply
    writer = Writer()
    for line in sys.stdin:
        print(writer.answer(line), file=replies, flush=True)


def _record(data: Mapping[str, Any]) -> Record:
    points = tuple(Point(*point) for point in data["metrics"])
    sets = tuple(DataSet(**data_set) for data_set in data["data_sets"])
    return Record(**{**data, "metrics": points, "data_sets": sets})


def _root_cause(error: BaseException) -> BaseException:
    """The first in the chain: MLflow wraps errors until nobody can read them."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


if __name__ == "__main__":
    main()
