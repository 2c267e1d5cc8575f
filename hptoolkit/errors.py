"""The errors a user meets: one sentence that says what was given, what was expected, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Bad input. The commands print its message and exit with code 2; a library user may catch it."""


def nearest(given: str, valid: Iterable[str]) -> str:
    """The tail of a message about an unknown name: the nearest valid one, then all of them."""
    names = sorted(valid)
    close = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}Valid: {', '.join(names)}"
