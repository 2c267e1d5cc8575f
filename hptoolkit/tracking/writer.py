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

from hptoolkit.tracking.records import Point, Record
from hptoolkit.tracking.store import RejectedError, RunStore, StudyIdentity


class Writer:
    """Carries out requests on the runs of the study opened last."""

    _store: RunStore

    def open(self, uri: str, study: Mapping[str, Any]) -> list[int]:
        """The numbers of the trials whose runs are complete."""
        self._store = RunStore(uri, StudyIdentity(**study))
        return sorted(self._store.complete)

    def write(self, number: int, trial: Mapping[str, Any]) -> None:
        self._store.write(number, _record(trial))

    def mark_running(self) -> None:
        self._store.mark_running()

    def finish(self, study: Mapping[str, Any]) -> None:
        self._store.finish(_record(study))

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
    return Record(**{**data, "metrics": tuple(Point(*point) for point in data["metrics"])})


def _root_cause(error: BaseException) -> BaseException:
    """The first in the chain: MLflow wraps errors until nobody can read them."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error


if __name__ == "__main__":
    main()
