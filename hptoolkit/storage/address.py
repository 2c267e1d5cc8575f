"""Addresses of storages: what they may be, and what is found there before it is opened."""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from hptoolkit.errors import UserError, first_line
from hptoolkit.storage.urls import database_file, redact, scheme, scrub

DEFAULT = "studies/studies.log"


def is_url(address: str) -> bool:
    """Whether an address names a database rather than a file."""
    return "://" in address


def checkpoint_folder(address: str) -> Path:
    """Where the trials of a storage keep their checkpoints: beside its file, or under studies/."""
    return (Path(DEFAULT) if is_url(address) else Path(address)).with_name("checkpoints")


def check(address: str) -> None:
    """Refuse an address that cannot hold studies, before anything is written.

    Raises UserError: the file is something else, or it or its folder may not be written.
    """
    if is_url(address):
        _check_sqlite(address)
        return
    path = Path(address)
    check_writable(path, "--storage")
    if path.exists():
        _check_journal(path)
    # The journal's locks are files beside it.
    check_writable(path.with_name(f"{path.name}.lock-01234567"), "--storage")


def check_writable(path: Path, option: str) -> None:
    """Raise UserError, naming the option that gives another place, if a file cannot be written."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass
    except (OSError, ValueError) as error:  # too long a name, a zero byte
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{option}: {str(path)[:60]!r} can be no file ({reason}).") from None
    if path.is_dir():
        raise UserError(f"{option} {path} is a folder: give a file in it.")
    if path.exists() and not path.is_file():
        raise UserError(f"{option} {path} is a pipe or a device: give a file.")
    existing = next(p for p in (path, path.parent, *path.parent.parents) if p.exists())
    needed = os.W_OK if existing == path else os.W_OK | os.X_OK
    if not os.access(existing, needed) or (existing != path and not existing.is_dir()):
        raise UserError(f"No permission to write {existing}: choose another place by {option}.")


@contextmanager
def usable(address: str) -> Iterator[None]:
    """Turn whatever a storage raises while it is used into a UserError, without its password."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # whatever SQLAlchemy, a driver, the disk or a damaged file raises
        reason = scrub(first_line(error), address)
        raise UserError(
            f"The storage {redact(address)} cannot be used ({type(error).__name__}: {reason}). "
            f"Check the address and its permissions, or leave out --storage to use {DEFAULT}."
        ) from None


def latest(base: str, names: Iterable[str]) -> str | None:
    """The newest of the studies `base`, `base-2`, `base-3`, …; None if there is none."""
    numbers = _numbers(base, names)
    return _numbered(base, max(numbers)) if numbers else None


def fresh(base: str, names: Iterable[str]) -> str:
    """The name for one more study `base`."""
    return _numbered(base, max(_numbers(base, names), default=0) + 1)


def _check_sqlite(address: str) -> None:
    """Refuse an SQLite file that holds other tables than Optuna's, or that may not be written."""
    if scheme(address) == "sqlite" and _is_in_memory(address):
        raise UserError(
            f"The storage {address} is kept in memory and lost at the end: give a file, "
            "sqlite:///FILE, or leave out --storage."
        )
    file = database_file(address)
    if file is None:
        return
    check_writable(file, "--storage")
    if not file.exists() or file.stat().st_size == 0:
        return
    with (
        usable(address),
        closing(sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)) as db,
    ):
        tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master")}
    if tables and "studies" not in tables:
        raise UserError(
            f"The storage {redact(address)} is a database of something else, without Optuna's "
            "tables: it was left as it is. Give another --storage."
        )


def _is_in_memory(address: str) -> bool:
    path, _, query = address.partition("://")[2].partition("?")
    return path.strip("/") in ("", ":memory:", "file::memory:") or "mode=memory" in query


def _check_journal(path: Path) -> None:
    try:
        with path.open("rb") as file:
            first = file.readline(1 << 20)
        # What the first writer left when it was killed in the middle of a line is no obstacle.
        torn = not first.endswith(b"\n") and first.startswith(b'{"op_code":')
        if not first or torn or "op_code" in json.loads(first):
            return
    except (OSError, ValueError, TypeError):
        pass
    raise UserError(
        f"The storage {path} is not a file of studies (an Optuna journal): it was left as it is. "
        "Give another --storage, or a URL such as sqlite:///FILE for a database."
    )


def _numbers(base: str, names: Iterable[str]) -> list[int]:
    pattern = re.compile(re.escape(base) + r"(?:-([1-9]\d*))?")
    matches = (pattern.fullmatch(name) for name in names)
    return [int(m[1] or 1) for m in matches if m]


def _numbered(base: str, number: int) -> str:
    return base if number == 1 else f"{base}-{number}"
