"""A file with MLflow's tables, there as a whole or not at all."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# Tables into which MLflow writes before it has made all of them.
_FIRST_TABLES = {"alembic_version", "workspaces"}
_UNTOUCHED = 30.0  # seconds after which nobody is making a file's tables any more


def make_database(file: Path) -> None:
    """Make a file with MLflow's tables unless there is one: aside, then moved into place.

    MLflow does not complete tables whose making was cut short. A file that was left so, by a server
    perhaps, is moved out of the way.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.exists() and not _half_made(file):
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with _locked(file.parent):
        if file.exists():
            if not _half_made(file):
                return  # another process was faster
            os.replace(file, file.with_name(f"{file.name}.unfinished"))
        aside = file.with_name(f"{file.name}.new")
        for left in (aside, file.with_name(f"{aside.name}-journal")):  # by one who was killed
            left.unlink(missing_ok=True)
        store: Any = SqlAlchemyStore  # which has no types
        store(f"sqlite:///{aside.as_posix()}", str(file.parent)).engine.dispose()
        try:
            os.link(aside, file)
        except FileExistsError:
            pass  # a server was faster
        except OSError:  # a file system without links
            os.replace(aside, file)
        aside.unlink(missing_ok=True)


def _half_made(file: Path) -> bool:
    """Whether a file holds nothing but what MLflow's making of its tables begins with.

    It ends with a first experiment. Whoever makes them at the moment changes the file all the time.
    """
    if time.time() - file.stat().st_mtime < _UNTOUCHED:
        return False
    try:
        with contextlib.closing(sqlite3.connect(file)) as database:
            query = "select name from sqlite_master where type = 'table'"
            tables = {name for (name,) in database.execute(query)} - _FIRST_TABLES
            return not any(
                database.execute(f'select 1 from "{name}" limit 1').fetchone() for name in tables
            )
    except sqlite3.Error:  # in use, or no database
        return False


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep this machine's other processes out; the kernel takes the lock from one that dies."""
    with contextlib.ExitStack() as held:
        if fcntl is not None:
            with contextlib.suppress(OSError):  # some network file systems have no flock
                descriptor = os.open(folder, os.O_RDONLY)
                held.callback(os.close, descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
