"""Studies in one file: Optuna's journal, made safe against killed writers and full disks.

Optuna's own backend appends to whatever is there: after half a line, left by a writer that was
killed or whose disk was full, the file can never be read again. Here a partial last line is cut off
before the next is appended, and one that could not be written is taken back. The format is
Optuna's: its dashboard reads the file, and writes notes into it under the same lock.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Generator
from typing import Any

from optuna.storages.journal import JournalFileBackend

from hptoolkit.errors import StorageError, UserError
from hptoolkit.optuna_internals import JOURNAL_OPERATIONS
from hptoolkit.storage.journal_lock import JournalLock

_CHUNK = 1 << 16


class JournalFile(JournalFileBackend):
    """The file at a path, made if it is missing."""

    def __init__(self, path: str) -> None:
        lock = JournalLock(path)
        super().__init__(path, lock_obj=lock)
        self._journal, self._guard = path, lock
        self._lines_end = 0  # where the last of the lines that were read ends

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append records, all of them or none.

        Raises StorageError if they cannot be written; the file is then as it was.
        """
        lines = [json.dumps(log, separators=(",", ":")) + "\n" for log in logs]
        try:
            with self._guard:
                self._append("".join(lines).encode())
        except OSError as error:
            raise StorageError(_sentence(self._journal, error)) from None

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """The records from a number on; half a line at the end is none yet.

        Raises StorageError if the file is shorter than it was, or damaged; UserError for records
        of a newer version of Optuna.
        """
        number = log_number_from
        try:
            end = self._end()
            if end < self._lines_end:
                raise StorageError(
                    f"The storage {self._journal} is shorter than it was: somebody else has "
                    "replaced or cut it. Run the command again to go on with what it holds now."
                )
            self._lines_end = end
            for log in super().read_logs(log_number_from):
                number += 1
                if log.get("op_code") not in JOURNAL_OPERATIONS:
                    raise UserError(
                        f"The storage {self._journal} was written by a newer version of Optuna "
                        f"(operation {log.get('op_code')} in line {number}): update Optuna by "
                        "pip install -U optuna, or give another --storage."
                    )
                yield log
        except OSError as error:
            raise StorageError(_sentence(self._journal, error)) from None
        except (json.JSONDecodeError, UnicodeDecodeError):
            raise StorageError(
                f"The storage {self._journal} is damaged in line {number + 1}; the lines before "
                "are whole. Cut the file off there, or give another --storage."
            ) from None

    def _end(self) -> int:
        descriptor = os.open(self._journal, os.O_RDONLY)
        try:
            return _end_of_lines(descriptor)
        finally:
            os.close(descriptor)

    def _append(self, data: bytes) -> None:
        descriptor = os.open(self._journal, os.O_RDWR | os.O_APPEND)
        try:
            end = _end_of_lines(descriptor)
            if end < os.fstat(descriptor).st_size:
                os.ftruncate(descriptor, end)
            try:
                self._write(descriptor, data)
            except BaseException:
                # A line that is there as a whole may have been read by others: it stays.
                if os.fstat(descriptor).st_size < end + len(data):
                    os.ftruncate(descriptor, end)
                raise
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _write(self, descriptor: int, data: bytes) -> None:
        """Write everything; a system call may take a part only."""
        while data:
            data = data[os.write(descriptor, data) :]


def _end_of_lines(descriptor: int) -> int:
    """Where the last complete line ends."""
    end = os.fstat(descriptor).st_size
    while end > 0:
        begin = max(0, end - _CHUNK)
        newline = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
        end = begin
    return 0


def _sentence(path: str, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"The disk that holds the storage {path} is full. Nothing that has finished is lost: "
            "free some space and run the same command again."
        )
    return (
        f"The storage {path} cannot be used ({os.strerror(error.errno or 0)}). Nothing that has "
        "finished is lost: check the file and run the same command again."
    )
