from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from tests import forked
from tests.postgres import Server, binaries

# Seven processes more for each of MLflow's servers, which are for other things than runs.
os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")

# Tests whose module starts something for all of them (a browser and two servers; a study): one
# worker of pytest-xdist runs them all.
_TOGETHER = ("test_browser", "test_report_command")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Whole modules of `_TOGETHER` go to one worker, other tests one by one.

    pytest-xdist's own groups are a suffix of a test's name, which pytest 9 does not let it add.
    """
    from xdist.scheduler.loadscope import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            module = nodeid.partition("::")[0].rpartition("/")[2].removesuffix(".py")
            return module if module in _TOGETHER else nodeid

    return Together(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow ones first, so that all workers end at about the same time."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


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
