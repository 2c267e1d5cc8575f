"""The errors a user meets: one sentence that says what was given, what was expected, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Bad input. The commands print it and exit with code 2; libraries may catch it."""


class StorageError(UserError):
    """The storage failed in the middle of a study: its disk is full, its server is gone, …"""


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
