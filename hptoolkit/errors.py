"""The errors a user meets: one sentence that says what was given, what was expected, what to do."""

from __future__ import annotations

import difflib
import shlex
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path


class UserError(ValueError):
    """Bad input. The commands print it and exit with code 2; libraries may catch it."""


class StorageError(UserError):
    """The storage failed in the middle of a study: its disk is full, its server is gone, …"""


class TrialError(UserError):
    """Bad input that shows only in a trial: the trial is put back, and the command ends."""


def first_line(error: object) -> str:
    """The first line of what an error says: libraries add hints and SQL below it."""
    return str(error).strip().partition("\n")[0]


def nearest(given: str, valid: Iterable[str]) -> str:
    """The tail of a message about an unknown name: the nearest valid one, then all of them."""
    names = sorted(valid)
    lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(given.lower(), lower, n=1, cutoff=0.5)
    hint = f"did you mean {lower[close[0]]!r}? " if close else ""
    return f"{hint}Valid: {', '.join(names)}"


def program(name: str) -> str:
    """A program of this environment as one can type it here: with its folder if PATH lacks it."""
    beside = Path(sys.executable).with_name(name)
    on_path = shutil.which(name)
    if not beside.exists() or (on_path and Path(on_path).absolute() == beside):
        return name
    here = Path.cwd()
    return shlex.quote(str(beside.relative_to(here) if beside.is_relative_to(here) else beside))


def command(name: str, *arguments: str) -> str:
    """One of the project's commands as one can type it here: `.venv/bin/python -m hptoolkit.…`."""
    return f"{program('python')} -m {shlex.join([f'hptoolkit.{name}', *arguments])}"
