from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from tests import forked
from tests.postgres import Server, binaries


@pytest.fixture(autouse=True)
def _quiet_optuna() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server; tests that need it are skipped where it is not installed."""
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    # Not in pytest's folders: the server's user may not enter them.
    folder = Path(tempfile.mkdtemp(prefix="hptoolkit-postgres-"))
    server = Server(folder)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True, scope="session")
def _fork_server() -> Iterator[None]:
    """The server of `tests.forked`, if a test has started it, ends with the tests."""
    yield
    forked.stop()
